"""Sweeps from the configuration to the stored bits: resume, extend, every cluster alike."""

import json
import os
import signal
import subprocess
import sys
import time

import dask
import numpy as np
import pytest
import xarray as xr
from helpers import oracles
from helpers.sweeps import assert_same, counted, wait_for

import asm_core
from asm_core.sources import uniform
from pipeline import UserError, open_results, summarize, sweep
from pipeline.audit import difference
from pipeline.config import compose
from pipeline.plan.plan import make_plan
from pipeline.run import cluster, tasks
from pipeline.sources import kinds
from pipeline.store import layout, ledger

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


def test_more_trials_than_a_batch_change_no_bit(tmp_path):
    long = sweep(["trials=2500", "block_size=16", f"out={tmp_path}/a.zarr"])
    short = sweep(["trials=300", "block_size=16", "unit_trials=100", f"out={tmp_path}/b.zarr"])
    assert_same(long.isel(trial=slice(0, 300)), short)


def test_processes_give_the_same_bits(tmp_path):
    arguments = [*CURVES, "trials=300", "unit_trials=50"]
    local = sweep([*arguments, f"out={tmp_path}/a.zarr"])
    processes = ["cluster=processes", "cluster.workers=2", "cluster.dashboard=false"]
    assert_same(local, sweep([*arguments, *processes, f"out={tmp_path}/b.zarr"]))


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Address of a Dask scheduler of its own process, with two worker processes."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    commands = [
        ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
         "--scheduler-file", str(file)],
        *[["distributed.cli.dask_worker", "--scheduler-file", str(file), "--no-dashboard",
           "--nthreads", "1"]] * 2,
    ]  # fmt: skip
    with (folder / "log").open("w") as log:
        processes = []
        try:
            for command in commands:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", *command], stdout=log, stderr=log, cwd=folder
                    )
                )
                wait_for(file.exists)
            yield json.loads(file.read_text())["address"]
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait()


def test_a_running_cluster_gives_the_same_bits(tmp_path, scheduler, photograph):
    arguments = [
        *CURVES, "source=uniform,images", f"source.images.path={photograph}", "trials=300",
        "unit_trials=50",
    ]  # fmt: skip
    local = sweep([*arguments, f"out={tmp_path}/a.zarr"])
    remote = ["cluster=scheduler", f"cluster.address={scheduler}"]
    assert_same(local, sweep([*arguments, *remote, f"out={tmp_path}/b.zarr"]))


def test_workers_of_another_version_are_refused(tmp_path, scheduler, monkeypatch):
    monkeypatch.setattr(cluster, "KERNEL_VERSION", 99)
    with pytest.raises(UserError, match="install the same version on both"):
        sweep(["cluster=scheduler", f"cluster.address={scheduler}", f"out={tmp_path}/s.zarr"])
    assert list(tmp_path.iterdir()) == []


def test_workers_that_do_not_see_the_store_are_refused(scheduler):
    with pytest.raises(UserError, match="does not see memory://unseen"):
        sweep(["cluster=scheduler", f"cluster.address={scheduler}", "out=memory://unseen/s.zarr"])


def test_a_scheduler_that_does_not_answer_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match=r"cluster\.address=tcp://127\.0\.0\.1:9 does not answer"):
        sweep(["cluster=scheduler", "cluster.address=tcp://127.0.0.1:9", "cluster.timeout=0.5",
               f"out={tmp_path}/s.zarr"])  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    # The caller's own computations do not wait for that scheduler.
    assert dask.delayed(sum)([1, 2]).compute() == 3


def test_a_scheduler_without_workers_is_refused(tmp_path):
    file = tmp_path / "scheduler.json"
    command = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
               "--no-dashboard", "--scheduler-file", str(file)]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for(file.exists)
            address = json.loads(file.read_text())["address"]
            with pytest.raises(UserError, match="has no worker: start one with dask worker"):
                sweep(["cluster=scheduler", f"cluster.address={address}", "cluster.timeout=1",
                       f"out={tmp_path}/s.zarr"])  # fmt: skip
        finally:
            process.terminate()
    assert not (tmp_path / "s.zarr").exists()


def listed(path):
    """Trials that the ledger lists for each unit of the first cell."""
    return ledger.counts(layout.open_group(path), path).min(axis=(3, 4, 5, 6))[0, 0]


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
    assert_same(whole, open_results(f"{tmp_path}/s.zarr"))
    assert listed(f"{tmp_path}/s.zarr").tolist() == [100, 100, 100, 100, 100, 20]


def test_fewer_trials_lose_nothing_and_give_the_prefix(tmp_path):
    out = f"out={tmp_path}/s.zarr"
    full = sweep(["trials=300", "unit_trials=100", out])
    fewer = sweep(["trials=120", out])
    assert fewer.sizes["trial"] == 120
    assert_same(full.isel(trial=slice(0, 120)), fewer)
    assert open_results(f"{tmp_path}/s.zarr").sizes["trial"] == 300


