"""Composition of the configuration."""

import os
import shutil

import pytest

from pipeline import UserError
from pipeline.cli import help
from pipeline.cli.verbs import VERBS
from pipeline.config import compose, entries


def test_the_defaults_are_the_sweep_of_the_notebook():
    settings = compose.load([])
    assert settings.freqs == tuple(range(15))
    # 1,000 blocks, where they are drawn: tests/planning/test_plan.py.
    assert settings.trials == "auto"
    assert settings.block_size == (8,)
    assert settings.selection == {"triangle": {"kind": "triangle"}}
    assert settings.algorithm == {"asm": {"kind": "asm"}}
    assert settings.seed == 0
    assert settings.unit_trials == 131072
    assert settings.results == "results"
    assert settings.out is None
    uniform = {"kind": "uniform", "low": 0.0, "high": 1.0, "quality": []}
    assert settings.source == {"uniform": uniform}
    assert settings.operation == {"max_pool": {"kind": "max_pool", "window": 2}}
    assert settings.cluster["kind"] == "local"


def test_axes_take_every_notation():
    settings = compose.load(
        ["freqs=0..2,8", "trials=1e2,1e4", "block_size=[4,8]", "algorithm=asm,apx", "seed=1_000"]
    )
    assert settings.freqs == (0, 1, 2, 8)
    assert settings.trials == (100, 10_000)
    assert settings.block_size == (4, 8)
    assert tuple(settings.algorithm) == ("apx", "asm")
    assert settings.seed == 1000


def test_several_entries_of_a_group_are_chosen_by_name():
    settings = compose.load(
        ["source=uniform,images", "source.images.path=a=b, c", "operation=[relu,max_pool]"]
    )
    assert list(settings.source) == ["images", "uniform"]
    assert settings.source["images"]["path"] == os.path.abspath("a=b, c")
    assert list(settings.operation) == ["max_pool", "relu"]


def test_one_kind_can_stand_twice_with_other_parameters():
    settings = compose.load(
        ["source=uniform,wide", "source.wide.kind=uniform", "source.wide.low=-4",
         "operation=pool_4", "operation.pool_4.kind=max_pool", "operation.pool_4.window=4"]
    )  # fmt: skip
    wide = {"kind": "uniform", "low": -4.0, "high": 1.0, "quality": []}
    assert settings.source["wide"] == wide
    assert settings.source["uniform"]["low"] == 0.0
    assert settings.operation == {"pool_4": {"kind": "max_pool", "window": 4}}


def test_the_notation_works_in_yaml(tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "CONF", tmp_path)
    for group, name, text in [
        ("source", "uniform", "uniform: {kind: uniform, low: 0.0, high: 1.0}"),
        ("operation", "relu", "relu: {kind: relu}"),
        ("selection", "square", "square: {kind: square}"),
        ("algorithm", "asm", "asm: {kind: asm}"),
        ("algorithm", "apx", "apx: {kind: apx}"),
        ("cluster", "local", "kind: local\nthreads: null\ndashboard: false"),
    ]:
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{name}.yaml").write_text(text)
    (tmp_path / "config.yaml").write_text(
        "defaults: [{cluster: local}, {source: [uniform]}, {operation: [relu]}, "
        "{selection: [square]}, _self_]\n"
        "freqs: 0..4..2,9\nblock_size: [4, 8..10..2]\nalgorithm: asm,apx\n"
        "trials: 1e6\nseed: 10_000\nunit_trials: 1e3\nresults: r\nout: null\n"
        "precision: 1e-3\nstore_trials: none\nextend: false\n"
    )
    settings = compose.load([])
    assert settings.freqs == (0, 2, 4, 9)
    assert settings.block_size == (4, 8, 10)
    assert settings.trials == (1_000_000,)
    assert settings.seed == 10_000
    assert tuple(settings.algorithm) == ("apx", "asm")
    assert (settings.precision, settings.store_trials) == (1e-3, 0)


def test_composing_twice_in_one_process_works():
    assert compose.load(["seed=1"]).seed == 1
    assert compose.load(["seed=2"]).seed == 2


