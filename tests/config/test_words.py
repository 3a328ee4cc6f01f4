"""Words of a command line and Python values, and how they are written back."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from pipeline import UserError
from pipeline.config import compose


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"freqs": range(15)}, ["freqs=0..14"]),
        ({"freqs": range(14, -1, -2)}, ["freqs=0..14..2"]),
        ({"freqs": {8, 2}}, ["freqs=2,8"]),
        ({"block_size": (4, 8)}, ["block_size=4,8"]),
        ({"block_size": np.array([[4, 8], [16, 32]])}, ["block_size=4,8,16,32"]),
        ({"algorithm": ["asm", "apx"]}, ["algorithm=apx,asm"]),
        ({"trials": 1e6}, ["trials=1000000"]),
        ({"trials": np.float32(100)}, ["trials=100"]),
        ({"trials": [1, 500]}, ["trials=[1,500]"]),
        ({"trials": "all", "source": "photograph"}, ["trials=all", "source=photograph"]),
        ({"seed": np.int64(3)}, ["seed=3"]),
        ({"precision": np.float64(0.5)}, ["precision=0.5"]),
        ({"precision": None, "store_trials": None}, ["precision=null", "store_trials=all"]),
        ({"store_trials": 0}, ["store_trials=none"]),
        ({"out": "x.zarr", "extend": np.True_}, ["out=x.zarr", "extend=true"]),
        ({"source": ["uniform", "gaussian"]}, ["source=gaussian,uniform"]),
        ({"source": {"uniform": {}, "gaussian": None}}, ["source=gaussian,uniform"]),
        ({"source.uniform.quality": [50]}, ["source.uniform.quality=[50]"]),
        ({"cluster": {"kind": "processes", "workers": 4}},
         ["cluster=processes", "cluster.workers=4"]),
        ({"cluster": {"threads": 2}}, ["cluster.threads=2"]),
        (
            {"source": {"uniform": {"low": -1}, "wide": {"kind": "uniform", "low": -4}}},
            ["source=uniform,wide", "source.uniform.low=-1.0", "source.wide.kind=uniform",
             "source.wide.low=-4.0"],
        ),
    ],
)  # fmt: skip
def test_python_values_are_what_words_are(values, words):
    settings = compose.load(values)
    assert settings == compose.load(words)
    assert settings.words() == words
    assert compose.load(settings.words()).given == settings.given


@pytest.mark.parametrize("key", ["results", "out"])
def test_a_path_is_not_read_as_notation(key):
    settings = compose.load({key: Path("a,b=[c] d")})
    assert getattr(settings, key) == "a,b=[c] d"
    assert settings.words() == [f"{key}=a,b=[c] d"]


def test_a_path_of_an_entry_is_not_read_as_notation():
    settings = compose.load({"source": {"images": {"path": Path("a,b = 0..4")}}})
    assert settings.source["images"]["path"] == str(Path("a,b = 0..4").absolute())


def test_recorded_entries_are_values_again():
    settings = compose.load(["source=uniform,gaussian", "source.uniform.low=-3"])
    again = compose.load({"source": settings.source, "cluster": settings.cluster})
    assert (again.source, again.cluster) == (settings.source, settings.cluster)


def test_one_string_is_split_as_a_shell_does():
    settings = compose.load("freqs=0..4 trials=1e3 'out=a b'")
    assert settings == compose.load(["freqs=0..4", "trials=1000", "out=a b"])
    with pytest.raises(UserError, match="cannot be split into words: No closing quotation"):
        compose.load("freqs=3 'out=a")


def test_words_and_values_go_together_and_a_key_in_both_is_given_twice():
    settings = compose.load(["seed=4"], values={"freqs": range(3)})
    assert settings.words() == ["seed=4", "freqs=0..2"]
    with pytest.raises(UserError, match="freqs is given twice, as '3' and 4"):
        compose.load(["freqs=3"], values={"freqs": 4})
    with pytest.raises(UserError, match=r"source\.uniform\.low is given twice, as 0\.5 and 2"):
        compose.load({"source": {"uniform": {"low": 0.5}}, "source.uniform.low": 2})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"freq": 3}, "unknown key 'freq': did you mean freqs"),
        ({3: 4}, "unknown key '3'"),
        ({"freqs": range(10**12)}, "more than 10000 values"),
        ({"freqs": range(0)}, "freqs=range\\(0, 0\\) is empty"),
        ({"freqs": []}, "freqs is empty"),
        ({"freqs": True}, "freqs must be an integer"),
        ({"freqs": 0.5}, "freqs must be an integer, got 0.5"),
        ({"freqs": float("nan")}, "freqs must be an integer"),
        ({"freqs": None}, "freqs must be an integer"),
        ({"freqs": iter([1])}, "freqs must be text, a number, or a list of them, got list_it"),
        ({"trials": date(2020, 1, 1)}, "trials must be text, a number, or a list"),
        ({"trials": -1}, "trials must be at least 1, got -1"),
        ({"seed": 10**5000}, "seed must have at most 100 digits"),
        ({"source.uniform.low": 10**5000}, "source.uniform.low must have at most 100 digits"),
        ({"seed": {"a": 1}}, "seed must be an integer"),
        ({"extend": 1}, "extend must be true or false, got 1"),
        ({"results": True}, "results must be a folder or file, got True"),
        ({"results": ""}, "results is empty"),
        ({"source": {}}, "source is empty"),
        ({"source": {"uniform": 3}}, "unknown key 'source.uniform'"),
        ({"source": {"uniform": {"lwo": 1}}}, "did you mean source.uniform.low"),
        ({"source": {"uniform": {"low": {"x": 1}}}}, "source.uniform.low must be a number"),
        ({"source": {"uniform": {"kind": "gaussian"}}}, "kind cannot be changed"),
        ({"source": {"images": {"path": None}}}, "source.images.path must be text, got None"),
        ({"source": {"images": {"path": ["a", "b"]}}}, "source.images.path must be text"),
        ({"source": {"wide": {"low": 1}}}, "a new entry says its kind, source.wide.kind"),
        ({"cluster": ["local", "processes"]}, "cluster must be one of"),
        ({"cluster": {"workers": 0}}, "cluster.workers must be at least 1, got 0"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_refused_as_a_wrong_word_is(values, message):
    with pytest.raises(UserError, match=message) as refusal:
        compose.load(values)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("words", [["method=asm,apx"], {"method": ["asm", "apx"]}])
def test_a_key_that_was_renamed_names_the_new_one(words):
    with pytest.raises(UserError, match="method is called algorithm now: write algorithm=asm,apx"):
        compose.load(words)


@pytest.mark.parametrize("text", ["1,500", "100,200", "10,100,150"])
def test_a_comma_between_thousands_is_refused_with_both_ways_out(text):
    with pytest.raises(UserError) as refusal:
        compose.load([f"trials={text}"])
    one = text.replace(",", "")
    assert f"write trials={one}, or trials=[{text}] for " in str(refusal.value)
    compose.load([f"trials=[{text}]"])


@pytest.mark.parametrize("text", ["10,000", "1,000,000"])
def test_a_comma_between_thousands_has_one_way_out_where_a_list_would_hold_zero(text):
    with pytest.raises(UserError, match=f"write trials={text.replace(',', '')}$"):
        compose.load([f"trials={text}"])


@pytest.mark.parametrize("text", ["4,8,16", "100,1000", "1000,500", "1, 500", "1e2,200"])
def test_other_commas_make_lists(text):
    assert len(compose.load([f"trials={text}"]).trials) == text.count(",") + 1


@pytest.mark.parametrize("key", ["seed", "unit_trials", "store_trials"])
def test_a_single_number_with_a_comma_is_told_to_do_without(key):
    with pytest.raises(UserError, match=f"write {key}=131072$"):
        compose.load([f"{key}=131,072"])


def test_axes_may_have_values_of_three_digits():
    assert compose.load(["block_size=4,128"]).block_size == (4, 128)
