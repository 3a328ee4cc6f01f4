"""Composition of the configuration."""

import shutil

import pytest
import yaml

from pipeline import UserError
from pipeline.cli.main import help
from pipeline.config import compose


def test_the_defaults_are_the_sweep_of_the_notebook():
    settings = compose.load([])
    assert settings.freqs == list(range(15))
    assert settings.trials == [1000]
    assert settings.block_size == [8]
    assert settings.selection == {"triangle": {"kind": "triangle"}}
    assert settings.algorithm == ["asm"]
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
    assert settings.freqs == [0, 1, 2, 8]
    assert settings.trials == [100, 10_000]
    assert settings.block_size == [4, 8]
    assert settings.algorithm == ["apx", "asm"]
    assert settings.seed == 1000


def test_several_entries_of_a_group_are_chosen_by_name():
    settings = compose.load(
        ["source=uniform,images", "source.images.path=a=b, c", "operation=[relu,max_pool]"]
    )
    assert list(settings.source) == ["images", "uniform"]
    assert settings.source["images"]["path"] == "a=b, c"
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


def test_what_cfg_prints_is_the_configuration():
    settings = compose.load(["trials=1e3,1e4", "cluster=processes"])
    printed = yaml.safe_load(settings.to_yaml())
    assert printed["trials"] == [1000, 10_000]
    assert printed["cluster"]["kind"] == "processes"


def test_the_notation_works_in_yaml(tmp_path, monkeypatch):
    monkeypatch.setattr(compose, "CONF", tmp_path)
    for group, name, text in [
        ("source", "uniform", "uniform: {kind: uniform, low: 0.0, high: 1.0}"),
        ("operation", "relu", "relu: {kind: relu}"),
        ("selection", "square", "square: {kind: square}"),
        ("cluster", "local", "kind: local\nthreads: null\ndashboard: false"),
    ]:
        (tmp_path / group).mkdir()
        (tmp_path / group / f"{name}.yaml").write_text(text)
    (tmp_path / "config.yaml").write_text(
        "defaults: [{cluster: local}, {source: [uniform]}, {operation: [relu]}, "
        "{selection: [square]}, _self_]\n"
        "freqs: 0..4..2,9\nblock_size: [4, 8..10..2]\nalgorithm: asm,apx\n"
        "trials: 1e6\nseed: 10_000\nunit_trials: 1e3\nresults: r\nout: null\n"
        "precision: 1e-3\nstore_trials: none\nextend: false\n"
    )
    settings = compose.load([])
    assert settings.freqs == [0, 2, 4, 9]
    assert settings.block_size == [4, 8, 10]
    assert settings.trials == [1_000_000]
    assert settings.seed == 10_000
    assert settings.algorithm == ["apx", "asm"]
    assert (settings.precision, settings.store_trials) == (1e-3, 0)


def test_composing_twice_in_one_process_works():
    assert compose.load(["seed=1"]).seed == 1
    assert compose.load(["seed=2"]).seed == 2


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("freq=1", "unknown key 'freq': did you mean freqs"),
        ("block_sizes=8", "did you mean block_size"),
        ("+seed=1", "unknown key '\\+seed'"),
        ("seed=abc", "seed must be an integer"),
        ("seed=-1", "seed must be at least 0, got -1"),
        ("trials=0", "trials must be at least 1, got 0"),
        ("trials=nan", "trials must be an integer"),
        ("unit_trials=0", "unit_trials must be at least 1"),
        ("results=", "results is empty"),
        ("source=a.b", "source 'a.b'"),
        ("source=unifrom", "unknown source 'unifrom': did you mean uniform"),
        ("operation=mean_pool", "unknown operation 'mean_pool'"),
        ("cluster=slrum", "unknown cluster 'slrum': known are local, processes, scheduler"),
        ("source=", "source is empty"),
        ("source.uniform.low=abc", "source.uniform.low must be a number, got 'abc'"),
        ("source.uniform.low=nan", "source.uniform.low must be finite"),
        ("source.uniform.lwo=1", "did you mean source.uniform.low"),
        ("source.uniform.kind=images", "kind cannot be changed"),
        ("source.uniform=3", "unknown key 'source.uniform'"),
        ("source.images.path=x", "images is not among the sources: add source=uniform,images"),
        ("source.other.low=1", "unknown source 'other'"),
        ("operation.max_pool.window=two", "operation.max_pool.window must be an integer"),
        ("cluster.threads=0", "cluster.threads must be at least 1, got 0"),
        ("cluster.dashboard=maybe", "must be true or false"),
        ("cluster.address=x", "unknown key 'cluster.address'"),
        ("source=images", "source.images.path is needed"),
        ("cluster=scheduler", "cluster.address is needed"),
    ],
)
def test_what_cannot_be_composed_is_refused_in_one_line(argument, message):
    with pytest.raises(UserError, match=message) as refusal:
        compose.load([argument])
    assert "\n" not in str(refusal.value)


