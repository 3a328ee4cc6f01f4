"""A folder and a URL are the same to whoever asks for what lies there."""

import os
import uuid
from pathlib import Path

import pytest

from pipeline import UserError
from pipeline.store.location import Location


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path):
    """An empty place, of this machine or at a URL."""
    if request.param == "folder":
        return Location.of(tmp_path)
    return Location.of(f"memory://{uuid.uuid4().hex}")


def test_what_a_user_writes_becomes_an_absolute_path_or_stays_a_url(elsewhere, monkeypatch):
    monkeypatch.setenv("HOME", "/home/somebody")
    assert Location.of("results").url == str(elsewhere / "results")
    assert Location.of(Path("results")) == Location.of("results")
    assert Location.of("~/results").url == "/home/somebody/results"
    assert Location.of("file:///tmp/x").folder == Path("/tmp/x")
    assert Location.of("memory://x/y").url == "memory://x/y"
    assert Location.of("memory://x/y").folder is None


def test_a_place_is_named_by_its_last_part():
    assert Location.of("/tmp/s.zarr/").name == "s.zarr"
    assert Location.of("memory://results/s.zarr/").name == "s.zarr"
    assert Location.of("/tmp/s.zarr").beside(".lock").url == "/tmp/s.zarr.lock"
    assert Location.of("memory://s.zarr/").beside(".lock").url == "memory://s.zarr.lock"
    assert str(Location.of("memory://s.zarr").child("a", "b")) == "memory://s.zarr/a/b"


def test_a_file_is_written_read_listed_dated_and_removed(place):
    file = place.child("note")
    assert not file.exists()
    assert file.modified() is None
    with pytest.raises(FileNotFoundError):
        file.read()
    file.write(b"one")
    file.write(b"another")
    assert file.exists()
    assert file.read() == b"another"
    assert place.names() == ["note"]
    dated = file.modified()
    assert dated is not None
    place.child("later").write(b"")
    assert place.child("later").modified() >= dated
    file.remove()
    assert place.names() == ["later"]


def test_names_are_of_what_is_there_now(place):
    place.child("one").write(b"")
    assert place.names() == ["one"]
    place.child("two").write(b"")
    assert sorted(place.names()) == ["one", "two"]
    with pytest.raises(FileNotFoundError):
        place.child("nowhere").names()


def test_a_link_to_nowhere_is_something(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    assert Location.of(tmp_path / "link").exists()


def test_the_free_space_is_that_of_the_disk_on_which_a_folder_will_be(tmp_path):
    free = Location.of(tmp_path / "not" / "yet").free_bytes()
    assert free == pytest.approx(os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize,
                                 rel=0.1)  # fmt: skip
    assert Location.of("memory://x").free_bytes() is None
    # No disk, and no end of space.
    assert Location.of("/proc/self").free_bytes() is None


@pytest.mark.parametrize("inside", ["a_file/s.zarr", "a_file"])
def test_a_place_inside_a_file_is_refused_by_the_key_that_names_it(tmp_path, inside):
    (tmp_path / "a_file").write_text("")
    with pytest.raises(UserError, match=r"cannot write into .*a_file: .*folder with results=\.\."):
        Location.of(tmp_path / inside).check_writable("results")
    Location.of(tmp_path / "new" / "folder").check_writable("results")
    Location.of("memory://anywhere").check_writable("results")


@pytest.mark.parametrize("url", ["foo://x", "abfs://bucket/x", "hdfs://bucket/x"])
def test_a_url_whose_kind_nothing_here_opens_is_refused(url):
    with pytest.raises(UserError, match=f"cannot open {url}"):
        Location.of(url).check_openable()
    Location.of("memory://x").check_openable()


def test_what_fails_while_it_is_made_is_not_there(tmp_path):
    target = Location.of(tmp_path / "deep" / "s.zarr")

    def fail(partial):
        Path(partial.url).mkdir()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        target.create_whole(fail)
    assert list((tmp_path / "deep").iterdir()) == []
    target.create_whole(lambda partial: Path(partial.url).mkdir())
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["s.zarr"]


@pytest.mark.parametrize("written", ["file:///tmp/x", "local:///tmp/x", "file://localhost/tmp/x"])
def test_a_url_of_this_machine_is_the_path(written):
    assert Location.of(written).folder == Path("/tmp/x")


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "is no path: give a folder, a file or a URL"),
        ("a\0b", "is no path"),
        ("s3:/bucket", r"write s3://bucket, or \./s3:/bucket for a folder of that name"),
        ("file:/tmp", r"write file:///tmp, or \./file:/tmp for a folder"),
        ("file://tmp/x", r"names another machine: write file:///PATH, with three slashes"),
        ("-x", r"begins with a dash, as options do: write \./-x"),
        ("$SOMEWHERE/x", "has a variable, which only a shell replaces: write /somewhere/x"),
        ("/tmp/${SOMEWHERE}/x", "write /tmp//somewhere/x"),
        ("~nobody_of_this_name/x", r"the home of a user who is not here: .* \./~nobody_of_this"),
        ("simplecache::s3://bucket", "is a chain of URLs, which cannot be opened here: give one"),
        ("zip://a::/tmp/b.zip", "is a chain of URLs"),
    ],
)
def test_what_would_be_found_under_other_words_is_refused(elsewhere, monkeypatch, written, message):
    monkeypatch.setenv("SOMEWHERE", "/somewhere")
    with pytest.raises(UserError, match=message) as refusal:
        Location.of(written)
    assert "\n" not in str(refusal.value)
    assert list(elsewhere.iterdir()) == []


def test_what_a_refusal_offers_is_taken_as_a_path(elsewhere, monkeypatch):
    monkeypatch.setenv("SOMEWHERE", "/somewhere")
    for name in (
        "./s3:/bucket",
        "./-x",
        "./~nobody_of_this_name",
        "a[1]",
        "a::b",
        "a b",
        "$NOTHING",
    ):
        assert Location.of(name).folder == elsewhere / name.removeprefix("./")
    # What is there is meant as it is written.
    (elsewhere / "$SOMEWHERE").mkdir()
    assert Location.of("$SOMEWHERE").folder == elsewhere / "$SOMEWHERE"


def test_a_path_of_undecodable_bytes_is_the_same_in_every_locale():
    assert Location.of("/tmp/\udcc3\udcbc") == Location.of("/tmp/ü")
    assert Location.of("/tmp/\udcff").folder == Path("/tmp/\udcff")


def test_a_url_with_a_slash_at_its_end_is_the_same_url():
    assert Location.of("memory://a/b/") == Location.of("memory://a/b")


def test_what_zarr_takes_for_a_chain_of_urls_is_not_openable(tmp_path):
    with pytest.raises(UserError, match="a::b has a ::, which Zarr and xarray take for a chain"):
        Location.of(tmp_path / "a::b").check_openable()
    with pytest.raises(UserError, match="cannot open zip://x: "):
        Location.of("zip://x").check_openable()
