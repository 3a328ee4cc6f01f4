"""What --help says."""

import dataclasses

import pytest
from helpers.program import run_console_script

from pipeline.cli.main import main
from pipeline.cli.verbs import VERBS
from pipeline.config import compose, entries, notation


@pytest.mark.parametrize("arguments", [[], *[[verb] for verb in VERBS]])
def test_help_of_every_verb(elsewhere, capsys, arguments):
    assert main([*arguments, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"usage: python -m pipeline {' '.join(arguments)}" in printed
    assert list(elsewhere.iterdir()) == []


def test_help_of_sweep_shows_groups_and_keys(capsys):
    main(["sweep", "--help"])
    printed = capsys.readouterr().out
    for text in (
        "images                path=??? recursive=false quality",
        "uniform_signed        low=-1.0 high=1.0",
        "max_pool_4            window=4",
        "energy                rho=0.95",
        "paper_relu            The paper",
        "scheduler             address=null",
        "ssh                   _target_=distributed.SSHCluster wait=60.0 hosts=???",
        "unit_trials=131072    Trials of one task",
    ):
        assert text in printed


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_help_of_a_verb_has_every_key_and_option(capsys, verb):
    assert main([verb.name, "-h"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for key in verb.keys:
        assert any(line.split() == [key.written, *key.help.split()] for line in lines)
        assert key.written in lines[0]
    assert verb.places is None or verb.places.written in lines[0]
    for option in ("-h, --help", "--cfg", "--config-dir DIR"):
        assert any(line.strip().startswith(option) for line in lines)


def test_keys_and_defaults_are_those_that_hydra_composes():
    # Help reads the text of config.yaml, for speed; a command line of its defaults changes nothing.
    shown = {key: notation.written(default) for key, default, _ in entries.keys()}
    assert shown.pop("experiment") == "null"
    settings = compose.load()
    assert set(shown) == set(settings.as_dict())
    assert compose.load([f"{key}={value}" for key, value in shown.items()]) == dataclasses.replace(
        settings, given=shown
    )


def test_every_key_has_a_meaning():
    meanings = {key: meaning for key, _, meaning in entries.keys() if key not in entries.GROUPS}
    assert all(len(meaning) > 15 for meaning in meanings.values())
    assert meanings["precision"].endswith("the most it takes")


def test_a_config_of_the_users_own_is_what_help_shows(tmp_path, capsys):
    text = "# Mine.\ndefaults: [{source: [gaussian, uniform]}, _self_]\n# Few.\ntrials: 7\n"
    (tmp_path / "config.yaml").write_text(text)
    main(["sweep", "--help", f"--config-dir={tmp_path}"])
    printed = capsys.readouterr().out
    assert "\n  source=gaussian,uniform\n  trials=7                 Few\n\n" in printed


@pytest.mark.parametrize("text", ["trials: [1", "- trials", "\x00"])
def test_a_config_that_cannot_be_read_is_refused(tmp_path, capsys, text):
    (tmp_path / "config.yaml").write_text(text)
    assert main(["sweep", "--help", f"--config-dir={tmp_path}"]) == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}/config.yaml ")


def test_a_long_name_does_not_touch_what_it_means(tmp_path, capsys):
    name = "blocks_that_are_dim_and_have_a_long_name"
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / f"{name}.yaml").write_text(f"{name}:\n  kind: uniform\n  low: 0\n")
    main(["sweep", "--help", f"--config-dir={tmp_path}"])
    assert f"  {name}  low=0" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["example", "claims"])
def test_help_lists_no_key_of_a_sweep_that_the_verb_refuses(capsys, verb):
    main([verb, "--help"])
    printed = capsys.readouterr().out
    for key in ("unit_trials", "out"):
        assert f"\n  {key}=" not in printed
    assert "cluster=..." not in printed


def test_the_overview_has_every_verb_with_its_purpose_and_how_to_complete(capsys):
    main(["--help"])
    printed = capsys.readouterr().out
    for verb in VERBS.values():
        (line,) = [line for line in printed.splitlines() if line.endswith(verb.purpose)]
        assert line.split()[0] == verb.name
    for text in ("--version", "ASM_SWEEP_CONFIG_DIR", "_ASM_SWEEP_COMPLETE=bash_source"):
        assert text in printed


def test_no_verb_shows_the_overview_and_is_refused(capsys):
    assert main([]) == 2
    printed, said = capsys.readouterr()
    main(["--help"])
    assert printed == capsys.readouterr().out
    assert said.startswith("error: no verb given")


@pytest.mark.parametrize("arguments", [["--help", "plot"], ["plot", "--help"], ["plot", "x", "-h"]])
def test_help_may_stand_anywhere(capsys, arguments):
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("usage: python -m pipeline plot [STORE ...]")


def test_help_names_the_program_as_it_was_called(tmp_path):
    assert "usage: asm-sweep VERB" in run_console_script(["--help"], tmp_path)
    assert run_console_script(["plan", "-h"], tmp_path).startswith("usage: asm-sweep plan")


def test_what_messages_suggest_is_the_program_as_it_was_called(elsewhere, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["/somewhere/bin/asm-sweep", "summary"])
    assert main(["summary"]) == 2
    assert "run asm-sweep sweep first" in capsys.readouterr().err
