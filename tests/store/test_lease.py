"""The lock of a store at a URL: one holder at a time, whatever hosts, numbers and clocks say."""

import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
import uuid
from contextlib import ExitStack

import pytest
import zarr
from helpers.objects import as_environment, buckets, reached

from pipeline.errors import StoreLostError, UserError
from pipeline.store import files, lease, lock
from pipeline.store.location import Location


@pytest.fixture(scope="module")
def server():
    with buckets() as make:
        yield make


@pytest.fixture
def on_s3(server, monkeypatch):
    """A place on S3 where there may be a store."""
    with reached(server(), monkeypatch) as bucket:
        yield Location(f"{bucket.url}/a.zarr")


@pytest.fixture(params=["memory", "s3"])
def store(request):
    """The same, or in memory."""
    if request.param == "s3":
        return request.getfixturevalue("on_s3")
    return Location(f"memory://{uuid.uuid4().hex}/a.zarr")


@pytest.fixture
def quick(monkeypatch):
    """A lock is old after a second, and renewed every tenth of one."""
    monkeypatch.setattr(lease, "_OLD", 1.0)
    monkeypatch.setattr(lease, "_BEAT", 0.1)
    monkeypatch.setattr(lease, "_BETWEEN_LOOKS", 0.05)
    monkeypatch.setattr(lease, "_SECONDS_TO_SAY", 0.2)


def leave_behind(store, **content):
    """A lock that nobody renews."""
    left = {"host": "other", "pid": 1, "started": "2020-01-01T00:00:00+00:00", "token": "x"}
    store.beside(".lock").write(json.dumps({**left, **content}).encode())


def test_a_lock_that_is_held_is_renewed_and_refused_to_others(store, quick):
    with lock.held(store) as held:
        first = json.loads(store.beside(".lock").read())
        held.publish(computed=7)
        deadline = time.monotonic() + 20
        while json.loads(store.beside(".lock").read()).get("beat", 0) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        content = lock.holder(store)
        assert content["token"] == first["token"] == held.token
        assert content["computed"] == 7
        with pytest.raises(UserError, match=f"is being written by process {os.getpid()} on "):
            ExitStack().enter_context(lock.held(store))
    assert not store.beside(".lock").exists()
    assert lock.holder(store) is None


def test_a_holder_on_another_machine_is_seen_to_live(store, quick, monkeypatch):
    """Nothing is known of its process, and its clock is an hour behind."""
    monkeypatch.setattr(lease, "identity_of_process", dict)
    stop = threading.Event()

    def renew():
        beat = 0
        while not stop.wait(0.1):
            beat += 1
            leave_behind(store, beat=beat, pid=77)

    leave_behind(store, pid=77)
    thread = threading.Thread(target=renew)
    thread.start()
    try:
        with pytest.raises(UserError, match="is being written by process 77 on other"):
            ExitStack().enter_context(lock.held(store))
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("started", ["2020-01-01T00:00:00+00:00", "2099-01-01T00:00:00+00:00"])
def test_a_lock_that_nobody_renews_is_taken_over_after_a_while(store, quick, started):
    """Whatever the clock of its host said."""
    leave_behind(store, started=started)
    lines = []
    began = time.monotonic()
    with lock.held(store, lines.append) as held:
        assert time.monotonic() - began > 1.0
        assert held.stale
        assert json.loads(store.beside(".lock").read())["token"] == held.token
    (line,) = lines
    assert f"{store} was being written by process 1 on other: looking for 1 seconds" in line


def test_a_lock_that_was_left_behind_keeps_nobody_from_verifying(store, quick):
    leave_behind(store)
    began = time.monotonic()
    lock.check_free(store)
    assert time.monotonic() - began > 1.0
    store.beside(".lock").remove()
    lock.check_free(store)
    with lock.held(store), pytest.raises(UserError, match="is being written by process"):
        lock.check_free(store)


def test_a_process_of_this_machine_that_is_gone_is_known_to_be(store, monkeypatch):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    ours = lease.identity_of_process()
    leave_behind(store, pid=process.pid, machine=ours["machine"], since=1)
    assert lock.holder(store) is None
    with lock.held(store) as held:
        assert held.stale


