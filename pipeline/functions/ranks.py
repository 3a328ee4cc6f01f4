"""The ranks of a selection, ours or a function of the user's own."""

import functools
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core import frequency_rank, validate
from asm_core.frequencies import ranks_of
from pipeline.functions.arrays import giving_arrays
from pipeline.functions.calling import OwnCodeError, call
from pipeline.functions.naming import TARGET
from pipeline.functions.resolving import Function, load


def ranks(identity: dict[str, Any], size: int) -> NDArray[np.int64]:
    """The ranks (N, N) of a selection, by its identity: of a kind of ours, or a function.

    Raises
    ------
    UserError
        Where the function cannot be imported, raises, or gives no ranks.
    """
    return _ranks(json.dumps(identity, sort_keys=True), size).copy()


@functools.lru_cache(maxsize=64)
def _ranks(text: str, size: int) -> NDArray[np.int64]:
    identity = json.loads(text)
    if TARGET not in identity:
        return frequency_rank(size, identity.pop("kind"), **identity)
    target = identity[TARGET]
    what = f"selection {target} at block_size={size}"
    function = giving_arrays(load(Function(target, identity["code"])))
    found = call(what, function, size, **identity["parameters"])
    if found.dtype.kind == "u" and found.size and found.max() > validate.WHOLE:
        raise OwnCodeError(f"{what}: ranks must be at most 2^53, got {found.max()}")
    try:
        return ranks_of(size, found)
    except ValueError as error:
        raise OwnCodeError(f"{what}: {error}") from error
