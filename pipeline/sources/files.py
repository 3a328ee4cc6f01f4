"""What sources made of image files share: finding the files, their identity, where a tile lies.

Tiles are counted over the files in sorted order, and in row-major order within each.  Rows and
columns beyond the last whole tile are dropped.
"""

import dataclasses
import glob
import hashlib
import importlib.util
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UnreadableError, cannot, refuse_unreadable
from pipeline.sources.tiling import groups, strips

# A file that an installed package ships: pkg://PACKAGE/path/inside/it.
_PACKAGE = "pkg://"
# Among endings, what a folder inside a folder is counted as.
_FOLDER = "folder"
_DIGEST_BYTES = 32
# Images of more than 8 bits whose largest sample is below this share of white are said to be dark:
# 12 bits in 16 reach 1/16, and 14 bits, which reach 1/4, may as well be a dark picture of 16.
_DARK = 1 / 8


class Inspected(NamedTuple):
    """What reading a file told of it.

    `height` and `width` in samples; `peak` is the largest sample of an image of more than 8 bits, 1
    for white, None for other images.
    """

    height: int
    width: int
    peak: float | None = None


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
    `notes` are lines that a user should read; they are not kept as JSON.
    """

    # A hundred thousand files take 17 MB of a worker's memory as columns, 47 MB as records.  The
    # columns are left out of the hash, which they would make slow at every draw.
    sha256: str
    paths: tuple[str, ...] = field(compare=False, repr=False)
    heights: NDArray[np.int64] = field(compare=False, repr=False)
    widths: NDArray[np.int64] = field(compare=False, repr=False)
    digests: bytes = field(compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)

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

    def across(self, block_size: int) -> int:
        """How many tiles a row of each file has; 1 where the files differ."""
        widths = self.widths // block_size
        return int(widths[0]) if (widths == widths[0]).all() else 1

    def batches(self, block_size: int) -> tuple[int, ...]:
        """The ends of batches of neighbouring tiles: strips of a single image, or whole images."""
        if len(self) == 1:
            return strips(int(self.heights[0]) // block_size, int(self.widths[0]) // block_size)
        return groups(np.cumsum(self.tiles(block_size)))

    def dropped(self, block_size: int) -> int:
        """How many samples lie beyond the last whole tiles."""
        samples = self.heights * self.widths
        return int((samples - self.tiles(block_size) * block_size**2).sum())


def find_files(
    path: str,
    suffixes: tuple[str, ...],
    inspect: Callable[[Path, bytes], Inspected],
    *,
    recursive: bool = False,
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
        (path, content) -> what a file is that can be drawn from.
    recursive
        Whether the folders inside a folder are searched too.

    Raises
    ------
    ValueError
        For no files, an unreadable one, or whatever `inspect` refuses.
    """

    def row(file: Path) -> tuple[Inspected, bytes]:
        content = _read(file)
        return inspect(file, content), hashlib.sha256(content).digest()

    paths, notes = _paths(path, suffixes, recursive)
    # Pillow warns before it raises: one message is enough.
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor() as pool:
        inspected, digests = zip(*pool.map(row, paths), strict=True)
    heights, widths, peaks = zip(*inspected, strict=True)
    deep = [peak for peak in peaks if peak is not None]
    if deep and max(deep) < _DARK:
        notes.append(
            f"{path}: no sample of {len(deep):,} images of 16 bits is above {max(deep):.3f} of "
            "white; if fewer bits are used, scale them, or give TIFF files their MaxSampleValue"
        )
    files = Files.of([str(file) for file in paths], heights, widths, b"".join(digests))
    return dataclasses.replace(files, notes=tuple(notes))


def walk(
    files: Files, block_size: int, numbers: NDArray[np.int64]
) -> Iterator[tuple[ImageFile, NDArray[np.int64], slice]]:
    """Find the files that some tiles lie in.

    Parameters
    ----------
    numbers
        Of the tiles, counted over all files, in ascending order.

    Yields
    ------
    tuple
        A file, the numbers of its own tiles that are wanted, and where these go: their place among
        `numbers`.
    """
    ends = _ends(files, block_size)
    done = 0
    while done < len(numbers):
        number = int(ends.searchsorted(numbers[done], side="right"))
        begin = ends[number - 1] if number else 0
        until = int(numbers.searchsorted(ends[number]))
        yield files[number], numbers[done:until] - begin, slice(done, until)
        done = until


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
        raise UnreadableError(cannot("read", path, error)) from error