def test_an_unknown_kind_of_a_new_entry_is_refused():
    with pytest.raises(UserError, match="unknown kind of source 'uniforn': did you mean uniform"):
        compose.load(["source=wide", "source.wide.kind=uniforn"])


def test_the_reason_that_hydra_hides_is_shown(tmp_path, monkeypatch):
    (tmp_path / "config.yaml").write_text("defaults: [{source: nothing}]\n")
    monkeypatch.setattr(compose, "CONF", tmp_path)
    with pytest.raises(UserError, match="nothing"):
        compose.load([])


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """A copy of conf/ to write into."""
    shutil.copytree(compose.CONF, tmp_path / "conf")
    monkeypatch.setattr(compose, "CONF", tmp_path / "conf")
    return tmp_path / "conf"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("config.yaml", "trails: 5", "unknown key 'trails': did you mean trials"),
        ("source/extra.yaml", "extra: {kind: uniform, lwo: 1}", "did you mean source.extra.low"),
        ("source/extra.yaml", "extra: {kind: unifrom}", "unknown kind of source 'unifrom'"),
        ("source/extra.yaml", "extra: {low: 1}", "source.extra lacks its kind"),
        (
            "source/extra.yaml",
            "extra: {kind: uniform, low: abc}",
            "low must be a number, got 'abc'",
        ),
    ],
)
def test_yaml_is_checked_like_the_command_line(conf, file, text, message):
    place = conf / file
    place.write_text((place.read_text() if place.exists() else "") + "\n" + text + "\n")
    with pytest.raises(UserError, match=message):
        compose.load(["source=extra"] if "extra" in file else [])


def test_integers_and_reals_in_yaml_are_the_same_entry(conf):
    (conf / "source" / "signed.yaml").write_text("signed: {kind: uniform, low: -1}")
    entry = compose.load(["source=signed"]).source["signed"]
    assert entry == {"kind": "uniform", "low": -1.0, "high": 1.0, "quality": []}
    assert isinstance(entry["low"], float)
    entry = compose.load(["source=signed", "source.signed.low=-0.5"]).source["signed"]
    assert entry["low"] == -0.5


def test_an_experiment_sets_what_it_names_and_the_command_line_has_the_last_word():
    settings = compose.load(["experiment=paper_relu"])
    assert list(settings.source) == ["upsampled"]
    assert list(settings.operation) == ["relu"]
    assert settings.trials == [10_000_000]
    settings = compose.load(["experiment=paper_relu", "trials=7", "operation=max_pool"])
    assert list(settings.operation) == ["max_pool"]
    assert settings.trials == [7]
    assert settings.algorithm == ["apx", "asm"]


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


@pytest.mark.parametrize("text", ["[]", "null", ""])
def test_an_empty_quality_is_none(text):
    if text:
        assert compose.load([f"source.uniform.quality={text}"]).source["uniform"]["quality"] == []
    else:
        with pytest.raises(UserError, match=r"source\.uniform\.quality is needed"):
            compose.load(["source.uniform.quality="])


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
    assert "keys and defaults" in help.of_verb("sweep")


def test_an_entry_has_every_parameter_of_its_kind(conf):
    (conf / "source" / "mine.yaml").write_text("mine: {kind: uniform, low: -2}")
    entry = compose.load(["source=mine", "source.mine.quality=10"]).source["mine"]
    assert entry == {"kind": "uniform", "low": -2.0, "high": 1.0, "quality": [10]}


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
