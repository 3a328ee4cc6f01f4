"""What the system does not let verify read: said, not taken for damage, and never touched."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.damage import CHUNK, NAMED, SWEEP, flip, problems, truncate, words
from helpers.sweeps import assert_same_bits, open_store
from helpers.unreadable import assert_refused, failing, tree
from PIL import Image

from pipeline import UserError, sweep
from pipeline.audit.difference import compare_stores
from pipeline.audit.repair import repair
from pipeline.audit.verify import verify
from pipeline.cli.main import main
from pipeline.errors import StoreLostError, UnreadableError
from pipeline.store import lock
from pipeline.store.location import Location
from pipeline.store.store import Store

LEDGER = "ledger/error/c/0/1/0/0/0/0/0/0"
REGRETS = "ledger/regret/c/0/1/0/0/0/0/0"
ERRORS = [
    OSError(errno.EIO, os.strerror(errno.EIO), "/some/file"),
    OSError(errno.ESTALE, os.strerror(errno.ESTALE)),
    PermissionError(errno.EACCES, os.strerror(errno.EACCES)),
    OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    TimeoutError(),
    MemoryError(),
    # What the client of an object store raises, and a thread that cannot be started.
    RuntimeError("403, message='Forbidden'"),
]


@pytest.mark.parametrize(
    ("error", "file", "checked"),
    [
        *((error, CHUNK, 5) for error in ERRORS),
        *((ERRORS[0], file, 3) for file in (LEDGER, REGRETS)),
        *((ERRORS[0], file, 0) for file in ("error/zarr.json", "freq/c/0")),
    ],
    ids=str,
)
def test_what_cannot_be_read_is_said_and_nothing_is_touched(
    path, monkeypatch, capsys, error, file, checked
):
    before = tree(path)
    with monkeypatch.context() as patch:
        failing(patch, file, error)
        report = verify(open_store(path), 0.0)
        (problem,) = report.problems
        assert (problem.unread, problem.mendable, problem.files) == (True, False, ())
        assert "damage" not in problem.words
        assert report.units == checked
        for repairing in ([], ["repair=true"]):
            assert main(["verify", str(path), "sample=0", *repairing]) == 1
            printed, said = capsys.readouterr()
            assert f"not checked: {problem.words}" in printed
            assert "bad:" not in printed + said
            assert "No damage found" not in printed
            assert "missing" not in printed
            assert said == f"error: 1 part of {path} could not be checked, and is not touched\n"
        repair(open_store(path), report.problems)
    assert tree(path).keys() == before.keys()
    assert verify(open_store(path), 1.0).problems == []


@pytest.mark.parametrize("file", ["zarr.json", LEDGER])
def test_repair_leaves_every_file_as_it_was_where_nothing_was_found_wrong(path, monkeypatch, file):
    before = tree(path)
    with monkeypatch.context() as patch:
        failing(patch, file, OSError(errno.EIO, "Input/output error"))
        assert main(["verify", str(path), "repair=true"]) == (2 if file == "zarr.json" else 1)
    assert tree(path) == before


@pytest.mark.parametrize("unread", ["error/c/0/0/0/0/0/0/2", REGRETS])
def test_repair_mends_what_was_read_and_found_wrong_and_nothing_else(
    path, whole, monkeypatch, capsys, unread
):
    flip(path / CHUNK)
    (path / "mask_accuracy/c/0/0/0/0/0/0").write_bytes(b"")
    kept = (path / unread).read_bytes()
    with monkeypatch.context() as patch:
        failing(patch, unread, OSError(errno.EIO, "Input/output error"))
        code = main(["verify", str(path), "sample=0", "repair=true"])
        printed = capsys.readouterr().out
    assert "not checked: " in printed
    assert code == 1
    assert "Repaired" not in printed
    assert (path / unread).read_bytes() == kept
    repair(open_store(path), problems(path))
    sweep([*SWEEP, f"out={path}"])
    assert_same_bits(path, whole)


def test_rows_that_cannot_be_read_do_not_condemn_their_trials(path, monkeypatch):
    # The row of regret is not known; that is no sign that it is not that of the trials.
    trials = {name: content for name, content in tree(path).items() if "ledger" not in name}
    with monkeypatch.context() as patch:
        failing(patch, REGRETS, OSError(errno.EIO, "Input/output error"))
        found = problems(path)
        assert [problem.unread for problem in found] == [True]
        repair(open_store(path), found)
    after = tree(path)
    assert {name: after[name] for name in trials if "/c/" in name} == {
        name: content for name, content in trials.items() if "/c/" in name
    }


def test_a_repair_that_is_stopped_has_removed_no_trials_that_the_ledger_lists(path, monkeypatch):
    truncate(path / CHUNK)
    found = problems(path)
    assert found[0].words.startswith(f"{NAMED}: damaged")
    with monkeypatch.context() as patch:
        failing(patch, LEDGER, OSError(errno.EIO, "Input/output error"))
        with pytest.raises(StoreLostError, match="Input/output"):
            repair(open_store(path), found)
    assert (path / CHUNK).exists()
    assert words(path) == [found[0].words]


def test_a_journal_whose_row_cannot_be_read_is_kept(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", lambda store, record: None)
        sweep([*SWEEP, "seed=1", f"out={path}2"])
    other = path.with_name("s.zarr2")
    before = tree(other)
    for file in ("journal/rows/c.0.1.1.0", "journal/rows/zarr.json"):
        with monkeypatch.context() as patch:
            failing(patch, file, OSError(errno.EIO, "Input/output error"))
            found = problems(other)
            assert found
            assert all(problem.unread for problem in found)
            assert main(["verify", str(other), "repair=true"]) == 1
            assert main(["sweep", *SWEEP, "seed=1", f"out={other}"]) == 2
        assert tree(other) == before
    assert words(other) == []


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(path, monkeypatch):
    def scandir(folder):
        if str(folder).endswith("error/c"):
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return original(folder)

    (path / "error" / "c" / "0.2f1a.partial").write_bytes(b"half")
    original = os.scandir
    monkeypatch.setattr(os, "scandir", scandir)
    (problem,) = problems(path)
    assert problem.unread
    assert f"cannot read {path}/error/c: Permission denied" in problem.words


def test_a_store_that_may_be_read_in_a_folder_that_may_not_be_listed_is_whole(path, monkeypatch):
    def listdir(folder):
        raise PermissionError(errno.EACCES, "Permission denied", folder)

    monkeypatch.setattr(os, "listdir", listdir)
    assert problems(path) == []


@pytest.mark.parametrize("error", [errno.EACCES, errno.EIO])
def test_a_source_that_cannot_be_read_is_no_damage(tmp_path, monkeypatch, capsys, error):
    picture = tmp_path / "picture.png"
    samples = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(samples).save(picture)
    path = tmp_path / "s.zarr"
    sweep(["source=images", f"source.images.path={picture}", "trials=all", f"out={path}"])

    def read(file):
        if file == picture:
            raise OSError(error, os.strerror(error), str(file))
        return original(file)

    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", read)
    (problem,) = problems(path, 1.0)
    assert problem.words.startswith("cannot compute again what")
    assert problem.unread
    assert main(["verify", str(path)]) == 1
    assert "damaged" not in "".join(capsys.readouterr())


def test_stores_that_cannot_be_read_are_not_said_to_differ(path, whole, monkeypatch, capsys):
    failing(monkeypatch, CHUNK, OSError(errno.EIO, "Input/output error", "/some/file"))
    with pytest.raises(UnreadableError, match="cannot read /some/file: Input/output error: "):
        compare_stores(open_store(path), open_store(whole))
    flip(path / "error/c/0/0/0/0/0/0/0")
    assert main(["verify", str(whole), "sample=0", f"against={path}"]) == 1
    capsys.readouterr()
    monkeypatch.undo()
    failing(monkeypatch, "zarr.json", OSError(errno.EIO, "Input/output error", "/some/file"))
    assert main(["verify", str(whole), f"against={path}"]) == 2
    assert_refused(capsys.readouterr().err, "Input/output error", "/some/file")


def test_what_a_sweep_must_not_begin_on_is_refused_before_it_writes(path, monkeypatch, capsys):
    before = tree(path.parent)
    more = [*SWEEP[:3], "trials=400", SWEEP[4], f"out={path}"]
    failing(monkeypatch, LEDGER, OSError(errno.EIO, "Input/output error", "/some/file"))
    for words_of_sweep in (more, [*SWEEP, f"out={path}"]):
        assert main(["sweep", *words_of_sweep]) == 2
        assert_refused(capsys.readouterr().err, "Input/output error", "/some/file")
    assert tree(path.parent) == before


def test_a_lock_that_cannot_be_read_is_not_taken_for_none(path, monkeypatch):
    store = open_store(path)

    def read(file):
        raise PermissionError(errno.EACCES, "Permission denied", str(file))

    monkeypatch.setattr(Path, "read_bytes", read)
    for ask in (lock.holder, lock.check_free):
        with pytest.raises(UserError, match=r"cannot read .*s\.zarr\.lock: Permission denied: ask"):
            ask(store.location)


def test_a_journal_that_cannot_be_read_once_is_no_empty_one(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", lambda store, record: None)
        sweep([*SWEEP, "seed=1", f"out={path}2"])
    store = open_store(path.with_name("s.zarr2"))
    assert verify(store, 0.0).units > 0
    original, failed = Location.names, []

    def names(location):
        if not failed:
            failed.append(location)
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return original(location)

    monkeypatch.setattr(Location, "names", names)
    (problem,) = verify(store, 0.0).problems
    assert problem.unread
    assert "Stale file handle: mount the network file system again" in problem.words
