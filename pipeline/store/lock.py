"""One writer for a store: a lock beside it, which also says who sweeps there and how far it is.

The lock of a folder is an advisory lock of the operating system on `STORE.lock`, which ends with
the process that holds it, however that ends: a file left behind locks nothing.  At a URL it is an
object, and one that is left behind must be removed by hand unless its process ran on this machine.

Names of sessions order them by their start: a worker that a newer session has overtaken, say one
that was stopped and woke up after its sweep had died, writes nothing more.
"""

import fcntl
import itertools
import json
import os
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import fsspec

from pipeline.errors import UserError

_ATTEMPTS = 10
_SECONDS_BETWEEN = 0.02


@dataclass
class Lock:
    """A lock that is held: tells others how the sweep goes."""

    path: str
    session: str
    # Whether another process had died with the lock: it may have left files half written.
    stale: bool
    descriptor: int | None
    record: dict[str, Any]

    def tell(self, **progress: Any) -> None:
        """Write how far the sweep is, for whoever asks."""
        self.record |= progress
        text = json.dumps(self.record).encode()
        if self.descriptor is None:
            with fsspec.open(_place(self.path), "wb") as file:
                file.write(text)
            return
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))


@contextmanager
def held(path: str) -> Iterator[Lock]:
    """Hold the lock of a store.

    Raises
    ------
    UserError
        Where a living process holds it: its host, its number and when it began.
    """
    record = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "session": f"{time.time_ns():020d}-{uuid.uuid4().hex[:8]}",
    }
    try:
        lock = _take_object(path, record) if "://" in path else _take_file(path, record)
    except OSError as error:
        raise UserError(
            f"cannot write {_place(path)}: {error.strerror or error}: choose another results=..."
        ) from error
    try:
        yield lock
    finally:
        files, place = fsspec.core.url_to_fs(_place(path))
        # Where it cannot be removed, because the disk has become read-only, it locks nothing.
        with suppress(OSError):
            files.rm_file(place)
        if lock.descriptor is not None:
            os.close(lock.descriptor)


def holder(path: str) -> dict[str, Any] | None:
    """What the living process that holds the lock of a store says of itself; None = nobody."""
    found = _read(path)
    if found is None:
        return None
    if "://" in path:
        return found if _may_live(found) else None
    try:
        descriptor = os.open(_place(path), os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return found
    finally:
        os.close(descriptor)
    return None


def check_free(path: str) -> None:
    """Refuse a store that another living process is writing."""
    found = holder(path)
    if found is not None:
        raise UserError(_taken(path, found))


def overtaken(path: str, session: str) -> bool:
    """Whether a newer session than this one writes the store."""
    found = _read(path)
    # An older one is what a network file system may show for a while.
    return found is not None and str(found.get("session", "")) > session


def _place(path: str) -> str:
    return f"{path.rstrip('/')}.lock"


def _take_file(path: str, record: dict[str, Any]) -> Lock:
    place = _place(path)
    os.makedirs(os.path.dirname(place), exist_ok=True)
    for attempt in itertools.count():
        stale = os.path.exists(place)
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The one who held it before may have removed it since it was opened.
            if os.path.samestat(os.fstat(descriptor), os.stat(place)):
                lock = Lock(path, str(record["session"]), stale, descriptor, record)
                lock.tell()
                return lock
        except BlockingIOError:
            # For a moment, one who only looks holds it too.
            if attempt >= _ATTEMPTS:
                os.close(descriptor)
                raise UserError(_taken(path, _read(path) or {})) from None
            time.sleep(_SECONDS_BETWEEN)
        except FileNotFoundError:
            pass
        os.close(descriptor)
    raise AssertionError("unreachable")


def _take_object(path: str, record: dict[str, Any]) -> Lock:
    found = _read(path)
    if found is not None and _may_live(found):
        raise UserError(_taken(path, found))
    lock = Lock(path, str(record["session"]), found is not None, None, record)
    lock.tell()
    return lock


def _read(path: str) -> dict[str, Any] | None:
    """The record in a lock; None where there is none, {} where it cannot be read."""
    for _ in range(_ATTEMPTS):
        try:
            # A worker looks for every unit: fsspec takes ten times as long to open a file.
            opened = fsspec.open(_place(path), "rb") if "://" in path else open(_place(path), "rb")
            with opened as file:
                content = file.read()
        except FileNotFoundError:
            return None
        try:
            found = json.loads(content)
            return found if isinstance(found, dict) else {}
        except ValueError:
            # Read while it was written.
            time.sleep(_SECONDS_BETWEEN)
    return {}


def _may_live(found: dict[str, Any]) -> bool:
    if found.get("host") != socket.gethostname():
        return True
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _taken(path: str, found: dict[str, Any]) -> str:
    pid, host = found.get("pid", "unknown"), found.get("host", "unknown")
    by_hand = f", or, if it is dead, remove {_place(path)}" if "://" in path else ""
    return (
        f"{path} is being written by process {pid} on {host}, since "
        f"{found.get('started', 'unknown')}: wait until it ends, stop it (kill -INT {pid}){by_hand}"
        ", or choose another out=..."
    )
