"""Every key known, every value of its type and range."""

import pytest
import yaml

from pipeline import UserError
from pipeline.config import compose


def test_what_cfg_prints_is_the_configuration():
    settings = compose.load(["trials=1e3,1e4", "cluster=processes"])
    printed = yaml.safe_load(settings.to_yaml())
    assert printed["trials"] == [1000, 10_000]
    assert printed["cluster"]["kind"] == "processes"


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
        ("cluster=slrum", "unknown cluster 'slrum': did you mean slurm?"),
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
        ("cluster=ssh", "cluster.hosts is needed: add cluster.hosts="),
    ],
)
def test_what_cannot_be_composed_is_refused_in_one_line(argument, message):
    with pytest.raises(UserError, match=message) as refusal:
        compose.load([argument])
    assert "\n" not in str(refusal.value)


def test_an_unknown_kind_of_a_new_entry_is_refused():
    with pytest.raises(UserError, match="unknown kind of source 'uniforn': did you mean uniform"):
        compose.load(["source=wide", "source.wide.kind=uniforn"])


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


@pytest.mark.parametrize("text", ["[]", "null", ""])
def test_an_empty_quality_is_none(text):
    if text:
        assert compose.load([f"source.uniform.quality={text}"]).source["uniform"]["quality"] == []
    else:
        with pytest.raises(UserError, match=r"source\.uniform\.quality is needed"):
            compose.load(["source.uniform.quality="])


def test_an_entry_has_every_parameter_of_its_kind(conf):
    (conf / "source" / "mine.yaml").write_text("mine: {kind: uniform, low: -2}")
    entry = compose.load(["source=mine", "source.mine.quality=10"]).source["mine"]
    assert entry == {"kind": "uniform", "low": -2.0, "high": 1.0, "quality": [10]}
