"""A store that the system does not let be read is neither damaged nor "not there"."""

import errno
import os
import uuid

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from helpers.stores import plan_of, prepare, write
from helpers.unreadable import assert_refused, failing, tree

from pipeline import UserError, open_results, summarize, sweep
from pipeline.cli.main import main
from pipeline.errors import UnreadableError
from pipeline.store import layout, recent
from pipeline.store.leftovers import leftovers, remove_leftovers
from pipeline.store.location import Location
from pipeline.store.store import Store, find_for

SWEEP = ["freqs=0..2", "trials=40", "unit_trials=20"]
BROKEN = OSError(errno.EIO, "Input/output error", "/some/file")


@pytest.fixture
def path(tmp_path):
    store, plan = prepare(tmp_path / "s.zarr", *SWEEP)
    write(store, plan, 0, 1)
    store.finish(store.record)
    return tmp_path / "s.zarr"


@pytest.mark.parametrize(
    "call",
    [
        Store.open,
        Store.find,
        lambda place: find_for(place, plan_of(*SWEEP), extend=False),
        lambda place: open_results(place.url),
        lambda place: summarize(place.url),
    ],
    ids=["open", "find", "find_for", "open_results", "summarize"],
)
def test_whoever_opens_it_is_told_the_file_and_the_reason(path, monkeypatch, call):
    failing(monkeypatch, "zarr.json", BROKEN)
    with pytest.raises(UnreadableError, match=r"^cannot read /some/file: Input/output error: look"):
        call(Location.of(path))


def test_rows_and_trials_that_cannot_be_read_are_told_the_same_way(path, monkeypatch):
    with monkeypatch.context() as patch:
        failing(patch, "ledger/error/c/0/0/0/0/0/0/0/0", BROKEN)
        for call in (Store.counts, Store.rows, Store.measured_trials):
            with pytest.raises(UnreadableError, match="cannot read /some/file"):
                call(Store.open(Location.of(path)))
    failing(monkeypatch, "error/c/0/0/0/0/0/0/0", BROKEN)
    assert summarize(path).measured.values.min() == 40
    with pytest.raises(UnreadableError, match="cannot read /some/file"):
        summarize(path, 10)
    failing(monkeypatch, "error/zarr.json", BROKEN)
    with pytest.raises(UnreadableError, match="cannot read /some/file"):
        _ = Store.open(Location.of(path)).kept_trials


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE, errno.ENAMETOOLONG])
def test_a_place_of_which_nothing_is_said_is_not_taken_for_a_free_one(path, monkeypatch, number):
    def lstat(place, **options):
        if str(place).startswith(str(path)):
            raise OSError(number, os.strerror(number), str(place))
        return original(place, **options)

    original = os.lstat
    monkeypatch.setattr(os, "lstat", lstat)
    place = Location.of(path)
    for call in (place.exists, lambda: Store.find(place), lambda: Store.open(place)):
        with pytest.raises(UnreadableError, match=f"cannot read {path}.*: {os.strerror(number)}: "):
            call()


def test_a_link_that_leads_to_itself_is_no_place_for_a_store(tmp_path):
    (tmp_path / "s.zarr").symlink_to(tmp_path / "s.zarr")
    with pytest.raises(UnreadableError, match="Too many levels of symbolic links: mend the"):
        Store.open(Location.of(tmp_path / "s.zarr"))


@pytest.mark.parametrize("inside", ["file/s.zarr", "nowhere", "nowhere/s.zarr", "file"])
def test_a_place_where_nothing_is_stays_one_without_a_store(tmp_path, inside):
    (tmp_path / "file").write_text("")
    assert Store.find(Location.of(tmp_path / inside)) is None
    with pytest.raises(UserError, match="is not a store of this program: give the path"):
        Store.open(Location.of(tmp_path / inside))


def test_an_array_that_cannot_be_read_is_not_said_to_be_none(path, monkeypatch):
    failing(monkeypatch, "zarr.json", BROKEN)
    with pytest.raises(UnreadableError, match="cannot read /some/file: Input/output error"):
        layout.open_array(Location.of(path / "error"))


def test_leftovers_that_stay_are_not_said_to_be_removed(path, monkeypatch):
    half, journal = path / "error" / "x.partial", path / "journal"
    half.write_bytes(b"half")
    (journal / "rows").mkdir(parents=True)
    assert leftovers(Location.of(path)) == sorted([str(half), str(journal)])

    def refuse(place, *arguments, **options):
        raise PermissionError(errno.EACCES, "Permission denied", str(place))

    with monkeypatch.context() as patch:
        patch.setattr(os, "remove", refuse)
        patch.setattr(os, "rmdir", refuse)
        assert remove_leftovers(Location.of(path)) == []
    assert remove_leftovers(Location.of(path)) == sorted([str(half), str(journal)])


