"""What was found of image files and arrays, kept on this machine: nobody hashes 400 MB twice.

A cache of the user's, one file of SQLite that several processes may use at once.  Whatever goes
wrong with it is no error: what is not in it is found again.
"""

import os
import sqlite3
import struct
import sys
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple, Self

from pipeline.errors import UnreadableError, cannot

# Raised whenever the head of a file is refused that was not before, or tells something else.
_VERSION = 2
# Where the cache is, in place of the user's folder for caches; empty for none.
ENVIRONMENT = "ASM_SWEEP_CACHE_DIR"
_NAME = "files.sqlite3"
# A file that was written shortly before it was read may be written again within one tick of its
# time stamps, which file systems round to as much as two seconds.
_TICK_NS = 2 * 10**9
# The newest rows are kept, 250 bytes each: 100 MB.
_MOST_ROWS = 400_000
# How long another process is waited for that writes.
_SECONDS_TO_WAIT = 1.0
# SQLite may be built to take no more than 999 values in a statement.
_PATHS_PER_QUERY = 900
_TABLE = (
    "CREATE TABLE IF NOT EXISTS files "
    "(path BLOB, kind TEXT, state TEXT, found BLOB, PRIMARY KEY (path, kind))"
)
# Height, width, whether there is a peak, peak, SHA-256, and a checksum of all that and of the key.
_FOUND = struct.Struct("<qq?d32s")
_CHECKSUM = struct.Struct("<I")


class Inspected(NamedTuple):
    """What the head of a file tells of it.

    `height` and `width` in samples; `peak` is the largest sample of an image of more than 8 bits, 1
    for white, None for other images.
    """

    height: int
    width: int
    peak: float | None = None


class Found(NamedTuple):
    """What was found of a file: what its head tells, and the SHA-256 of its content, 32 bytes."""

    height: int
    width: int
    peak: float | None
    sha256: bytes


class State(NamedTuple):
    """What the system says of a file, and differs once the file was written; times in ns."""

    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> Self:
        """The state of a file; an UnreadableError where the system does not tell."""
        try:
            status = os.stat(path)
        except OSError as error:
            raise UnreadableError(cannot("read", path, error)) from error
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def look_up(kind: str, paths: Sequence[str], states: Sequence[State]) -> list[Found | None]:
    """What is known of files of a kind of source, None where nothing is for this state."""
    known: dict[bytes, Found] = {}
    wanted = {os.fsencode(path): _text(state) for path, state in zip(paths, states, strict=True)}
    keys = list(wanted)

    def read(connection: sqlite3.Connection) -> None:
        for start in range(0, len(keys), _PATHS_PER_QUERY):
            some = keys[start : start + _PATHS_PER_QUERY]
            marks = ",".join("?" * len(some))
            query = f"SELECT path, state, found FROM files WHERE kind = ? AND path IN ({marks})"
            for path, state, packed in connection.execute(query, (kind, *some)):
                if state == wanted[path] and (found := _unpacked(path, kind, state, packed)):
                    known[path] = found

    place = _place()
    # Not Path.exists, which raises where nobody may look.
    if place is not None and os.path.exists(place):
        _use(place, read)
    return [known.get(key) for key in keys]


def keep(kind: str, rows: Iterable[tuple[str, State, Found]], began: float) -> None:
    """Keep what was found of files.

    `began` is when the first of them was looked at, in seconds since 1970: those are left out that
    were written just before.
    """
    settled = int(began * 1e9) - _TICK_NS
    packed = [
        (key := os.fsencode(path), kind, text := _text(state), _packed(key, kind, text, found))
        for path, state, found in rows
        if max(state.modified, state.changed) < settled
    ]

    def write(connection: sqlite3.Connection) -> None:
        with connection:
            connection.execute(_TABLE)
            connection.executemany("REPLACE INTO files VALUES (?, ?, ?, ?)", packed)
            connection.execute(
                "DELETE FROM files WHERE rowid <= (SELECT max(rowid) FROM files) - ?",
                (_MOST_ROWS,),
            )

    place = _place()
    if packed and place is not None:
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
        _use(place, write)


def _place() -> Path | None:
    """The file of the cache; None where there is no place for one."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen is not None:
        return Path(chosen, _NAME) if chosen else None
    home = Path(os.path.expanduser("~"))
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # By the standard, a relative path is as good as none.
    if given.is_absolute():
        caches = given
    else:
        caches = home / ("Library/Caches" if sys.platform == "darwin" else ".cache")
    return caches / "asm-sweep" / _NAME if caches.is_absolute() else None


def _use(place: Path, action: Callable[[sqlite3.Connection], None]) -> None:
    """Do something with the cache.

    What goes wrong with it is passed over, and a cache that is garbled is removed.
    """
    try:
        with closing(sqlite3.connect(place, timeout=_SECONDS_TO_WAIT)) as connection:
            action(connection)
    except sqlite3.OperationalError:
        # No folder, no space, locked, or none of our tables.
        return
    except sqlite3.DatabaseError:
        # Its journal first, which would be replayed into the next one.
        for garbled in (f"{place}-journal", place):
            with suppress(OSError):
                os.remove(garbled)


def _text(state: State) -> str:
    # As text, since an inode may be beyond the integers of SQLite.
    return f"{_VERSION} {' '.join(map(str, state))}"


def _packed(path: bytes, kind: str, state: str, found: Found) -> bytes:
    height, width, peak, sha256 = found
    packed = _FOUND.pack(height, width, peak is not None, peak or 0.0, sha256)
    return packed + _CHECKSUM.pack(_checksum(path, kind, state, packed))


def _unpacked(path: bytes, kind: str, state: str, packed: object) -> Found | None:
    """What was found; None where a bit of it was flipped since."""
    # SQLite has no checksums, and a wrong digest would be that of another experiment.
    if not isinstance(packed, bytes):
        return None
    content = packed[: _FOUND.size]
    if packed[_FOUND.size :] != _CHECKSUM.pack(_checksum(path, kind, state, content)):
        return None
    height, width, is_deep, peak, sha256 = _FOUND.unpack(content)
    return Found(height, width, peak if is_deep else None, sha256)


def _checksum(path: bytes, kind: str, state: str, content: bytes) -> int:
    return zlib.crc32(b"\0".join((path, kind.encode(), state.encode(), content)))
