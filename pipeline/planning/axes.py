"""The axes of a sweep and what is measured along them, defined here alone.

A store has every axis, in this order, and after them the trials:

    source, block_size | operation, selection, algorithm, freq | trial

The first two name a cell, which is one stream of blocks.  The next four span the curves of a cell,
all of which are computed from the same blocks in one pass.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Completion and help need no NumPy, which takes a tenth of a second to import.
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Axis:
    """One axis of a sweep.

    `name` is the dimension in a store; `named` is whether the values are names of entries, with
    parameters of their own, and `whole` whether they are integers; `long_name` is the label that
    xarray puts beside the axis of a plot, `description` what it is.
    """

    name: str
    long_name: str
    description: str
    named: bool = False
    whole: bool = False


AXES = (
    Axis("source", "source of blocks", "where blocks come from: drawn, or cut from files",
         named=True),
    Axis("block_size", "block size N", "blocks have N x N samples", whole=True),
    Axis("operation", "operation", "what is computed of a block: pooling, or a rectifier",
         named=True),
    Axis("selection", "selection", "which coefficients n frequencies are", named=True),
    Axis("algorithm", "algorithm", "asm: the approximate block decides which exact samples "
         "survive; apx: the operation on the approximate block itself", named=True),
    Axis("freq", "spatial frequencies kept, n", "coefficients of rank at most n are kept; "
         "0 is the DC, the mean of the block, alone", whole=True),
)  # fmt: skip
NAMES = tuple(axis.name for axis in AXES)
NAMED = tuple(axis.name for axis in AXES if axis.named)
WHOLE = tuple(axis.name for axis in AXES if axis.whole)
CELL = NAMES[:2]
CURVE = NAMES[2:]
# The axes that tell one curve from another; its points lie along the last axis, freq.
CURVE_NAMES = NAMES[:-1]
FREQ, ALGORITHM = "freq", "algorithm"
TRIAL, UNIT, MOMENT = "trial", "unit", "moment"
# Batches of neighbouring tiles; the ledger of errors summed up by batch, with the error's curve.
BATCH, BATCHES = "batch", "batches"
# A mask is the same for every algorithm.
MASK_CURVE = tuple(name for name in CURVE if name != ALGORITHM)
# What points of a picture may stand at, and how that axis is called.
X_AXES = {
    FREQ: "spatial frequencies kept, n (0 = DC alone)",
    "phi": "spatial frequencies kept, phi = n + 1",
    "freq_share": "spatial frequencies kept, n / (2N - 2)",
    "coefficients_kept": "number of coefficients kept",
    "share_kept": "share of coefficients kept",
    "block_size": "block size N",
}
# What may tell lines of a picture, or its panels, from each other.
STORE = "store"
LINE_AXES = (STORE, *NAMES)
# How many coefficients n frequencies keep depends on these.
COST = ("selection", "block_size", FREQ)
# Positions of the curve's axes in a ledger array (source, block_size, unit, curve ...).
_LEDGER_CURVE = tuple(range(len(CELL) + 1, len(CELL) + 1 + len(CURVE)))

# The values of each axis, in the order in which a plan or a store has them.
Labels = dict[str, list[Any]]


@dataclass(frozen=True)
class Metric:
    """One number for each trial at each point of a curve.

    `curve` are the axes of the curve that it has; `long_name` and `units` are what a plot shows,
    `units` being None where they are those of the samples; `description` says what it is.
    """

    curve: tuple[str, ...]
    long_name: str
    description: str
    units: str | None = None

    @property
    def axes(self) -> tuple[str, ...]:
        """Its axes but for the trials: those of the cell, then those of its curve."""
        return (*CELL, *self.curve)


# The error comes first.  Its ledger row is written last, because it marks the unit as complete.
METRICS = {
    "error": Metric(
        CURVE, "error (RMSE of each block)", "root mean square difference from the exact result"
    ),
    "mask_accuracy": Metric(
        MASK_CURVE, "mask accuracy", "share of the windows, or samples, of a block in which the "
        "mask is right", units="1",
    ),
    "regret": Metric(
        MASK_CURVE, "regret (mean over windows of |exact extreme - chosen sample|)",
        "how far the sample that the mask chose is from its window's extreme; pooling only",
    ),
}  # fmt: skip


def ledger_curve(name: str) -> tuple[str, ...]:
    """The axes of the curve that an array of the ledger has: of a metric, or of BATCHES."""
    return METRICS["error" if name == BATCHES else name].curve


def shape(labels: Mapping[str, Any], axes: tuple[str, ...]) -> tuple[int, ...]:
    """Lengths of some axes."""
    return tuple(len(labels[name]) for name in axes)


def without_algorithm(counts: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """How many trials of each point of a mask are measured: the most that any algorithm has.

    `counts` (operation, selection, algorithm, freq) -> (operation, selection, freq).
    """
    whole: NDArray[np.float64] = counts.max(axis=CURVE.index(ALGORITHM))
    return whole


def fewest(counts: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """How many trials of each unit every point of its curves has.

    `counts` (source, block_size, unit, curve ...) -> (source, block_size, unit).
    """
    least: NDArray[np.int64] = counts.min(axis=_LEDGER_CURVE)
    return least


def most(counts: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """How many trials of each unit at least one point of its curves has; shapes as `fewest`."""
    largest: NDArray[np.int64] = counts.max(axis=_LEDGER_CURVE)
    return largest
