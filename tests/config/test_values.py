"""Values of Python in place of words, and words that give settings again."""

import os
from fractions import Fraction
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import UserError
from pipeline.config import compose, words


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({"freqs": range(15)}, ["freqs=0..14"]),
        ({"freqs": range(14, -1, -2)}, ["freqs=0..14..2"]),
        ({"freqs": [0, 3, 8]}, ["freqs=0,3,8"]),
        ({"freqs": (0, 3, 8)}, ["freqs=0,3,8"]),
        ({"freqs": {0, 3, 8}}, ["freqs=0,3,8"]),
        ({"freqs": ["0..4", 9]}, ["freqs=0..4,9"]),
        ({"freqs": "0..4,9"}, ["freqs=0..4,9"]),
        ({"freqs": np.arange(4)}, ["freqs=0..3"]),
        ({"freqs": np.array(4)}, ["freqs=4"]),
        ({"freqs": [np.int64(2), np.uint8(3)]}, ["freqs=2,3"]),
        ({"seed": np.int64(5)}, ["seed=5"]),
        ({"trials": 1e6}, ["trials=1e6"]),
        ({"trials": np.float64(1e6)}, ["trials=1e6"]),
        ({"trials": [1e2, 1e3]}, ["trials=1e2,1e3"]),
        ({"trials": 1_000_000}, ["trials=1_000_000"]),
        ({"trials": [1, 500]}, ["trials=[1,500]"]),
        ({"trials": "all"}, ["trials=all"]),
        ({"trials": None}, []),
        ({"store_trials": None}, ["store_trials=all"]),
        ({"store_trials": 0}, ["store_trials=none"]),
        ({"precision": 1e-3}, ["precision=0.001"]),
        ({"precision": None}, ["precision=null"]),
        ({"algorithm": ["asm", "apx"]}, ["algorithm=asm,apx"]),
        ({"algorithm": np.array(["asm", "apx"])}, ["algorithm=asm,apx"]),
        ({"out": Path("a") / "b.zarr", "extend": True}, ["out=a/b.zarr", "extend=true"]),
        ({"out": None, "extend": np.bool_(False)}, ["out=null", "extend=false"]),
        ({"results": PurePosixPath("r")}, ["results=r"]),
        ({"source": ["uniform", "gaussian"]}, ["source=uniform,gaussian"]),
        ({"source": {"uniform": {}}}, ["source=uniform"]),
        ({"source": {"uniform": None}}, ["source=uniform"]),
        ({"source": {"uniform": {"low": -1}}}, ["source=uniform", "source.uniform.low=-1"]),
        (
            {"source": {"wide": {"kind": "uniform", "low": -1}, "gaussian": {}}},
            ["source=wide,gaussian", "source.wide.kind=uniform", "source.wide.low=-1"],
        ),
        ({"source.uniform.low": np.float32(0.5)}, ["source.uniform.low=0.5"]),
        ({"source.uniform.quality": range(10, 91, 20)}, ["source.uniform.quality=10..90..20"]),
        ({"source.uniform.quality": None}, ["source.uniform.quality=[]"]),
        ({"operation": {"pool": {"kind": "max_pool", "window": np.int32(4)}}},
         ["operation=pool", "operation.pool.kind=max_pool", "operation.pool.window=4"]),
        ({"cluster": "processes"}, ["cluster=processes"]),
        ({"cluster": {"threads": 2}}, ["cluster.threads=2"]),
        ({"cluster": {"threads": None}}, ["cluster.threads=null"]),
        (
            {"cluster": {"kind": "processes", "workers": 2, "dashboard": False}},
            ["cluster=processes", "cluster.workers=2", "cluster.dashboard=false"],
        ),
        ({"experiment": "quality", "freqs": 3}, ["experiment=quality", "freqs=3"]),
    ],
)  # fmt: skip
def test_python_values_are_what_the_command_line_says(values, same):
    assert compose.load(values=values) == compose.load(same) == compose.load(values)


def test_words_may_be_one_string_quoted_as_in_a_shell():
    settings = compose.load("freqs=0..3 trials=1e3 out='a b.zarr'")
    assert settings == compose.load(["freqs=0..3", "trials=1e3", "out=a b.zarr"])
    assert compose.load("") == compose.load()


def test_spaces_around_the_equal_sign_are_not_of_the_value():
    assert compose.load(["out = a.zarr", "trials = all"]) == compose.load("out=a.zarr trials=all")


def test_words_and_values_add_up():
    settings = compose.load(["freqs=3", "source.uniform.low=-1"], values={"trials": 5})
    assert (settings.freqs, settings.trials) == ((3,), (5,))
    assert settings.source["uniform"]["low"] == -1.0


@pytest.mark.parametrize("quote", ["{}", "/tmp/{}/x"])
@pytest.mark.parametrize(
    "odd", ["a,b", "a b", " a ", "a=b", "[a", "a]", "(a", "1,500", "0..4", "${a}", "'a'", '"', "é",
            "a\\b", "1e3", "{a: 1}", "\udcff", "a\nb"]
)  # fmt: skip
def test_a_path_arrives_as_it_is(odd, quote):
    path = quote.format(odd)
    for settings in (
        compose.load(["source=images", f"source.images.path={path}", f"out={path}"]),
        compose.load(values={"source": {"images": {"path": path}}, "out": path}),
    ):
        assert settings.source["images"]["path"] == os.path.abspath(path)
        assert settings.out == path
        assert compose.load(settings.words()) == settings


