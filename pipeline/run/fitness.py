"""What a process computes with, in a few numbers that a sweep and its workers can compare.

Versions tell apart programs that are meant to compute differently.  Checksums tell apart those that
are not, and do: one of another commit, a library or a processor whose last bit is another one, code
that was compiled of other sources.
"""

import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core import (
    KERNEL_VERSION,
    block_dct,
    block_idct,
    dct_basis,
    mean_offsets,
    measure,
)
from asm_core.moments import moments_of
from asm_core.sources import STREAM_VERSION
from asm_core.validate import ALGORITHMS, APX_OFFSET, FloatArray
from pipeline.functions.calling import OwnCodeError
from pipeline.planning.entries import Choice, Source
from pipeline.planning.plan import LAYOUT_VERSION, Plan
from pipeline.run.choices import operations_of, ranks_of
from pipeline.run.own import own_errors
from pipeline.sources import kinds

# One more than the kernels measure side by side, so that a group which is not full is among them.
_TRIALS = 9
# All coefficients of 8 x 8, and of 256 x 256 no more than take a tenth of a second.
_FREQS = (0, 1, 6, 14)
# Not the first ones: a stream that starts right may jump wrong.
_FIRST, _DRAWN = 10**6 + 1, 2
# So many differences are listed in a message.
_PHRASES = 5


def versions() -> dict[str, Any]:
    """The versions of all that decides numbers, and of Python, which calls must be sent between."""
    python = ".".join(map(str, sys.version_info[:2]))
    return {
        "kernel": KERNEL_VERSION, "stream": STREAM_VERSION, "layout": LAYOUT_VERSION,
        "Python": python,
    }  # fmt: skip


def checksums(plan: Plan) -> dict[str, str]:
    """Of the cosine tables, of a few blocks of each source, and of what is measured on a few more.

    Block sizes, sources, operations and selections are the plan's.  Once the kernels are loaded it
    takes a few milliseconds, with blocks of 256 x 256 some hundred.  Sources that cannot be read
    here are left out.
    """
    return _checksums(plan)[0]


def _checksums(plan: Plan) -> tuple[dict[str, str], dict[str, str]]:
    """Of all that is computed here; and why the rest cannot be read, by the same names."""
    tables = (dct_basis(size) for size in plan.block_sizes)
    found = {"cosine tables": _digest(tables), "measured errors": _digest(_measured(plan))}
    unread = {}
    for source in plan.sources:
        name = f"blocks of source {source.name}"
        try:
            found[name] = _digest(_drawn(source, plan))
        except (OSError, ValueError, ImportError) as error:
            unread[name] = " ".join(str(error).split())
    for choice in plan.algorithms:
        if choice.function:
            # What it makes of such blocks no sweep asks: where it fails here, nothing is compared.
            with suppress(OwnCodeError):
                found[f"errors of algorithm {choice.name}"] = _digest(_own_errors(choice, plan))
    return found, unread


def other_versions(wanted: Mapping[str, Any]) -> str | None:
    """What differs from the versions of a sweep, as words for a message; None if nothing does."""
    ours = versions()
    return _joined(
        f"its {name} version is {ours.get(name)} and not {wanted.get(name)}"
        for name in sorted({*ours, *wanted})
        if ours.get(name) != wanted.get(name)
    )


def other_bits(wanted: Mapping[str, str], plan: Plan) -> tuple[str | None, str | None]:
    """What differs from the checksums of a sweep, and what cannot be read here, as words.

    Both are None where nothing does.
    """
    ours, unread = _checksums(plan)
    differing = (name for name in wanted if name in ours and ours[name] != wanted[name])
    unreadable = (
        f"{name} ({unread.get(name, 'not known here')})" for name in wanted if name not in ours
    )
    return _joined(f"its {name} differ" for name in differing), _joined(unreadable)


def _joined(phrases: Iterable[str]) -> str | None:
    """Some of the phrases: a sweep may have hundreds of sources."""
    every = list(phrases)
    more = [f"and {len(every) - _PHRASES} more"] if len(every) > _PHRASES else []
    return ", ".join([*every[:_PHRASES], *more]) or None


def _drawn(source: Source, plan: Plan) -> Iterator[FloatArray]:
    if source.function:
        # It may have an end.
        for size in plan.block_sizes:
            yield kinds.draw(source, plan.seed, size, 0, _DRAWN)
        return
    if source.content is not None:
        # One block, which takes one file to be read and decoded.
        yield kinds.draw_tiles(source, min(plan.block_sizes), np.zeros(1, np.int64))[0]
        return
    for size in plan.block_sizes:
        yield kinds.KINDS[source.kind].draw(plan.seed, size, _FIRST, _DRAWN, **source.parameters)


def _measured(plan: Plan) -> Iterator[NDArray[Any]]:
    operations = operations_of(plan)
    a_quarter = np.full((len(operations), len(_FREQS)), 0.25)
    spectral = any(kinds.gives_coefficients(source) for source in plan.sources)
    for size in plan.block_sizes:
        blocks = _blocks(size)
        coefficients = block_dct(blocks) if spectral else None
        if coefficients is not None:
            yield coefficients
            yield block_idct(coefficients)
        for ranks in ranks_of(plan, size):
            for known in (None, coefficients) if spectral else (None,):
                offsets = a_quarter
                if any(algorithm.kind == APX_OFFSET for algorithm in plan.algorithms):
                    offsets = mean_offsets(blocks, _FREQS, operations, ranks, known)
                # All algorithms, since errors of masks alone show no difference of a last bit.
                measures = measure(blocks, _FREQS, operations, ALGORITHMS, ranks, known, offsets)
                yield from measures
                yield moments_of(measures.error.astype(np.float32))


def _own_errors(choice: Choice, plan: Plan) -> Iterator[FloatArray]:
    operations = operations_of(plan)
    for size in plan.block_sizes:
        blocks = _blocks(size)
        for ranks in ranks_of(plan, size):
            yield own_errors(choice, blocks, block_dct(blocks), _FREQS[1:3], operations, ranks)


def _blocks(size: int) -> FloatArray:
    """Blocks for a checksum, without NumPy's random numbers: samples of both signs, and ties."""
    count = np.arange(_TRIALS * size * size, dtype=np.uint64)
    # Squares times the golden ratio, of which the fraction is kept.
    words = count * count * np.uint64(0x9E3779B97F4A7C15)
    blocks = (words >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0
    blocks = blocks.reshape(_TRIALS, size, size)
    blocks[1::2] = np.round(2.0 * blocks[1::2])
    return blocks


def _digest(arrays: Iterable[NDArray[Any]]) -> str:
    content = hashlib.sha256()
    for array in arrays:
        content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()[:16]
