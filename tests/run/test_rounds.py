"""Sweeps from the configuration to the stored bits: what is computed, and what is there already."""

import dataclasses
import signal
import subprocess
import sys

import numpy as np
import pytest
from distributed import KilledWorker
from helpers import oracles
from helpers.stores import listed
from helpers.sweeps import LONG, Striking, assert_same, counted, execute, open_store

import asm_core
from asm_core.sources import uniform
from pipeline import UserError, open_results, summarize, sweep
from pipeline.audit.status import status_of
from pipeline.cli.main import main
from pipeline.planning.grid import Unit
from pipeline.run import rounds, tasks, workers
from pipeline.sources import memory
from pipeline.store import layout, ledger, lock
from pipeline.store.record import Quarantined

CURVES = ["block_size=4,8", "operation=max_pool,relu", "algorithm=asm,apx", "freqs=0..14..3"]


def test_stored_errors_are_those_of_nested_loops_on_the_documented_stream(tmp_path):
    dataset = sweep([*CURVES, "trials=20", "seed=3", "unit_trials=7", f"out={tmp_path}/s.zarr"])
    for size in (4, 8):
        blocks = uniform(3, size, 0, 20)
        for t in (0, 6, 7, 19):
            coefficients = oracles.dct(blocks[t])
            for n in (0, 3, 6, 9, 12):
                approximate = oracles.approximate(coefficients, n)
                for operation in ("max_pool", "relu"):
                    at = dataset.sel(
                        source="uniform", block_size=size, operation=operation, freq=n, trial=t
                    ).squeeze()
                    for algorithm in ("asm", "apx"):
                        expected = oracles.error(blocks[t], approximate, operation, algorithm, 2)
                        found = float(at.error.sel(algorithm=algorithm))
                        assert found == pytest.approx(expected, rel=1e-7, abs=1e-14)
                    expected = oracles.mask_accuracy(blocks[t], approximate, operation, 2)
                    assert float(at.mask_accuracy) == pytest.approx(expected, rel=1e-7)


def test_every_operation_and_selection_is_stored_with_its_own_parameters(tmp_path):
    dataset = sweep(
        ["operation=max_pool_4,min_pool,leaky_relu", "operation.leaky_relu.slope=0.3",
         "selection=square,zigzag,energy,flat", "selection.flat.kind=energy",
         "selection.flat.rho=0.2", "algorithm=asm,apx", "freqs=0..3,9", "trials=3",
         f"out={tmp_path}/s.zarr"]
    ).load()  # fmt: skip
    # Name in the store: kind, rho of the selection; kind, window of the operation.
    selections = {"square": ("square", 0), "zigzag": ("zigzag", 0), "energy": ("energy", 0.95),
                  "flat": ("energy", 0.2)}  # fmt: skip
    kinds = {"max_pool_4": ("max_pool", 4), "min_pool": ("min_pool", 2), "leaky_relu": (None, 2)}
    for t, block in enumerate(uniform(0, 8, 0, 3)):
        coefficients = oracles.dct(block)
        for selection, (kind, rho) in selections.items():
            for n in (0, 3, 9):
                kept = oracles.kept(8, n, kind, rho)
                approximate = oracles.inverse(np.where(kept, coefficients, 0.0))
                here = dataset.sel(selection=selection, freq=n, trial=t).squeeze()
                assert int(here.coefficients_kept) == np.sum(kept)
                for operation, (pooling, window) in kinds.items():
                    name = pooling or operation
                    at = here.sel(operation=operation)
                    for algorithm in ("asm", "apx"):
                        expected = oracles.error(block, approximate, name, algorithm, window, 0.3)
                        found = float(at.error.sel(algorithm=algorithm))
                        assert found == pytest.approx(expected, rel=1e-6, abs=1e-14)
                    expected = oracles.mask_accuracy(block, approximate, name, window)
                    assert float(at.mask_accuracy) == pytest.approx(expected, rel=1e-6)
                    if pooling:
                        expected = oracles.regret(block, approximate, name, window)
                        assert float(at.regret) == pytest.approx(expected, rel=1e-6)
                    else:
                        assert np.isnan(float(at.regret))


def test_the_bits_of_every_source_do_not_depend_on_the_unit_size(tmp_path):
    arguments = ["source=uniform,gaussian,upsampled,upsampled_shifted,autoregressive",
                 "source.gaussian.quality=20,90", "operation=max_pool,relu",
                 "selection=triangle,energy", "freqs=0..14..7"]  # fmt: skip
    base = sweep([*arguments, "trials=1500", f"out={tmp_path}/a.zarr"])
    other = sweep([*arguments, "trials=300", "unit_trials=41", f"out={tmp_path}/b.zarr"])
    assert list(base.source.values) == [
        "autoregressive", "gaussian_q20", "gaussian_q90", "uniform", "upsampled",
        "upsampled_shifted",
    ]  # fmt: skip
    assert_same(base.isel(trial=slice(0, 300)), other)


