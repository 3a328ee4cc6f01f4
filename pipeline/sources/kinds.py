"""Kinds of block sources: how each is inspected, drawn from, and kept as JSON.

A new kind needs a function in asm_core/sources.py if it is drawn at random, or a module here with
two functions if it is read from files; and a record in KINDS and a file in conf/source.
"""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

import asm_core
from asm_core import validate
from asm_core.sources import autoregressive, gaussian, uniform, upsampled
from asm_core.validate import FloatArray
from pipeline.errors import UserError
from pipeline.functions.calling import OwnCodeError
from pipeline.functions.naming import TARGET
from pipeline.functions.resolving import Function
from pipeline.planning.entries import Source, check_kind
from pipeline.planning.tiles import Tiles, sizes_from_json, sizes_to_json
from pipeline.sources import arrays, images, jpeg, own
from pipeline.sources.arrays import StoredArray
from pipeline.sources.files import Files, Reader, check_files

Parameters = dict[str, Any]


class Content(Protocol):
    """A description of what lies at a source's path: all that drawing needs, but the samples.

    It is compared and hashed at every draw, so both must be quick.
    """

    def __len__(self) -> int:
        """How many images there are."""

    @property
    def units(self) -> str:
        """The unit of the samples, empty where nothing says so."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers, plain JSON."""

    def available(self, block_size: int) -> int:
        """How many blocks of this size there are; raises a ValueError where there are none."""

    def across(self, block_size: int) -> int:
        """How many blocks a row of each image has; 1 where images differ."""

    def batches(self, block_size: int) -> tuple[int, ...]:
        """The ends of batches of neighbouring blocks, at most MOST_BATCHES."""

    def dropped(self, block_size: int) -> int:
        """How many samples lie beyond the last whole blocks."""

    def to_json(self) -> dict[str, Any]:
        """All of it, plain JSON."""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The content of which `to_json` gave the data."""


@dataclass(frozen=True)
class Kind:
    """What the pipeline needs to know of a kind of source.

    `draw(seed, block_size, first, count, **parameters)` gives blocks (count, N, N), or their DCT
    coefficients where the kind is `spectral`.  Kinds that are read from files also have
    `inspect(**parameters)`, which describes what lies at the path as an object of the class
    `content`; their `draw` is `draw(content, block_size, numbers)`, of tiles by their numbers in
    ascending order; of image files, whose samples are decoded when they are drawn, `reader` says
    how, for those who decode all of them beforehand.  `block_size` is the only size of block that
    the kind has, None for any; `seconds` is the time to draw one sample on a 2 GHz server core;
    `ordered` is whether images of one block each are trials, in an order of the user's.
    """

    draw: Callable[..., FloatArray]
    inspect: Callable[..., Content] | None = None
    content: type[Content] | None = None
    seconds: float = 5e-9
    spectral: bool = False
    block_size: int | None = None
    ordered: bool = False
    reader: Reader | None = None


KINDS = {
    "uniform": Kind(uniform),
    "gaussian": Kind(gaussian, seconds=25e-9),
    "upsampled": Kind(upsampled, seconds=13e-9),
    "autoregressive": Kind(autoregressive, seconds=35e-9),
    "images": Kind(images.tiles, images.inspect, Files, reader=images.READER),
    "jpeg": Kind(
        jpeg.coefficients, jpeg.inspect, Files, spectral=True, block_size=jpeg.SIZE,
        reader=jpeg.READER,
    ),
    "array": Kind(arrays.tiles, arrays.inspect, StoredArray, ordered=True),
}  # fmt: skip

# Seconds per sample for two transforms and the rounding between them.
_QUANTISE_SECONDS = 27e-9


def resolve(name: str, entry: Parameters, block_sizes: Sequence[int]) -> list[Source]:
    """Check an entry of conf/source and look at what lies at its path.

    Returns
    -------
    list of Source
        One; or one for each quality, NAME_q10 and so on, where the entry lists several.

    Raises
    ------
    UserError
        For a parameter out of range, or files that are missing, unreadable or too small.
    """
    if TARGET not in entry:
        check_kind("source", name, entry["kind"], KINDS)
    qualities = entry.get("quality") or []
    try:
        source = _inspected(name, entry, block_sizes)
        for size in block_sizes:
            for quality in qualities:
                validate.quality(quality, size)
            # Drawing nothing still checks every parameter, in the function that defines them.
            _draw(source, 0, size, 0, 0)
    except ValueError as error:
        if isinstance(error, OwnCodeError) or TARGET in entry:
            raise
        # As what it is: who checks all files goes on after one that is broken.
        refused = type(error) if isinstance(error, UserError) else UserError
        raise refused(f"source.{name}: {error}") from error
    return [_quantised(source, quality, len(qualities)) for quality in qualities] or [source]


def check(
    name: str, entry: Parameters, observe: Callable[[int, int], None]
) -> tuple[int, list[str]]:
    """Decode every file of an entry of conf/source whose kind has a `reader`.

    Returns
    -------
    tuple
        How many files there are, and why each bad one is refused.

    Raises
    ------
    UserError
        For no files, or where they cannot be listed.
    """
    reader = KINDS[entry["kind"]].reader
    assert reader is not None
    try:
        files, bad = check_files(reader, observe=observe, **_parameters(entry))
    except ValueError as error:
        raise UserError(f"source.{name}: {error}") from error
    return files, [f"source.{name}: {each}" for each in bad]


def draw(source: Source, seed: int, block_size: int, first: int, count: int) -> FloatArray:
    """Blocks of trials first .. first + count - 1 of a source, (count, N, N) float64.

    Raises
    ------
    ValueError
        For files that can no longer be read or have changed since the sweep was planned.
    """
    return draw_pair(source, seed, block_size, first, count)[0]


def draw_pair(
    source: Source, seed: int, block_size: int, first: int, count: int
) -> tuple[FloatArray, FloatArray | None]:
    """Blocks as `draw` gives them, and their DCT coefficients where these are known exactly.

    They are, for JPEG files and for quantised sources; else None.  Raises as `draw`.
    """
    if not source.is_spread(block_size):
        return _pair(source, _draw(source, seed, block_size, first, count))
    tiles, in_turn = _sample(source, block_size, first, count)
    blocks, known = draw_tiles(source, block_size, tiles[in_turn])
    back = np.argsort(in_turn)
    return blocks[back], None if known is None else known[back]


def draw_in_turn(
    source: Source, seed: int, block_size: int, first: int, count: int, batch: int
) -> Iterator[tuple[slice | NDArray[np.int64], FloatArray, FloatArray | None]]:
    """What `draw_pair` gives for many trials, a batch at a time, in an order that reads fast.

    Tiles of a spread sample come in their natural order, so that each file is decoded once.

    Yields
    ------
    tuple
        Which trials these are, counted from the first: 0 .. count - 1; then their blocks, and their
        coefficients where these are known.
    """
    if not source.is_spread(block_size):
        for start in range(0, count, batch):
            take = min(batch, count - start)
            pair = draw_pair(source, seed, block_size, first + start, take)
            yield slice(start, start + take), *pair
        return
    tiles, in_turn = _sample(source, block_size, first, count)
    for start in range(0, count, batch):
        places = in_turn[start : start + batch]
        yield places, *draw_tiles(source, block_size, tiles[places])


def draw_tiles(
    source: Source, block_size: int, numbers: NDArray[np.int64]
) -> tuple[FloatArray, FloatArray | None]:
    """What `draw_pair` gives, of some tiles of a stored source by their numbers, ascending."""
    return _pair(source, _tiles(source, block_size, numbers))


def _sample(
    source: Source, block_size: int, first: int, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tile of each of some trials, and in which order of the trials these are ascending."""
    assert source.tiles is not None
    tiles = source.tiles[block_size].of_trials(first, count)
    return tiles, np.argsort(tiles)


