"""Files of a store: whole or not there, and out of reach for workers whose round is over."""

import os
import shutil
import sys
import threading

import pytest
import zarr
from helpers.stores import prepare, write

from pipeline.errors import MisfitError, StoreLostError
from pipeline.planning.grid import Missing
from pipeline.run import worker
from pipeline.run.worker import run_unit
from pipeline.store import files, lock
from pipeline.store.location import Location

# Where a worker is stopped: at each line of these.
WRITING = ("store/files.py",)


def content(folder):
    """Every file below a folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


class Stopped:
    """A thread that measures a unit and is stopped before the n-th line of what writes it."""

    def __init__(self, line, *arguments):
        self.error = None
        self.left, self._arguments = line, arguments
        self._reached, self._resume = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def wait(self):
        """Wait until it is stopped; False where it has ended before."""
        while not self._reached.wait(0.001):
            if not self._thread.is_alive():
                return self._reached.is_set()
        return True

    def resume(self):
        """Let it run on, to its end."""
        self._resume.set()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def _run(self):
        sys.settrace(self._trace)
        try:
            run_unit(*self._arguments)
        except Exception as error:
            self.error = error
        finally:
            sys.settrace(None)

    def _trace(self, frame, event, argument):
        if not frame.f_code.co_filename.endswith(WRITING):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self._reached.set()
                assert self._resume.wait(30)
        return self._trace


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """The files of a store that nothing disturbed, grown from 15 trials to 20."""
    path = tmp_path_factory.mktemp("grown") / "s.zarr"
    for trials in (15, 20):
        with lock.held(Location.of(path)):
            store, plan = prepare(path, f"trials={trials}", "unit_trials=10", "freqs=0..2")
            write(store, plan, 0, 1)
            store.finish(store.record)
    return content(path)


def numbers(of_files):
    """The files that have numbers: others say when, and by which command."""
    return {name: value for name, value in of_files.items() if "/c/" in name}


def test_a_worker_that_wakes_up_later_changes_nothing_wherever_it_was_stopped(tmp_path, grown):
    store, plan = prepare(tmp_path / "begun.zarr", "trials=15", "unit_trials=10", "freqs=0..2")
    write(store, plan, 0)
    task = store.round, Missing(list(plan.grid.units())[1])

    def stopped_at(line):
        path = tmp_path / f"{line}.zarr"
        shutil.copytree(tmp_path / "begun.zarr", path)
        # Read before, as the one who stops would otherwise hold a lock that the other waits for:
        # they are threads of one process here.
        worker._round_of(str(path), task[0], False)
        return path, Stopped(line, str(path), *task)

    _, whole = stopped_at(10**9)
    assert not whole.wait()
    lines = 10**9 - whole.left
    assert lines > 40
    # The first and the last of the four files that it writes, a chunk and the row.
    for line in (*range(1, lines // 4 + 2), *range(lines - lines // 4, lines + 1)):
        path, late = stopped_at(line)
        assert late.wait()
        # Its client has died, and another sweep grows, completes and ends the store.
        with lock.held(Location.of(path)):
            store, plan = prepare(path, "trials=20", "unit_trials=10", "freqs=0..2")
            write(store, plan, 0, 1)
            store.finish(store.record)
        before = content(path)
        assert numbers(before) == numbers(grown)
        late.resume()
        assert content(path) == before, line
        assert not list(path.rglob("*.partial"))
        assert not (path / "journal").exists()
        # At its last line the row was in place, and the round not over.
        assert isinstance(late.error, StoreLostError) == (line < lines)


def test_a_worker_of_an_earlier_round_of_the_same_sweep_changes_nothing(tmp_path):
    path = tmp_path / "s.zarr"
    store, plan = prepare(path, "trials=15", "unit_trials=10")
    early = store.round, Missing(list(plan.grid.units())[1])
    store, plan = prepare(path, "trials=20", "unit_trials=10")
    write(store, plan, 0, 1)
    before = content(path)
    with pytest.raises(MisfitError, match=r"does not see .* what this sweep has written there"):
        run_unit(store.location.url, *early)
    assert content(path) == before


def test_at_a_url_a_worker_asks_whether_its_round_is_the_current_one():
    location = Location("memory://test_files/s.zarr")
    with lock.held(location):
        store, plan = prepare(location.url, "trials=15", "unit_trials=10")
        early = store.round, Missing(next(plan.grid.units()))
        run_unit(location.url, *early)
    with lock.held(location), pytest.raises(StoreLostError, match="taken over by another sweep"):
        run_unit(location.url, *early)


def test_nothing_is_put_in_place_once_a_round_has_ended_also_by_who_writes_all_the_time(tmp_path):
    location = Location.of(tmp_path)
    (tmp_path / "journal").mkdir()
    place = files.writing(location, files.begin_round(location), durable=False)
    array = zarr.create_array(place, name="a", shape=(10**6,), chunks=(1,), dtype="i1")
    array = array.with_config({"write_empty_chunks": True})
    written, errors = [], []

    def go_on():
        try:
            for k in range(10**6):
                array[k] = 1
                written.append(k)
        except StoreLostError as error:
            errors.append(error)

    writers = [threading.Thread(target=go_on) for _ in range(3)]
    for writer in writers:
        writer.start()
    while len(written) < 50:
        assert any(writer.is_alive() for writer in writers)
    files.end_rounds(location)
    before = content(tmp_path)
    for writer in writers:
        writer.join(30)
    assert len(errors) == 3
    assert content(tmp_path) == before
    assert list((tmp_path / "journal").iterdir()) == []


def test_a_store_that_was_moved_away_is_not_made_anew_by_a_worker(tmp_path):
    path = tmp_path / "s.zarr"
    store, plan = prepare(path, "trials=15", "unit_trials=10")
    write(store, plan, 0)
    os.rename(path, tmp_path / "elsewhere.zarr")
    with pytest.raises(StoreLostError, match=r"s\.zarr was taken over by .*, or is gone"):
        run_unit(store.location.url, store.round, Missing(list(plan.grid.units())[1]))
    assert not path.exists()


def test_a_round_whose_folder_cannot_be_removed_is_said_with_the_remedy(tmp_path, monkeypatch):
    location = Location.of(tmp_path)
    (tmp_path / "journal").mkdir()
    files.begin_round(location)

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(files.shutil, "rmtree", refuse)
    monkeypatch.setattr(files, "_SECONDS_TO_END", 0.0)
    with pytest.raises(StoreLostError, match="Permission denied: stop the workers"):
        files.end_rounds(location)
    assert len(list((tmp_path / "journal").iterdir())) == 1
