"""Files at a URL that fsspec opens: memory://, http:// and others that are no `objects`."""

import hashlib
import posixpath
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import NOT_THERE, UserError

Tag = dict[str, str]
# Nothing at such a URL is written on a condition; of memory:// this is enough.
_swapping = threading.Lock()


def check_client(url: str) -> None:
    """Refuse a URL that nothing here can open."""
    try:
        _files(url)
    except Exception as error:  # what the class of a kind of URL raises
        # fsspec names the package that a kind of URL needs.
        raise UserError(f"cannot open {url}: {' '.join(str(error).split())}") from error


def read(url: str) -> bytes:
    """The content of a file; a FileNotFoundError where there is none."""
    with _fetching(url) as (files, path):
        content: bytes = files.cat_file(path)
    return content


def read_tagged(url: str) -> tuple[bytes, Tag]:
    """The content of a file, and what tells it from others."""
    content = read(url)
    return content, _tag(content)


def write(url: str, content: bytes) -> None:
    """Write a file."""
    with _fetching(url) as (files, path):
        files.pipe_file(path, content)


def swap(url: str, content: bytes, seen: Tag | None) -> Tag | None:
    """Write a file if it is still the one that was seen; None for `seen` where there was none.

    Returns its tag, or None where somebody else has written meanwhile.
    """
    with _swapping:
        try:
            found = read_tagged(url)[1]
        except NOT_THERE:
            found = None
        if found != seen:
            return None
        write(url, content)
        return _tag(content)


def _tag(content: bytes) -> Tag:
    return {"content": hashlib.sha256(content).hexdigest()}


def remove(url: str) -> None:
    """Remove a file."""
    with _fetching(url) as (files, path):
        files.rm_file(path)


def exists(url: str) -> bool:
    """Whether there is a file or a folder."""
    # Not fsspec's exists, which takes whatever goes wrong for a no.
    try:
        with _fetching(url) as (files, path):
            files.info(path)
    except NOT_THERE:
        return False
    return True


def children(url: str) -> dict[str, int | None]:
    """Names of what lies directly in a folder, with bytes; of a folder None.  Never from a cache.

    Raises
    ------
    FileNotFoundError
        Where there is no such folder.
    """
    with _fetching(url) as (files, path):
        files.invalidate_cache()
        found = files.ls(path, detail=True)
    return {
        posixpath.basename(each["name"].rstrip("/")): (
            None if each["type"] == "directory" else each["size"]
        )
        for each in found
    }


def modified(url: str) -> float | None:
    """When a file was last written, in seconds since 1970; None where that is unknown."""
    try:
        with _fetching(url) as (files, path):
            return float(files.modified(path).timestamp())
    except NotImplementedError:
        return None


def size(url: str) -> int:
    """Bytes of all files in a folder."""
    with _fetching(url) as (files, path):
        return int(files.du(path))


def below(url: str) -> list[str]:
    """The URL of each file below a folder, sorted."""
    with _fetching(url) as (files, path):
        # As the URL is written: fsspec writes memory://a as memory:///a.
        inside = (name.removeprefix(path).lstrip("/") for name in files.find(path))
        return sorted(posixpath.join(url, name) for name in inside)


def remove_below(url: str) -> None:
    """Remove every file below a folder."""
    with _fetching(url) as (files, path):
        files.rm(path, recursive=True)


def _files(url: str) -> tuple[Any, str]:
    """The file system, and the path in it."""
    # Here, because it takes a tenth of a second to import and most refusals do not need it.
    from fsspec.core import url_to_fs

    files, path = url_to_fs(url)
    return files, path


@contextmanager
def _fetching(url: str) -> Iterator[tuple[Any, str]]:
    """`_files`, of which whatever the client of an object store raises becomes an OSError."""
    files, path = _files(url)
    try:
        yield files, path
    except (OSError, NotImplementedError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
