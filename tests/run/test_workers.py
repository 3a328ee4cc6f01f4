"""Workers and schedulers that die or stop; each ends in the store of an undisturbed sweep."""

import signal
import time

import pytest
from distributed import Client
from helpers.sweeps import (
    LONG,
    Striking,
    assert_same_bits,
    execute,
    open_store,
    rows_of,
    sweep,
    sweeping,
    wait_for,
    workers_of,
)

from pipeline.audit.verify import verify
from pipeline.run import workers

pytestmark = pytest.mark.slow


def test_a_worker_killed_in_the_middle_of_a_unit_is_replaced(path, undisturbed):
    processes = ["cluster=processes", "cluster.workers=2", "cluster.dashboard=false"]
    with sweeping(*LONG, *processes, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 5)
        workers_of(process)[0].kill()
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert_same_bits(path, undisturbed)


def test_all_workers_killed_and_new_ones_joining(path, undisturbed, scheduler):
    scheduler.add_workers(2)
    with sweeping(*LONG, *scheduler.keys, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 5)
        for worker in scheduler.workers:
            worker.kill()
        for line in process.stderr:
            if "No worker is left" in line:
                break
        before = rows_of(path)
        scheduler.add_workers(2)
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert before < 200
    assert_same_bits(path, undisturbed)


def test_the_units_of_a_stopped_worker_go_to_others(path, undisturbed, scheduler, monkeypatch):
    # Two seconds in place of thirty.
    monkeypatch.setattr(workers, "SILENT_SECONDS", 2.0)
    monkeypatch.setattr(workers, "_SECONDS_BETWEEN_CHECKS", 1.0)
    scheduler.add_workers(2)
    stopped = scheduler.workers[1]
    observer = Striking(lambda: stopped.send_signal(signal.SIGSTOP))
    # Else the first worker may do all before the second one has joined.
    client = Client(scheduler.address, set_as_default=False)
    client.wait_for_workers(2)
    client.close()
    outcome = execute([*LONG, *scheduler.keys, f"out={path}"], observer)
    assert outcome.failures == []
    assert any("does not answer: its units go to others" in line for line in observer.lines)
    assert_same_bits(path, undisturbed)
    # It wakes up when its sweep is over, with units that it still believes to be its own.
    stopped.send_signal(signal.SIGCONT)
    time.sleep(1)
    assert verify(open_store(path), 0.0).problems == []
    assert_same_bits(path, undisturbed)


def test_workers_that_wake_up_when_another_sweep_has_grown_the_store_write_nothing(
    path, tmp_path, scheduler
):
    # The last unit of the first sweep is short: 500 trials of 1,000.
    first = ["block_size=32", "freqs=3,30", "unit_trials=1000", "trials=60_500"]
    more = [*first[:3], "trials=61_000"]
    scheduler.add_workers(2)
    with sweeping(*first, *scheduler.keys, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 3)
        for worker in scheduler.workers:
            worker.send_signal(signal.SIGSTOP)
        process.kill()
    scheduler.process.kill()
    assert sweep(*more, f"out={path}")[0] == 0
    whole = tmp_path / "whole.zarr"
    assert sweep(*more, f"out={whole}")[0] == 0
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    for worker in scheduler.workers:
        worker.send_signal(signal.SIGCONT)
    # They end by themselves, since their scheduler is gone.
    for worker in scheduler.workers:
        worker.wait(timeout=120)
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    assert_same_bits(path, whole)


def test_a_killed_scheduler_is_said_in_one_line_and_the_next_command_goes_on(
    path, undisturbed, scheduler
):
    scheduler.add_workers(2)
    with sweeping(*LONG, *scheduler.keys, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 5)
        struck = time.monotonic()
        scheduler.process.kill()
        said = process.communicate(timeout=60)[1]
        assert time.monotonic() - struck < 30
    assert process.returncode == 1
    assert [line for line in said.splitlines() if not line.startswith(("Dash", "Meas"))] == [
        "error: the Dask scheduler is gone: what was stored is safe, and the same command goes on "
        "from there"
    ]
    code, said = sweep(*LONG, f"out={path}")
    assert code == 0
    assert "are in the store" in said
    assert_same_bits(path, undisturbed)
