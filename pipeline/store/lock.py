"""The lock beside a store: one writer at a time, and a place to read who it is and how far.

The lock of a folder is an advisory lock of the operating system on the file `STORE.lock`.  It ends
with the process that holds it, even if that is killed, so a file that is left behind locks nothing.
At a URL the lock is an object that its holder renews (`lease`).

Whoever takes the lock ends the round of whoever had it before: a worker of that round that was
suspended, and wakes up later, can write nothing more.
"""

import itertools
import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.errors import NOT_THERE, UserError, cannot, refuse_unreadable
from pipeline.store.files import end_rounds, fenced
from pipeline.store.lease import Lease, TakenError, left_behind, may_live, take
from pipeline.store.location import Location

try:
    import fcntl
except ImportError:
    # Windows, where folders can be read and not written.
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS = 10
_SECONDS_BETWEEN = 0.02


@dataclass
class Lock:
    """A lock that is held.

    `stale` is whether an earlier holder died without removing it, and may have left files half
    written; `descriptor` is that of the locked file, None at a URL, where there is a `lease`;
    `content` is what others can read: host, process, start, a token, and what `publish` has added;
    `folders` are those that were made for it, the innermost first.
    """

    store: Location
    stale: bool
    descriptor: int | None
    content: dict[str, Any]
    folders: tuple[str, ...] = ()
    lease: Lease | None = None

    @property
    def token(self) -> str:
        """What no other lock has."""
        return str(self.content["token"])

    def publish(self, **progress: Any) -> None:
        """Add these values to what others can read in the lock."""
        if self.lease:
            self.lease.publish(**progress)
            return
        assert self.descriptor is not None
        self.content |= progress
        text = json.dumps(self.content).encode()
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))


@contextmanager
def held(store: Location, notify: Callable[[str], None] = lambda line: None) -> Iterator[Lock]:
    """Hold the lock of a store; `notify` takes a line for the user while it is waited for.

    Raises
    ------
    UserError
        Where a living process holds it: its host, its number and when it began.
    StoreLostError
        Where the round of an earlier holder cannot be ended.
    """
    check_system(store)
    content = {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "token": uuid.uuid4().hex,
    }
    try:
        lock = _lock_file(store, content) if store.folder else _lock_object(store, content, notify)
    except OSError as error:
        raise UserError(
            cannot("write", _file_of(store), error, "choose another results=...")
        ) from error
    try:
        with fenced(store, lock.lease.publish) if lock.lease else nullcontext():
            end_rounds(store)
            yield lock
    finally:
        try:
            _remove(store, lock)
        except KeyboardInterrupt:
            # A signal in the middle of it.
            _remove(store, lock)
            raise
        finally:
            if lock.descriptor is not None:
                os.close(lock.descriptor)


def _remove(store: Location, lock: Lock) -> None:
    """Remove the file of a lock, and folders that were made for it."""
    if lock.lease:
        lock.lease.release()
        return
    # If the disk has become read-only it cannot be removed; a file left behind locks nothing.
    with suppress(OSError):
        with suppress(FileNotFoundError):
            _file_of(store).remove()
        # Of a sweep that was refused nothing is left.
        for folder in lock.folders:
            os.rmdir(folder)


def check_system(store: Location) -> None:
    """Refuse a folder where the system has no locks that end with their process."""
    if store.folder and fcntl is None:
        raise UserError(
            f"{store} cannot be written on this system, which has no locks of files (fcntl), as "
            "Windows: run the program in WSL, or write to a URL, results=...; stores can be read"
        )


def holder(store: Location) -> dict[str, Any] | None:
    """The content of a store's lock if a living process holds it, else None.

    Raises
    ------
    UserError
        Where the lock cannot be read.
    """
    content = _content(store)
    if content is None:
        return None
    if not store.folder or fcntl is None:
        return None if may_live(content) is False else content
    try:
        descriptor = os.open(_file_of(store).url, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        finally:
            os.close(descriptor)
    except BlockingIOError:
        return content
    except FileNotFoundError:
        return None
    except OSError as error:
        refuse_unreadable(_file_of(store), error)
    return None


def token(store: Location) -> str | None:
    """What tells the lock of a store from one that another machine has under the same path.

    Raises
    ------
    UserError
        Where the lock cannot be read.
    """
    content = _content(store)
    return None if content is None else str(content.get("token"))


def is_there(store: Location) -> bool:
    """Whether a store has a lock, held or left behind."""
    return _file_of(store).exists()


def check_free(store: Location) -> None:
    """Refuse a store that another living process is writing."""
    content = holder(store)
    if content is None:
        return
    if not store.folder:
        try:
            left_behind(store, _file_of(store))
        except TakenError as error:
            raise UserError(_taken(store, error.content)) from None
        except OSError as error:
            refuse_unreadable(_file_of(store), error)
        return
    raise UserError(_taken(store, content))


def _file_of(store: Location) -> Location:
    return store.beside(".lock")


def _lock_file(store: Location, content: dict[str, Any]) -> Lock:
    path = _file_of(store).url
    folder = os.path.dirname(path)
    missing = [str(each) for each in (Path(folder), *Path(folder).parents) if not each.exists()]
    os.makedirs(folder, exist_ok=True)
    for attempt in itertools.count():
        stale = os.path.exists(path)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The process that held it before may have removed the file since we opened it.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                lock = Lock(store, stale, descriptor, content, tuple(missing))
                lock.publish()
                return lock
        except BlockingIOError:
            # A process that only asks for the holder locks it too, for a moment.
            if attempt >= _ATTEMPTS:
                os.close(descriptor)
                raise UserError(_taken(store, _content(store) or {})) from None
            time.sleep(_SECONDS_BETWEEN)
        except FileNotFoundError:
            pass
        except OSError:
            # A file system without locks.
            os.close(descriptor)
            if not stale:
                os.remove(path)
            raise
        os.close(descriptor)
    raise AssertionError("unreachable")


def _lock_object(store: Location, content: dict[str, Any], notify: Callable[[str], None]) -> Lock:
    try:
        lease, stale = take(store, _file_of(store), content, notify)
    except TakenError as error:
        raise UserError(_taken(store, error.content)) from None
    return Lock(store, stale, None, lease.content, lease=lease)


def _content(store: Location) -> dict[str, Any] | None:
    """The content of a lock; None where there is no lock, {} where it is not complete."""
    for _ in range(_ATTEMPTS):
        try:
            content = json.loads(_file_of(store).read())
            return content if isinstance(content, dict) else {}
        except NOT_THERE:
            return None
        except OSError as error:
            refuse_unreadable(_file_of(store), error)
        except ValueError:
            # Read while it was written.
            time.sleep(_SECONDS_BETWEEN)
    return {}


def _taken(store: Location, content: Mapping[str, Any]) -> str:
    pid, host = content.get("pid", "unknown"), content.get("host", "unknown")
    by_hand = f", or, if it is dead, remove {_file_of(store)}" if store.folder and not fcntl else ""
    return (
        f"{store} is being written by process {pid} on {host}, since "
        f"{content.get('started', 'unknown')}: wait until it ends, stop it (kill {pid}){by_hand}, "
        "or choose another out=..."
    )
