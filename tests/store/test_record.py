"""What a store says of itself, and what happens where that is damaged."""

import dataclasses
import json
from pathlib import Path

import pytest
import zarr
from helpers.stores import plan_of, prepare

from pipeline import UserError
from pipeline.config import compose
from pipeline.planning.grid import Unit
from pipeline.store import record
from pipeline.store.location import Location
from pipeline.store.store import Store

SWEEP = ["trials=250", "unit_trials=100", "block_size=4,8", "algorithm=asm,apx", "freqs=0..3"]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s.zarr")


def of_sweep(*arguments, before=None):
    return record.of_sweep(plan_of(*arguments), compose.load(arguments), before)


def test_the_attributes_are_plain_text_and_numbers(path):
    store, plan = prepare(path, *SWEEP)
    attributes = dict(zarr.open_group(path, mode="r").attrs)
    assert json.loads(attributes["identity"]) == plan.identity.to_json()
    assert all(isinstance(value, str | int | float) for value in attributes.values())
    assert attributes["overrides"] == "trials=250 unit_trials=100 block_size=4,8 " + (
        "algorithm=apx,asm freqs=0..3"
    )
    assert store.record.made_with["versions"].startswith("python=")


def test_a_record_is_read_as_it_was_written():
    whole = of_sweep(*SWEEP)
    whole = record.of_end(of_sweep("trials=300", *SWEEP[1:], before=whole), 500, 1.25)
    unit = Unit("uniform", 8, 2, 200, 250)
    bad = record.Quarantined(unit, "no such luck", "now", "python -m pipeline sweep trials=300")
    whole = dataclasses.replace(whole, quarantined=(bad,), growing=plan_of("freqs=0..4").identity)
    attributes = json.loads(json.dumps(whole.attributes()))
    assert record.from_attributes("s.zarr", attributes) == whole
    assert [run.wanted.trials for run in whole.runs] == [250, 300]
    assert whole.wanted_trials == {("uniform", 4): 300, ("uniform", 8): 300}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("identity", '"seed": 0', '"seed": 1'),
        ("identity", '"low": 0.0', '"low": 0.5'),
        ("unit_trials", 100, 101),
        ("store_trials", "all", 100),
        ("runs", "[[250", "[[150"),
        ("quarantined", "[]", "[ ]"),
        ("config", "freqs", "frfqs"),
        ("versions", "python=", "pythom="),
        ("checksum", "identity", "identitz"),
    ],
)
def test_another_value_that_can_be_read_is_damage_too(path, name, old, new):
    prepare(path, *SWEEP)
    attributes = zarr.open_group(path, mode="r+").attrs
    stored = attributes[name]
    changed = new if stored == old else stored.replace(old, new)
    assert changed != stored
    attributes[name] = changed
    with pytest.raises(UserError, match="what it says has another checksum"):
        Store.open(Location.of(path))
    attributes[name] = stored
    assert Store.open(Location.of(path)).kept_trials == 250


def test_what_a_user_adds_to_the_attributes_is_no_damage(path):
    prepare(path, *SWEEP)
    zarr.open_group(path, mode="r+").attrs.update({"note": "mine", "title": "My sweep"})
    Store.open(Location.of(path))


def test_a_store_of_before_has_no_checksum(path):
    prepare(path, *SWEEP)
    file = Path(path, "zarr.json")
    root = json.loads(file.read_text())
    del root["attributes"]["checksum"]
    file.write_text(json.dumps(root))
    assert Store.open(Location.of(path)).kept_trials == 250


def test_the_same_configuration_again_is_a_resume_and_another_one_a_run():
    first = of_sweep(*SWEEP)
    again = of_sweep(*SWEEP, "out=elsewhere.zarr", "cluster.threads=1", before=first)
    assert [run.resumes for run in again.runs] == [1]
    other = of_sweep("trials=300", *SWEEP[1:], before=again)
    assert [run.resumes for run in other.runs] == [1, 0]
    assert other.created == first.created


def test_the_commands_of_a_store_are_those_that_made_it():
    first = of_sweep(*SWEEP, "out=a.zarr", "results=there")
    assert first.commands("s.zarr") == [
        "python -m pipeline sweep trials=250 unit_trials=100 block_size=4,8 algorithm=apx,asm "
        "freqs=0..3 out=s.zarr"
    ]
    both = of_sweep("freqs=0..5", *SWEEP[:-1], before=first)
    assert all(command.endswith("out=s.zarr extend=true") for command in both.commands("s.zarr"))
    assert len(both.commands("s.zarr")) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("identity", "{}x"),
        ("runs", "[{}]"),
        ("runs", "nonsense"),
        ("quarantined", '[{"unit": 3}]'),
        ("growing", "[]"),
        ("unit_trials", 0),
        ("unit_trials", "many"),
        ("store_trials", "some"),
    ],
)
def test_a_damaged_attribute_is_named_with_the_remedy(path, name, value):
    prepare(path, "trials=10")
    zarr.open_group(path, mode="r+").attrs[name] = value
    with pytest.raises(UserError, match=f"the attribute {name} in zarr.json is damaged") as refusal:
        Store.open(Location.of(path))
    assert f"verify {path} repair=true writes it again from its copy" in str(refusal.value)
    Path(path, "ledger", "zarr.json").unlink()
    with pytest.raises(UserError, match="restore it from a copy, or delete the store") as refusal:
        Store.open(Location.of(path))
    assert "\n" not in str(refusal.value)
