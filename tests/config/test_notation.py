"""The notation of values."""

from contextlib import suppress

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


whole = st.integers(-(10**20), 10**20)
# A float of 1e16 and more is written as an integer is.
real = st.floats(-1e15, 1e15)
anything = st.recursive(
    st.none() | st.booleans() | whole | real | st.text(),
    lambda items: st.lists(items) | st.dictionaries(st.text(), items),
    max_leaves=8,
)


def inferred_or_none(value):
    with suppress(UserError):
        return notation.inferred("key", value)
    return None


@given(st.lists(st.integers(0, 10**6)) | st.sets(st.integers(0, 60)))
def test_integers_are_read_as_they_were_written(numbers):
    numbers = sorted(set(numbers))
    for text in (notation.written(numbers), notation.written(numbers, brackets=True)):
        if numbers:
            assert notation.integers("key", text) == numbers
        else:
            assert text == "[]"


@given(st.lists(whole | real | st.booleans() | st.none()))
def test_a_list_of_any_key_is_read_as_it_was_written(items):
    assert notation.inferred("key", notation.written(items, brackets=True)) == items


@given(anything)
def test_what_a_value_looks_like_is_read_as_it_was_written(value):
    understood = inferred_or_none(value)
    again = notation.inferred("key", notation.written(understood, brackets=True))
    assert again == understood
    assert repr(again) == repr(understood)


@given(anything)
def test_what_a_value_looks_like_does_not_change_when_asked_again(value):
    understood = inferred_or_none(value)
    assert notation.inferred("key", understood) == understood


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        (range(15), "0..14"),
        ([0, 1, 2, 5], "0..2,5"),
        ([0, 1], "0,1"),
        ([10, 30, 50, 70, 90], "10..90..20"),
        ([4, 8, 16], "4,8,16"),
        ([4, 6, 8], "4,6,8"),
        ([1, 500], "[1,500]"),
        ([1, 1000], "1,1000"),
        ([100, 200], "[100,200]"),
        ([8], "8"),
        ([], "[]"),
    ],
)
def test_integers_are_written_short(numbers, text):
    assert notation.written(list(numbers)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (0.1, "0.1"),
        ("a, b", "a, b"),
        ([4], "[4]"),
        (["a b", 1.5], "[a b,1.5]"),
        (["--mail=A,B", "c"], '["--mail=A,B", "c"]'),
        ([[0, 1], [2]], "[[0, 1], [2]]"),
        ({"LANG": "é"}, '{"LANG": "é"}'),
    ],
)
def test_a_value_of_any_key_is_written_as_plainly_as_it_can_be_read(value, text):
    assert notation.written(value, brackets=True) == text
    assert notation.inferred("key", text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("8787", 8787),
        ("1e6", 1_000_000),
        ("10_000", 10_000),
        ("-3", -3),
        ("1e-3", 0.001),
        ("-.5", -0.5),
        ("2.0", 2.0),
        ("true", True),
        ("null", None),
        ("True", "True"),
        ("batch", "batch"),
        ("02:00:00", "02:00:00"),
        ("1.2.3", "1.2.3"),
        ("127.0.0.1", "127.0.0.1"),
        ("8787,80", [8787, 80]),
        ("0..2,5", [0, 1, 2, 5]),
        ("range(3)", [0, 1, 2]),
        ("a,b", "a,b"),
        ("[a,b]", ["a", "b"]),
        ("[0..2,x]", [0, 1, 2, "x"]),
        ("[1e6,0.5,true]", [1_000_000, 0.5, True]),
        ('["1e6", "a,b"]', [1_000_000, "a,b"]),
        ("{a}", "{a}"),
        ("", ""),
    ],
)
def test_a_value_without_a_type_is_what_it_looks_like(text, value):
    assert notation.inferred("key", text) == value
    assert type(notation.inferred("key", text)) is type(value)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), "key must be finite, got nan"),
        ([float("inf")], "key must be finite"),
        ("[a", "open bracket"),
        ("[a,,b]", "empty item"),
        ({"a": "5..2"}, r"key\.a=5\.\.2 is empty"),
        (range(0), "is empty"),
        ("1e400", "at most 100 digits"),
    ],
)
def test_what_looks_like_a_value_and_is_none_is_refused(value, message):
    with pytest.raises(UserError, match=message):
        notation.inferred("key", value)


def test_a_run_in_a_list_of_yaml_is_that_of_the_command_line():
    assert notation.inferred("key", ["0..2", 5]) == notation.inferred("key", "[0..2,5]")
    assert notation.inferred("key", [range(3), 5]) == [0, 1, 2, 5]
    assert notation.inferred("key", [[0, 1], [2]]) == [[0, 1], [2]]


@pytest.mark.parametrize("text", ["1,500", "1,500,200", "100,200", " 1,500 "])
def test_a_comma_where_thousands_are_separated_is_refused_with_both_ways_out(text):
    text_alone = text.strip()
    with pytest.raises(UserError) as refusal:
        notation.refuse_thousands("trials", text, several=True)
    number = text_alone.replace(",", "")
    how_many = "two" if text_alone.count(",") == 1 else "3"
    assert str(refusal.value) == (
        f"trials={text_alone} has a comma where thousands are separated: "
        f"write trials={number}, or trials=[{text_alone}] for {how_many} numbers"
    )
    with pytest.raises(UserError, match=f"write seed={number}$"):
        notation.refuse_thousands("seed", text, several=False)


@pytest.mark.parametrize(
    "value", ["4,8,16", "100,1000", "[1,500]", "1500,2000,", "1500,200", "1,50", "1_000", 1500,
              [1, 500], None]
)  # fmt: skip
def test_other_commas_are_between_numbers(value):
    notation.refuse_thousands("trials", value, several=True)


def test_spaces_belong_to_the_value_unless_they_stand_around_the_equal_sign():
    assert notation.split_argument("out= a ") == ("out", " a ")
    assert notation.split_argument("out = a ") == ("out", "a")


@given(st.sets(st.integers(0, 3000), min_size=1, max_size=60))
def test_integers_are_written_as_they_are_read(numbers):
    assert notation.integers("key", notation.written(sorted(numbers))) == sorted(numbers)
    bracketed = notation.written(sorted(numbers), brackets=True)
    assert notation.integers("key", bracketed) == sorted(numbers)


@given(st.integers(0, 50), st.integers(1, 9), st.integers(5, 60))
def test_even_steps_are_written_as_a_run(first, step, length):
    values = list(range(first, first + step * length, step))
    end = f"..{step}" if step > 1 else ""
    assert notation.written(values) == f"{first}..{values[-1]}{end}"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_written_to_the_last_bit(value):
    assert notation.number("key", notation.written(value)) == value


def test_a_list_that_reads_as_one_number_is_written_in_brackets():
    assert notation.written([1, 500]) == "[1,500]"
    assert notation.written([4, 8, 16]) == "4,8,16"
    assert notation.written([]) == "[]"
