"""Kinds of block sources: how each is inspected, drawn from, and kept as JSON.

A new kind needs a function in asm_core/sources.py if it is drawn at random, or a module here with
two functions if it is read from files; and a record in KINDS and a file in conf/source.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import asm_core
from asm_core import validate
from asm_core.sources import autoregressive, gaussian, uniform, upsampled
from asm_core.validate import FloatArray
from pipeline.errors import UserError
from pipeline.plan.entries import Source, check_kind
from pipeline.sources import arrays, images, jpeg
from pipeline.sources.arrays import StoredArray
from pipeline.sources.files import Files

Parameters = dict[str, Any]


class Content(Protocol):
    """A description of what lies at a source's path: all that drawing needs, but the samples.

    It is compared and hashed at every draw, so both must be quick.
    """

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers, plain JSON."""

    def available(self, block_size: int) -> int:
        """How many blocks of this size there are; raises a ValueError where there are none."""

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
    `inspect(**parameters)`, which reads once what lies at the path and returns an object of the
    class `content`; their `draw` is `draw(content, block_size, first, count)`.  `block_size` is the
    only size of block that the kind has, None for any; `seconds` is the time to draw one sample on
    a 2 GHz server core.
    """

    draw: Callable[..., FloatArray]
    inspect: Callable[..., Content] | None = None
    content: type[Content] | None = None
    seconds: float = 5e-9
    spectral: bool = False
    block_size: int | None = None


KINDS = {
    "uniform": Kind(uniform),
    "gaussian": Kind(gaussian, seconds=30e-9),
    "upsampled": Kind(upsampled, seconds=13e-9),
    "autoregressive": Kind(autoregressive, seconds=40e-9),
    "images": Kind(images.tiles, images.inspect, Files),
    "jpeg": Kind(jpeg.coefficients, jpeg.inspect, Files, spectral=True, block_size=jpeg.SIZE),
    "array": Kind(arrays.tiles, arrays.inspect, StoredArray),
}

# Seconds per sample for two transforms and the rounding between them.
_QUANTISE_SECONDS = 27e-9


def resolve(name: str, entry: Parameters, block_sizes: Sequence[int]) -> list[Source]:
    """Check an entry of conf/source and read once what lies at its path.

    Returns
    -------
    list of Source
        One; or one for each quality, NAME_q10 and so on, where the entry lists several.

    Raises
    ------
    UserError
        For a parameter out of range, or files that are missing, unreadable or too small.
    """
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
        raise UserError(f"source.{name}: {error}") from error
    return [_quantised(source, quality, len(qualities)) for quality in qualities] or [source]


def draw(source: Source, seed: int, block_size: int, first: int, count: int) -> FloatArray:
    """Blocks first .. first + count - 1 of a source, (count, N, N) float64.

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
    drawn = _draw(source, seed, block_size, first, count)
    if not gives_coefficients(source):
        return drawn, None
    if source.quality is not None:
        drawn = asm_core.quantised_coefficients(drawn, source.quality)
    return asm_core.block_idct(drawn), drawn


def gives_coefficients(source: Source) -> bool:
    """Whether a source gives DCT coefficients, of which the blocks are computed."""
    return source.quality is not None or KINDS[source.kind].spectral


def dropped(source: Source, block_size: int) -> int:
    """How many samples of a stored source lie beyond the last whole tiles."""
    return 0 if source.content is None else source.content.dropped(block_size)


def to_json(source: Source) -> dict[str, Any]:
    """All of a source as plain JSON, with the description of what lies at its path."""
    available, content = source.available, source.content
    return {
        **vars(source),
        # Keys of JSON objects are texts.
        "available": available and {str(size): count for size, count in available.items()},
        "content": None if content is None else content.to_json(),
    }


def from_json(data: dict[str, Any]) -> Source:
    """The source of which `to_json` gave the data, equal and with the same blocks."""
    available, content = data["available"], KINDS[data["kind"]].content
    return Source(
        **{
            **data,
            "available": available and {int(size): count for size, count in available.items()},
            "content": None if content is None else content.from_json(data["content"]),
        }
    )


def _inspected(name: str, entry: Parameters, block_sizes: Sequence[int]) -> Source:
    """The source of an entry, not quantised, its parameters not checked."""
    kind = KINDS[entry["kind"]]
    parameters = {key: value for key, value in entry.items() if key not in ("kind", "quality")}
    if kind.inspect is None:
        identity = {"kind": entry["kind"], **parameters}
        return Source(name, entry["kind"], parameters, identity, seconds=kind.seconds)
    content = kind.inspect(**parameters)
    available = {}
    for size in block_sizes:
        if kind.block_size not in (None, size):
            raise ValueError(
                f"{entry['kind']} has blocks of {kind.block_size} x {kind.block_size} only, got "
                f"block_size={size}: use block_size={kind.block_size}"
            )
        available[size] = content.available(size)
    return Source(
        name,
        entry["kind"],
        parameters,
        {"kind": entry["kind"], **content.identity},
        available,
        seconds=kind.seconds,
        content=content,
    )


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
    draw = KINDS[source.kind].draw
    if source.content is None:
        return draw(seed, block_size, first, count, **source.parameters)
    return draw(source.content, block_size, first, count)