def _pair(source: Source, drawn: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Blocks, and their coefficients where these are known, of what the kind draws."""
    if not gives_coefficients(source):
        return drawn, None
    if source.quality is not None:
        drawn = asm_core.quantised_coefficients(drawn, source.quality)
    return asm_core.block_idct(drawn), drawn


def gives_coefficients(source: Source) -> bool:
    """Whether a source gives DCT coefficients, of which the blocks are computed."""
    return source.quality is not None or (source.function is None and KINDS[source.kind].spectral)


def dropped(source: Source, block_size: int) -> int:
    """How many samples of a stored source lie beyond the last whole tiles."""
    return 0 if source.content is None else source.content.dropped(block_size)


def notes(sources: Sequence[Source]) -> list[str]:
    """Lines that a user should read, of what lies at the paths of sources; each once."""
    lines = (getattr(source.content, "notes", ()) for source in sources)
    return list(dict.fromkeys(itertools.chain.from_iterable(lines)))


def to_json(source: Source) -> dict[str, Any]:
    """All of a source as plain JSON, with the description of what lies at its path."""
    tiles, content = source.tiles, source.content
    return {
        **vars(source),
        "function": source.function and vars(source.function),
        "tiles": tiles and sizes_to_json(tiles),
        "content": None if content is None else content.to_json(),
    }


def from_json(data: dict[str, Any]) -> Source:
    """The source of which `to_json` gave the data, equal and with the same blocks."""
    function = data["function"]
    tiles, content = data["tiles"], None if function else KINDS[data["kind"]].content
    return Source(
        **{
            **data,
            "function": function and Function(**function),
            "tiles": tiles and sizes_from_json(tiles),
            "ordered": tuple(data["ordered"]),
            "content": None if content is None else content.from_json(data["content"]),
        }
    )


def first_file(source: Source) -> Source:
    """A source of which no more than the first file is known; its first blocks are the same."""
    if isinstance(source.content, Files):
        return dataclasses.replace(source, content=source.content.first())
    return source


def _inspected(name: str, entry: Parameters, block_sizes: Sequence[int]) -> Source:
    """The source of an entry, not quantised, its parameters not checked."""
    if TARGET in entry:
        return own.source_of(name, entry, block_sizes)
    kind = KINDS[entry["kind"]]
    parameters = _parameters(entry)
    if kind.inspect is None:
        identity = {"kind": entry["kind"], **parameters}
        return Source(name, entry["kind"], parameters, identity, seconds=kind.seconds)
    content = kind.inspect(**parameters)
    counts = {}
    for size in block_sizes:
        if kind.block_size not in (None, size):
            raise ValueError(
                f"{entry['kind']} has blocks of {kind.block_size} x {kind.block_size} only, got "
                f"block_size={size}: use block_size={kind.block_size}"
            )
        counts[size] = content.available(size)
    # Each block size for itself: a store may be extended by others.
    ordered = tuple(s for s, count in counts.items() if kind.ordered and count == len(content))
    tiles = {
        size: Tiles(count, content.across(size), () if size in ordered else content.batches(size))
        for size, count in counts.items()
    }
    return Source(
        name,
        entry["kind"],
        parameters,
        {"kind": entry["kind"], **content.identity},
        tiles,
        ordered,
        seconds=kind.seconds,
        content=content,
        **_cost(content),
    )


def _parameters(entry: Parameters) -> Parameters:
    """What the functions of a kind take of an entry."""
    return {key: value for key, value in entry.items() if key not in ("kind", "quality")}


def _cost(content: Content) -> dict[str, Any]:
    """What a Source says of the files of its content, if they are to be decoded."""
    if not isinstance(content, Files):
        return {}
    return {"files": len(content), "size": content.size, "decoding": content.seconds}


def _quantised(source: Source, quality: int, qualities: int) -> Source:
    """The source with its blocks quantised; named for the quality if there are several."""
    return dataclasses.replace(
        source,
        name=source.name if qualities == 1 else f"{source.name}_q{quality:02d}",
        identity={**source.identity, "quality": quality},
        quality=quality,
        seconds=source.seconds + _QUANTISE_SECONDS,
    )


def _draw(source: Source, seed: int, block_size: int, first: int, count: int) -> FloatArray:
    """What the kind draws, before any quantisation."""
    if source.function:
        return own.draw(source, seed, block_size, first, count)
    if source.content is None:
        return KINDS[source.kind].draw(seed, block_size, first, count, **source.parameters)
    return _tiles(source, block_size, np.arange(first, first + count))


def _tiles(source: Source, block_size: int, numbers: NDArray[np.int64]) -> FloatArray:
    """Some tiles of a stored source, by their numbers in ascending order."""
    return KINDS[source.kind].draw(source.content, block_size, numbers)
