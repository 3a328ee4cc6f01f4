"""Signals that ask a sweep to end, and a terminal that goes away."""

import os
import pty
import signal
import tempfile
from pathlib import Path

import psutil
import pytest
from helpers.sweeps import (
    LONG,
    assert_same_bits,
    open_store,
    read_until,
    rows_of,
    start,
    sweep,
    wait_for,
    workers_of,
)

pytestmark = pytest.mark.slow

KINDS = ["cluster=local", "cluster=processes"]
CODES = {signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGINT: 130}
# A unit of these takes a minute.
SLOW = ["trials=1e6", "block_size=64", "freqs=0..126"]


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A folder for temporary files; a short name, since sockets may be in it."""
    with tempfile.TemporaryDirectory(prefix="asm") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def folders_in(scratch):
    return [path.name for path in scratch.glob("dask-scratch-space/worker-*")]


def assert_nothing_is_left(path, scratch, children):
    assert not Path(f"{path}.lock").exists()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []
    assert folders_in(scratch) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stores_what_is_in_flight_and_the_same_command_goes_on(
    path, undisturbed, scratch, kind, number
):
    arguments = [*LONG, kind, f"out={path}"]
    with start(*arguments) as process:
        wait_for(lambda: rows_of(path) > 5)
        children = psutil.Process(process.pid).children(recursive=True)
        # To the whole group, as a terminal and Slurm do.
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == CODES[number]
    assert f"Stopping after {signal.Signals(number).name}: storing the units in flight" in said
    assert said.splitlines()[-1] == "Stopped. The same command goes on where this one stopped."
    assert "Traceback" not in said
    assert_nothing_is_left(path, scratch, children)
    store = open_store(path)
    assert not store.is_unfinished
    assert 0 < store.counts().sum() < 100_000
    code, said = sweep(*arguments)
    assert code == 0
    assert "are in the store" in said
    assert_same_bits(path, undisturbed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        *(pytest.param(each, marks=pytest.mark.long) for each in (signal.SIGHUP, signal.SIGINT)),
    ],
)
def test_a_second_signal_ends_at_once(path, scratch, kind, number):
    with start(*SLOW, kind, f"out={path}") as process:
        read_until(process.stderr, "Measuring")
        # In flight.
        wait_for(lambda: '"running": [{' in Path(f"{path}.lock").read_text())
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, number)
        read_until(process.stderr, "Stopping")
        os.killpg(process.pid, number)
        # A unit takes longer.
        assert process.wait(timeout=40) == CODES[number]
    assert_nothing_is_left(path, scratch, children)


def test_units_that_take_too_long_for_a_batch_system_are_not_waited_for(path, scratch):
    with start(*SLOW, "cluster=processes", f"out={path}") as process:
        read_until(process.stderr, "Measuring")
        wait_for(lambda: '"running": [{' in Path(f"{path}.lock").read_text())
        children = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        read_until(process.stderr, "for at most 6 s")
        assert process.wait(timeout=40) == 143
    assert_nothing_is_left(path, scratch, children)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_while_a_sweep_starts_ends_it(path, scratch, kind):
    with start(*LONG, kind, f"out={path}") as process:
        wait_for(lambda: Path(f"{path}.lock").exists())
        children = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert "Traceback" not in said
    assert "Stopped." in said
    assert_nothing_is_left(path, scratch, children)


def test_workers_end_with_a_client_that_is_killed(path):
    with start(*LONG, "cluster=processes", f"out={path}") as process:
        wait_for(lambda: rows_of(path) > 5)
        children = workers_of(process)
        assert children
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=20)
    assert alive == []


@pytest.mark.parametrize("ignores", [True, False])
def test_a_terminal_that_goes_away_ends_a_sweep_unless_it_ignores_that(path, undisturbed, ignores):
    ours, theirs = pty.openpty()
    ignoring = (signal.SIGHUP,) if ignores else ()
    with start(
        *LONG, f"out={path}", ignoring=ignoring, stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        wait_for(lambda: rows_of(path) > 5)
        # From now on whatever is written there is an input/output error.
        os.close(ours)
        if not ignores:
            process.send_signal(signal.SIGHUP)
        code = process.wait(timeout=120)
    assert code == (0 if ignores else 129)
    if not ignores:
        assert sweep(*LONG, f"out={path}")[0] == 0
    assert_same_bits(path, undisturbed)
