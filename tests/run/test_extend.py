"""Stores that grow along any axis, also where a growth was cut short."""

import numpy as np
import pytest
import xarray as xr
from helpers.sweeps import assert_same, bits, counted, open_store

from pipeline import UserError, open_results, summarize, sweep
from pipeline.audit.status import status_of
from pipeline.audit.verify import verify
from pipeline.cli.main import main
from pipeline.run import worker
from pipeline.store import attributes, layout
from pipeline.store.store import Store

BASE = ["block_size=4,8", "operation=max_pool,relu", "algorithm=asm,apx", "freqs=0..5,9",
        "selection=triangle,square", "source=uniform,gaussian"]  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return sweep([*BASE, "trials=230", f"out={tmp_path_factory.mktemp('w')}/s.zarr"]).load()


@pytest.mark.parametrize(
    "first",
    ["block_size=8", "operation=relu", "algorithm=asm", "freqs=1..4", "selection=square",
     "source=uniform"],
)  # fmt: skip
def test_new_values_on_any_axis_are_added_and_no_old_bit_is_touched(tmp_path, whole, first):
    path = tmp_path / "s.zarr"
    key = first.partition("=")[0]
    start = [first if word.startswith(f"{key}=") else word for word in BASE]
    before = sweep([*start, "trials=230", "unit_trials=100", f"out={path}"]).load()
    with pytest.raises(UserError, match=f"holds another experiment: {key.removesuffix('s')} is"):
        sweep([*BASE, "trials=230", f"out={path}"])
    grown = sweep([*BASE, "trials=230", "extend=true", f"out={path}"])
    assert bits(grown) == bits(whole)
    again = open_results(str(path)).sel({axis: before[axis] for axis in before.dims})
    assert_same(before, again)
    assert verify(open_store(path), 1.0).problems == []
    # Nothing is left to do, also for who asks for the part again.
    for asked in (BASE, start):
        assert counted([*asked, "trials=230", "extend=true", f"out={path}"]).advanced == 0
    assert bits(xr.open_zarr(str(path)).sel({a: whole[a] for a in whole.dims})) == bits(whole)


def test_only_what_is_new_is_computed(tmp_path, monkeypatch):
    measured = []

    def measure(plan, each, **options):
        measured.append((tuple(plan.labels["algorithm"]), plan.freqs, each.block_size))
        return original(plan, each, **options)

    original = worker.measure_unit
    monkeypatch.setattr(worker, "measure_unit", measure)
    out = f"out={tmp_path}/s.zarr"
    sweep(["freqs=0..7", "trials=50", out])
    sweep(["freqs=0..14", "trials=50", "extend=true", out])
    sweep(["freqs=0..14", "algorithm=asm,apx", "trials=50", "extend=true", out])
    sweep(["freqs=3", "block_size=4", "trials=50", "extend=true", out])
    assert measured == [
        (("asm",), tuple(range(8)), 8),
        (("asm",), tuple(range(8, 15)), 8),
        (("apx",), tuple(range(15)), 8),
        (("asm",), (3,), 4),
    ]


def test_rows_of_a_part_that_wait_in_the_journal_leave_the_packed_part_counted(
    tmp_path, monkeypatch
):
    out, path = f"out={tmp_path}/s.zarr", str(tmp_path / "s.zarr")
    sweep(["freqs=0..3", "trials=50", out])
    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", lambda store, record: None)
        sweep(["freqs=0..9", "trials=50", "extend=true", out])
    store = open_store(path)
    assert "journal" in store.root
    assert store.counts().ravel().tolist() == [50] * 10
    assert store.rows()["error"][..., 0].ravel().tolist() == [50.0] * 10


def test_several_axes_and_the_trials_grow_at_once(tmp_path, whole):
    path = tmp_path / "s.zarr"
    sweep(["freqs=2..4", "block_size=8", "trials=150", "unit_trials=100", f"out={path}"])
    grown = sweep([*BASE, "trials=230", "extend=true", f"out={path}"])
    assert bits(grown) == bits(whole)


def test_what_cannot_be_added_is_refused_with_the_one_way_out(tmp_path):
    out = f"out={tmp_path}/s.zarr"
    sweep(["trials=10", out])
    for word in ("seed=1", "source.uniform.low=-1"):
        with pytest.raises(UserError, match=r"holds another experiment: .*\. Choose another out="):
            sweep(["trials=10", word, "freqs=3", "extend=true", out])
    with pytest.raises(UserError, match=r"with extend=true out=.*, or choose another out="):
        sweep(["trials=10", "freqs=0..3", out])
    with pytest.raises(UserError, match="extend=true needs the store to add to: give out=STORE"):
        sweep(["trials=10", "extend=true"])


