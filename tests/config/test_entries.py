"""A user's own folders of entries, beside those that ship."""

import os
import subprocess
import sys

import pytest

from pipeline import UserError
from pipeline.cli import help
from pipeline.cli.verbs import VERBS
from pipeline.config import compose, entries


@pytest.fixture
def mine(tmp_path):
    """A folder with a source, a cluster and an experiment of the user's own."""
    folder = tmp_path / "mine"
    for group, name, text in [
        ("source", "narrow", "narrow: {kind: uniform, low: 0.4, high: 0.6}"),
        ("cluster", "pair", "kind: processes\nworkers: 2"),
        ("experiment", "study", "# @package _global_\n# What I study.\ndefaults:\n"
         "  - override /source: [narrow, gaussian]\ntrials: 1e4"),
    ]:  # fmt: skip
        (folder / group).mkdir(parents=True, exist_ok=True)
        (folder / group / f"{name}.yaml").write_text(text)
    return folder


NARROW = {"kind": "uniform", "low": 0.4, "high": 0.6, "quality": []}


def test_entries_of_a_folder_stand_beside_those_that_ship(mine):
    settings = compose.load(["source=narrow,uniform", "cluster=pair"], config_dirs=[mine])
    assert settings.source["narrow"] == NARROW
    assert settings.source["uniform"]["high"] == 1.0
    expected = {"kind": "processes", "workers": 2, "threads": 1, "dashboard": True}
    assert settings.cluster == expected


def test_an_experiment_of_a_folder_may_choose_its_entries(mine):
    settings = compose.load(["experiment=study"], config_dirs=[mine])
    assert list(settings.source) == ["gaussian", "narrow"]
    assert settings.trials == (10_000,)
    assert entries.description("study", [mine]) == "What I study"


def test_the_environment_names_folders_too(mine, tmp_path, monkeypatch):
    (tmp_path / "other").mkdir()
    both = os.pathsep.join([str(tmp_path / "other"), str(mine)])
    monkeypatch.setenv("ASM_SWEEP_CONFIG_DIR", both)
    assert compose.load(["source=narrow"]).source == {"narrow": NARROW}
    assert "narrow" in help.of_verb(VERBS["sweep"])
    assert "What I study" in help.of_verb(VERBS["sweep"])


def test_a_folder_that_is_given_comes_before_those_of_the_environment(mine, tmp_path, monkeypatch):
    other = tmp_path / "other"
    (other / "source").mkdir(parents=True)
    (other / "source" / "narrow.yaml").write_text("narrow: {kind: gaussian}")
    monkeypatch.setenv("ASM_SWEEP_CONFIG_DIR", str(mine))
    settings = compose.load(["source=narrow"], config_dirs=[other])
    assert settings.source["narrow"]["kind"] == "gaussian"


def test_the_user_s_own_entry_replaces_the_one_that_ships(mine):
    (mine / "source" / "uniform.yaml").write_text("uniform: {kind: uniform, low: -5}")
    settings = compose.load(["source=uniform,uniform_signed"], config_dirs=[mine])
    assert settings.source["uniform"]["low"] == -5.0
    # What kind: uniform can have is not changed by it.
    expected = {"kind": "uniform", "low": -1.0, "high": 1.0, "quality": []}
    assert settings.source["uniform_signed"] == expected
    assert compose.load([]).source["uniform"]["low"] == 0.0


def test_refusals_know_the_names_of_the_folder(mine):
    with pytest.raises(UserError, match="unknown source 'narow': did you mean narrow"):
        compose.load(["source=narow"], config_dirs=[mine])
    with pytest.raises(
        UserError, match="unknown cluster 'xyz': known are htcondor, local, lsf, oar, pair, pbs, "
    ):
        compose.load(["cluster=xyz"], config_dirs=[mine])
    with pytest.raises(UserError, match="narrow is not among the sources: add source=uniform,narr"):
        compose.load(["source.narrow.low=1"], config_dirs=[mine])


def test_a_file_of_the_folder_that_is_no_entry_is_named(mine):
    (mine / "source" / "bad.yaml").write_text("other: {kind: uniform}")
    with pytest.raises(UserError, match=rf"{mine}/source/bad\.yaml must hold an entry named bad"):
        compose.load(["source=bad"], config_dirs=[mine])


def test_a_folder_that_is_not_there_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"--config-dir=.*nowhere is no folder") as refusal:
        compose.load([], config_dirs=[tmp_path / "nowhere"])
    assert "\n" not in str(refusal.value)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ASM_SWEEP_CONFIG_DIR", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"ASM_SWEEP_CONFIG_DIR=.*file is no folder"):
        compose.load([])


def test_recorded_settings_with_an_entry_of_a_folder_need_no_folder(mine):
    settings = compose.load(["experiment=study", "cluster=pair"], config_dirs=[mine])
    assert compose.recorded(settings.to_yaml()) == settings


def test_help_alone_imports_no_hydra():
    code = (
        "import sys; from pipeline.cli.main import main; main(['--help']);"
        "print([name for name in sys.modules if name in ('hydra', 'omegaconf', 'numpy')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
