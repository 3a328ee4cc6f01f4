"""Sweeps as processes and as calls, and stores compared bit by bit."""

import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager

import numpy as np
import psutil
import xarray as xr

from pipeline import summarize
from pipeline.config import compose
from pipeline.planning.plan import make_plan
from pipeline.run import rounds
from pipeline.sources import kinds
from pipeline.store.location import Location
from pipeline.store.store import Store

METRICS = ("error", "mask_accuracy", "regret")
# A unit takes 10 ms, mostly of computing; the store is small.
SWEEP = ["block_size=32", "freqs=3,30", "unit_trials=500"]
# 200 units: a second on two cores, longer than anything here needs to strike.
LONG = [*SWEEP, "trials=1e5"]


def command(*arguments):
    return [sys.executable, "-m", "pipeline", *map(str, arguments)]


def sweep(*arguments, seconds=240):
    """A sweep as a process of its own: exit code and what it said on standard error."""
    done = subprocess.run(
        command("sweep", *arguments), capture_output=True, text=True, timeout=seconds, check=False
    )
    return done.returncode, done.stderr


@contextmanager
def sweeping(*arguments):
    """A sweep that is running, with its standard error to be read."""
    with subprocess.Popen(
        command("sweep", *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()


def start(*arguments, ignoring=(), **streams):
    """A sweep in a session of its own, with the signals `ignoring` ignored and no others."""

    def dispositions():
        # What a test is started by may ignore some.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN if number in ignoring else signal.SIG_DFL)

    return subprocess.Popen(
        command("sweep", *arguments), text=True, start_new_session=True, preexec_fn=dispositions,
        **({"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams),
    )  # fmt: skip


def read_until(stream, word):
    for line in stream:
        if word in line:
            return
    raise AssertionError(f"the process ended before it said {word}")


def wait_for(condition, seconds=90.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def rows_of(path):
    """How many rows of the journal of a store are there by now."""
    try:
        return len(os.listdir(path / "journal" / "rows")) - 1
    except FileNotFoundError:
        return 0


def workers_of(process):
    """Processes of the workers of a sweep on cluster=processes."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "spawn_main" in " ".join(child.cmdline())]


def assert_same_bits(path, other):
    """Two stores have the same arrays and the same ledger, in every bit."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = (xr.open_zarr(p).load() for p in (str(path), str(other)))
    assert one.sizes == two.sizes
    for name in METRICS:
        assert one[name].to_numpy().tobytes() == two[name].to_numpy().tobytes(), name
    ours, theirs = (open_store(p).rows() for p in (path, other))
    for name in METRICS:
        assert ours[name].tobytes() == theirs[name].tobytes(), name
    assert not np.isnan(ours["error"][..., 0]).any()
    assert not (path / "journal").exists()
    assert [str(p) for p in path.parent.glob(f"{path.name}*") if p != path] == []
    assert [str(p) for p in path.rglob("*.partial")] == []


def bits(dataset):
    """Everything numerical of a dataset, as integers: NaN and the sign of zero included."""
    return {
        name: dataset[name].to_numpy().view(np.uint32).tobytes()
        for name in ("error", "mask_accuracy", "regret")
    }


def assert_same(one, other):
    assert bits(one) == bits(other)
    a, b = summarize(one), summarize(other)
    for name in a.data_vars:
        assert a[name].to_numpy().tobytes() == b[name].to_numpy().tobytes(), name


class Counting(rounds.SilentObserver):
    """Counts what a run says it computes."""

    def begin(self, plan, todo, done):
        self.todo, self.done, self.advanced = todo, done, 0

    def advance(self, trials):
        self.advanced += trials


class Striking(rounds.SilentObserver):
    """Does something once a few units are stored, and keeps what it is told."""

    def __init__(self, strike, after=5):
        self._strike, self._left, self.lines = strike, after, []

    def advance(self, trials):
        self._left -= 1
        if self._left == 0:
            self._strike()

    def notify(self, line):
        self.lines.append(line)


def execute(arguments, observer, client=None, values=None):
    """A sweep as a call: what it did."""
    settings = compose.load([str(argument) for argument in arguments], values=values)
    plan = make_plan(settings, kinds.resolve)
    return rounds.execute(settings, plan, observer, client)


def counted(arguments, client=None):
    observer = Counting()
    execute(arguments, observer, client)
    return observer


def open_store(path):
    """The store at a path, as it is now."""
    return Store.open(Location.of(path))
