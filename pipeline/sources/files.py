"""What sources made of files share: finding the files, their identity, which tile is in which.

Files in sorted order, tiles in row-major order within a file; trial t is tile t.  Rows and columns
beyond the last whole tile are dropped.
"""

import glob
import hashlib
import importlib.util
import os
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

# A file that an installed package ships: pkg://PACKAGE/path/inside/it.
_PACKAGE = "pkg://"


@dataclass(frozen=True)
class ImageFile:
    """One file, as found when the sweep was planned."""

    path: str
    height: int
    width: int
    sha256: str

    def tiles(self, block_size: int) -> int:
        """How many whole tiles the file has."""
        return (self.height // block_size) * (self.width // block_size)


@dataclass(frozen=True)
class Files:
    """Files in order; equal where their contents are, wherever they lie."""

    sha256: str
    # Left out of the hash, which thousands of files would make slow at every draw.
    records: tuple[ImageFile, ...] = field(compare=False)

    def __len__(self) -> int:
        """How many files."""
        return len(self.records)

    def __iter__(self) -> Iterator[ImageFile]:
        """The files in order."""
        return iter(self.records)


def look(
    path: str, suffixes: tuple[str, ...], inspect: Callable[[Path, bytes], tuple[int, int]]
) -> Files:
    """Find the files of `path` and read each once.

    Reading everything before the sweep starts costs less than the sweep itself, and finds a
    truncated file before hours of work instead of in the middle of them.

    Parameters
    ----------
    path
        A file, a folder, a glob, or one of them inside an installed package.
    suffixes
        Which files of a folder are meant.
    inspect
        (path, content) -> height and width in samples.

    Raises
    ------
    ValueError
        For no files, an unreadable one, or whatever `inspect` refuses.
    """

    def record(found: Path) -> ImageFile:
        content = _content(found)
        height, width = inspect(found, content)
        return ImageFile(str(found), height, width, hashlib.sha256(content).hexdigest())

    # Pillow also warns of what it then raises: one message is enough.
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor() as pool:
        records = tuple(pool.map(record, _find(path, suffixes)))
    contents = "".join(file.sha256 for file in records)
    return Files(hashlib.sha256(contents.encode()).hexdigest(), records)


def available(block_size: int, *, path: str, files: Files) -> int:
    """How many tiles there are over all files.

    Raises
    ------
    ValueError
        For an image smaller than a block.
    """
    for file in files:
        if not file.tiles(block_size):
            raise ValueError(
                f"{file.path} is {file.height} x {file.width} samples, smaller than a block of "
                f"{block_size} x {block_size}: choose a smaller block_size or remove the file"
            )
    return sum(file.tiles(block_size) for file in files)


def decides(*, path: str, files: Files) -> dict[str, Any]:
    """What decides the numbers: the files' contents in order, wherever they are."""
    return {"files": len(files), "sha256": files.sha256}


def dropped(block_size: int, *, path: str, files: Files) -> int:
    """How many samples lie beyond the last whole tiles."""
    return sum(f.height * f.width - f.tiles(block_size) * block_size**2 for f in files)


def walk(
    files: Files, block_size: int, first: int, count: int
) -> Iterator[tuple[ImageFile, slice, slice]]:
    """Which tiles of which files are tiles first .. first + count - 1 over all files.

    Yields
    ------
    tuple
        A file, the tiles wanted of it, and their place in the batch.
    """
    ends = _ends(files, block_size)
    done, stop = first, first + count
    while done < stop:
        number = bisect_right(ends, done)
        begin = ends[number - 1] if number else 0
        until = min(ends[number], stop)
        yield (
            files.records[number],
            slice(done - begin, until - begin),
            slice(done - first, until - first),
        )
        done = until


def content_of(file: ImageFile) -> bytes:
    """A file's content, which is what it was when the sweep was planned.

    Raises
    ------
    ValueError
        For a file that can no longer be read or has changed since.
    """
    content = _content(Path(file.path))
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ValueError(
            f"{file.path} has changed since the sweep was planned: start the sweep again"
        )
    return content


# Of each source and block size of a sweep, or of several in turn.
@lru_cache(maxsize=64)
def _ends(files: Files, block_size: int) -> list[int]:
    """Of each file, how many tiles it and those before it have."""
    return list(accumulate(file.tiles(block_size) for file in files))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def _find(path: str, suffixes: tuple[str, ...]) -> list[Path]:
    root = _root(path)
    if root.is_dir():
        found = [p for p in root.iterdir() if p.suffix.lower() in suffixes and p.is_file()]
        if not found:
            raise ValueError(f"{path} holds no image: it needs files named {', '.join(suffixes)}")
    elif root.is_file():
        found = [root]
    else:
        found = [Path(p) for p in glob.glob(str(root), recursive=True) if Path(p).is_file()]
        if not found:
            raise ValueError(f"{path} matches no file: give an image, a folder or a glob")
    # Once each, however many links lead to it.
    return sorted({p.resolve() for p in found})


def _root(path: str) -> Path:
    if not path.startswith(_PACKAGE):
        return Path(os.path.expanduser(path))
    package, _, inside = path.removeprefix(_PACKAGE).partition("/")
    # Found, and not imported, which runs it.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"{path} names package {package!r}, which is not installed here: install it, or give "
            "a path to the file"
        )
    return Path(next(iter(spec.submodule_search_locations))) / inside
