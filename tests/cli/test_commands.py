"""Options as Click parses them."""

import importlib.metadata

import pytest

from pipeline.cli import completion
from pipeline.cli.main import main
from pipeline.cli.verbs import VERBS
from pipeline.config import compose


def test_the_version_is_that_of_the_installation(monkeypatch, capsys):
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"3.2 of {name}")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "asm-sweep 3.2 of asm-sweep\n"


def test_the_version_outside_an_installation_is_unknown(monkeypatch, capsys):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == "asm-sweep unknown\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--config-dir", "a", "--config-dir=b", "plan", "seed=1"],
        ["plan", "--config-dir", "a", "seed=1", "--config-dir", "b"],
        ["--config-dir=a", "plan", "seed=1", "--config-dir=b"],
    ],
)
def test_folders_may_stand_before_or_behind_the_verb(elsewhere, monkeypatch, capsys, arguments):
    original, seen = compose.load, []

    def load(words, config_dirs):
        seen.append((words, config_dirs))
        return original(words)

    monkeypatch.setattr(compose, "load", load)
    assert main(arguments) == 0
    assert seen == [(["seed=1"], ("a", "b"))]


def test_entries_of_the_users_own_are_shown_taken_and_completed(elsewhere, capsys):
    (elsewhere / "mine" / "source").mkdir(parents=True)
    (elsewhere / "mine" / "source" / "wide.yaml").write_text("wide: {kind: uniform, low: -4}")
    assert main(["sweep", "--help", "--config-dir=mine"]) == 0
    assert "  wide                  low=-4" in capsys.readouterr().out
    assert main(["sweep", "--cfg", "--config-dir=mine", "source=wide"]) == 0
    assert "low: -4.0" in capsys.readouterr().out
    items = completion.of_word(VERBS["sweep"], [], "source=uniform,w", ["mine"])
    assert [item.value for item in items] == ["source=uniform,wide"]


def test_a_folder_that_is_none_is_refused(elsewhere, capsys):
    assert main(["plan", "--config-dir", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: --config-dir=nowhere is no folder: give one")


@pytest.mark.parametrize(
    ("typed", "meant"), [("swep", "sweep"), ("plots", "plot"), ("rerum", "rerun")]
)
def test_a_verb_that_is_nearly_one_is_suggested(capsys, typed, meant):
    assert main([typed, "key=value"]) == 2
    assert capsys.readouterr().err == f"error: unknown verb '{typed}': did you mean {meant}?\n"


def test_a_verb_that_is_like_none_is_told_all(capsys):
    assert main(["xyz"]) == 2
    assert "known are check, claims, " in capsys.readouterr().err
