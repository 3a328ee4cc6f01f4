"""Kinds of block sources: how each is looked up once, and how a worker draws from it.

A kind is one record in KINDS and one entry in conf/source.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import asm_core
from asm_core import validate
from asm_core.sources import autoregressive, gaussian, uniform, upsampled
from asm_core.validate import FloatArray
from pipeline.errors import UserError
from pipeline.plan.entries import Source, check_kind
from pipeline.sources import arrays, files, images, jpeg

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What the pipeline needs to know of a kind of source.

    draw(seed, block_size, first, count, **parameters) gives blocks (count, N, N), or, where the
    kind is `spectral`, their DCT coefficients; `look`, where the blocks are stored somewhere, adds
    to the parameters what was found there; `available(block_size, **parameters)` is how many blocks
    there are, `dropped` how many samples lie beyond the last whole ones; `decides(**parameters)`
    what of it decides numbers; `seconds` what a sample takes to draw on a 2 GHz server core.
    """

    draw: Callable[..., FloatArray]
    look: Callable[..., Parameters] | None = None
    available: Callable[..., int] | None = None
    decides: Callable[..., Parameters] = dict
    dropped: Callable[..., int] | None = None
    seconds: float = 5e-9
    spectral: bool = False


KINDS = {
    "uniform": Kind(uniform),
    "gaussian": Kind(gaussian, seconds=30e-9),
    "upsampled": Kind(upsampled, seconds=13e-9),
    "autoregressive": Kind(autoregressive, seconds=40e-9),
    "images": Kind(images.tiles, images.look, files.available, files.decides, files.dropped),
    "jpeg": Kind(
        jpeg.coefficients, jpeg.look, jpeg.available, files.decides, files.dropped, spectral=True
    ),
    "array": Kind(arrays.tiles, arrays.look, arrays.available, arrays.decides, arrays.dropped),
}


# Two transforms and the rounding between them, a sample.
_QUANTISE_SECONDS = 27e-9


def resolve(name: str, entry: Parameters, block_sizes: Sequence[int]) -> list[Source]:
    """Check an entry of conf/source and look up what it points at.

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
    kind = KINDS[entry["kind"]]
    parameters = {key: value for key, value in entry.items() if key not in ("kind", "quality")}
    qualities = entry.get("quality") or [None]
    try:
        if kind.look:
            parameters |= kind.look(**parameters)
        available = (
            {size: kind.available(size, **parameters) for size in block_sizes}
            if kind.available
            else None
        )
        identity = {"kind": entry["kind"], **kind.decides(**parameters)}
        found = [
            Source(
                name if len(qualities) == 1 else f"{name}_q{quality:02d}",
                entry["kind"],
                parameters,
                identity if quality is None else {**identity, "quality": quality},
                available,
                quality,
                kind.seconds + (0.0 if quality is None else _QUANTISE_SECONDS),
            )
            for quality in qualities
        ]
        for source in found:
            for size in block_sizes:
                if source.quality is not None:
                    # Before the transform, and with it numba, is loaded.
                    validate.quality(source.quality, size)
                # Drawing nothing still checks every parameter, in the function that defines them.
                draw(source, 0, size, 0, 0)
    except ValueError as error:
        raise UserError(f"source.{name}: {error}") from error
    return found


def draw(source: Source, seed: int, block_size: int, first: int, count: int) -> FloatArray:
    """Blocks first .. first + count - 1 of a source, (count, N, N) float64."""
    return draw_pair(source, seed, block_size, first, count)[0]


def draw_pair(
    source: Source, seed: int, block_size: int, first: int, count: int
) -> tuple[FloatArray, FloatArray | None]:
    """Blocks as `draw` gives them and, of quantised sources, their exact DCT coefficients."""
    kind = KINDS[source.kind]
    drawn = kind.draw(seed, block_size, first, count, **source.parameters)
    if source.quality is not None:
        drawn = asm_core.quantised_coefficients(drawn, source.quality)
    elif not kind.spectral:
        return drawn, None
    return asm_core.block_idct(drawn), drawn


def dropped(source: Source, block_size: int) -> int:
    """How many samples of a stored source lie beyond the last whole tiles."""
    count = KINDS[source.kind].dropped
    return count(block_size, **source.parameters) if count else 0
