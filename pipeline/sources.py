"""Kinds of block sources: how each is looked up once, and how a worker draws from it.

A kind is one record in KINDS and one entry in conf/source.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asm_core.sources import uniform
from asm_core.validate import FloatArray
from pipeline import arrays, images, jpeg, stored
from pipeline.exceptions import UserError
from pipeline.plan import Source

Parameters = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What the pipeline needs to know of a kind of source.

    draw(seed, block_size, first, count, **parameters) gives blocks (count, N, N); `look`, where the
    blocks are stored somewhere, adds to the parameters what was found there; `available(block_size,
    **parameters)` is how many blocks there are; `decides(**parameters)` what of it decides numbers.
    """

    draw: Callable[..., FloatArray]
    look: Callable[..., Parameters] | None = None
    available: Callable[..., int] | None = None
    decides: Callable[..., Parameters] = dict


KINDS = {
    "uniform": Kind(uniform),
    "images": Kind(images.tiles, images.look, stored.available, stored.decides),
    "jpeg": Kind(jpeg.blocks, jpeg.look, jpeg.available, stored.decides),
    "array": Kind(arrays.tiles, arrays.look, arrays.available, arrays.decides),
}


def resolve(name: str, entry: Parameters, block_sizes: Sequence[int]) -> Source:
    """Check an entry of conf/source and look up what it points at.

    Raises
    ------
    UserError
        For a parameter out of range, or files that are missing, unreadable or too small.
    """
    kind = KINDS[entry["kind"]]
    parameters = {key: value for key, value in entry.items() if key != "kind"}
    try:
        if kind.look:
            parameters |= kind.look(**parameters)
        available = (
            {size: kind.available(size, **parameters) for size in block_sizes}
            if kind.available
            else None
        )
        for size in block_sizes:
            # Drawing nothing still checks every parameter, in the function that defines them.
            kind.draw(0, size, 0, 0, **parameters)
    except ValueError as error:
        raise UserError(f"source.{name}: {error}") from error
    identity = {"kind": entry["kind"], **kind.decides(**parameters)}
    return Source(name, entry["kind"], parameters, identity, available)


def draw(source: Source, seed: int, block_size: int, first: int, count: int) -> FloatArray:
    """Blocks first .. first + count - 1 of a source, (count, N, N) float64."""
    return KINDS[source.kind].draw(seed, block_size, first, count, **source.parameters)
