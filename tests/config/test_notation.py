"""The notation of values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import UserError
from pipeline.config import notation


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0..14", list(range(15))),
        ("0..14..2", [0, 2, 4, 6, 8, 10, 12, 14]),
        ("0..14..3", [0, 3, 6, 9, 12]),
        ("0..4,8,10..14", [0, 1, 2, 3, 4, 8, 10, 11, 12, 13, 14]),
        ("4,8,16", [4, 8, 16]),
        ("[4,8,16]", [4, 8, 16]),
        ("[ 4, 8 , 16 ]", [4, 8, 16]),
        ("[0..2,5]", [0, 1, 2, 5]),
        ("range(0,15)", list(range(15))),
        ("range(3)", [0, 1, 2]),
        ("range(0,15,5)", [0, 5, 10]),
        ("range(0,3),9", [0, 1, 2, 9]),
        ("1e6", [1_000_000]),
        ("1e2,1e3", [100, 1000]),
        ("10_000", [10_000]),
        ("2.5e1", [25]),
        ("7", [7]),
        ("1e23", [10**23]),
        ("9007199254740993e0", [9007199254740993]),
        ("3,1,2,1", [1, 2, 3]),
        ("5..5", [5]),
        (8, [8]),
        (1e6, [1_000_000]),
        ([4, "8..10", [12]], [4, 8, 9, 10, 12]),
    ],
)
def test_every_notation_expands(text, expected):
    assert notation.integers("key", text) == expected


@given(st.sets(st.integers(0, 300), min_size=1))
def test_any_set_of_integers_survives_being_written_in_runs(numbers):
    parts, left = [], sorted(numbers)
    while left:
        run = 1
        while run < len(left) and left[run] == left[0] + run:
            run += 1
        parts.append(f"{left[0]}..{left[run - 1]}" if run > 1 else str(left[0]))
        left = left[run:]
    assert notation.integers("key", ",".join(parts)) == sorted(numbers)
    assert notation.integers("key", str(sorted(numbers))) == sorted(numbers)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 20))
def test_both_ends_are_included_and_steps_start_at_the_lower(first, length, step):
    expected = list(range(first, first + length + 1, step))
    assert notation.integers("key", f"{first}..{first + length}..{step}") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "freqs is empty"),
        ("[]", "freqs is empty"),
        ("5..2", "freqs=5..2 is empty: write the lower end first"),
        ("range(5,2)", "is empty"),
        ("0..14..0", "step of 0"),
        ("0..14..-1", "step of -1"),
        ("0..", "lacks a number"),
        ("..4", "lacks a number"),
        ("0..4..", "lacks a number"),
        ("1,,2", "empty item"),
        ("1,", "empty item"),
        ("[1,2", "open bracket"),
        ("1]", "open bracket"),
        ("-1", "at least 0, got -1"),
        ("-3..2", "at least 0, got -3"),
        ("nan", "must be an integer such as 8, 1e6 or 10_000, got 'nan'"),
        ("inf", "must be an integer"),
        ("1.5", "must be an integer, got 1.5"),
        ("1e400", "at most 100 digits"),
        ("9" * 5000, "at most 100 digits"),
        ("ten", "got 'ten'"),
        ("true", "got 'true'"),
        (True, "must be an integer"),
        ("0..1e12", "more than 10000 values"),
        ("range(0,99999999999999999999)", "more than 10000 values"),
        ("0..6000,7000..13000", "more than 10000 values"),
        ("range(1,2,3,4)", "START, STOP and STEP"),
        ("range()", "must be an integer"),
    ],
)
def test_what_is_not_a_list_of_counts_is_refused_by_name(text, message):
    with pytest.raises(UserError, match=message) as refusal:
        notation.integers("freqs", text)
    assert "freqs" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_key_given_twice_names_the_shell_that_did_it():
    with pytest.raises(UserError, match=r"freqs is given twice, as '0' and '1'.*\{0\.\.14\}"):
        notation.split_arguments(["freqs=0", "trials=5", "freqs=1"])


@pytest.mark.parametrize("argument", ["freqs", "=3", ""])
def test_an_argument_that_is_not_key_value_is_refused(argument):
    with pytest.raises(UserError, match="is not KEY=VALUE"):
        notation.split_arguments([argument])


def test_a_value_may_hold_equal_signs_and_spaces():
    assert notation.split_arguments(["out=a b=c.zarr"]) == {"out": "a b=c.zarr"}


@pytest.mark.parametrize(
    ("value", "number"), [("1e-3", 0.001), ("-2", -2.0), (3, 3.0), ("1_0", 10.0)]
)
def test_numbers(value, number):
    assert notation.number("low", value) == number


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "abc", "", None, True])
def test_what_is_not_a_finite_number_is_refused(value):
    with pytest.raises(UserError, match="low must be"):
        notation.number("low", value)


def test_truth_is_true_or_false():
    assert notation.truth("key", "True") is True
    assert notation.truth("key", False) is False
    with pytest.raises(UserError, match="must be true or false, got 'yes'"):
        notation.truth("key", "yes")
