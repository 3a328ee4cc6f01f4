"""Workers, schedulers and machines that are there and do not answer, and what they are short of."""

import resource
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from distributed import Client
from helpers.sweeps import (
    LONG,
    assert_same_bits,
    command,
    execute,
    read_until,
    rows_of,
    start,
    sweep,
    wait_for,
    workers_of,
)

from pipeline import UserError
from pipeline.errors import ClusterLostError
from pipeline.run import calls, cluster, here, rounds, workers

pytestmark = pytest.mark.slow


class Telling(rounds.SilentObserver):
    """Keeps what it is told."""

    def __init__(self):
        self.lines = []

    def notify(self, line):
        self.lines.append(line)


def freeze(process):
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)


def await_workers(scheduler, count):
    with Client(scheduler.address, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=60)


@pytest.fixture
def impatient(monkeypatch):
    """Seconds in place of half a minute."""
    monkeypatch.setattr(workers, "SILENT_SECONDS", 3.0)
    monkeypatch.setattr(workers, "_SECONDS_BETWEEN_CHECKS", 1.0)
    monkeypatch.setattr(calls, "WORKER_SECONDS", 4.0)


def test_one_worker_that_is_frozen_from_the_start_costs_its_units_and_no_more(
    path, undisturbed, scheduler, impatient
):
    scheduler.add_workers(2)
    await_workers(scheduler, 2)
    freeze(scheduler.workers[1])
    observer = Telling()
    outcome = execute([*LONG, *scheduler.keys, f"out={path}"], observer)
    assert outcome.failures == []
    said = "\n".join(observer.lines)
    assert "does not answer: the sweep goes on without it" in said
    assert "does not answer: its units go to others" in said
    assert_same_bits(path, undisturbed)


def test_where_every_worker_is_frozen_the_sweep_is_refused(path, scheduler, monkeypatch):
    monkeypatch.setattr(calls, "WORKER_SECONDS", 0.5)
    scheduler.add_workers(1)
    await_workers(scheduler, 1)
    freeze(scheduler.workers[0])
    observer = Telling()
    with pytest.raises(UserError, match=r"none of the 1 workers answers within 3 s, as tcp://"):
        execute([*LONG, *scheduler.keys, f"out={path}"], observer)
    assert observer.lines == ["None of 1 workers answers: waiting for one; Ctrl-C stops."]
    assert not path.exists()


def test_ctrl_c_ends_a_sweep_that_waits_for_frozen_workers(path, scheduler):
    scheduler.add_workers(1)
    await_workers(scheduler, 1)
    freeze(scheduler.workers[0])
    with start(*LONG, *scheduler.keys, f"out={path}") as process:
        read_until(process.stderr, "None of 1 workers answers")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.splitlines()[-1] == "Stopped. The same command goes on where this one stopped."


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_units_of_a_frozen_worker_are_not_waited_for_after_a_signal(path, scheduler, number):
    scheduler.add_workers(2)
    await_workers(scheduler, 2)
    with start(*LONG, *scheduler.keys, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 5)
        freeze(scheduler.workers[1])
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert "Stopping after" in said
    assert said.splitlines()[-1] == "Stopped. The same command goes on where this one stopped."
    assert not Path(f"{path}.lock").exists()


@pytest.mark.long
def test_a_frozen_scheduler_is_said_in_one_line(path, scheduler):
    scheduler.add_workers(1)
    await_workers(scheduler, 1)
    with start(*LONG, *scheduler.keys, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 5)
        freeze(scheduler.process)
        _, said = process.communicate(timeout=90)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("error: the Dask scheduler is gone: what was stored")
    assert "Traceback" not in said
    code, said = sweep(*LONG, *scheduler.keys[:2], "cluster.timeout=2", f"out={path}")
    assert code == 4
    assert "does not answer as a Dask scheduler within 2 s" in said


def test_a_frozen_worker_of_this_machine_is_replaced(path, undisturbed, impatient):
    processes = ["cluster=processes", "cluster.workers=1", "cluster.dashboard=false"]

    class Freezing(Telling):
        def advance(self, trials):
            if not frozen:
                (worker,) = workers_of(psutil.Process())
                frozen.append(worker)
                freeze(worker)

    frozen = []
    observer = Freezing()
    assert execute([*LONG, *processes, f"out={path}"], observer).failures == []
    assert any("does not answer: its units go to others" in line for line in observer.lines)
    assert not psutil.pid_exists(frozen[0].pid)
    assert_same_bits(path, undisturbed)


def test_a_sweep_whose_last_worker_of_this_machine_does_not_come_back_ends(
    path, impatient, monkeypatch
):
    monkeypatch.setattr(here, "SECONDS_WITHOUT_WORKER", 3.0)
    # Whoever is asked to start another one does not.
    monkeypatch.setattr(here, "refilling", lambda cluster: lambda count: None)
    processes = ["cluster=processes", "cluster.workers=1", "cluster.dashboard=false"]

    class Killing(Telling):
        def advance(self, trials):
            for nanny in own[0].cluster.workers.values():
                nanny.auto_restart = False
            for worker in workers_of(psutil.Process()):
                worker.kill()

    own = []
    original = cluster.dashboard
    monkeypatch.setattr(
        cluster, "dashboard", lambda client, settings: own.append(client) or original(client, {})
    )
    with pytest.raises(ClusterLostError, match="this machine has had no worker for 3 s: see what"):
        execute([*LONG, *processes, f"out={path}"], Killing())


# A sweep with threads needs 26, with two processes 60.
@pytest.mark.parametrize("kind", ["local", "processes", "scheduler"])
@pytest.mark.parametrize("files", [12, 16, 24, 40])
def test_too_few_open_files_are_said_in_one_line(tmp_path, shared_scheduler, kind, files):
    keys = shared_scheduler.keys if kind == "scheduler" else [f"cluster={kind}"]
    done = subprocess.run(
        command("sweep", "trials=1000", *keys, f"out={tmp_path}/s.zarr"),
        capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files)),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    if done.returncode:
        assert done.returncode in (1, 2, 4)
        (line,) = [line for line in done.stderr.splitlines() if "error" in line.lower()]
        assert "ulimit -n" in line
