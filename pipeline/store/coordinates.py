"""The values of coordinates: what the axes of a store are, and how many coefficients are kept."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core import coefficients_kept
from asm_core.moments import MOMENTS
from pipeline.errors import UserError
from pipeline.functions.ranks import ranks
from pipeline.planning.axes import MOMENT, WHOLE
from pipeline.planning.identity import Identity

# In place of a number of coefficients that nothing here can tell.
UNKNOWN = -1


def values_of(identity: Identity) -> dict[str, NDArray[Any]]:
    """The values of every coordinate array but trial.

    How many coefficients are kept is UNKNOWN where the selection is a function of the user's own
    whose code is not here, or has changed: what a store has can be read without it.
    """
    text = np.dtypes.StringDType()
    values = {
        axis: np.array(values, dtype=np.int64 if axis in WHOLE else text)
        for axis, values in identity.labels.items()
    }
    values["coefficients_kept"] = np.array(
        [
            [_kept(entry, size, identity.axes["freq"]) for size in identity.axes["block_size"]]
            for entry in identity.axes["selection"].values()
        ]
    )
    return values


def moment_names() -> dict[str, NDArray[Any]]:
    """The coordinate of the ledger, by the name of its array: what the columns of a row are."""
    return {f"ledger/{MOMENT}": np.array(MOMENTS, np.dtypes.StringDType())}


def _kept(selection: dict[str, Any], size: int, freqs: list[int]) -> list[int]:
    """How many coefficients each frequency keeps."""
    try:
        by_rank = ranks(selection, size)
    except UserError:
        return [UNKNOWN] * len(freqs)
    return [coefficients_kept(size, n, by_rank) for n in freqs]


def known_of(values: NDArray[Any], stored: NDArray[Any]) -> NDArray[Any]:
    """Values of a coordinate, and where they are not known those that are stored."""
    whole = values.dtype.kind in "iu"
    return np.where(values == UNKNOWN, stored, values) if whole else values


def agrees(stored: NDArray[Any], known: NDArray[Any]) -> bool:
    """Whether stored values of a coordinate are those that are known, as far as they are."""
    if stored.shape != known.shape:
        return False
    here = known != UNKNOWN if known.dtype.kind in "iu" else np.ones(known.shape, bool)
    return bool((stored[here] == known[here]).all())
