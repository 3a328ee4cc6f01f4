"""Faults with real processes and real signals; each ends in the store of an undisturbed sweep."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from helpers.sweeps import (
    LONG,
    SWEEP,
    assert_same_bits,
    execute,
    open_store,
    rows_of,
    sweep,
    sweeping,
    wait_for,
)

from pipeline import UserError
from pipeline.audit.difference import compare_stores
from pipeline.audit.verify import verify
from pipeline.run import rounds
from pipeline.sources import kinds
from pipeline.store import lock
from pipeline.store.location import Location
from pipeline.store.store import Store

pytestmark = pytest.mark.slow


def test_a_client_killed_at_20_random_moments_loses_nothing(path, tmp_path):
    moments = random.Random(20)
    # Every run asks for more, so that growing is struck too.
    for k in range(20):
        asked = [*SWEEP, f"trials={20_000 + 10_000 * k}", f"out={path}"]
        with sweeping(*asked) as process:
            wait_for(lambda p=process: Path(f"{path}.lock").exists() or p.poll() is not None)
            time.sleep(moments.uniform(0.0, 0.6))
            process.kill()
        if Store.find(Location.of(path)):
            bad = [p.words for p in verify(open_store(path), 0.0).problems]
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
        assert verify(open_store(path), 0.0).units >= 80
    assert sweep(*more, "extend=true", f"out={path}")[0] == 0
    whole = tmp_path / "whole.zarr"
    assert sweep(*more, f"out={whole}")[0] == 0
    compared, differences = compare_stores(open_store(path), open_store(whole))
    assert (compared > 160, differences) == (True, [])
    assert verify(open_store(path), 0.05).problems == []
    assert rows_of(path) == 0


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
        patch.setattr(Store, "finish", lambda store, record: None)
        execute([*LONG, f"out={path}"], rounds.SilentObserver())
    assert rows_of(path) > 0
    code, said = sweep(*LONG, f"out={path}")
    assert (code, said.splitlines()[0]) == (
        0, "Nothing to compute: all 100,000 trials are in the store.",
    )  # fmt: skip
    assert_same_bits(path, undisturbed)
    assert open_store(path).record.ended


@pytest.mark.parametrize("left", ["journal", "error/c/0.partial", None])
def test_what_is_left_by_a_kill_in_the_last_moments_is_removed_by_the_same_command(
    path, undisturbed, left
):
    shutil.copytree(undisturbed, path)
    Path(f"{path}.lock").write_text("{}")
    if left == "journal":
        (path / left / "rows").mkdir(parents=True)
    elif left:
        (path / left).write_bytes(b"half")
    code, said = sweep(*LONG, f"out={path}")
    assert (code, said.splitlines()[0]) == (
        0, "Nothing to compute: all 100,000 trials are in the store.",
    )  # fmt: skip
    assert_same_bits(path, undisturbed)


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


def test_a_lock_at_a_url_is_an_object_that_ends_with_its_process():
    store = Location("memory://test_lock/s.zarr")
    with (
        lock.held(store),
        pytest.raises(UserError, match=r"memory://test_lock/s\.zarr is being written by process"),
    ):
        lock.check_free(store)
    lock.check_free(store)
    with lock.held(store) as held:
        assert not held.stale


def test_tidying_up_forgets_no_unit_that_is_still_set_aside(path, monkeypatch):
    def draw(source, seed, size, first, count):
        if first == 200:
            raise ValueError("no such luck")
        return original(source, seed, size, first, count)

    original = kinds.draw_pair
    arguments = ["unit_trials=100", f"out={path}"]
    with monkeypatch.context() as patch:
        patch.setattr(kinds, "draw_pair", draw)
        patch.setattr(Store, "finish", lambda store, record: None)
        execute(["trials=300", *arguments], rounds.SilentObserver())
    # All that this one wants is there.
    assert execute(["trials=200", *arguments], rounds.SilentObserver()).computed == 0
    assert not open_store(path).is_unfinished
    assert [bad.unit.number for bad in open_store(path).record.quarantined] == [2]