def _paths(path: str, suffixes: tuple[str, ...], recursive: bool) -> tuple[list[Path], list[str]]:
    """The files that a path of conf/ stands for, absolute and sorted, at least one; and notes."""
    root, notes = _root(path), []
    _refuse_unlisted(root)
    if root.is_dir():
        files, passed = _in_folder(root, suffixes, recursive)
        if not files:
            raise ValueError(_no_image(path, suffixes, passed))
        if passed:
            notes.append(f"{path}: passed over {_counted(passed)}")
    elif root.is_file():
        files = [root]
    elif recursive and glob.has_magic(str(root)):
        raise ValueError(
            f"{path} is a glob, and recursive=true is for a folder: write ** for any folders"
        )
    else:
        matched = [Path(p) for p in glob.glob(str(root), recursive=True)]
        _refuse_broken(matched)
        files = [p for p in matched if p.is_file()]
        if not files:
            if matched:
                raise ValueError(f"{path} matches only folders: write /* behind it, or give one")
            raise ValueError(f"{path} matches no file: give an image, a folder or a glob")
    # A set, since several links may lead to one file.
    return sorted({p.resolve() for p in files}), notes


def _refuse_unlisted(pattern: Path) -> None:
    """Refuse a path where the system does not let anybody look: `glob` would find nothing there."""
    certain = next(p for p in (pattern, *pattern.parents) if not glob.has_magic(str(p)))
    try:
        if certain.is_dir():
            os.listdir(certain)
    except OSError as error:
        refuse_unreadable(certain, error)


def _refuse_broken(paths: Iterable[Path]) -> None:
    """Refuse links that lead nowhere, as those to pictures that were not fetched yet."""
    for path in paths:
        try:
            os.stat(path)
        except FileNotFoundError as error:
            raise ValueError(
                f"{path} is a link to {os.readlink(path)}, which is not there: fetch it, or remove "
                "the link"
            ) from error
        except OSError:
            # As of a path that goes round many times, which `**` follows: it is read elsewhere.
            continue


def _in_folder(
    root: Path, suffixes: tuple[str, ...], recursive: bool
) -> tuple[list[Path], Counter[str]]:
    """The files in a folder that end as wanted, and how many others there are, by ending.

    Whatever begins with a dot is left out: such files are no images, though they may end as if.
    """
    files, passed = list[Path](), Counter[str]()
    folders, known = [root], {root.resolve()}
    for folder in folders:
        try:
            entries = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
        except OSError as error:
            raise UnreadableError(cannot("read", folder, error)) from error
        for entry in entries:
            if entry.is_dir():
                # Two links may lead to one folder, or to one that they are in.
                if recursive and entry.resolve() not in known:
                    known.add(entry.resolve())
                    folders.append(entry)
                elif not recursive:
                    passed[_FOLDER] += 1
            elif entry.suffix.lower() in suffixes:
                _refuse_broken([entry])
                files.append(entry)
            else:
                passed[entry.suffix.lower() or "without ending"] += 1
    return files, passed


def _no_image(path: str, suffixes: tuple[str, ...], passed: Counter[str]) -> str:
    """Why a folder is refused."""
    if set(passed) == {_FOLDER}:
        return (
            f"{path} holds only folders, {passed[_FOLDER]:,} of them: give one, or search them all "
            "with its recursive=true"
        )
    held = f" but {_counted(passed)}" if passed else ""
    hint = "; recursive=true searches its folders too" if _FOLDER in passed else ""
    return f"{path} holds no image{held}: it needs files named {', '.join(suffixes)}{hint}"


def _counted(passed: Counter[str]) -> str:
    """What was passed over, the most frequent first, folders last: 3 .txt, 1 .gif, 2 folders."""
    named = sorted(passed.items(), key=lambda item: (item[0] == _FOLDER, -item[1], item[0]))
    return ", ".join(
        f"{count:,} {ending}{'s' if ending == _FOLDER and count > 1 else ''}"
        for ending, count in named
    )


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
