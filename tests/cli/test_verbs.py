"""The declarations of the verbs, and command lines parsed by them."""

import os

import pytest

from pipeline.cli import words
from pipeline.cli.declaration import FOLDER, Key, Verb
from pipeline.cli.verbs import VERBS
from pipeline.config import compose
from pipeline.errors import UserError

VALUES = {
    "below": "0.05", "x": "phi", "lines": "source", "columns": "source", "freqs": "3",
    "trial": "3", "trials": "50", "sample": "all",
}  # fmt: skip
KEYS = [(verb, key) for verb in VERBS.values() for key in verb.keys]


def store_of(verb):
    # A folder has a key of its own, and is not given twice.
    if verb.places is None or verb.places is FOLDER:
        return []
    return ["here.zarr"] * max(verb.places.least, 1)


@pytest.mark.parametrize(("verb", "key"), KEYS, ids=[f"{v.name}-{k.name}" for v, k in KEYS])
def test_a_declared_key_is_accepted_and_its_default_filled_in(verb, key):
    value = key.default if key.default else VALUES.get(key.name, "x")
    request = words.parse(verb, [*store_of(verb), f"{key.name}={value}"])
    assert request.own[key.name] == key.read(key.name, value)
    without = words.parse(verb, store_of(verb)).own[key.name]
    assert without == (None if key.default is None else key.read(key.name, key.default))


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_key_that_nobody_declares_is_refused(verb):
    with pytest.raises(UserError, match="colour"):
        words.load(words.parse(verb, [*store_of(verb), "colour=red"]).words)


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_the_keys_of_a_sweep_that_are_declared_are_keys_of_a_sweep(verb):
    names = [*vars(words.load([])), "experiment"]
    assert set(verb.not_taken) <= set(names)
    if verb.sweep_keys != "all":
        assert set(verb.sweep_keys) <= set(names)
    assert verb.takes("cluster.threads") == verb.takes("cluster")


def test_keys_of_a_sweep_are_kept_as_they_are_written():
    request = words.parse(VERBS["example"], ["source.uniform.low = -1", "freqs=5", "seed=1_0"])
    assert request.words == ["source.uniform.low=-1", "seed=1_0"]
    assert request.own["freqs"] == 5


def test_a_key_that_a_verb_needs_is_asked_for():
    verb = Verb(
        "verb", "do", run=lambda request: 0, config=lambda request: "",
        keys=(Key("out", "a place", value="FILE", needed=True),),
    )  # fmt: skip
    for given in ([], ["out="]):
        with pytest.raises(UserError, match="verb needs a place: give out=FILE"):
            words.check_needed(verb, words.parse(verb, given))
    words.check_needed(verb, words.parse(verb, ["out=x"]))


def test_a_key_is_given_once():
    with pytest.raises(UserError, match="log is given twice"):
        words.parse(VERBS["plot"], ["here.zarr", "log=true", "log=false"])


def test_a_path_with_an_equals_sign_is_a_store(elsewhere):
    (elsewhere / "a=b.zarr").mkdir()
    request = words.parse(VERBS["plot"], ["a=b.zarr", "log=true"])
    assert request.location.folder == elsewhere / "a=b.zarr"
    assert request.place_is_given


def test_the_newest_store_of_the_results_folder_is_the_default(elsewhere):
    for age, name in [(1, "old"), (0, "new"), (2, "older")]:
        (elsewhere / "here" / f"{name}.zarr").mkdir(parents=True)
        (elsewhere / "here" / f"{name}.zarr" / "zarr.json").write_text("{}")
        os.utime(elsewhere / "here" / f"{name}.zarr" / "zarr.json", (1000 - age, 1000 - age))
    (elsewhere / "here" / "empty.zarr").mkdir()
    request = words.parse(VERBS["status"], ["results=here"])
    assert request.location.folder == elsewhere / "here" / "new.zarr"
    assert not request.place_is_given


def test_folders_of_the_users_own_are_passed_on(monkeypatch):
    seen = []
    load = compose.load

    def noting(words, **given):
        seen.append((words, given))
        return load()

    monkeypatch.setattr(compose, "load", noting)
    words.load(["seed=1"])
    words.load(["seed=1"], ["mine", "ours"])
    assert seen == [
        (["seed=1"], {"config_dirs": ()}),
        (["seed=1"], {"config_dirs": ["mine", "ours"]}),
    ]


def test_reading_a_value_says_what_is_wrong_with_it():
    with pytest.raises(UserError, match="matrices must be true or false, got 'yes'"):
        words.parse(VERBS["example"], ["matrices=yes"])
