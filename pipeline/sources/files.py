"""What sources made of image files share: finding the files, their identity, where a tile lies.

Trial t is tile t, counted over the files in sorted order, and in row-major order within each.  Rows
and columns beyond the last whole tile are dropped.
"""

import glob
import hashlib
import importlib.util
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A file that an installed package ships: pkg://PACKAGE/path/inside/it.
_PACKAGE = "pkg://"
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class ImageFile:
    """One file, as it was when the sweep was planned; height and width in samples."""

    path: str
    height: int
    width: int
    sha256: str


@dataclass(frozen=True)
class Files:
    """A sequence of files; two are equal where the contents are, whatever the paths.

    `sha256` is a hash of the digests of all files.  The other fields are columns with a row for
    each file: `heights` and `widths` in samples, `digests` the SHA-256 of each, 32 bytes a file.
    """

    # A hundred thousand files take 17 MB of a worker's memory as columns, 47 MB as records.  The
    # columns are left out of the hash, which they would make slow at every draw.
    sha256: str
    paths: tuple[str, ...] = field(compare=False, repr=False)
    heights: NDArray[np.int64] = field(compare=False, repr=False)
    widths: NDArray[np.int64] = field(compare=False, repr=False)
    digests: bytes = field(compare=False, repr=False)

    @classmethod
    def of(
        cls, paths: Sequence[str], heights: Sequence[int], widths: Sequence[int], digests: bytes
    ) -> "Files":
        """The files that have these columns."""
        sha256 = hashlib.sha256(digests.hex().encode()).hexdigest()
        sides = np.array(heights, np.int64), np.array(widths, np.int64)
        return cls(sha256, tuple(paths), *sides, digests)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Files":
        """The files of which `to_json` gave the data."""
        return cls.of(
            data["paths"], data["heights"], data["widths"], bytes.fromhex(data["digests"])
        )

    def to_json(self) -> dict[str, Any]:
        """The columns as plain JSON; digests as one text, 64 hexadecimal digits a file."""
        return {
            "paths": list(self.paths),
            "heights": self.heights.tolist(),
            "widths": self.widths.tolist(),
            "digests": self.digests.hex(),
        }

    def __len__(self) -> int:
        """How many files."""
        return len(self.paths)

    def __getitem__(self, number: int) -> ImageFile:
        """One of the files."""
        start = number * _DIGEST_BYTES
        return ImageFile(
            self.paths[number],
            int(self.heights[number]),
            int(self.widths[number]),
            self.digests[start : start + _DIGEST_BYTES].hex(),
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers: the files' contents in order, but not their paths."""
        return {"files": len(self), "sha256": self.sha256}

    def tiles(self, block_size: int) -> NDArray[np.int64]:
        """How many whole tiles each file has."""
        return (self.heights // block_size) * (self.widths // block_size)

    def available(self, block_size: int) -> int:
        """How many tiles there are over all files.

        Raises
        ------
        ValueError
            For an image smaller than a block.
        """
        tiles = self.tiles(block_size)
        if not tiles.all():
            file = self[int(np.argmin(tiles != 0))]
            raise ValueError(
                f"{file.path} is {file.height} x {file.width} samples, smaller than a block of "
                f"{block_size} x {block_size}: choose a smaller block_size or remove the file"
            )
        return int(tiles.sum())

    def dropped(self, block_size: int) -> int:
        """How many samples lie beyond the last whole tiles."""
        samples = self.heights * self.widths
        return int((samples - self.tiles(block_size) * block_size**2).sum())


def find_files(
    path: str, suffixes: tuple[str, ...], shape_of: Callable[[Path, bytes], tuple[int, int]]
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
    shape_of
        (path, content) -> height and width in samples, of a file that can be drawn from.

    Raises
    ------
    ValueError
        For no files, an unreadable one, or whatever `shape_of` refuses.
    """

    def row(file: Path) -> tuple[int, int, bytes]:
        content = _read(file)
        return *shape_of(file, content), hashlib.sha256(content).digest()

    paths = _paths(path, suffixes)
    # Pillow warns before it raises: one message is enough.
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor() as pool:
        heights, widths, digests = zip(*pool.map(row, paths), strict=True)
    return Files.of([str(file) for file in paths], heights, widths, b"".join(digests))


def walk(
    files: Files, block_size: int, first: int, count: int
) -> Iterator[tuple[ImageFile, slice, slice]]:
    """Find the files that tiles first .. first + count - 1 lie in, counted over all files.

    Yields
    ------
    tuple
        A file, which of its own tiles are wanted, and where in 0 .. count these go.
    """
    ends = _ends(files, block_size)
    number = int(ends.searchsorted(first, side="right"))
    begin = int(ends[number - 1]) if number else 0
    done, stop = first, first + count
    while done < stop:
        end = int(ends[number])
        until = min(end, stop)
        yield (
            files[number],
            slice(done - begin, until - begin),
            slice(done - first, until - first),
        )
        done, begin, number = until, end, number + 1


def read_unchanged(file: ImageFile) -> bytes:
    """A file's content, refused if it is not what it was when the sweep was planned.

    Raises
    ------
    ValueError
        For a file that can no longer be read or has changed since.
    """
    content = _read(Path(file.path))
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise ValueError(
            f"{file.path} has changed since the sweep was planned: start the sweep again"
        )
    return content


# An entry for each source and block size of a sweep, or of several sweeps in turn.
@lru_cache(maxsize=64)
def _ends(files: Files, block_size: int) -> NDArray[np.int64]:
    """The running total of tiles: how many each file and those before it have, (files,)."""
    return np.cumsum(files.tiles(block_size))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error


def _paths(path: str, suffixes: tuple[str, ...]) -> list[Path]:
    """The files that a path of conf/ stands for, absolute and sorted; at least one."""
    root = _root(path)
    if root.is_dir():
        files = [p for p in root.iterdir() if p.suffix.lower() in suffixes and p.is_file()]
        if not files:
            raise ValueError(f"{path} holds no image: it needs files named {', '.join(suffixes)}")
    elif root.is_file():
        files = [root]
    else:
        files = [Path(p) for p in glob.glob(str(root), recursive=True) if Path(p).is_file()]
        if not files:
            raise ValueError(f"{path} matches no file: give an image, a folder or a glob")
    # A set, since several links may lead to one file.
    return sorted({p.resolve() for p in files})


def _root(path: str) -> Path:
    """A path of conf/ with its `~`, or its `pkg://PACKAGE`, replaced by the actual folder."""
    if not path.startswith(_PACKAGE):
        return Path(os.path.expanduser(path))
    package, _, inside = path.removeprefix(_PACKAGE).partition("/")
    # The package is looked up and not imported, which would run its code.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"{path} names package {package!r}, which is not installed here: install it, or give "
            "a path to the file"
        )
    return Path(next(iter(spec.submodule_search_locations))) / inside