def test_the_same_number_in_another_container_or_of_a_later_process_is_another_one():
    """In containers a host has one name, and every program number 1."""
    ours = lease.identity_of_process()
    mine = {"pid": os.getpid(), **ours}
    assert lease.may_live(mine) is True
    assert lease.may_live({**mine, "machine": "another boot pid:[1]"}) is None
    assert lease.may_live({**mine, "since": ours["since"] - 1}) is False
    assert lease.may_live({"pid": os.getpid(), "host": "this one"}) is None
    assert lease.may_live({}) is None


def test_whoever_was_overtaken_finds_out_and_leaves_the_lock_alone(store, quick):
    with lock.held(store) as held:
        leave_behind(store, token="of another")
        for _ in range(2):
            with pytest.raises(StoreLostError, match="was taken over by another sweep"):
                held.publish()
    assert json.loads(store.beside(".lock").read())["token"] == "of another"


@pytest.fixture
def suspended(monkeypatch):
    """The thread that renews a lock does not run, as where its process is stopped."""
    monkeypatch.setattr(lease, "_BEAT", 1000.0)


def test_a_holder_that_was_suspended_writes_over_nothing(on_s3, suspended):
    """Another one has taken over, and written what this one has read before."""
    with lock.held(on_s3):
        root = zarr.create_group(files.writing(on_s3, durable=False))
        root.create_group("journal")
        leave_behind(on_s3, token="of another")
        zarr.open_group(files.reading(on_s3), mode="r+").attrs["by"] = "another"

        def write():
            root.attrs["by"] = "the first"

        def remove():
            del root["journal"]

        for do in (write, remove):
            with pytest.raises(StoreLostError, match="was taken over by another sweep"):
                do()
        found = zarr.open_group(files.reading(on_s3), mode="r")
        assert found.attrs["by"] == "another"
        assert "journal" in found
    assert json.loads(on_s3.beside(".lock").read())["token"] == "of another"


def contend(url, environment, hours, barrier, results):
    os.environ.update(environment)
    # The clock of this one, by which nothing may be decided.
    now = time.time
    time.time = lambda: now() + 3600 * hours
    barrier.wait()
    try:
        with lock.held(Location(url)):
            results.put(("held", os.getpid()))
            # Until all others have been told.
            barrier.wait()
    except UserError as error:
        results.put(("told", str(error)))
        barrier.wait()


@pytest.mark.slow
def test_of_six_at_once_one_works_and_five_are_told_who_does(server):
    """Twenty times, in processes of their own, whose clocks are an hour early, late, or right."""
    context = multiprocessing.get_context("spawn")
    for _ in range(20):
        bucket = server()
        barrier, results = context.Barrier(6), context.Queue()
        place = f"{bucket.url}/a.zarr", bucket.environment
        six = [
            context.Process(target=contend, args=(*place, k % 3 - 1, barrier, results))
            for k in range(6)
        ]
        for process in six:
            process.start()
        said = [results.get(timeout=120) for _ in six]
        for process in six:
            process.join()
        (holder,) = [pid for kind, pid in said if kind == "held"]
        told = [line for kind, line in said if kind == "told"]
        assert len(told) == 5
        assert all(f"is being written by process {holder} on " in line for line in told)
        assert bucket.keys() == []


@pytest.mark.slow
def test_of_six_sweeps_at_once_one_works_and_five_are_told(server, tmp_path):
    bucket = server()
    words = [sys.executable, "-m", "pipeline", "sweep", f"out={bucket.url}/a.zarr", "trials=3e5",
             "unit_trials=1000", "freqs=0..14", "--quiet"]  # fmt: skip
    six = [
        subprocess.Popen(
            words, cwd=tmp_path, env=as_environment(bucket.environment), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )
        for _ in range(6)
    ]  # fmt: skip
    ended = [process.communicate(timeout=300) for process in six]
    codes = [process.returncode for process in six]
    assert sorted(codes) == [0, 2, 2, 2, 2, 2]
    worked = six[codes.index(0)].pid
    for code, (_, said) in zip(codes, ended, strict=True):
        if code:
            assert f"is being written by process {worked} on " in said


def test_the_rounds_of_an_earlier_holder_are_ended(store):
    with lock.held(store):
        store.child("journal", "zarr.json").write(b"{}")
        name = files.begin_round(store)
        files.check_current(store, name)
    with lock.held(store), pytest.raises(StoreLostError, match="was taken over"):
        files.check_current(store, name)
