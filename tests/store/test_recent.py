"""The store that a verb takes when it is given none: the one that was last used or shown."""

import os
import uuid
from pathlib import Path

import pytest

from pipeline import UserError, sweep
from pipeline.cli.main import main
from pipeline.store import recent
from pipeline.store.location import Location


@pytest.fixture(params=["folder", "memory"])
def results(request, tmp_path):
    """A place for results that is there, without a store."""
    if request.param == "memory":
        place = Location.of(f"memory://{uuid.uuid4().hex}")
        place.child("readme").write(b"")
        return place
    return Location.of(tmp_path)


def written(results, name, age=0):
    """What looks like a store, written so many seconds ago."""
    store = results.child(name)
    if store.folder:
        store.folder.mkdir(parents=True, exist_ok=True)
    file = store.child("zarr.json")
    file.write(b"{}")
    if file.folder and age:
        now = os.stat(file.folder).st_mtime
        os.utime(file.folder, (now - age, now - age))
    return store


def test_without_a_note_the_store_last_written_is_taken(results):
    # Neither by its name nor by the order in which they are listed.
    written(results, "b.zarr", age=100)
    newest = written(results, "a.zarr")
    written(results, "c.zarr", age=200) if results.folder else None
    # What is no store is not asked.
    results.child("d.zarr").write(b"a file")
    assert recent.last_used(results.url) == newest


def test_the_store_last_used_is_taken_though_another_one_was_written_later(results):
    used = written(results, "used.zarr", age=100)
    written(results, "newer.zarr")
    recent.note(results, used)
    assert recent.last_used(results.url) == used
    other = written(results, "other.zarr", age=50)
    recent.note(results, other)
    assert recent.last_used(results.url) == other


def test_a_store_that_lies_elsewhere_can_be_the_last_used(results, tmp_path):
    written(results, "here.zarr")
    away = written(Location.of(tmp_path / "away"), "s.zarr")
    recent.note(results, away)
    assert recent.last_used(results.url) == away


def test_a_noted_store_that_is_gone_gives_way_to_the_newest(results):
    here, gone = written(results, "here.zarr"), written(results, "gone.zarr")
    recent.note(results, gone)
    gone.child("zarr.json").remove()
    assert recent.last_used(results.url) == here


@pytest.mark.parametrize(
    "note", [b"", b"\xff\xfe", b"nowhere", b"foo://x/y", b"abfs://x/y", b"memory://no/such"]
)
def test_a_note_that_leads_nowhere_gives_way_to_the_newest(results, note):
    here = written(results, "here.zarr")
    results.child(recent._NOTE).write(note)
    assert recent.last_used(results.url) == here


def test_where_there_is_no_store_the_remedy_is_named(results):
    for place in (results, results.child("nowhere")):
        with pytest.raises(UserError, match=f"no store in {place}: run .*sweep first, or give its"):
            recent.last_used(place.url)


def test_the_folder_is_named_as_it_was_written(elsewhere):
    with pytest.raises(UserError, match="no store in results: run"):
        recent.last_used("results")
    stored = written(Location.of("results"), "s.zarr")
    assert recent.last_used("results") == stored


def test_a_folder_of_results_that_is_not_there_is_no_error_and_is_not_made(tmp_path):
    away = written(Location.of(tmp_path / "away"), "s.zarr")
    recent.note(Location.of(tmp_path / "nowhere"), away)
    assert [path.name for path in tmp_path.iterdir()] == ["away"]


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path, monkeypatch):
    results = Location.of(tmp_path)
    one, two = written(results, "one.zarr"), written(results, "two.zarr")
    recent.note(results, one)

    def refuse(location, content):
        raise PermissionError(13, "Permission denied", location.url)

    monkeypatch.setattr(Location, "write", refuse)
    recent.note(results, two)
    assert recent.last_used(results.url) == one


def test_a_read_only_folder_is_no_error(tmp_path):
    one = written(Location.of(tmp_path), "one.zarr")
    # Root may write anywhere but into /proc.
    recent.note(Location("/proc/self"), one)
    assert not Path("/proc/self", recent._NOTE).exists()


@pytest.mark.parametrize("url", ["foo://results", "abfs://bucket/results"])
def test_results_that_nothing_here_opens_are_refused_where_a_store_is_looked_for(url, tmp_path):
    store = written(Location.of(tmp_path), "s.zarr")
    # A verb that was given its store needs no results.
    recent.note(Location.of(url), store)
    with pytest.raises(UserError, match=f"cannot open {url}"):
        recent.last_used(url)


def test_a_note_is_not_written_again_while_it_stays_the_same(tmp_path):
    results = Location.of(tmp_path)
    store = written(results, "s.zarr")
    recent.note(results, store)
    os.utime(tmp_path / recent._NOTE, (1, 1))
    recent.note(results, store)
    assert os.stat(tmp_path / recent._NOTE).st_mtime == 1


def store_of(printed):
    return next(line for line in printed.splitlines() if line.startswith("Store: "))


def test_what_was_shown_is_what_the_next_verb_is_about(elsewhere, capsys):
    arguments = ["freqs=0..2", "trials=10"]
    assert main(["sweep", *arguments]) == 0
    first = store_of(capsys.readouterr().out)
    assert main(["sweep", *arguments, "seed=1"]) == 0
    second = store_of(capsys.readouterr().out)
    assert main(["summary"]) == 0
    assert store_of(capsys.readouterr().out) == second
    assert main(["summary", first.removeprefix("Store: ")]) == 0
    capsys.readouterr()
    assert main(["summary"]) == 0
    assert store_of(capsys.readouterr().out) == first
    # One that is complete is used too, and writes nothing.
    assert main(["sweep", *arguments, "seed=1"]) == 0
    capsys.readouterr()
    assert main(["summary"]) == 0
    assert store_of(capsys.readouterr().out) == second
    sweep([*arguments, "out=elsewhere.zarr"])
    assert main(["summary"]) == 0
    assert store_of(capsys.readouterr().out) == f"Store: {elsewhere}/elsewhere.zarr"


def test_results_at_a_url_are_found_again(elsewhere, capsys):
    url = f"memory://{uuid.uuid4().hex}"
    store = f"Store: {sweep(['freqs=0..2', 'trials=10', f'results={url}']).attrs['store']}"
    assert store.startswith(f"Store: {url}/sweep-")
    assert main(["summary", f"results={url}"]) == 0
    assert store_of(capsys.readouterr().out) == store
    assert list(elsewhere.iterdir()) == []
