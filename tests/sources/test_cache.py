"""What is kept of image files between commands: used while they are unchanged, never in the way."""

import os
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest
from helpers.images import READER_OF, draw, resolve
from PIL import Image

from pipeline import UserError
from pipeline.sources import arrays, cache, files
from pipeline.sources.cache import Found, State


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty cache, which takes files that were written just now too."""
    monkeypatch.setenv(cache.ENVIRONMENT, str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_TICK_NS", -(10**12))
    return tmp_path / "cache" / "files.sqlite3"


@pytest.fixture
def heads(monkeypatch):
    """The paths of files whose heads were read."""
    read, original = [], files._head

    def head(reader, path):
        read.append(os.path.basename(path))
        return original(reader, path)

    monkeypatch.setattr(files, "_head", head)
    return read


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for k in range(3):
        image(folder / f"{k}.png", k)
    return folder


def image(path, seed, side=8):
    samples = np.random.default_rng(seed).integers(0, 256, (side, side), np.uint8)
    Image.fromarray(samples).save(path)


def test_a_file_is_read_again_only_when_it_changed(place, photos, heads):
    first = resolve(photos)
    assert sorted(heads) == ["0.png", "1.png", "2.png"]
    again = resolve(photos)
    assert len(heads) == 3
    assert again == first
    assert np.array_equal(draw(again), draw(first))
    image(photos / "1.png", 7)
    other = resolve(photos)
    assert heads[3:] == ["1.png"]
    assert other.identity != first.identity
    image(photos / "1.png", 1)
    assert resolve(photos).identity == first.identity


@pytest.mark.parametrize("restored", ["modified", "inode"])
def test_a_change_is_seen_where_size_and_a_time_stamp_are_the_same(place, photos, heads, restored):
    path = photos / "1.png"
    path.write_bytes(path.read_bytes() + b"1")
    first, status = resolve(photos), os.stat(path)
    changed = path.read_bytes()[:-1] + b"2"
    if restored == "inode":
        (photos / "new").write_bytes(changed)
        os.replace(photos / "new", path)
    else:
        path.write_bytes(changed)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert os.stat(path).st_size == status.st_size
    assert resolve(photos).identity != first.identity


def test_kinds_of_sources_do_not_share_what_they_found(place, tmp_path, heads):
    Image.new("CMYK", (8, 8)).save(tmp_path / "a.jpg")
    states = [State.of(tmp_path / "a.jpg")]
    found = Found(8, 8, None, bytes(32))
    cache.keep("jpeg", [(str(tmp_path / "a.jpg"), states[0], found)], time.time())
    assert cache.look_up("jpeg", [str(tmp_path / "a.jpg")], states) == [found]
    with pytest.raises(UserError, match="has samples of CMYK"):
        resolve(tmp_path / "a.jpg")


def test_a_file_that_was_written_just_now_is_not_kept(place, photos, heads, monkeypatch):
    monkeypatch.setattr(cache, "_TICK_NS", 2 * 10**9)
    for _ in range(2):
        resolve(photos)
    assert len(heads) == 6
    # An old time stamp that was set by hand does not make it settled.
    for path in photos.iterdir():
        os.utime(path, (0, 0))
    for _ in range(2):
        resolve(photos)
    assert len(heads) == 12
    now = time.time()
    monkeypatch.setattr(files.time, "time", lambda: now + 3)
    for _ in range(2):
        resolve(photos)
    assert len(heads) == 15


def test_what_is_refused_is_not_kept_but_its_neighbours_are(place, photos, heads):
    whole = (photos / "2.png").read_bytes()
    (photos / "2.png").write_bytes(whole[:40])
    for count in (3, 4):
        with pytest.raises(UserError, match=r"2\.png is "):
            resolve(photos)
        assert len(heads) == count
    (photos / "2.png").write_bytes(whole)
    resolve(photos)
    resolve(photos)
    assert heads[3:] == ["2.png", "2.png"]


def test_a_peak_of_many_bits_is_kept(place, tmp_path, heads):
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(tmp_path / "a.png")
    notes = [resolve(tmp_path / "a.png").content.notes for _ in range(2)]
    assert len(heads) == 1
    assert notes[0] == notes[1]
    assert "no sample of 1 image " in notes[0][0]


def test_an_array_of_numpy_is_read_again_only_when_it_changed(place, tmp_path, monkeypatch):
    read, original = [], arrays._digest
    monkeypatch.setattr(arrays, "_digest", lambda *args: read.append(1) or original(*args))
    path, values = tmp_path / "a.npy", np.random.default_rng(0).random((2, 8, 8))
    np.save(path, values)
    first = arrays.inspect(path=str(path))
    assert arrays.inspect(path=str(path)) == first
    assert len(read) == 1
    values[0, 0, 0] = 2
    np.save(path, values)
    assert arrays.inspect(path=str(path)).identity != first.identity
    values[0, 0, 0] = np.nan
    np.save(path, values)
    for _ in range(2):
        with pytest.raises(ValueError, match="values must be finite"):
            arrays.inspect(path=str(path))
    assert len(read) == 4


def garble_head(place):
    place.write_bytes(b"no database at all, and longer than the head of one" * 100)


def garble_pages(place):
    content = bytearray(place.read_bytes())
    content[200:] = os.urandom(len(content) - 200)
    place.write_bytes(content)


@pytest.mark.parametrize("garble", [garble_head, garble_pages])
def test_a_garbled_cache_is_replaced(place, photos, heads, garble):
    first = resolve(photos)
    garble(place)
    assert resolve(photos) == first
    assert resolve(photos) == first
    assert len(heads) == 6
    assert not list(place.parent.glob("*-journal"))


def test_a_flipped_bit_in_the_cache_is_not_taken_for_a_digest(place, photos, heads):
    first = resolve(photos)
    content = bytearray(place.read_bytes())
    digest = first.content.digests[:32]
    content[content.index(digest) + 5] ^= 1
    place.write_bytes(content)
    assert resolve(photos) == first
    assert len(heads) == 4


def lock(place):
    holder = sqlite3.connect(place)
    holder.execute("BEGIN EXCLUSIVE")
    return holder.close


def take_space(place):
    # SQLite cannot write a page where there is no room for its journal.
    os.mkdir(f"{place}-journal")
    return lambda: os.rmdir(f"{place}-journal")


@pytest.mark.parametrize("spoil", [lock, take_space])
def test_a_cache_that_cannot_be_used_is_done_without(place, photos, heads, spoil, monkeypatch):
    monkeypatch.setattr(cache, "_SECONDS_TO_WAIT", 0.01)
    first = resolve(photos)
    restore = spoil(place)
    image(photos / "1.png", 7)
    assert resolve(photos).identity != first.identity
    restore()
    heads.clear()
    resolve(photos)
    assert heads == ["1.png"]


@pytest.mark.parametrize("chosen", ["", "/proc/none", "/dev/null"])
def test_there_may_be_no_place_for_a_cache(photos, heads, monkeypatch, chosen):
    monkeypatch.setenv(cache.ENVIRONMENT, chosen)
    monkeypatch.setattr(cache, "_TICK_NS", -(10**12))
    for _ in range(2):
        assert resolve(photos).available == {8: 3}
    assert len(heads) == 6


def test_the_cache_lies_where_those_of_a_user_do(tmp_path, monkeypatch):
    monkeypatch.delenv(cache.ENVIRONMENT)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    for given, folder in (
        ("", tmp_path / ".cache"),
        ("relative", tmp_path / ".cache"),
        (str(tmp_path / "xdg"), tmp_path / "xdg"),
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", given)
        assert cache._place() == folder / "asm-sweep" / "files.sqlite3"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache._place() == tmp_path / "Library/Caches/asm-sweep/files.sqlite3"
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert cache._place() is None


def test_only_the_newest_rows_are_kept(place, monkeypatch):
    monkeypatch.setattr(cache, "_MOST_ROWS", 3)
    state, found = State(1, 0, 0, 2**64 - 1), Found(8, 8, 0.5, bytes(range(32)))
    for k in range(5):
        cache.keep("images", [(f"/{k}.png", state, found)], time.time())
    # The oldest of those that are left is found anew, and is the newest then.
    cache.keep("images", [("/2.png", state, found)], time.time())
    cache.keep("images", [("/\udcff.png", state, found)], time.time())
    paths = [*(f"/{k}.png" for k in range(5)), "/\udcff.png"]
    kept = cache.look_up("images", paths, [state] * 6)
    assert kept == [None, None, found, None, found, found]


def test_more_files_than_a_statement_takes_are_looked_up(place):
    state = State(1, 0, 0, 1)
    rows = [(f"/{k}.png", state, Found(k, 8, None, bytes(32))) for k in range(2500)]
    cache.keep("images", rows, time.time())
    known = cache.look_up("images", [path for path, *_ in rows], [state] * len(rows))
    assert [found.height for found in known] == list(range(2500))
    other = State(1, 0, 1, 1)
    assert cache.look_up("images", ["/1.png"], [other]) == [None]


def test_processes_share_a_cache_at_the_same_time(place, photos, heads):
    code = (
        "import sys; from pipeline.sources import cache; cache._TICK_NS = -10**12;"
        "from pipeline.sources import kinds;"
        "kinds.resolve('images', {'kind': 'images', 'path': sys.argv[1]}, (8,))"
    )
    for k in range(3, 60):
        image(photos / f"{k}.png", k)
    running = [
        subprocess.Popen([sys.executable, "-c", code, str(photos)], stderr=subprocess.PIPE)
        for _ in range(4)
    ]
    assert [process.communicate()[1] for process in running] == [b""] * 4
    assert [process.returncode for process in running] == [0] * 4
    resolve(photos)
    assert heads == []


def test_checking_decodes_all_files_whatever_is_kept(place, photos):
    resolve(photos)
    told = []
    observe = lambda *so_far: told.append(so_far)  # noqa: E731
    assert files.check_files(READER_OF["images"], str(photos), observe) == (3, [])
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert place.exists()
