"""Where something is: a path on this machine or a URL.  No other module has to tell them apart."""

import os
import posixpath
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import NOT_THERE, UserError, refuse_unreadable


@dataclass(frozen=True)
class Location:
    """An absolute path on this machine, or a URL that fsspec opens."""

    url: str

    @classmethod
    def of(cls, place: str | os.PathLike[str]) -> "Location":
        """The location that a user wrote: ``~`` is expanded, and a path made absolute."""
        text = os.path.expanduser(os.fspath(place).removeprefix("file://"))
        return cls(text if "://" in text else str(Path(text).absolute()))

    def __str__(self) -> str:
        """The path or URL."""
        return self.url

    @property
    def folder(self) -> Path | None:
        """The path on this machine, of a folder or a file; None for a URL."""
        return None if "://" in self.url else Path(self.url)

    @property
    def name(self) -> str:
        """Its last part."""
        return posixpath.basename(self.url.rstrip("/"))

    def child(self, *names: str) -> "Location":
        """Something inside it."""
        return Location(posixpath.join(self.url, *names))

    def beside(self, suffix: str) -> "Location":
        """The location in the same folder whose name is this one's and a suffix."""
        return Location(self.url.rstrip("/") + suffix)

    def check_openable(self) -> None:
        """Refuse a URL that nothing here can open."""
        try:
            self._files()
        except (ImportError, ValueError) as error:
            # fsspec names the package that a kind of URL needs.
            raise UserError(f"cannot open {self}: {error}") from error

    def exists(self) -> bool:
        """Whether the path is taken: also by a symbolic link whose target is missing.

        Raises
        ------
        UserError
            Where the system does not tell.
        """
        # Not os.path.lexists, nor fsspec's exists: they take whatever goes wrong for a no.
        try:
            if self.folder:
                os.lstat(self.folder)
            else:
                with self._fetching() as (files, path):
                    files.info(path)
        except NOT_THERE:
            return False
        except OSError as error:
            refuse_unreadable(self, error)
        return True

    def read(self) -> bytes:
        """The content of a file.

        Raises
        ------
        OSError
            FileNotFoundError where there is none.
        """
        # A worker reads the lock for every unit, and fsspec takes ten times as long as this.
        if self.folder:
            return self.folder.read_bytes()
        with self._fetching() as (files, path):
            content: bytes = files.cat_file(path)
        return content

    def write(self, content: bytes) -> None:
        """Write a file."""
        with self._fetching() as (files, path):
            files.pipe_file(path, content)

    def remove(self) -> None:
        """Remove a file."""
        with self._fetching() as (files, path):
            files.rm_file(path)

    def names(self) -> list[str]:
        """Names of the files and folders in it, never from a cache.

        Raises
        ------
        FileNotFoundError
            Where there is no such folder.
        """
        with self._fetching() as (files, path):
            files.invalidate_cache()
            names = files.ls(path, detail=False)
        return [posixpath.basename(name.rstrip("/")) for name in names]

    def modified(self) -> float | None:
        """When a file was last written, in seconds since 1970; None where that is unknown.

        Raises
        ------
        OSError
            Where it is not said whether there is such a file.
        """
        try:
            with self._fetching() as (files, path):
                return float(files.modified(path).timestamp())
        except (*NOT_THERE, NotImplementedError):
            return None

    def free_bytes(self) -> int | None:
        """Free bytes of the disk on which it is or would be; None where that is unknown."""
        if not self.folder:
            return None
        folder = self.folder
        while not folder.exists():
            folder = folder.parent
        disk = shutil.disk_usage(folder)
        # A file system without a size, such as /proc, is no disk.
        return disk.free if disk.total else None

    def check_writable(self, key: str) -> None:
        """Refuse a folder that cannot be written into, or cannot be made where it is missing.

        `key` is the key of the command line that chooses it, for the message.
        """
        if not self.folder:
            return
        folder = self.folder
        while not os.path.lexists(folder):
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(f"cannot write into {folder}: choose another folder with {key}=...")

    def create_whole(self, create: Callable[["Location"], None]) -> None:
        """Let `create` write a folder that afterwards is there as a whole or not at all.

        `create` writes to a temporary folder, which is then renamed.  At a URL nothing can be
        renamed, so there `create` must write last what makes the folder valid.
        """
        if not self.folder:
            create(self)
            return
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        partial = self.beside(f".{uuid.uuid4().hex[:8]}.partial")
        try:
            create(partial)
            os.rename(partial.url, self.url)
        finally:
            shutil.rmtree(partial.url, ignore_errors=True)

    def _files(self) -> tuple[Any, str]:
        """The file system, and the path in it."""
        # Here, because it takes a tenth of a second to import and most refusals do not need it.
        from fsspec.core import url_to_fs

        files, path = url_to_fs(self.url)
        return files, path

    @contextmanager
    def _fetching(self) -> Iterator[tuple[Any, str]]:
        """`_files`, of which whatever the client of an object store raises becomes an OSError."""
        files, path = self._files()
        try:
            yield files, path
        except (OSError, NotImplementedError):
            raise
        except Exception as error:
            raise OSError(f"{type(error).__name__}: {error}") from error
