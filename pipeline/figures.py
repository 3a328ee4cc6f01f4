"""Pictures: the curve of a sweep, and the worked example of one block."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.results import AXES, curves, in_range, varying

# Okabe and Ito's colours, which colour-blind readers tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("-", "--", "-.", ":")


def plot_curves(summary: xr.Dataset) -> Figure:
    """Mean error against the number of frequencies, one line per curve, with its 95 % interval.

    Parameters
    ----------
    summary
        As `summarize` gives it, without a `trials` dimension.
    """
    figure = Figure(figsize=(7 + 2.5 * (_curve_count(summary) > 6), 4.5), layout="constrained")
    axes = figure.subplots()
    differing = varying(summary)
    shown = [(name, in_range(curve)) for name, curve in curves(summary)]
    shown = [(name, curve) for name, curve in shown if int(curve["count"].max()) > 0]
    for k, (name, curve) in enumerate(shown):
        colour = _COLOURS[k % len(_COLOURS)]
        dashes = _DASHES[k // len(_COLOURS) % len(_DASHES)]
        n = curve["freq"].to_numpy()
        axes.plot(
            n, curve["mean"], dashes, color=colour, marker="o", markersize=3.5, linewidth=1.4,
            label=", ".join(_value(axis, name[axis]) for axis in differing),
        )  # fmt: skip
        axes.fill_between(
            n, curve["ci_low"], curve["ci_high"], color=colour, alpha=0.25, linewidth=0
        )
    axes.set_xlabel("spatial frequencies kept, n (0 = DC alone)")
    axes.set_ylabel("mean error (RMSE per block)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    if differing:
        # Many lines leave no free corner: their names go beside the axes.
        beside: dict[str, Any] = (
            {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(shown) > 6 else {}
        )
        axes.legend(fontsize="small", frameon=False, **beside)
    fixed = [axis for axis in AXES if axis not in differing]
    counts = sorted({int(curve["count"].max()) for _, curve in shown})
    trials = " to ".join(f"{count:,}" for count in (counts[:1] + counts[1:][-1:]))
    described = ", ".join(_value(axis, np.atleast_1d(summary[axis])[0]) for axis in fixed)
    axes.set_title(
        f"{described}\n{trials} trials, shaded: 95 % interval of the mean", fontsize="medium"
    )
    return figure


def _curve_count(summary: xr.Dataset) -> int:
    return math.prod(summary[axis].size for axis in AXES)


def _value(axis: str, value: Any) -> str:
    return f"{value} x {value} blocks" if axis == "block_size" else str(value)


def colours_of(matrix: NDArray[Any], largest: float) -> NDArray[np.float64]:
    """The notebook's colours: red positive, green negative, blue zero.

    Parameters
    ----------
    matrix
        (M, M) real.
    largest
        The magnitude that is shown in full colour.

    Returns
    -------
    (M, M, 3) RGB in [0, 1]; red and green grow with the magnitude.
    """
    values = np.asarray(matrix, dtype=np.float64)
    # From 0.25 up, so that the smallest value is told from black.
    strength = 0.25 + 0.75 * np.minimum(np.abs(values) / largest, 1.0)
    picture = np.zeros((*values.shape, 3))
    picture[..., 0] = np.where(values > 0, strength, 0.0)
    picture[..., 1] = np.where(values < 0, strength, 0.0)
    picture[..., 2] = np.where(values == 0, 1.0, 0.0)
    return picture


def plot_matrices(matrices: dict[str, NDArray[Any]], title: str) -> Figure:
    """A worked example: every matrix as a grid of squares, in the notebook's colours.

    Masks are shown in full colour, all samples on one scale, so that they can be compared.
    """
    samples = [m for name, m in matrices.items() if not name.endswith("mask")]
    largest = max(float(np.abs(m).max()) for m in samples) or 1.0
    columns = 3
    rows = -(-len(matrices) // columns)
    figure = Figure(figsize=(3 * columns, 3.1 * rows + 0.5), layout="constrained")
    figure.suptitle(f"{title}\nred positive, green negative, blue zero", fontsize="medium")
    for axes, (name, matrix) in zip(
        figure.subplots(rows, columns).flat, matrices.items(), strict=False
    ):
        full = 1.0 if name.endswith("mask") else largest
        axes.imshow(colours_of(matrix, full), interpolation="nearest")
        axes.set_title(name, fontsize="small")
        ticks = np.arange(-0.5, len(matrix))
        axes.set_xticks(ticks, labels=[])
        axes.set_yticks(ticks, labels=[])
        axes.grid(color="white", linewidth=0.6)
        axes.tick_params(length=0)
    return figure


def save(figure: Figure, stem: str) -> Sequence[str]:
    """Write a figure as STEM.png and STEM.svg; returns the paths."""
    paths = [f"{stem}.png", f"{stem}.svg"]
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    # Neither date nor random names in the SVG: the same numbers give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "asm-sweep"}):
        figure.savefig(paths[0], dpi=160)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths
