"""What sources made of image files share: their heads, their identity, where a tile lies.

Tiles are counted over the files in sorted order, and in row-major order within each.  Rows and
columns beyond the last whole tile are dropped.
"""

import dataclasses
import hashlib
import threading
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import BadFileError, UnreadableError, cannot, count_of
from pipeline.sources import cache, finding, memory
from pipeline.sources.cache import Found, Inspected, State
from pipeline.sources.tiling import groups, strips

_DIGEST_BYTES = 32
# Images of more than 8 bits whose largest sample is below this share of white are said to be dark:
# 12 bits in 16 reach 1/16, and 14 bits, which reach 1/4, may as well be a dark picture of 16.
_DARK = 1 / 8
# Of small files, which take 0.1 ms each, handing over a task takes as long as reading one.
_FILES_PER_TASK = 16
# Of few and large ones, enough tasks for all threads.
_TASKS = 64
# What is kept of decoded files takes at most this share of the memory.
_SHARE_KEPT = 1 / 8

Result = TypeVar("Result")


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
    `notes` are lines that a user should read, `size` is how many bytes all files have together,
    `seconds` how long one core takes to decode them; these three are not kept as JSON.
    """

    # A hundred thousand files take 17 MB of a worker's memory as columns, 47 MB as records.  The
    # columns are left out of the hash, which they would make slow at every draw.
    sha256: str
    paths: tuple[str, ...] = field(compare=False, repr=False)
    heights: NDArray[np.int64] = field(compare=False, repr=False)
    widths: NDArray[np.int64] = field(compare=False, repr=False)
    digests: bytes = field(compare=False, repr=False)
    notes: tuple[str, ...] = field(default=(), compare=False, repr=False)
    size: int = field(default=0, compare=False, repr=False)
    seconds: float = field(default=0.0, compare=False, repr=False)

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

    def first(self) -> "Files":
        """The first of the files alone."""
        digest = self.digests[:_DIGEST_BYTES]
        return Files.of(self.paths[:1], self.heights[:1].tolist(), self.widths[:1].tolist(), digest)

    @property
    def units(self) -> str:
        """Samples are scaled to 0 .. 1."""
        return "1"

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


@dataclass(frozen=True)
class Reader:
    """How files of one kind of source are read.

    `head(path, content)` tells of a file what planning has to know, by its headers where these say
    it; `decode(path, content)` gives the samples or coefficients, and refuses whatever is wrong
    with a file.  Both raise a ValueError that names the file.  `seconds` is the time to decode one
    sample on a 2 GHz server core, by the ending of a file; those in a folder have one of these.
    """

    kind: str
    seconds: Mapping[str, float]
    head: Callable[[Path, bytes], Inspected]
    decode: Callable[[Path, bytes], tuple[NDArray[Any], Any]]


def find_files(reader: Reader, path: str, *, recursive: bool = False) -> Files:
    """Find the files of `path`, and read the heads and hash the contents of those that are new.

    What was found of a file before is taken from a cache while the file is unchanged.

    Parameters
    ----------
    reader
        Of the files' kind.
    path, recursive
        As `finding.find` takes them.

    Raises
    ------
    ValueError
        For no files, an unreadable one, or whatever the heads say that cannot be measured.
    """
    paths, notes = finding.find(path, tuple(reader.seconds), recursive)
    began = time.time()
    states = [State.of(file) for file in paths]
    known = cache.look_up(reader.kind, paths, states)
    new = [place for place, each in enumerate(known) if each is None]
    try:
        heads = _mapped(partial(_head, reader), [paths[place] for place in new])
        for place, head in zip(new, heads, strict=True):
            known[place] = head
    finally:
        # Also where a file is refused: its neighbours need not be read again.
        rows = [(paths[k], states[k], found) for k in new if (found := known[k])]
        cache.keep(reader.kind, rows, began)
    files = _columns(path, paths, [found for found in known if found], notes)
    each = [reader.seconds.get(Path(file).suffix.lower(), 0.0) for file in paths]
    seconds = float((files.heights * files.widths * np.array(each)).sum())
    return dataclasses.replace(files, size=sum(state.size for state in states), seconds=seconds)


def check_files(
    reader: Reader, path: str, observe: Callable[[int, int], None], *, recursive: bool = False
) -> tuple[int, list[str]]:
    """Decode every file of `path` as a sweep would, and keep nothing.

    Parameters
    ----------
    reader, path, recursive
        As for `find_files`.
    observe
        Is told how many files are done, and how many there are.

    Returns
    -------
    tuple
        How many files there are, and why each bad one is refused, in their order.
    """

    def refusal(path: str) -> str | None:
        try:
            content = _read(Path(path))
            reader.head(Path(path), content)
            reader.decode(Path(path), content)
        except ValueError as error:
            return str(error)
        return None

    paths, _ = finding.find(path, tuple(reader.seconds), recursive)
    bad = []
    for done, said in enumerate(_mapped(refusal, paths), start=1):
        bad += [said] if said else []
        observe(done, len(paths))
    return len(paths), bad


class Kept:
    """A function that decodes a file, and keeps what it gave for some files.

    Each thread has the last one of its own, too: a unit that goes on with the same file in its next
    batch finds it, however many files other threads have decoded meanwhile.
    """

    def __init__(self, decode: Callable[[ImageFile], Any], files: int) -> None:
        self._decode, self._files = decode, files
        # The one used last is at the end.
        self._shared: OrderedDict[ImageFile, Any] = OrderedDict()
        self._bytes, self._lock = 0, threading.Lock()
        self._own = threading.local()

    def __call__(self, file: ImageFile) -> Any:
        """What the function gives: an array, and what belongs to it."""
        last = getattr(self._own, "last", None)
        if last is None or last[0] != file:
            # Its memory is free before the next one is decoded.
            self._own.last = None
            self._own.last = last = file, self._of_any_thread(file)
        return last[1]

    def _of_any_thread(self, file: ImageFile) -> Any:
        with self._lock:
            if file in self._shared:
                self._shared.move_to_end(file)
                return self._shared[file]
        result = self._decode(file)
        with self._lock:
            if file not in self._shared:
                self._shared[file] = result
                self._bytes += result[0].nbytes
            while len(self._shared) > self._files or self._bytes > _SHARE_KEPT * memory.limit():
                self._bytes -= self._shared.popitem(last=False)[1][0].nbytes
        return result

    def cache_clear(self) -> None:
        """Forget all files."""
        with self._lock:
            self._shared.clear()
            self._bytes = 0
        self._own = threading.local()


def decoded(reader: Reader, file: ImageFile) -> tuple[NDArray[Any], Any]:
    """What `reader.decode` gives of a file, which must be as it was when the sweep was planned.

    Raises
    ------
    BadFileError
        For a file that has changed since, or is broken.
    UnreadableError
        For a file that can no longer be read.
    """
    content = _read(Path(file.path))
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise BadFileError(
            f"{file.path} has changed since the sweep was planned: start the sweep again"
        )
    try:
        return reader.decode(Path(file.path), content)
    except UnreadableError:
        raise
    except ValueError as error:
        raise BadFileError(str(error)) from error


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


def _head(reader: Reader, path: str) -> Found:
    content = _read(Path(path))
    try:
        inspected = reader.head(Path(path), content)
    except ValueError as error:
        raise BadFileError(str(error)) from error
    return Found(*inspected, hashlib.sha256(content).digest())


def _mapped(function: Callable[[str], Result], paths: Sequence[str]) -> Iterator[Result]:
    """What a function gives for each path, in order, computed by threads, some paths a task."""
    step = min(_FILES_PER_TASK, 1 + len(paths) // _TASKS)

    def of_some(start: int) -> list[Result]:
        return [function(path) for path in paths[start : start + step]]

    # Pillow warns before it raises: one message is enough.
    threads = memory.cores() + 4
    with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(threads) as pool:
        try:
            for results in pool.map(of_some, range(0, len(paths), step)):
                yield from results
        finally:
            # After an error or Ctrl-C: tasks that have not begun are not waited for.
            pool.shutdown(cancel_futures=True)


def _columns(
    path: str, paths: Sequence[str], found: Sequence[Found], notes: Sequence[str]
) -> Files:
    """The files as columns, with a note where all images of more than 8 bits are dark."""
    heights, widths, peaks, digests = zip(*found, strict=True)
    deep = [peak for peak in peaks if peak is not None]
    if deep and max(deep) < _DARK:
        notes = [
            *notes,
            f"{path}: no sample of {count_of(len(deep), 'image')} of 16 bits is above "
            f"{max(deep):.3f} of white; if fewer bits are used, scale them, or give TIFF files "
            "their MaxSampleValue",
        ]
    files = Files.of(paths, heights, widths, b"".join(digests))
    return dataclasses.replace(files, notes=tuple(notes))
