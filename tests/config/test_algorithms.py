"""Algorithms as entries with a name: of conf/, of a folder of the user's own, of an experiment."""

import json

import pytest
import yaml

from pipeline import sweep
from pipeline.config import compose
from pipeline.errors import UserError
from pipeline.planning.identity import Identity
from pipeline.planning.plan import make_plan
from pipeline.sources import kinds


def test_an_entry_of_another_name_is_of_its_kind(tmp_path):
    (tmp_path / "algorithm").mkdir()
    (tmp_path / "algorithm" / "rival.yaml").write_text("rival: {kind: apx}\n")
    settings = compose.load(["algorithm=asm,rival"], config_dirs=[tmp_path])
    assert settings.algorithm == {"asm": {"kind": "asm"}, "rival": {"kind": "apx"}}
    # What is recorded is read again without the folder.
    assert compose.recorded(settings.to_yaml()).algorithm == settings.algorithm
    with pytest.raises(UserError, match="unknown algorithm 'rivl'"):
        compose.load(["algorithm=rivl"], config_dirs=[tmp_path])


def test_two_names_of_one_kind_are_both_measured(tmp_path):
    words = ["trials=50", "freqs=0..14..7", "algorithm=apx,asm,rival", "algorithm.rival.kind=apx"]
    found = sweep([*words, f"out={tmp_path}/a.zarr"]).error.squeeze()
    assert found.algorithm.values.tolist() == ["apx", "asm", "rival"]
    assert (found.sel(algorithm="rival") == found.sel(algorithm="apx")).all()
    assert not (found.sel(algorithm="asm") == found.sel(algorithm="apx")).all()


def test_names_alone_are_recorded_as_before():
    settings = compose.load(["algorithm=asm,apx"])
    assert yaml.safe_load(settings.to_yaml())["algorithm"] == ["apx", "asm"]
    identity = make_plan(settings, kinds.resolve).identity
    stored = json.loads(json.dumps(identity.to_json()))
    assert stored["algorithm"] == ["apx", "asm"]
    assert Identity.from_json(stored) == identity


def test_an_experiment_names_algorithms_as_text_or_as_entries(tmp_path):
    (tmp_path / "experiment").mkdir()
    place = tmp_path / "experiment" / "mine.yaml"
    for said, names in [
        ("apx,asm", ["apx", "asm"]),
        ("[asm]", ["asm"]),
        ("{asm: , other: {kind: apx}}", ["asm", "other"]),
    ]:
        place.write_text(f"# @package _global_\nalgorithm: {said}\n")
        assert list(compose.load(["experiment=mine"], config_dirs=[tmp_path]).algorithm) == names
    words = ["experiment=mine", "algorithm=apx"]
    assert list(compose.load(words, config_dirs=[tmp_path]).algorithm) == ["apx"]


@pytest.mark.parametrize("value", ["{1: 2}", ".nan", "[1, [.nan]]"])
def test_parameters_of_a_function_are_what_json_has(tmp_path, value):
    (tmp_path / "algorithm").mkdir()
    (tmp_path / "algorithm" / "x.yaml").write_text(f"x: {{_target_: a.b, d: {value}}}\n")
    with pytest.raises(
        UserError, match=r"algorithm.x.d must be text, a number that is one, or a li"
    ):
        compose.load(["algorithm=x"], config_dirs=[tmp_path])
