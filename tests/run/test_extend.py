"""Stores that grow along any axis, keep only some trials, and tell how far they are."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from helpers.sweeps import assert_same, bits, counted

from pipeline import UserError, open_results, summarize, sweep
from pipeline.audit import status
from pipeline.audit import verify as verifying
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.errors import UnitError
from pipeline.plan import estimate
from pipeline.plan.plan import make_plan
from pipeline.run import worker
from pipeline.sources import kinds
from pipeline.store import layout, ledger, lock, store

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
    assert verifying.verify(str(path), 1.0).findings == []
    # Nothing is left to do, also for who asks for the part again.
    for asked in (BASE, start):
        assert counted([*asked, "trials=230", "extend=true", f"out={path}"]).advanced == 0
    assert bits(xr.open_zarr(str(path)).sel({a: whole[a] for a in whole.dims})) == bits(whole)


def test_only_what_is_new_is_computed(tmp_path, monkeypatch):
    measured = []

    def measure(plan, each, **options):
        measured.append((plan.algorithms, plan.freqs, plan.block_sizes[each.block_size]))
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
        patch.setattr(store, "finish", lambda path, attributes: None)
        sweep(["freqs=0..9", "trials=50", "extend=true", out])
    root = layout.open_group(path)
    assert "journal" in root
    assert ledger.counts(root, path).ravel().tolist() == [50] * 10
    assert ledger.rows(root, path)["error"][..., 0].ravel().tolist() == [50.0] * 10


def test_a_worker_of_a_session_that_was_overtaken_writes_nothing(tmp_path):
    out, path = f"out={tmp_path}/s.zarr", str(tmp_path / "s.zarr")
    sweep(["trials=50", out])
    plan = make_plan(compose.load(["trials=50", out]), kinds.resolve)
    files = sorted(file for file in (tmp_path / "s.zarr").rglob("*"))
    with lock.held(path) as held:
        # A second earlier.
        early = f"{int(held.session[:20]) - 10**9:020d}-abcdef.1"
        store.prepare(path, plan, store.provenance_of(path))
        with pytest.raises(UnitError, match="another one writes the store"):
            worker.run_unit(path, early, plan, next(plan.units()))
        store.finish(path, {})
    assert sorted(file for file in (tmp_path / "s.zarr").rglob("*")) == files


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
        patch.setattr(layout, "consolidate", lambda path: 1 / 0)
        with pytest.raises(UserError, match="ZeroDivisionError"):
            sweep(["freqs=0..9", "algorithm=asm,apx", "trials=70", "extend=true", out])
    # Whoever reads sees the store as it was.
    assert xr.open_zarr(path).sizes["freq"] == 4
    assert int(summarize(open_results(path))["measured"].min()) == 50
    assert status.look(path).cells[0].complete == 1
    assert ["cut short" in f.words for f in verifying.verify(path, 0.0).findings] == [True]
    sweep(["freqs=0..3", "trials=60", out])
    assert xr.open_zarr(path).sizes["freq"] == 10
    grown = sweep(["freqs=0..9", "algorithm=asm,apx", "trials=70", "extend=true", out])
    assert_same(grown, sweep(["freqs=0..9", "algorithm=asm,apx", "trials=70",
                              f"out={tmp_path}/w.zarr"]))  # fmt: skip


@pytest.mark.parametrize("keep", ["none", "0", "1", "150", "1000"])
def test_what_is_not_kept_is_still_in_the_ledger(tmp_path, keep):
    path = str(tmp_path / "s.zarr")
    arguments = ["freqs=0..3", "operation=max_pool,relu", "trials=430", "unit_trials=100"]
    whole = sweep([*arguments, f"out={tmp_path}/whole.zarr"])
    some = sweep([*arguments, f"store_trials={keep}", f"out={path}"])
    kept = min(430, 0 if keep == "none" else int(keep))
    assert xr.open_zarr(path).sizes["trial"] == kept
    assert bits(some) == bits(whole.isel(trial=slice(0, kept)))
    one, two = summarize(whole), summarize(some)
    for name in one.data_vars:
        assert one[name].to_numpy().tobytes() == two[name].to_numpy().tobytes(), name
    # What is selected has the moments of all, what is computed only those of what there is.
    part = summarize(some.sel(freq=[2], operation="relu"))
    assert int(part["measured"].min()) == 430
    if 2 < kept < 430:
        assert int(summarize(some.isel(trial=slice(0, 2)))["measured"].max()) == 2
        assert int(summarize(some[["error"]] * 2)["measured"].max()) == kept
        assert int(summarize(some, trials=kept)["measured"].max()) == kept
    assert verifying.verify(path, 1.0).findings == []
    more = sweep([*arguments[:2], "trials=520", f"store_trials={keep}", f"out={path}"])
    assert int(summarize(more)["measured"].max()) == 520


def test_a_store_keeps_what_it_was_made_to_keep(tmp_path):
    out = f"out={tmp_path}/s.zarr"
    sweep(["trials=50", "store_trials=none", out])
    with pytest.raises(UserError, match="was made with store_trials=none, which does not change"):
        sweep(["trials=100", out])


def test_an_estimate_within_a_unit_that_is_not_kept_is_refused(tmp_path, capsys):
    out = f"out={tmp_path}/s.zarr"
    common = ["unit_trials=100", "store_trials=none", out]
    with pytest.raises(UserError, match="trials=150 ends within a unit of 100 trials"):
        sweep(["trials=150,300", *common])
    assert main(["sweep", "trials=100,300", *common]) == 0
    assert ": 100 trials" in capsys.readouterr().out
    assert main(["sweep", "trials=150", *common]) == 2
    assert "keeps 0 trials one by one, and the first 150 end within" in capsys.readouterr().err


def test_fewer_trials_than_stored_are_summed_up_as_asked(tmp_path, capsys):
    out = f"out={tmp_path}/s.zarr"
    main(["sweep", "trials=300", "unit_trials=100", out])
    capsys.readouterr()
    assert main(["sweep", "trials=120", out]) == 0
    printed, said = capsys.readouterr()
    assert ": 120 trials" in printed
    assert "The store has 300 trials; the table is of the first 120." in said


@pytest.mark.parametrize("value", ["some", "-1", "1.5"])
def test_a_mistaken_number_of_kept_trials_is_refused(value):
    with pytest.raises(UserError, match="store_trials must be all, none or a number"):
        sweep([f"store_trials={value}"])


def test_a_sweep_that_does_not_fit_on_the_disk_is_refused_with_three_ways_out(
    tmp_path, monkeypatch, capsys
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(estimate.shutil, "disk_usage", lambda folder: usage._replace(free=50_000))
    out = f"out={tmp_path}/s.zarr"
    assert main(["sweep", "trials=1e4", out]) == 2
    said = capsys.readouterr().err
    for words in ("about 1.01 MB", "50 kB free", "store_trials=none", "lower trials",
                  "another disk with results="):  # fmt: skip
        assert words in said
    assert list(tmp_path.iterdir()) == []
    assert main(["sweep", "trials=1e4", "store_trials=100", out]) == 0
    assert main(["sweep", "trials=400", f"out={tmp_path}/t.zarr"]) == 0


def test_status_counts_units_that_are_complete_running_missing_and_set_aside(tmp_path, capsys):
    path = str(tmp_path / "s.zarr")
    sweep(["trials=500", "unit_trials=100", "block_size=4,8", f"out={path}"])
    root = layout.open_group(path, mode="r+")
    for number in (1, 2, 4):
        ledger.forget(root, (0, 1), number)
    entry = {"source": "uniform", "block_size": 8, "number": 4, "reason": "bad luck", "retry": "x"}
    store.set_attributes(path, {"quarantined": json.dumps([entry])})
    with lock.held(path) as held:
        running = {"source": "uniform", "block_size": 8, "number": 2}
        held.tell(running=[running], computed=4000, seconds=2.0)
        found = status.look(path)
        assert main(["status", path]) == 0
        printed = capsys.readouterr().out
    assert found.rate == 2000
    cell = found.cells[1]
    assert (cell.units, cell.complete, cell.running, cell.missing, cell.quarantined) == (
        5, 2, 1, 1, 1,
    )  # fmt: skip
    assert (cell.trials, cell.trials_done, found.trials_left) == (500, 200, 300)
    assert found.cells[0].complete == 5
    assert "Running: process" in printed
    assert "2,000 trials/s, 0 s left" in printed
    assert "quarantined: bad luck" in printed
    assert main(["status", path]) == 0
    assert "Not running; 300 trials are missing" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["sweep", "summary", "status"])
def test_tables_need_no_xarray(verb, elsewhere):
    assert main(["sweep", "trials=10", "results=there"]) == 0
    code = (
        "import sys; from pipeline.cli.main import main; main([sys.argv[1], 'results=there']);"
        "print([m for m in ('xarray', 'pandas', 'dask.array') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code, verb]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_lock_at_a_url_is_an_object_that_ends_with_its_process():
    url = "memory://test_lock/s.zarr"
    with lock.held(url), pytest.raises(UserError, match=r"remove memory://test_lock/s\.zarr\.lock"):
        lock.check_free(url)
    lock.check_free(url)
    with lock.held(url) as held:
        assert not held.stale
        assert not lock.overtaken(url, held.session)
        assert lock.overtaken(url, "0" * 20)


def test_a_sweep_into_a_url_packs_its_ledger(tmp_path):
    url = "memory://test_extend/s.zarr"
    remote = sweep(["trials=250", "unit_trials=100", f"out={url}"])
    more = sweep(["trials=310", f"out={url}"])
    assert more.sizes["trial"] == 310
    local = sweep(["trials=310", f"out={tmp_path}/s.zarr"])
    assert_same(local, more)
    assert remote.sizes["trial"] == 250
    root = layout.open_group(url)
    assert "journal" not in root
    assert np.nansum(root["ledger/error"][..., 0, 0]) == 310


def test_a_growth_cut_between_its_last_two_writes_is_read_as_it_was_and_finished(
    tmp_path, monkeypatch
):
    out, path = f"out={tmp_path}/s.zarr", str(tmp_path / "s.zarr")
    before = sweep(["freqs=0..3", "trials=50", out]).load()
    more = ["freqs=0..9", "algorithm=asm,apx", "trials=70", "extend=true", out]
    real = layout.set_attributes
    with monkeypatch.context() as patch:
        patch.setattr(
            layout, "set_attributes",
            lambda path, new: real(path, new) if "identity" not in new else 1 / 0,
        )  # fmt: skip
        with pytest.raises(UserError, match="ZeroDivisionError"):
            sweep(more)
    assert bits(open_results(path).isel(trial=slice(0, 50))) == bits(before)
    assert main(["summary", path]) == 0
    # The old command finds nothing to compute, and finishes the growth.
    again = sweep(["freqs=0..3", "trials=50", out])
    assert bits(again.sel({"freq": range(4), "algorithm": ["asm"]})) == bits(before)
    assert verifying.verify(path, 1.0).findings == []
    assert_same(sweep(more), sweep([*more[:3], f"out={tmp_path}/w.zarr"]))


def test_a_growth_that_was_cut_short_gives_way_to_another_one(tmp_path, monkeypatch):
    out, path = f"out={tmp_path}/s.zarr", str(tmp_path / "s.zarr")
    common = ["freqs=0..3", "trials=50", out]
    sweep(common)
    wide = ["source=uniform,wide", "source.wide.kind=uniform", "extend=true"]
    with monkeypatch.context() as patch:
        patch.setattr(layout, "consolidate", lambda path: 1 / 0)
        with pytest.raises(UserError, match="ZeroDivisionError"):
            sweep([*common, *wide, "source.wide.low=-1"])
    grown = sweep([*common, *wide, "source.wide.low=-2"])
    alone = sweep([*common[:2], *wide[:2], "source.wide.low=-2", f"out={tmp_path}/w.zarr"])
    assert bits(grown) == bits(alone)
    assert verifying.verify(path, 1.0).findings == []


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
