"""Faults with real processes and real signals; each ends in the store of an undisturbed sweep."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from helpers import sweeps as faults
from helpers.sweeps import assert_same_bits, rows_of, sweep, sweeping, wait_for

from pipeline.audit import difference, verify
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.plan.plan import make_plan
from pipeline.run import cluster, rounds, tasks
from pipeline.run.worker import run_unit
from pipeline.sources import kinds
from pipeline.store import store

# A unit takes 10 ms, mostly of computing; the store is small.
SWEEP = ["block_size=32", "freqs=3,30", "unit_trials=500"]
# 200 units: a second on two cores, longer than anything here needs to strike.
LONG = [*SWEEP, "trials=1e5"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    path = tmp_path_factory.mktemp("undisturbed") / "s.zarr"
    assert sweep(*LONG, f"out={path}")[0] == 0
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.zarr"


def test_a_client_killed_at_20_random_moments_loses_nothing(path, tmp_path):
    moments = random.Random(20)
    # Every run asks for more, so that growing is struck too.
    for k in range(20):
        asked = [*SWEEP, f"trials={20_000 + 10_000 * k}", f"out={path}"]
        with sweeping(*asked) as process:
            wait_for(lambda p=process: Path(f"{path}.lock").exists() or p.poll() is not None)
            time.sleep(moments.uniform(0.0, 0.6))
            process.kill()
        if store.is_store(str(path)):
            bad = [f.words for f in verify.verify(str(path), 0.0).findings]
            assert [w for w in bad if "half written" not in w and "cut short" not in w] == []
    assert sweep(*SWEEP, "trials=210_000", f"out={path}")[0] == 0
    whole = tmp_path / "whole.zarr"
    assert sweep(*SWEEP, "trials=210_000", f"out={whole}")[0] == 0
    assert_same_bits(path, whole)


def test_an_extension_killed_on_the_way_is_completed_by_the_same_command(path, tmp_path):
    moments = random.Random(5)
    first = ["block_size=16", "freqs=0..3", "unit_trials=500", "trials=40_000"]
    more = [
        "block_size=16,32",
        "freqs=0..9",
        "algorithm=asm,apx",
        "unit_trials=500",
        "trials=40_000",
    ]
    assert sweep(*first, f"out={path}")[0] == 0
    for _ in range(5):
        with sweeping(*more, "extend=true", f"out={path}") as process:
            wait_for(lambda p=process: Path(f"{path}.lock").exists() or p.poll() is not None)
            time.sleep(moments.uniform(0.0, 0.3))
            process.kill()
        assert verify.verify(str(path), 0.0).units >= 80
    assert sweep(*more, "extend=true", f"out={path}")[0] == 0
    whole = tmp_path / "whole.zarr"
    assert sweep(*more, f"out={whole}")[0] == 0
    compared, found = difference.differing(str(path), str(whole))
    assert (compared > 160, found) == (True, [])
    assert verify.verify(str(path), 0.05).findings == []
    assert rows_of(path) == 0


def test_a_worker_killed_in_the_middle_of_a_unit_is_replaced(path, undisturbed):
    processes = ["cluster=processes", "cluster.workers=2", "cluster.dashboard=false"]
    with sweeping(*LONG, *processes, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 5)
        faults.workers_of(process)[0].kill()
        said = process.communicate(timeout=120)[1]
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert_same_bits(path, undisturbed)


class Scheduler:
    """A Dask scheduler as a process, and workers that are processes without a nanny."""

    def __init__(self, folder):
        self._file = folder / "scheduler.json"
        self._log = (folder / "log").open("w")
        self.workers = []
        self.process = self._start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
            "--no-dashboard", "--scheduler-file", str(self._file),
        )  # fmt: skip
        wait_for(lambda: self._file.exists() and self._file.read_text().endswith("}"))
        self.address = json.loads(self._file.read_text())["address"]
        self.keys = ["cluster=scheduler", f"cluster.address={self.address}", "cluster.timeout=30"]

    def add_workers(self, count):
        for _ in range(count):
            self.workers.append(
                self._start(
                    "distributed.cli.dask_worker", self.address, "--no-dashboard", "--no-nanny",
                    "--nthreads", "1",
                )
            )  # fmt: skip

    def _start(self, module, *arguments):
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments], stdout=self._log, stderr=self._log
        )

    def close(self):
        for process in (*self.workers, self.process):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self._log.close()


@pytest.fixture
def scheduler(tmp_path):
    made = Scheduler(tmp_path)
    yield made
    made.close()


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


class Striking(rounds.Silent):
    """Does something once a few units are stored."""

    def __init__(self, strike, after=5):
        self._strike, self._left, self.said = strike, after, []

    def advance(self, trials):
        self._left -= 1
        if self._left == 0:
            self._strike()

    def say(self, line):
        self.said.append(line)


def execute(arguments, report):
    settings = compose.load([str(argument) for argument in arguments])
    plan = make_plan(settings, kinds.resolve)
    return rounds.execute(settings, plan, arguments, report)


def test_the_units_of_a_stopped_worker_go_to_others(path, undisturbed, scheduler, monkeypatch):
    # Two seconds in place of thirty.
    monkeypatch.setattr(cluster, "SILENT_SECONDS", 2.0)
    monkeypatch.setattr(tasks, "_SECONDS_BETWEEN_LOOKS", 1.0)
    scheduler.add_workers(2)
    stopped = scheduler.workers[1]
    report = Striking(lambda: stopped.send_signal(signal.SIGSTOP))
    # Else the first worker may do all before the second one has joined.
    client = cluster.Client(scheduler.address, set_as_default=False)
    client.wait_for_workers(2)
    client.close()
    outcome = execute([*LONG, *scheduler.keys, f"out={path}"], report)
    assert outcome.failures == []
    assert any("does not answer: its units go to others" in line for line in report.said)
    assert_same_bits(path, undisturbed)
    # It wakes up when its sweep is over, with units that it still believes to be its own.
    stopped.send_signal(signal.SIGCONT)
    time.sleep(1)
    late = verify.verify(str(path), 0.0).findings
    assert [finding.words for finding in late if "half written" not in finding.words] == []
    verify.repair(str(path), late)
    assert verify.verify(str(path), 0.0).findings == []
    assert_same_bits(path, undisturbed)


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


TRIED = []


def raising(path, session, plan, unit):
    TRIED.append(unit.number)
    if unit.number == 3:
        raise ValueError("no such luck")
    run_unit(path, session, plan, unit)


def deadly(path, session, plan, unit):
    if unit.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    run_unit(path, session, plan, unit)


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
    retry = f"python -m pipeline sweep {' '.join(LONG)} out={path}"
    assert f"to try them again: {retry}" in said
    (entry,) = json.loads(store.provenance_of(str(path))["quarantined"])
    assert (entry["unit"], entry["number"], entry["retry"]) == (
        "source=uniform block_size=32 trials 1500..1999", 3, retry,
    )  # fmt: skip
    assert "no such luck" in entry["reason"]
    assert main(["status", str(path)]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if " 32 " in line)
    assert row.split()[2:7] == ["200", "199", "0", "0", "1"]
    assert main(["sweep", *LONG, f"out={path}"]) == 0
    assert json.loads(store.provenance_of(str(path))["quarantined"]) == []
    assert_same_bits(path, undisturbed)


def test_a_unit_that_kills_its_workers_is_set_aside_and_harms_no_other(
    path, undisturbed, monkeypatch
):
    processes = ["cluster=processes", "cluster.workers=2", "cluster.dashboard=false"]
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "run_unit", deadly)
        outcome = execute([*LONG, *processes, f"out={path}"], rounds.Silent())
    assert outcome.failures == [
        "source=uniform block_size=32 trials 1500..1999: every worker that ran it died, even where "
        "it ran alone"
    ]
    assert outcome.computed == 99_500
    assert sweep(*LONG, f"out={path}")[0] == 0
    assert_same_bits(path, undisturbed)


# Run where this process alone sees a small disk; arguments: its folder, the fault, the sweep.
ON_A_SMALL_DISK = """
import os, subprocess, sys, time
folder, fault, result, *sweep = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], check=True)
store = f"{folder}/s.zarr"
command = [sys.executable, "-m", "pipeline", "sweep", *sweep, f"out={store}"]
if fault == "read-only":
    # A mount of its own, without the lock: what is open for writing keeps a mount writable.
    subprocess.run([*command, "trials=500"], capture_output=True, check=True)
    subprocess.run(["mount", "--bind", store, store], check=True)