def test_stored_errors_are_the_public_function_rounded_once(tmp_path):
    dataset = sweep(["trials=3000", f"out={tmp_path}/s.zarr"])
    expected = asm_core.errors_by_frequency(uniform(0, 8, 0, 3000), range(15))
    assert np.array_equal(dataset.error.to_numpy().squeeze(), expected.astype(np.float32))


def test_unit_size_and_threads_change_no_bit(tmp_path):
    base = sweep([*CURVES, "trials=500", f"out={tmp_path}/a.zarr"])
    for k, arguments in enumerate([["unit_trials=1"], ["unit_trials=33"], ["cluster.threads=1"]]):
        trials = "trials=500" if k else "trials=40"
        other = sweep([*CURVES, trials, *arguments, f"out={tmp_path}/{k}.zarr"])
        assert_same(base.isel(trial=slice(0, other.sizes["trial"])), other)


def test_signed_blocks_have_exactly_twice_the_stored_error(tmp_path):
    dataset = sweep(
        ["source=uniform,signed", "source.signed.kind=uniform", "source.signed.low=-1",
         "trials=2000", f"out={tmp_path}/s.zarr"]
    )  # fmt: skip
    single = dataset.error.sel(source="uniform").to_numpy()
    assert np.array_equal(dataset.error.sel(source="signed").to_numpy(), 2 * single)


def test_all_tiles_of_a_photograph_in_several_block_sizes(tmp_path, photograph):
    dataset = sweep(
        ["source=images", f"source.images.path={photograph}", "trials=all", "block_size=8,20",
         "freqs=3,40", "unit_trials=1000", f"out={tmp_path}/s.zarr"]
    )  # fmt: skip
    assert dataset.sizes["trial"] == 4800
    measured = dataset.error.notnull().sum("trial").squeeze()
    assert measured.sel(block_size=8).values.tolist() == [4800, 4800]
    assert measured.sel(block_size=20).values.tolist() == [750, 750]
    assert (dataset.error.sel(freq=40).fillna(0) == 0).all()
    count = summarize(dataset)["measured"].squeeze()
    assert count.sel(block_size=20, freq=3) == 750


def test_the_same_command_again_computes_nothing(tmp_path):
    arguments = ["trials=300", "unit_trials=100", f"out={tmp_path}/s.zarr"]
    first = counted(arguments)
    assert (first.todo, first.done, first.advanced) == (300, 0, 300)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    again = counted(arguments)
    assert (again.todo, again.done, again.advanced) == (0, 300, 0)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == files


def test_more_trials_compute_only_what_is_missing(tmp_path):
    out = f"out={tmp_path}/s.zarr"
    counted(["trials=250", "unit_trials=100", out])
    more = counted(["trials=520", out])
    # Two whole units are there; the edge unit of 50 trials is redone whole.
    assert (more.todo, more.done) == (320, 200)
    whole = sweep(["trials=520", "unit_trials=100", f"out={tmp_path}/whole.zarr"])
    assert_same(whole, open_results(tmp_path / "s.zarr"))
    assert listed(open_store(tmp_path / "s.zarr"))[0, 0].tolist() == [100, 100, 100, 100, 100, 20]


def test_fewer_trials_lose_nothing_and_give_the_prefix(tmp_path):
    out = f"out={tmp_path}/s.zarr"
    full = sweep(["trials=300", "unit_trials=100", out])
    fewer = sweep(["trials=120", out])
    assert fewer.sizes["trial"] == 120
    assert_same(full.isel(trial=slice(0, 120)), fewer)
    assert open_results(tmp_path / "s.zarr").sizes["trial"] == 300


def test_another_experiment_in_the_same_store_is_refused(tmp_path):
    sweep(["trials=10", f"out={tmp_path}/s.zarr"])
    with pytest.raises(UserError, match="seed is 0 in the store, 1 here"):
        sweep(["trials=10", "seed=1", f"out={tmp_path}/s.zarr"])


