"""Pictures: the curve of a sweep, and the worked example of one block."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.analysis.claim import Claim
from pipeline.analysis.curves import Curve, Curves, in_range
from pipeline.analysis.verdicts import Name
from pipeline.plan.axes import CURVE_NAMES
from pipeline.show.report import claims_page

# Okabe and Ito's colours, which colour-blind readers tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("-", "--", "-.", ":")
_LINES_WITH_A_LEGEND_INSIDE = 6


def plot_curves(curves: Curves, *, log: bool = False) -> Figure:
    """Mean error against the number of frequencies, one line per curve, with its 95 % interval.

    Block sizes are drawn at equal n / (2N - 2), selections at equal numbers of coefficients kept,
    and both together at equal shares of them.

    Parameters
    ----------
    curves
        From a store by `curves.of_store`, or from a summary by `datasets.curves_of`.
    log
        Draw errors on a logarithmic axis, on which errors of 0 do not appear.
    """
    shown = [
        (place, in_range(curve, place["block_size"]))
        for place, curve in curves
        if curve["measured"].max() > 0
    ]
    operations = list(dict.fromkeys(place["operation"] for place, _ in shown))
    # One panel for each operation, since their errors differ in meaning and in size.
    columns = max(min(len(operations), 3), 1)
    rows = max(-(-len(operations) // columns), 1)
    differing = [axis for axis in curves.varying if axis != "operation"]
    styles = _styles(list(dict.fromkeys(_name(place, differing) for place, _ in shown)))
    # Many lines leave no free corner for a legend, which then goes beside the axes.
    beside = len(styles) > _LINES_WITH_A_LEGEND_INSIDE
    figure = Figure(figsize=(2 + 5 * columns + 2.5 * beside, 4.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    # Compare by coefficients kept where n is no common measure: n / (2N - 2) is for triangle alone.
    of_triangle = curves.labels["selection"] == ["triangle"]
    by_cost = "selection" in differing or ("block_size" in differing and not of_triangle)
    for axes, operation in zip(panels, operations, strict=False):
        for place, curve in shown:
            if place["operation"] == operation:
                name = _name(place, differing)
                x = _positions(curve, place["block_size"], by_cost, differing)
                _draw(axes, x, curve, styles[name], name)
        _finish_panel(axes, by_cost, differing, log)
        if "operation" in curves.varying:
            axes.set_title(operation, fontsize="medium")
    for axes in panels[len(operations) :]:
        axes.set_axis_off()
    if differing:
        place_of_legend: dict[str, Any] = (
            {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {}
        )
        panels[columns - 1].legend(fontsize="small", frameon=False, **place_of_legend)
    figure.suptitle(_title(curves, shown, columns), fontsize="medium")
    return figure


def _finish_panel(axes: Axes, by_cost: bool, differing: Sequence[str], log: bool) -> None:
    """What the axes of a panel are called, and how they are divided."""
    axes.set_xlabel(_x_label(by_cost, differing))
    axes.set_ylabel("mean error (RMSE per block)")
    if "block_size" not in differing:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _title(curves: Curves, shown: Sequence[tuple[dict[str, Any], Curve]], columns: int) -> str:
    """The axis values that all curves share, how many trials they have, and the settings."""
    fixed = [axis for axis in CURVE_NAMES if axis not in curves.varying]
    by_count = sorted(shown, key=lambda each: int(each[1]["measured"].max()))
    counts = list(dict.fromkeys(curves.counted(*each) for each in by_count))
    trials = " to ".join(counts[:1] + counts[1:][-1:])
    described = ", ".join(_value(axis, curves.labels[axis][0]) for axis in fixed)
    title = f"{described}\n{trials}, shaded: 95 % interval of the mean"
    if curves.settings:
        title += "\n" + textwrap.fill(curves.settings, 60 * columns)
    return title


def _styles(names: Sequence[Name]) -> dict[Name, tuple[str, str]]:
    """Colour and dashes of each line: one shows the last part of its name, the other the rest.

    Where there are more of either than can be told apart, each line has its own.
    """
    parts = [(name[:-1], name[-1:]) for name in names]
    first, last = (list(dict.fromkeys(part[k] for part in parts)) for k in (0, 1))
    # Colours are easier to tell apart than dashes, so they show the part that has more values.
    most, fewest = max(len(first), len(last)), min(len(first), len(last))
    if len(first) > 1 and most <= len(_COLOURS) and fewest <= len(_DASHES):
        by_first = len(first) >= len(last)
        numbers = [
            (first.index(a), last.index(b)) if by_first else (last.index(b), first.index(a))
            for a, b in parts
        ]
    else:
        numbers = [(k % len(_COLOURS), k // len(_COLOURS)) for k in range(len(names))]
    return {
        name: (_COLOURS[colour], _DASHES[dashes % len(_DASHES)])
        for name, (colour, dashes) in zip(names, numbers, strict=True)
    }


def _draw(
    axes: Axes, x: NDArray[Any], line: Mapping[Any, Any], style: tuple[str, str], name: Name
) -> None:
    """A line with its interval."""
    colour, dashes = style
    axes.plot(
        x, line["mean_error"], dashes, color=colour, marker="o", markersize=2.5, linewidth=1.4,
        label=", ".join(name),
    )  # fmt: skip
    axes.fill_between(x, line["ci_low"], line["ci_high"], color=colour, alpha=0.25, linewidth=0)
    axes.grid(alpha=0.3)


def _name(place: dict[str, Any], axes: Sequence[str]) -> Name:
    return tuple(_value(axis, place[axis]) for axis in axes)


def _positions(curve: Curve, size: int, by_cost: bool, differing: Sequence[str]) -> NDArray[Any]:
    """Where the points of a curve stand, so that curves compare at equal cost."""
    if by_cost:
        kept = curve["coefficients_kept"]
        return kept / size**2 if "block_size" in differing else kept
    n = curve["freq"]
    return n / (2 * size - 2) if "block_size" in differing else n


def _x_label(by_cost: bool, differing: Sequence[str]) -> str:
    if by_cost:
        return ("share of" if "block_size" in differing else "number of") + " coefficients kept"
    if "block_size" in differing:
        return "spatial frequencies kept, n / (2N - 2)"
    return "spatial frequencies kept, n (0 = DC alone)"


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
    # From 0.25 up, so that the smallest value is not black.
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


def plot_claim(claim: Claim) -> Figure:
    """What was measured for a claim, and beside it what decides it, each with its 95 % interval."""
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    figure.suptitle(textwrap.fill(claim.title, 120), fontsize="medium")
    left, right = figure.subplots(1, 2)
    for axes, lines in ((left, claim.curves), (right, claim.tests)):
        styles = _styles(list(lines))
        for name, line in lines.items():
            _draw(axes, line["freq"].to_numpy(), line, styles[name], name)
        axes.set_xlabel("spatial frequencies kept, n")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(
            loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, fontsize="small",
            frameon=False,
        )  # fmt: skip
    left.set_ylabel(claim.unit)
    left.set_ylim(bottom=min(0, left.get_ylim()[0]))
    if claim.level is not None:
        left.axhline(claim.level, color="grey", linewidth=0.8)
    right.axhline(0, color="black", linewidth=0.8)
    right.set_ylabel("test: positive where the claim holds")
    return figure


def save_claims(claims: Sequence[Claim], folder: str) -> list[str]:
    """Write FOLDER/CLAIMS.md and a picture of each claim; returns the paths."""
    place = "figures/claim-{k}.png"
    Path(folder, "figures").mkdir(parents=True, exist_ok=True)
    paths = [str(Path(folder, place.format(k=k))) for k in range(1, len(claims) + 1)]
    for claim, path in zip(claims, paths, strict=True):
        plot_claim(claim).savefig(path, dpi=110)
    page = Path(folder, "CLAIMS.md")
    page.write_text(claims_page(claims, place), encoding="utf-8")
    return [*paths, str(page)]


def save(figure: Figure, stem: str) -> Sequence[str]:
    """Write a figure as STEM.png and STEM.svg; returns the paths."""
    paths = [f"{stem}.png", f"{stem}.svg"]
    Path(stem).parent.mkdir(parents=True, exist_ok=True)
    # Neither date nor random names in the SVG: the same numbers give the same file.
    with matplotlib.rc_context({"svg.hashsalt": "asm-sweep"}):
        figure.savefig(paths[0], dpi=160)
        figure.savefig(paths[1], metadata={"Date": None})
    return paths
