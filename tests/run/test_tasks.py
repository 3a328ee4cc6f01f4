"""Units that fail, are cancelled, kill their workers, or are stopped by Ctrl-C."""

import os
import signal
import subprocess
import sys
import time

import dask.config
import numpy as np
import pytest
import xarray as xr
from helpers.stores import listed, plan_of
from helpers.sweeps import (
    LONG,
    assert_same,
    assert_same_bits,
    counted,
    execute,
    open_store,
    read_until,
    wait_for,
)
from helpers.sweeps import sweep as sweep_as_process

import asm_core
from asm_core.sources import uniform
from pipeline import sweep
from pipeline.audit.difference import compare_stores
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.run import cluster, rounds, tasks
from pipeline.run.worker import run_unit
from pipeline.sources import kinds

pytestmark = pytest.mark.slow


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
            RuntimeError, match=r"1 unit failed.*trials 100\.\.199: ValueError: no such luck"
        ):
            sweep(arguments)
    assert listed(open_store(tmp_path / "s.zarr"))[0, 0].tolist() == [100, 0, 100]
    repaired = sweep(arguments)
    assert_same(repaired, sweep(["trials=300", f"out={tmp_path}/whole.zarr"]))


def test_a_unit_that_the_cluster_cancels_is_tried_again(monkeypatch):
    arguments = ["trials=6", "unit_trials=1", "cluster.threads=1"]
    settings, plan = compose.load(arguments), plan_of(*arguments)
    with cluster.connect(settings.cluster, print) as connection:
        client = connection.client
        submitted = []

        def submit(*arguments, **options):
            futures = original(*arguments, **options)
            submitted.extend(futures)
            return futures

        original = client.map
        monkeypatch.setattr(client, "map", submit)
        ended = tasks.map_units(
            connection, lambda missing: time.sleep(0.3), plan.grid.missing(None), lambda line: None
        )
        first, failure = next(ended)
        assert failure is None
        client.cancel(submitted[3:4])
        rest = list(ended)
    assert sorted([first.number, *(unit.number for unit, _ in rest)]) == [0, 1, 2, 3, 4, 5]
    assert [failure for _, failure in rest if failure] == []
    assert len(submitted) == 7


TRIED = []


def raising(store, round_name, missing, **options):
    TRIED.append(missing.unit.number)
    if missing.unit.number == 3:
        raise ValueError("no such luck")
    run_unit(store, round_name, missing, **options)


def deadly(store, round_name, missing, **options):
    if missing.unit.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    run_unit(store, round_name, missing, **options)


def test_a_unit_that_raises_is_tried_three_times_set_aside_and_mended_later(
    path, undisturbed, monkeypatch, capsys
):
    TRIED.clear()
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "run_unit", raising)
        assert main(["sweep", *LONG, f"out={path}"]) == 3
    said = capsys.readouterr().err
    assert TRIED.count(3) == 3
    assert len(TRIED) == 202
    assert "failed: source=uniform block_size=32 trials 1500..1999: no such luck" in said
    # As it was understood: 1e5 is a number by now.
    words = " ".join(LONG).replace("trials=1e5", "trials=100000")
    retry = f"python -m pipeline sweep {words} out={path}"
    assert f"to try them again: {retry}" in said
    (bad,) = open_store(path).record.quarantined
    assert (str(bad.unit), bad.unit.number, bad.retry) == (
        "source=uniform block_size=32 trials 1500..1999", 3, retry,
    )  # fmt: skip
    assert "no such luck" in bad.reason
    assert main(["status", str(path)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if " 32 " in line)
    assert row.split()[2:7] == ["200", "199", "0", "0", "1"]
    assert main(["sweep", *LONG, f"out={path}"]) == 0
    assert open_store(path).record.quarantined == ()
    assert_same_bits(path, undisturbed)


# Dask gives up a worker that is not back within that time: 10 ms are too few for any.
@pytest.mark.parametrize("patience", ["15s", "10ms"])
def test_a_unit_that_kills_its_workers_is_set_aside_and_harms_no_other(
    path, undisturbed, monkeypatch, patience
):
    processes = ["cluster=processes", "cluster.workers=2", "cluster.dashboard=false"]
    given_up = dask.config.set({"distributed.deploy.lost-worker-timeout": patience})
    with monkeypatch.context() as patch, given_up:
        patch.setattr(rounds, "run_unit", deadly)
        outcome = execute([*LONG, *processes, f"out={path}"], rounds.SilentObserver())
    assert outcome.failures == [
        "source=uniform block_size=32 trials 1500..1999: every worker that ran it died, even where "
        "it ran alone"
    ]
    assert outcome.computed == 99_500
    assert sweep_as_process(*LONG, f"out={path}")[0] == 0
    assert_same_bits(path, undisturbed)


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
    counts = listed(open_store(tmp_path / "s.zarr"))[0, 0]
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
    stores = (open_store(tmp_path / name) for name in ("s.zarr", "whole.zarr"))
    # 400 units, and the ledger.
    assert compare_stores(*stores) == (401, [])


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