def test_status_counts_units_that_are_complete_running_missing_and_set_aside(tmp_path, capsys):
    path = str(tmp_path / "s.zarr")
    sweep(["trials=500", "unit_trials=100", "block_size=4,8", f"out={path}"])
    store = open_store(path)
    root = layout.open_root(store.location, "r+")
    for number in (1, 2, 4):
        ledger.forget(root, (0, 1), number)
    bad, running = Unit("uniform", 8, 4, 400, 500), Unit("uniform", 8, 2, 200, 300)
    quarantined = (Quarantined(bad, "bad luck", "now", "x"),)
    store.update(dataclasses.replace(store.record, quarantined=quarantined))
    with lock.held(store.location) as held:
        held.publish(running=[dataclasses.asdict(running)], computed=4000, seconds=2.0)
        status = status_of(open_store(path), lock.holder(store.location))
        assert main(["status", path]) == 0
        printed = capsys.readouterr().out
    assert status.rate == 2000
    cell = status.cells[1]
    assert (cell.units, cell.complete, cell.running, cell.missing, cell.quarantined) == (
        5, 2, 1, 1, 1,
    )  # fmt: skip
    assert (cell.trials, cell.trials_done, status.trials_left) == (500, 200, 300)
    assert status.cells[0].complete == 5
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


def test_a_sweep_with_nothing_to_do_imports_neither_distributed_nor_scipy(elsewhere):
    words = ["sweep", "trials=1000", "results=there"]
    code = (
        "import sys; from pipeline.cli.main import main; main(sys.argv[1:]);"
        "print([m for m in ('distributed', 'scipy.special') if m in sys.modules])"
    )
    printed = []
    for _ in range(2):
        command = [sys.executable, "-c", code, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        printed.append(done.stdout.splitlines()[-1])
    assert printed == ["['distributed']", "[]"]


def test_a_signal_while_the_lock_is_taken_or_given_back_leaves_none(tmp_path, monkeypatch):
    words = ["freqs=2", "trials=100", f"out={tmp_path}/s.zarr"]

    def interrupting(name):
        function = getattr(lock, name)

        def then_interrupted(*arguments):
            monkeypatch.setattr(lock, name, function)
            if name == "_remove":
                signal.raise_signal(signal.SIGINT)
            returned = function(*arguments)
            signal.raise_signal(signal.SIGINT)
            return returned

        monkeypatch.setattr(lock, name, then_interrupted)

    for name in ("_lock_file", "_remove"):
        interrupting(name)
        with pytest.raises(KeyboardInterrupt):
            sweep(words)
        assert [path.name for path in tmp_path.iterdir() if path.name != "s.zarr"] == []
    assert sweep(words).sizes["trial"] == 100


def test_after_an_error_units_in_flight_are_completed_before_the_journal_is_removed(tmp_path):
    def strike():
        raise RuntimeError("no more")

    path = tmp_path / "s.zarr"
    with pytest.raises(RuntimeError, match="no more"):
        execute([*LONG, f"out={path}"], Striking(strike))
    assert not (path / "journal").exists()
    store = open_store(path)
    # Every chunk that was written is one of a unit that the ledger lists.
    written = {int(chunk.name) for chunk in (path / "regret").glob("c/0/0/0/0/0/*")}
    assert written == set(np.flatnonzero(store.counts().max(axis=(0, 1, 3, 4, 5, 6))).tolist())
    assert 5 <= len(written) < 200


def test_a_journal_that_was_removed_in_part_is_no_damage(tmp_path):
    words = ["trials=100", "unit_trials=50", f"out={tmp_path}/s.zarr"]
    sweep(words)
    store = open_store(tmp_path / "s.zarr")
    store.open_journal("{}")
    (tmp_path / "s.zarr" / "journal" / "rows" / "zarr.json").unlink()
    (tmp_path / "s.zarr" / "journal" / "rows" / "c.0.0.1.0").write_bytes(b"late")
    again = sweep([*words[1:], "trials=150"])
    assert again.sizes["trial"] == 150
    assert not again.error.isnull().any()


@pytest.mark.parametrize(
    ("memory_bytes", "words"),
    [
        (1 << 30, "; since the sweep began the system killed 5 processes for want of memory, of "
         "which 1.00 GiB may be used: start fewer workers"),
        (1 << 16, "; since the sweep began the system killed 5 processes for want of memory: into "
         r"another store (out=...) unit_trials=128 would fit"),
    ],
)  # fmt: skip
def test_a_unit_whose_workers_the_system_killed_for_memory_says_so_and_which_size_would_fit(
    tmp_path, monkeypatch, memory_bytes, words
):
    # Of what the kernel counts there can be no test without spending all memory.
    counts = iter([2, 7])
    monkeypatch.setattr(memory, "kills", lambda: next(counts))
    monkeypatch.setattr(memory, "limit", lambda: memory_bytes)
    monkeypatch.setattr(workers, "CPU_COUNT", 4)

    def killed(client, task, units, *rest):
        unit = next(iter(units)).unit
        yield unit, tasks._reason(unit, KilledWorker("unit", None, 3))

    monkeypatch.setattr(tasks, "map_units", killed)
    outcome = execute([*LONG, f"out={tmp_path}/s.zarr"], rounds.SilentObserver())
    (failure,) = outcome.failures
    assert failure.endswith(f": {tasks.DIED}{words}")
