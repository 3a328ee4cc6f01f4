"""Where something is: a path on this machine or a URL.  No other module has to tell them apart."""

import os
import posixpath
import re
import shutil
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import NOT_THERE, UserError, refuse_unreadable
from pipeline.store import objects, services, urls
from pipeline.store.objects import Tag

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# URLs of a path on this machine.
_OF_THIS_MACHINE = ("file", "local")
# A URL that lacks a slash: as a path it would be a folder named s3:, inside this one.
_LACKS_A_SLASH = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/(?!/)")


@dataclass(frozen=True)
class Location:
    """An absolute path on this machine, or a URL."""

    url: str

    @classmethod
    def of(cls, place: str | os.PathLike[str]) -> "Location":
        """The location that a user wrote: a path, with ``~`` or not, is made absolute.

        Raises
        ------
        UserError
            For what would be taken for something else when it is written again.
        """
        text = path_text(place)
        if not text or "\0" in text:
            raise UserError(f"{text!r} is no path: give a folder, a file or a URL")
        scheme = _URL.match(text)
        if scheme and "::" not in text:
            name, inside = text.split("://", 1)
            if name not in _OF_THIS_MACHINE:
                return cls(f"{name}://{inside.rstrip('/')}")
            text = inside.removeprefix("localhost")
            if not text.startswith("/"):
                raise UserError(
                    f"{os.fsdecode(place)} names another machine: write {name}:///PATH, with three "
                    "slashes, or the path alone"
                )
        elif scheme or ("::" in text and "://" in text):
            raise UserError(f"{text} is a chain of URLs, which cannot be opened here: give one URL")
        else:
            text = _expanded(text)
        # In a locale without UTF-8, Python reads the bytes of names that it cannot decode as other
        # characters, and the same path that was written down elsewhere would be another one.
        return cls(str(Path(os.fsdecode(text.encode("utf-8", "surrogateescape"))).absolute()))

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

    @property
    def is_of_process(self) -> bool:
        """Whether what is written there is lost when this process ends."""
        return self.url.startswith("memory://")

    def check_openable(self) -> None:
        """Refuse a URL that nothing here can open, and a path that Zarr takes for a URL."""
        if self.folder and "::" in self.url:
            raise UserError(
                f"{self} has a ::, which Zarr and xarray take for a chain of URLs: choose a path "
                "without"
            )
        if not self.folder:
            opens = services if services.is_object(self.url) else urls
            opens.check_client(self.url)

    def exists(self) -> bool:
        """Whether the path is taken: also by a symbolic link whose target is missing.

        Raises
        ------
        UserError
            Where the system does not tell.
        """
        # Not os.path.lexists, which takes whatever goes wrong for a no.
        try:
            if not self.folder:
                there: bool = self._remote.exists(self.url)
                return there
            os.lstat(self.folder)
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
        if self.folder:
            return self.folder.read_bytes()
        content: bytes = self._remote.read(self.url)
        return content

    def read_tagged(self) -> tuple[bytes, Tag]:
        """The content of a file at a URL, and the tag by which `swap` knows it again."""
        content, tag = self._remote.read_tagged(self.url)
        return content, tag

    def write(self, content: bytes) -> None:
        """Write a file."""
        if self.folder:
            self.folder.write_bytes(content)
        else:
            self._remote.write(self.url, content)

    def swap(self, content: bytes, seen: Tag | None) -> Tag | None:
        """Write a file at a URL if it is still the one that was seen; None: if there is none.

        Returns the tag of what was written, or None where somebody else has written meanwhile.
        """
        tag: Tag | None = self._remote.swap(self.url, content, seen)
        return tag

    def remove(self) -> None:
        """Remove a file."""
        if self.folder:
            os.remove(self.folder)
        else:
            self._remote.remove(self.url)

    def names(self) -> list[str]:
        """Names of the files and folders in it, never from a cache.

        Raises
        ------
        FileNotFoundError
            Where there is no such folder.
        """
        return os.listdir(self.folder) if self.folder else list(self.sizes())

    def sizes(self) -> dict[str, int | None]:
        """Names of the files and folders at a URL, with bytes; of folders None.  As `names`."""
        names: dict[str, int | None] = self._remote.children(self.url)
        return names

    def below(self) -> list[str]:
        """The URL of each file below a URL, sorted."""
        urls: list[str] = self._remote.below(self.url)
        return urls

    def remove_below(self) -> None:
        """Remove a folder, or everything below a URL."""
        if self.folder:
            shutil.rmtree(self.folder)
        else:
            self._remote.remove_below(self.url)

    def modified(self) -> float | None:
        """When a file was last written, in seconds since 1970; None where that is unknown.

        Raises
        ------
        OSError
            Where it is not said whether there is such a file.
        """
        try:
            if self.folder:
                return os.stat(self.folder).st_mtime
            when: float | None = self._remote.modified(self.url)
        except NOT_THERE:
            return None
        return when

    def size(self) -> int:
        """Bytes of all files in a folder."""
        if not self.folder:
            return int(self._remote.size(self.url))
        total = 0
        for folder, _, names in os.walk(self.folder):
            for name in names:
                # A sweep that is running renames its files.
                with suppress(OSError):
                    total += os.lstat(os.path.join(folder, name)).st_size
        return total

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

    @property
    def _remote(self) -> Any:
        """What reads and writes at the URL: the module `objects`, or `urls`."""
        return objects if services.is_object(self.url) else urls


def remove_all(places: Sequence[Location]) -> None:
    """Remove files, of an object store many in one request."""
    urls = [place.url for place in places if services.is_object(place.url)]
    if urls:
        objects.remove_many(urls)
    for place in places:
        if not services.is_object(place.url):
            place.remove()


def _expanded(text: str) -> str:
    """A path with the folder of a user in place of ``~``; refused is what a shell would replace."""
    if _LACKS_A_SLASH.match(text):
        name, inside = text.split(":/", 1)
        raise UserError(
            f"{text} is neither a URL nor clearly a path: write {name}://{'/' * (name == 'file')}"
            f"{inside}, or ./{text} for a folder of that name"
        )
    if text.startswith("-"):
        raise UserError(f"{text} begins with a dash, as options do: write ./{text}")
    path = os.path.expanduser(text)
    if path.startswith("~") and not os.path.lexists(path):
        raise UserError(
            f"{text} names the home of a user who is not here: write the whole path, or ./{text}"
        )
    meant = os.path.expandvars(path)
    if meant != path and not os.path.lexists(path):
        raise UserError(f"{text} has a variable, which only a shell replaces: write {meant}")
    return path


def path_text(place: str | os.PathLike[str]) -> str:
    """A path or URL as text.

    Raises
    ------
    UserError
        For anything else.
    """
    if not isinstance(place, str | os.PathLike):
        raise UserError(
            f"a path or a URL is needed, got a {type(place).__name__}: a dataset has that of its "
            'store in attrs["store"]'
        )
    return os.fsdecode(place)