def test_a_growth_that_was_cut_short_is_finished_by_any_next_sweep(tmp_path, monkeypatch):
    out, path = f"out={tmp_path}/s.zarr", str(tmp_path / "s.zarr")
    sweep(["freqs=0..3", "trials=50", out])
    with monkeypatch.context() as patch:
        patch.setattr(layout, "consolidate", lambda location: 1 / 0)
        with pytest.raises(UserError, match="ZeroDivisionError"):
            sweep(["freqs=0..9", "algorithm=asm,apx", "trials=70", "extend=true", out])
    # Whoever reads sees the store as it was.
    assert xr.open_zarr(path).sizes["freq"] == 4
    assert int(summarize(open_results(path))["measured"].min()) == 50
    assert status_of(open_store(path), None).cells[0].complete == 1
    assert ["cut short" in p.words for p in verify(open_store(path), 0.0).problems] == [True]
    sweep(["freqs=0..3", "trials=60", out])
    assert xr.open_zarr(path).sizes["freq"] == 10
    grown = sweep(["freqs=0..9", "algorithm=asm,apx", "trials=70", "extend=true", out])
    assert_same(grown, sweep(["freqs=0..9", "algorithm=asm,apx", "trials=70",
                              f"out={tmp_path}/w.zarr"]))  # fmt: skip


def test_a_growth_cut_between_its_last_two_writes_is_read_as_it_was_and_finished(
    tmp_path, monkeypatch
):
    out, path = f"out={tmp_path}/s.zarr", str(tmp_path / "s.zarr")
    before = sweep(["freqs=0..3", "trials=50", out]).load()
    more = ["freqs=0..9", "algorithm=asm,apx", "trials=70", "extend=true", out]
    real = attributes.set_attributes
    with monkeypatch.context() as patch:
        patch.setattr(
            "pipeline.store.store.set_attributes",
            lambda location, new: real(location, new) if new["growing"] else 1 / 0,
        )  # fmt: skip
        with pytest.raises(UserError, match="ZeroDivisionError"):
            sweep(more)
    assert bits(open_results(path).isel(trial=slice(0, 50))) == bits(before)
    assert main(["summary", path]) == 0
    # The old command finds nothing to compute, and finishes the growth.
    again = sweep(["freqs=0..3", "trials=50", out])
    assert bits(again.sel({"freq": range(4), "algorithm": ["asm"]})) == bits(before)
    assert verify(open_store(path), 1.0).problems == []
    assert_same(sweep(more), sweep([*more[:3], f"out={tmp_path}/w.zarr"]))


def test_a_growth_that_was_cut_short_gives_way_to_another_one(tmp_path, monkeypatch):
    out, path = f"out={tmp_path}/s.zarr", str(tmp_path / "s.zarr")
    common = ["freqs=0..3", "trials=50", out]
    sweep(common)
    wide = ["source=uniform,wide", "source.wide.kind=uniform", "extend=true"]
    with monkeypatch.context() as patch:
        patch.setattr(layout, "consolidate", lambda location: 1 / 0)
        with pytest.raises(UserError, match="ZeroDivisionError"):
            sweep([*common, *wide, "source.wide.low=-1"])
    grown = sweep([*common, *wide, "source.wide.low=-2"])
    alone = sweep([*common[:2], *wide[:2], "source.wide.low=-2", f"out={tmp_path}/w.zarr"])
    assert bits(grown) == bits(alone)
    assert verify(open_store(path), 1.0).problems == []


def test_a_sweep_into_a_url_packs_its_ledger(tmp_path):
    url = "memory://test_extend/s.zarr"
    remote = sweep(["trials=250", "unit_trials=100", f"out={url}"])
    more = sweep(["trials=310", f"out={url}"])
    assert more.sizes["trial"] == 310
    local = sweep(["trials=310", f"out={tmp_path}/s.zarr"])
    assert_same(local, more)
    assert remote.sizes["trial"] == 250
    store = open_store(url)
    assert "journal" not in store.root
    assert np.nansum(store.root["ledger/error"][..., 0, 0]) == 310


def test_the_table_is_of_what_was_asked_for(tmp_path, capsys):
    out = f"out={tmp_path}/s.zarr"
    keep = ["unit_trials=100", "store_trials=none", out]
    assert main(["sweep", "trials=300", "freqs=0..1", *keep]) == 0
    capsys.readouterr()
    assert main(["sweep", "trials=250", "freqs=2", "extend=true", *keep]) == 0
    printed = capsys.readouterr().out
    assert ": 250 trials" in printed
    rows = [line.split()[0] for line in printed.splitlines() if line.strip()[:1].isdigit()]
    assert rows == ["2"]


def test_an_algorithm_of_fewer_trials_takes_none_from_the_mask(path):
    arguments = ["freqs=0..3", "unit_trials=100", f"out={path}"]
    sweep([*arguments, "trials=250"])
    before = summarize(path)
    sweep([*arguments, "trials=120", "algorithm=asm,apx", "extend=true"])
    after = summarize(path)
    for name in ("mask_accuracy", "regret"):
        assert after[name].to_numpy().tobytes() == before[name].to_numpy().tobytes()
    trials = summarize(open_results(path))
    assert after.mask_accuracy.to_numpy().tobytes() == trials.mask_accuracy.to_numpy().tobytes()
    assert verify(open_store(path), 1.0).problems == []