def test_a_path_like_object_is_its_path():
    class Folder(os.PathLike):
        def __fspath__(self):
            return "some/folder"

    assert compose.load(values={"results": Folder()}).results == "some/folder"
    assert compose.load(values={"results": PurePosixPath("a,b=c d")}).results == "a,b=c d"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("seed", True, "seed must be an integer such as .*, got 'True'"),
        ("seed", None, "seed must be an integer such as .*, got 'None'"),
        ("seed", 2.5, "seed must be an integer, got 2.5"),
        ("seed", np.float64("nan"), "seed must be an integer"),
        ("seed", [1, 2], "seed must be an integer"),
        ("seed", [10**5000], "seed must have at most 100 digits"),
        ("source.images.path", [10**5000], "source.images.path must have at most 100 digits"),
        ("trials", 0, "trials must be at least 1, got 0"),
        ("trials", [True], "got 'True'"),
        ("freqs", [], "freqs is empty"),
        ("freqs", range(0), "freqs=range.* is empty"),
        ("freqs", range(10**9), "more than 10000 values"),
        ("freqs", np.array([0.5]), "must be an integer, got 0.5"),
        ("freqs", {"a": 1}, "freqs must be an integer"),
        ("freqs", np.array([], dtype=int), "freqs is empty"),
        ("freqs", 1j, "freqs must be text, a number, or a list of them, got complex"),
        ("freqs", [b"3"], "freqs must be text, .* got bytes"),
        ("freqs", iter([3]), "freqs must be text, .* got list_iterator"),
        ("trials", Fraction(3), "got Fraction"),
        ("extend", 1, "extend must be true or false, got 1"),
        ("precision", True, "precision must be a number, got True"),
        ("precision", -0.5, "precision must be more than 0, got -0.5"),
        ("results", 5, "results must be a folder or file, got 5"),
        ("results", "", "results is empty"),
        ("out", ["a"], "out must be a folder or file"),
        ("source", None, "unknown source 'None'"),
        ("source", {}, "source is empty"),
        ("source", {"wide": {"low": -1}}, r"unknown source 'wide'.* source\.wide\.kind=\.\.\."),
        ("source", {"uniform": 3}, "unknown key 'source.uniform'"),
        ("source", {"uniform": {"lwo": 3}}, "did you mean source.uniform.low"),
        ("source", {"uniform": {"low": None}}, "source.uniform.low must be a number, got None"),
        ("source", {"uniform": {"low": {"a": 1}}}, "source.uniform.low must be a number"),
        ("source", {"uniform": {"low": 1j}}, "source.uniform.low must be text, .* complex"),
        ("source", {"images": {"path": True}}, "source.images.path must be text, got True"),
        ("source.uniform", {"low": -1}, "did you mean source.uniform.low"),
        ("cluster", {"kind": None}, "unknown cluster 'None'"),
        ("cluster", {"theads": 2}, "did you mean cluster.threads"),
        ("cluster.threads", 0, "cluster.threads must be at least 1"),
        ("given", {}, "unknown key 'given'"),
        (3, 4, "unknown key '3'"),
    ],
)
def test_a_value_of_python_is_refused_in_one_line(key, value, message):
    with pytest.raises(UserError, match=message) as refusal:
        compose.load(values={key: value})
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("given_words", "values", "key"),
    [
        (["freqs=3"], {"freqs": 4}, "freqs"),
        ("freqs=3 freqs=4", {}, "freqs"),
        ({"freqs": 3}, {"freqs": np.arange(3)}, "freqs"),
        (["source=uniform"], {"source": {"uniform": {}}}, "source"),
        (["source.uniform.low=0"], {"source": {"uniform": {"low": -1}}}, r"source\.uniform\.low"),
        (["cluster.threads=1"], {"cluster": {"threads": 2}}, r"cluster\.threads"),
        ([], {"source.uniform.low": 0, "source": {"uniform": {"low": 0}}}, r"source\.uniform\.low"),
    ],
)
def test_a_key_in_two_places_is_given_twice(given_words, values, key):
    with pytest.raises(UserError, match=f"{key} is given twice") as refusal:
        compose.load(given_words, values=values)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("text", ["out='a", 'freqs="0..3', "out=a\\"])
def test_a_string_with_an_open_quote_is_refused(text):
    with pytest.raises(UserError, match="cannot be split into words"):
        compose.load(text)


@pytest.mark.parametrize(
    ("value", "written"),
    [("asm", "asm"), (["asm", "apx"], "asm,apx"), (("asm", "apx"), "asm,apx"), ("a,b", "a,b")],
)
def test_the_name_that_a_key_had_before_is_refused_with_the_new_one(value, written):
    message = f"^method is called algorithm now: write algorithm={written}$"
    with pytest.raises(UserError, match=message):
        compose.load(values={"method": value})
    with pytest.raises(UserError, match=message):
        compose.load([f"method={written}"])


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="=", exclude_categories=["Z", "C"]), min_size=1),
        st.text(),
    ).filter(lambda given: not given.keys() & words.RENAMED.keys())
)
def test_words_and_values_gather_to_the_same(texts):
    keys = {f"k.{key}": text for key, text in texts.items()}
    assert words.gather([f"{key}={text}" for key, text in keys.items()], {}) == keys
    assert words.gather((), keys) == words.gather(keys, {}) == keys


def test_the_values_of_the_caller_stay_as_they_are():
    values = {"cluster": {"kind": "processes", "workers": 2}, "source": {"uniform": {"low": -1}}}
    compose.load(values=values)
    assert values == {
        "cluster": {"kind": "processes", "workers": 2},
        "source": {"uniform": {"low": -1}},
    }
