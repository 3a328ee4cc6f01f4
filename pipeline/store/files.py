"""How files come into a store on this machine, and who may still put one there.

A file is written under another name and then renamed, so that readers see all of it or nothing.  A
worker's files are written in the folder of its round, `journal/writing.NAME`, and are renamed out
of it.  Whoever takes the lock of a store, or ends a round, removes that folder first.  From then on
a worker of that round can put nothing in place, at whatever instruction it was stopped: there is no
file left that could be renamed, and no folder to write one into.  Neither a clock nor a look at the
lock is part of this.

At a URL nothing can be renamed.  There an object stands for the folder, and a worker asks for it
before it writes, once a second at most.  One that was stopped in between writes over nothing that
somebody else has written since (`bucket`): it finds that out, and asks again.
"""

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

from zarr.abc.store import Store
from zarr.storage import LocalStore

from pipeline.errors import NOT_THERE, StoreLostError
from pipeline.store.bucket import Objects
from pipeline.store.location import Location
from pipeline.store.services import is_object

# What writes each store at a URL whose lock this process holds.
_held: dict[str, Store | str] = {}
_JOURNAL, _PREFIX = "journal", "writing."
# How long workers of a round that ends may go on making files while its folder is removed.
_SECONDS_TO_END = 10.0


class Files(LocalStore):
    """The files of a store on this machine, each put in place as a whole.

    `round_folder` is the folder of the round of a worker; None for whoever holds the lock.  With
    `durable`, each file is on the disk before the next one is begun, and not in its cache alone.
    """

    def __init__(
        self,
        root: Path | str,
        *,
        read_only: bool = False,
        round_folder: Path | None = None,
        durable: bool = False,
    ) -> None:
        super().__init__(root, read_only=read_only)
        self._round_folder, self._durable = round_folder, durable

    def with_read_only(self, read_only: bool = False) -> Self:
        """The same, of which nothing can be written, or can."""
        return type(self)(
            self.root,
            read_only=read_only,
            round_folder=self._round_folder,
            durable=self._durable,
        )

    async def set(self, key: str, value: Any) -> None:
        """Write a file."""
        await asyncio.to_thread(self.set_sync, key, value)

    def set_sync(self, key: str, value: Any) -> None:
        """Write a file.

        Raises
        ------
        StoreLostError
            Where the round of the worker has ended.
        """
        self._check_writable()
        # As text: of a unit of few trials, building paths took a fifteenth of the time.
        place = os.path.join(self.root, key)
        folder = os.path.dirname(place)
        written = os.path.join(self._round_folder or folder, f"{uuid.uuid4().hex}.partial")
        try:
            new = self._make_folder(folder, key)
            with open(written, "wb") as file:
                file.write(value.as_buffer_like())
                if self._durable:
                    file.flush()
                    os.fsync(file.fileno())
            os.replace(written, place)
        except FileNotFoundError as error:
            if self._round_folder is None:
                raise
            raise _taken_over(self.root) from error
        except BaseException:
            with suppress(OSError):
                os.unlink(written)
            raise
        if self._durable:
            sync_folders([folder, *map(os.path.dirname, new)])

    def _make_folder(self, folder: str, key: str) -> list[str]:
        """Make the folder of a file, and those above it; returns the ones that are new."""
        if self._round_folder:
            os.stat(self._round_folder)
            # The journal's are there as long as the round is, and must not come back after it.
            if key.startswith(f"{_JOURNAL}/"):
                return []
        new = []
        while not os.path.exists(folder):
            new.append(folder)
            folder = os.path.dirname(folder)
        for each in reversed(new):
            with suppress(FileExistsError):
                os.mkdir(each)
        return new


def sync_folders(folders: Iterable[str | Path]) -> None:
    """Have the names of the files in these folders on the disk."""
    for folder in dict.fromkeys(folders):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def begin_round(store: Location) -> str:
    """Let the workers of a new round write; returns its name.  There must be a journal."""
    name = uuid.uuid4().hex
    if folder := _place(store, name).folder:
        folder.mkdir()
    else:
        _place(store, name).write(b"")
    return name


def check_current(store: Location, name: str) -> None:
    """Refuse to write for a round that has ended.

    Raises
    ------
    StoreLostError
        Where another one has begun, perhaps in spite of the lock.
    """
    if not _place(store, name).exists():
        raise _taken_over(store)


def _taken_over(store: object) -> StoreLostError:
    return StoreLostError(
        f"{store} was taken over by another sweep, or is gone: where two machines share it, see "
        "that locks of its file system work between them"
    )


def writing(store: Location, name: str | None = None, *, durable: bool) -> Store | str:
    """Where zarr is to write a store: for the workers of a round, or for whoever holds the lock."""
    if not store.folder:
        if name is None:
            return _held.get(store.url) or reading(store)
        check = partial(check_current, store, name)
        return Objects(store.url, check=check, once=True) if is_object(store.url) else store.url
    folder = None if name is None else _place(store, name).folder
    return Files(store.folder, round_folder=folder, durable=durable)


def reading(store: Location, check: Callable[[], None] | None = None) -> Store | str:
    """Where zarr is to read a store."""
    return Objects(store.url, check=check) if is_object(store.url) else store.url


@contextmanager
def fenced(store: Location, check: Callable[[], None]) -> Iterator[None]:
    """Meanwhile this process holds the lock of a store at a URL, unless `check` raises."""
    _held[store.url] = reading(store, check)
    try:
        yield
    finally:
        del _held[store.url]


def end_rounds(store: Location) -> None:
    """From now on no worker of any round can write; the caller must hold the lock.

    Raises
    ------
    StoreLostError
        Where a folder of a round cannot be removed.
    """
    journal = store.child(_JOURNAL)
    try:
        names = [name for name in journal.names() if name.startswith(_PREFIX)]
    except NOT_THERE:
        return
    for place in map(journal.child, names):
        if place.folder:
            _remove(place.folder)
        else:
            place.remove()


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_END
    while True:
        try:
            return shutil.rmtree(folder)
        except FileNotFoundError:
            # A worker has renamed, or another process removed, what was listed a moment ago.
            if not folder.exists():
                return None
        except OSError as error:
            # A worker has written one more file since the folder was listed.
            if time.monotonic() > deadline:
                raise StoreLostError(
                    f"cannot remove {folder}: {error.strerror}: stop the workers of the sweep "
                    "that wrote there, and try again"
                ) from error


def _place(store: Location, name: str) -> Location:
    return store.child(_JOURNAL, f"{_PREFIX}{name}")