def test_another_experiment_in_the_same_store_is_refused(tmp_path):
    sweep(["trials=10", f"out={tmp_path}/s.zarr"])
    with pytest.raises(UserError, match="seed is 0 in the store, 1 here"):
        sweep(["trials=10", "seed=1", f"out={tmp_path}/s.zarr"])


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


def test_a_unit_that_fails_is_reported_the_others_are_stored_and_it_is_tried_again(
    tmp_path, monkeypatch
):
    def draw(source, seed, size, first, count):
        if first == 100:
            raise ValueError("no such luck")
        return original(source, seed, size, first, count)

    original = kinds.draw_pair
    arguments = ["trials=300", "unit_trials=100", f"out={tmp_path}/s.zarr"]
    with monkeypatch.context() as patch:
        patch.setattr(kinds, "draw_pair", draw)
        with pytest.raises(
            RuntimeError, match=r"1 units failed.*trials 100\.\.199: ValueError: no such luck"
        ):
            sweep(arguments)
    assert listed(f"{tmp_path}/s.zarr").tolist() == [100, 0, 100]
    repaired = sweep(arguments)
    assert_same(repaired, sweep(["trials=300", f"out={tmp_path}/whole.zarr"]))


@pytest.mark.parametrize("cluster", ["local", "processes"])
def test_ctrl_c_stores_what_is_in_flight_and_the_same_command_goes_on(tmp_path, cluster):
    # 400 units, so that the signal cannot come after the last of them.
    command = [
        sys.executable, "-m", "pipeline", "sweep", "trials=1.6e6", "unit_trials=4000",
        f"out={tmp_path}/s.zarr", f"cluster={cluster}",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        rows = tmp_path / "s.zarr" / "journal" / "rows"
        wait_for(lambda: rows.exists() and len(list(rows.iterdir())) > 5)
        # To the whole group, as a terminal does.
        os.killpg(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped. The same command goes on where this one stopped." in said
    assert "Traceback" not in said
    counts = listed(f"{tmp_path}/s.zarr")
    assert 0 < (counts > 0).sum() < 400
    # What the ledger lists is there, and right.
    last = int(np.flatnonzero(counts)[-1])
    part = xr.open_zarr(f"{tmp_path}/s.zarr").error[..., last * 4000 : last * 4000 + 100]
    expected = asm_core.errors_by_frequency(uniform(0, 8, last * 4000, 100), range(15))
    assert np.array_equal(part.to_numpy().squeeze(), expected.astype(np.float32))
    more = counted(["trials=1.6e6", f"out={tmp_path}/s.zarr"])
    assert more.done == counts.sum()
    assert more.advanced == 1_600_000 - counts.sum()
    sweep(["trials=1.6e6", "unit_trials=100_000", f"out={tmp_path}/whole.zarr"])
    compared, found = difference.differing(f"{tmp_path}/s.zarr", f"{tmp_path}/whole.zarr")
    # 400 units, and the ledger.
    assert (compared, found) == (401, [])


@pytest.mark.parametrize("cluster", ["local", "processes"])
def test_a_second_ctrl_c_does_not_wait(tmp_path, cluster):
    # A unit of these takes a minute.
    command = [
        sys.executable, "-m", "pipeline", "sweep", "trials=1e6", "block_size=64", "freqs=0..126",
        f"out={tmp_path}/s.zarr", f"cluster={cluster}",
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        read_until(process.stderr, "Measuring")
        time.sleep(1)
        os.killpg(process.pid, signal.SIGINT)
        read_until(process.stderr, "Stopping")
        pressed = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 130
    # Closing the cluster in order would take 30 s.
    assert time.monotonic() - pressed < 15


def read_until(stream, word):
    for line in stream:
        if word in line:
            return
    raise AssertionError(f"the process ended before it said {word}")


def test_a_unit_that_the_cluster_cancels_is_tried_again(monkeypatch):
    settings = compose.load(["trials=6", "unit_trials=1", "cluster.threads=1"])
    plan = make_plan(settings, kinds.resolve)
    with cluster.connect(settings.cluster) as client:
        submitted = []

        def submit(*arguments, **options):
            submitted.append(original(*arguments, **options))
            return submitted[-1]

        original = client.submit
        monkeypatch.setattr(client, "submit", submit)
        ended = tasks.map_units(
            client, lambda plan, unit: time.sleep(0.3), plan, plan.units(), lambda line: None
        )
        first, failure = next(ended)
        assert failure is None
        client.cancel(submitted[3:4])
        rest = list(ended)
    assert sorted([first.number, *(unit.number for unit, _ in rest)]) == [0, 1, 2, 3, 4, 5]
    assert [failure for _, failure in rest if failure] == []
    assert len(submitted) == 7
