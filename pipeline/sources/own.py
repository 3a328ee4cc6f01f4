"""Sources that a function of the user's own draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from asm_core.stream import words_of
from asm_core.validate import FloatArray
from pipeline.functions.arrays import giving_arrays
from pipeline.functions.calling import OwnCodeError, call, takes
from pipeline.functions.resolving import WORDS, load, resolve
from pipeline.planning.entries import Source

# So large samples, and no larger: errors are stored as float32.
_LARGEST = 1e30
# Of so few blocks it is seen whether a trial depends on those that are drawn with it.
_FIRST, _CHECKED = 3, 5


def source_of(name: str, entry: dict[str, Any], block_sizes: Sequence[int]) -> Source:
    """The source of an entry that names a function; a few of its blocks are looked at.

    Raises
    ------
    UserError
        For a function that cannot be called; that gives anything else than real, finite blocks of
        the right shape; or other blocks for the same trials.
    """
    function, parameters = resolve("source", name, entry)
    source = Source(name, "", parameters, function.identity(parameters), function=function)
    for size in block_sizes:
        whole = draw(source, 0, size, _FIRST, _CHECKED)
        again = draw(source, 0, size, _FIRST, _CHECKED)
        parts = [draw(source, 0, size, _FIRST, 2), draw(source, 0, size, _FIRST + 2, _CHECKED - 2)]
        if not np.array_equal(whole, again):
            raise OwnCodeError(
                f"{_what(source, size)} gives other blocks for the same trials: draw them from "
                f"{WORDS}, a parameter that the program gives, or from the numbers of the trials"
            )
        if not np.array_equal(whole, np.concatenate(parts)):
            raise OwnCodeError(
                f"{_what(source, size)} gives other blocks for trials that are drawn in two parts: "
                "a block must depend on the number of its trial alone"
            )
    return source


def draw(source: Source, seed: int, block_size: int, first: int, count: int) -> FloatArray:
    """Blocks of trials first .. first + count - 1, (count, N, N) float64.

    Raises
    ------
    OwnCodeError
        For whatever the function raises, with its file and line; for anything else than real,
        finite blocks.
    """
    assert source.function is not None
    if not count:
        return np.empty((0, block_size, block_size))
    function = load(source.function)
    parameters = dict(source.parameters)
    if takes(function, WORDS):
        parameters[WORDS] = words_of(seed, source.function.target, block_size, first, count)
    what = _what(source, block_size)
    blocks: FloatArray = call(what, giving_arrays(function), first, count, block_size, **parameters)
    shape = (count, block_size, block_size)
    if blocks.shape != shape or blocks.dtype.kind not in "fiub":
        raise OwnCodeError(
            f"{what} must give real blocks of shape {shape}, got {blocks.dtype} of shape "
            f"{blocks.shape}; it has no end (stored blocks are source=array)"
        )
    blocks = blocks.astype(np.float64, copy=False)
    # NaN is neither.
    good = (np.abs(blocks) <= _LARGEST).all(axis=(1, 2))
    if not good.all():
        trial = first + int(np.argmin(good))
        raise OwnCodeError(
            f"{what} must give finite samples of at most {_LARGEST:g}: those of trial {trial} are "
            "not"
        )
    return blocks


def _what(source: Source, size: int) -> str:
    assert source.function is not None
    return f"source.{source.name}: {source.function.target} at block_size={size}"