def test_the_reason_that_hydra_hides_is_shown(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("defaults: [{source: nothing}]\n")
    monkeypatch.setattr(entries, "CONF", tmp_path)
    with pytest.raises(UserError, match="nothing"):
        compose.load([])


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A copy of conf/ to write into."""
    shutil.copytree(entries.CONF, tmp_path / "conf")
    monkeypatch.setattr(entries, "CONF", tmp_path / "conf")
    return tmp_path / "conf"


def test_an_experiment_sets_what_it_names_and_the_command_line_has_the_last_word():
    settings = compose.load(["experiment=paper_relu"])
    assert list(settings.source) == ["upsampled"]
    assert list(settings.operation) == ["relu"]
    assert settings.trials == (10_000_000,)
    settings = compose.load(["experiment=paper_relu", "trials=7", "operation=max_pool"])
    assert list(settings.operation) == ["max_pool"]
    assert settings.trials == (7,)
    assert tuple(settings.algorithm) == ("apx", "apx_offset", "asm")


def test_an_experiment_may_set_parameters_of_entries_that_are_then_replaced():
    assert compose.load(["experiment=quality"]).source["autoregressive"]["quality"] == [
        10, 30, 50, 70, 90,
    ]  # fmt: skip
    settings = compose.load(["experiment=quality", "source=autoregressive,uniform"])
    assert list(settings.source) == ["autoregressive", "uniform"]
    with pytest.raises(UserError, match=r"sets source.autoregressive, which source=uniform leaves"):
        compose.load(["experiment=quality", "source=uniform"])


def test_an_axis_that_yaml_gives_as_a_word_is_refused_with_the_place(conf):
    text = (conf / "config.yaml").read_text()
    (conf / "config.yaml").write_text(text.replace("  - selection: [triangle]\n", "")
                                      + "\nselection: triangle\n")  # fmt: skip
    with pytest.raises(UserError, match="selection must be named entries, got 'triangle'"):
        compose.load([])


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("experiment=notebok", "unknown experiment 'notebok': did you mean notebook"),
        ("experiment=notebook,quality", "experiment must be one of"),
        ("source.uniform.quality=high", "source.uniform.quality must be an integer"),
        ("source.uniform.quality=90..10", "write the lower end first"),
        ("selection=diamond", "unknown selection 'diamond'"),
        ("selection.triangle.rho=0.5", "unknown key 'selection.triangle.rho'"),
    ],
)
def test_what_an_experiment_or_entry_does_not_have_is_refused(argument, message):
    with pytest.raises(UserError, match=message):
        compose.load([argument])


@pytest.mark.parametrize(
    ("file", "text", "arguments", "message"),
    [
        ("source/named.yaml", "other: {kind: uniform}", ["source=named"], "an entry named named"),
        ("source/empty.yaml", "", ["source=empty"], "an entry named empty"),
        ("source/bad.yaml", "bad: [a", ["source=bad"], "conf"),
        ("source/bad.yaml", "bad: 3", ["source=bad"], "source.bad lacks its kind"),
        ("source/bad.yaml", "bad: {kind: photograph}", ["source=bad"], "photograph is no kind of"),
        ("source/bad.yaml", "uniform: {kind: gaussian}", ["source=bad,uniform"], "named bad"),
        ("experiment/bad.yaml", "freqs: 3", ["experiment=bad"], "# @package _global_"),
        ("experiment/bad.yaml", "# @package _global_\nresults: null", ["experiment=bad"],
         "results must be a folder or file, got None"),
        ("experiment/bad.yaml", "# @package _global_\nout: [a]", ["experiment=bad"], "out must be"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_entry_is_named(conf, file, text, arguments, message):
    (conf / file).write_text(text)
    with pytest.raises(UserError, match=message) as refusal:
        compose.load(arguments)
    assert "\n" not in str(refusal.value)
    # Help shows what there is, and goes on.
    assert "keys and defaults" in help.of_verb(VERBS["sweep"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["source.ar50.kind=uniform"], "add source=ar50"),
        (["source=uniform,ar50"], "known are .*; a new entry says its kind, source.ar50.kind"),
        (["source.uniform.low=1,2"], "for several, name an entry for each"),
    ],
)
def test_a_refusal_says_how_a_second_entry_is_made(arguments, message):
    with pytest.raises(UserError, match=message):
        compose.load(arguments)


def test_an_empty_default_takes_a_value_by_what_it_looks_like(conf):
    (conf / "cluster" / "queue.yaml").write_text(
        "kind: queue\nwalltime: null\nmemory: null\ncores: null\nfactor: null\nports: []\n"
    )
    words = [
        "cluster=queue", "cluster.walltime=00:10:00", "cluster.cores=1e1", "cluster.factor=0.5",
        "cluster.ports=8787",
    ]  # fmt: skip
    settings = compose.load(words)
    assert settings.cluster == {
        "kind": "queue", "walltime": "00:10:00", "memory": None, "cores": 10, "factor": 0.5,
        "ports": [8787],
    }  # fmt: skip
    assert compose.load(settings.words()) == settings
    assert compose.load(["cluster=queue", "cluster.ports=a,b"]).cluster["ports"] == ["a", "b"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cluster.threads=two"], "cluster.threads must be an integer such as 8"),
        (["cluster=processes", "cluster.workers=2.5"], "cluster.workers must be an integer"),
        (["cluster=scheduler", "cluster.address=tcp://h:1", "cluster.timeout=soon"],
         "cluster.timeout must be a number"),
        (["cluster=scheduler", "cluster.address="], "cluster.address is needed"),
    ],
)  # fmt: skip
def test_parameters_whose_meaning_is_known_are_checked(words, message):
    with pytest.raises(UserError, match=message):
        compose.load(words)


def test_an_interpolation_of_hydra_s_is_resolved(conf):
    (conf / "experiment" / "dated.yaml").write_text(
        "# @package _global_\n# By year.\nresults: results/${now:%Y}\n"
    )
    assert compose.load(["experiment=dated"]).results.startswith("results/2")