def test_a_journal_of_which_nothing_is_said_is_no_leftover(path, monkeypatch):
    def lstat(place, **options):
        if str(place).endswith("journal/zarr.json"):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return original(place, **options)

    (path / "journal").mkdir()
    original = os.lstat
    monkeypatch.setattr(os, "lstat", lstat)
    with pytest.raises(UnreadableError, match=r"journal/zarr\.json: Permission denied"):
        remove_leftovers(Location.of(path))
    assert (path / "journal").exists()


class RefusedError(Exception):
    """An error of a client of an object store, which is no OSError."""


class Refusing(MemoryFileSystem):
    """What lies in memory, of which some paths are refused."""

    protocol = "refusing"
    refused: str = ""

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("refusing://", "memory://"))

    def _check(self, path):
        if self.refused and self.refused in path:
            raise RefusedError(f"403, message='Forbidden', url={path}")

    def cat_file(self, path, *arguments, **options):
        self._check(path)
        return super().cat_file(path, *arguments, **options)

    def info(self, path, **options):
        self._check(path)
        return super().info(path, **options)


@pytest.fixture
def url(monkeypatch):
    """A store at a URL, in a folder of results of its own."""
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    results = uuid.uuid4().hex
    sweep([*SWEEP, f"out=memory://{results}/s.zarr"])
    monkeypatch.setattr(Refusing, "refused", "")
    return f"refusing://{results}/s.zarr"


@pytest.mark.parametrize(
    ("refused", "verbs"),
    [
        ("s.zarr/zarr.json", ["status", "summary", "verify", "plot", "sweep", "plan", "rerun"]),
        ("ledger/error/c", ["status", "summary", "plot", "sweep", "plan"]),
        ("s.zarr.lock", ["status", "verify"]),
    ],
)
def test_what_a_client_of_an_object_store_raises_is_one_line(
    url, monkeypatch, capsys, tmp_path, refused, verbs
):
    own = {
        "sweep": [*SWEEP, f"out={url}"], "plan": [*SWEEP, f"out={url}"],
        "rerun": [url, f"out={tmp_path}/again.zarr"],
    }  # fmt: skip
    assert main(["status", url]) == 0
    capsys.readouterr()
    monkeypatch.setattr(Refusing, "refused", refused)
    for verb in verbs:
        assert main([verb, *own.get(verb, [url])]) == 2
        assert_refused(capsys.readouterr().err, "403, message='Forbidden'")
    assert list(tmp_path.iterdir()) == []


def test_a_unit_at_a_url_that_is_refused_was_not_checked(url, monkeypatch, capsys):
    monkeypatch.setattr(Refusing, "refused", "s.zarr/error/c/0/0/0/0/0/0/1")
    assert main(["verify", url, "sample=0"]) == 1
    printed, said = capsys.readouterr()
    assert "not checked: source=uniform block_size=8 trials 20..39: cannot read it: Ref" in printed
    assert said == f"error: 1 part of {url} could not be checked, and is not touched\n"


def test_a_note_that_cannot_be_read_is_not_taken_for_none(path, monkeypatch):
    results = Location.of(path.parent)
    recent.note(results, Location.of("/elsewhere/s.zarr"))

    def read(location):
        raise PermissionError(errno.EACCES, "Permission denied", location.url)

    assert recent.last_used(results.url) == Location.of(path)
    monkeypatch.setattr(Location, "read", read)
    line = r"cannot read .*\.last-used: Permission denied: give the path of the store that is meant"
    with pytest.raises(UnreadableError, match=line):
        recent.last_used(results.url)
    # To take a note may fail: it is a convenience.
    recent.note(results, Location.of(path))


def test_the_noted_store_is_taken_though_it_cannot_be_read(path, monkeypatch, capsys):
    results = Location.of(path.parent)
    noted, other = path.parent / "noted.zarr", path
    os.rename(path, noted)
    store, plan = prepare(other, *SWEEP)
    write(store, plan, 0, 1)
    recent.note(results, Location.of(noted))
    before = tree(path.parent)

    def lstat(place, **options):
        if str(place).startswith(str(noted)):
            raise PermissionError(errno.EACCES, "Permission denied", str(place))
        return original(place, **options)

    original = os.lstat
    monkeypatch.setattr(os, "lstat", lstat)
    assert main(["summary", f"results={results}"]) == 2
    assert_refused(capsys.readouterr().err, "Permission denied: ask its owner", noted)
    assert tree(path.parent) == before


def test_a_store_whose_date_cannot_be_read_is_not_passed_over(path, monkeypatch):
    def modified(location):
        raise OSError(errno.EIO, "Input/output error", location.url)

    monkeypatch.setattr(Location, "modified", modified)
    with pytest.raises(UnreadableError, match=r"s\.zarr/zarr\.json: Input/output error: give the"):
        recent.last_used(path.parent)