command.append("trials=1e5")
process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
rows = f"{store}/journal/rows"
while not (os.path.isdir(rows) and len(os.listdir(rows)) > 20):
    assert process.poll() is None
    time.sleep(0.005)
if fault == "full":
    with open(f"{folder}/ballast", "wb", buffering=0) as ballast:
        try:
            while process.poll() is None:
                ballast.write(bytes(4096))
        except OSError:
            pass
        said = process.communicate(timeout=100)[1]
else:
    while subprocess.run(["mount", "-o", "remount,bind,ro", store], capture_output=True).returncode:
        assert process.poll() is None
    said = process.communicate(timeout=100)[1]
print(process.returncode, said, sep="|")
if fault == "full":
    os.remove(f"{folder}/ballast")
else:
    subprocess.run(["mount", "-o", "remount,bind,rw", store], check=True)
again = subprocess.run(command, capture_output=True, text=True)
print(again.returncode, again.stderr, sep="|")
subprocess.run(["cp", "-r", store, result], check=True)
"""


@pytest.mark.parametrize(
    ("fault", "words"),
    [("full", "No space left on device"), ("read-only", "Read-only file system")],
)
def test_a_disk_that_takes_no_more_is_said_in_one_line_and_the_same_command_goes_on(
    tmp_path, undisturbed, fault, words
):
    disk, result = tmp_path / "disk", tmp_path / "s.zarr"
    disk.mkdir()
    done = subprocess.run(
        ["unshare", "-Urm", sys.executable, "-c", ON_A_SMALL_DISK, disk, fault, result, *SWEEP],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines[0].startswith("1|Measuring"), done.stdout
    assert [line for line in lines[1:] if line.startswith("error")] == [
        f"error: cannot write {disk}/s.zarr: {words}: what was stored is safe, and the same "
        "command goes on from there"
    ]
    assert any(line.startswith("0|") for line in lines), done.stdout
    assert "Traceback" not in done.stdout
    assert_same_bits(result, undisturbed)


def test_a_second_client_is_refused_with_the_first_one_s_host_number_and_start(path, undisturbed):
    with sweeping(*LONG, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 2)
        os.kill(process.pid, signal.SIGSTOP)
        code, said = sweep(*LONG, f"out={path}")
        assert code == 2
        began = time.strftime("%Y-%m-%dT", time.gmtime())
        assert f"is being written by process {process.pid} on {socket.gethostname()}" in said
        assert f"since {began}" in said
        assert len(said.splitlines()) == 1
        os.kill(process.pid, signal.SIGCONT)
        process.communicate(timeout=120)
    assert process.returncode == 0
    assert_same_bits(path, undisturbed)


def test_a_client_killed_after_its_last_unit_is_tidied_up_by_the_same_command(
    path, undisturbed, monkeypatch
):
    with monkeypatch.context() as patch:
        patch.setattr(store, "finish", lambda path, attributes: None)
        execute([*LONG, f"out={path}"], rounds.Silent())
    assert rows_of(path) > 0
    code, said = sweep(*LONG, f"out={path}")
    assert (code, said.splitlines()[0]) == (
        0, "Nothing to compute: all 100,000 trials are in the store.",
    )  # fmt: skip
    assert_same_bits(path, undisturbed)
    assert store.provenance_of(str(path))["ended"]


def test_the_lock_of_a_dead_process_is_taken_over(path, undisturbed):
    with sweeping(*LONG, f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 2)
        process.kill()
    assert Path(f"{path}.lock").exists()
    assert not psutil.pid_exists(process.pid) or process.poll() is not None
    (path / "error" / "c" / "0.partial").write_bytes(b"half")
    code, said = sweep(*LONG, f"out={path}")
    assert code == 0
    assert "0.partial, which a process that died left half written" in said
    assert_same_bits(path, undisturbed)
