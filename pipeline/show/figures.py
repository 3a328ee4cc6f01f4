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

from pipeline.analysis.claims import Claim
from pipeline.analysis.curves import AXES, Curve, Curves, in_range
from pipeline.show.report import claims_page

# Okabe and Ito's colours, which colour-blind readers tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("-", "--", "-.", ":")


def plot_curves(curves: Curves, *, log: bool = False) -> Figure:
    """Mean error against the number of frequencies, one line per curve, with its 95 % interval.

    Block sizes are drawn at equal n / (2N - 2), selections at equal numbers of coefficients kept,
    and both together at equal shares of them.

    Parameters
    ----------
    curves
        Of a store, or of a summary: `curves.of_store`, `results.curves_of`.
    log
        Draw errors on a logarithmic axis, which leaves those of 0 out.
    """
    differing = curves.varying
    shown = [
        (name, in_range(curve, name["block_size"]))
        for name, curve in curves
        if curve["measured"].max() > 0
    ]
    operations = list(dict.fromkeys(name["operation"] for name, _ in shown))
    # A panel each: operations differ in what an error is, and in its size.
    columns = min(len(operations), 3)
    rows = -(-len(operations) // columns) if operations else 1
    named = [axis for axis in differing if axis != "operation"]
    # Whether curves compare at the coefficients kept: n / (2N - 2) is of triangle alone.
    of_triangle = curves.labels["selection"] == ["triangle"]
    by_cost = "selection" in named or ("block_size" in named and not of_triangle)
    labels = list(dict.fromkeys(_label(name, named) for name, _ in shown))
    styles = _styles(labels)
    wide = 2.5 * (len(labels) > 6)
    figure = Figure(figsize=(2 + 5 * max(columns, 1) + wide, 4.5 * rows), layout="constrained")
    panels = figure.subplots(rows, max(columns, 1), squeeze=False).ravel()
    for axes, operation in zip(panels, operations, strict=False):
        lines = [(name, curve) for name, curve in shown if name["operation"] == operation]
        for name, curve in lines:
            label = _label(name, named)
            _draw(
                axes, _place(curve, name["block_size"], by_cost, named), curve, styles[label], label
            )
        axes.set_xlabel(_place_name(by_cost, named))
        axes.set_ylabel("mean error (RMSE per block)")
        if "block_size" not in named:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if log:
            axes.set_yscale("log")
        else:
            axes.set_ylim(bottom=0)
        if "operation" in differing:
            axes.set_title(operation, fontsize="medium")
    for axes in panels[len(operations) :]:
        axes.set_axis_off()
    if named:
        # Many lines leave no free corner: their names go beside the axes.
        beside: dict[str, Any] = (
            {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if len(labels) > 6 else {}
        )
        panels[max(columns, 1) - 1].legend(fontsize="small", frameon=False, **beside)
    fixed = [axis for axis in AXES if axis not in differing]
    counts = sorted({int(curve["measured"].max()) for _, curve in shown})
    trials = " to ".join(f"{count:,}" for count in (counts[:1] + counts[1:][-1:]))
    described = ", ".join(_value(axis, curves.labels[axis][0]) for axis in fixed)
    title = f"{described}\n{trials} trials, shaded: 95 % interval of the mean"
    if settings := curves.changed_settings:
        title += "\n" + textwrap.fill(settings, 60 * max(columns, 1))
    figure.suptitle(title, fontsize="medium")
    return figure


def _styles(labels: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and dashes of each label: one shows the A of "A, B", the other B, if they suffice."""
    parts = [label.rpartition(", ")[::2] for label in labels]
    first, last = (list(dict.fromkeys(part[k] for part in parts)) for k in (0, 1))
    # Colours for what has more values: they are told apart more easily than dashes.
    most, fewest = max(len(first), len(last)), min(len(first), len(last))
    if len(first) > 1 and most <= len(_COLOURS) and fewest <= len(_DASHES):
        by_first = len(first) >= len(last)
        numbers = [
            (first.index(a), last.index(b)) if by_first else (last.index(b), first.index(a))
            for a, b in parts
        ]
    else:
        numbers = [(k % len(_COLOURS), k // len(_COLOURS)) for k in range(len(labels))]
    return {
        label: (_COLOURS[colour], _DASHES[dashes % len(_DASHES)])
        for label, (colour, dashes) in zip(labels, numbers, strict=True)
    }


def _draw(
    axes: Axes, x: NDArray[Any], line: Mapping[Any, Any], style: tuple[str, str], label: str
) -> None:
    """A line with its interval."""
    colour, dashes = style
    axes.plot(
        x, line["mean_error"], dashes, color=colour, marker="o", markersize=2.5, linewidth=1.4,
        label=label,
    )  # fmt: skip
    axes.fill_between(x, line["ci_low"], line["ci_high"], color=colour, alpha=0.25, linewidth=0)
    axes.grid(alpha=0.3)


def _label(name: dict[str, Any], axes: Sequence[str]) -> str:
    return ", ".join(_value(axis, name[axis]) for axis in axes)


def _place(curve: Curve, size: int, by_cost: bool, differing: Sequence[str]) -> NDArray[Any]:
    """Where the points of a curve stand, so that curves compare at equal cost."""
    if by_cost:
        kept = curve["coefficients_kept"]
        return kept / size**2 if "block_size" in differing else kept
    n = curve["freq"]
    return n / (2 * size - 2) if "block_size" in differing else n


def _place_name(by_cost: bool, differing: Sequence[str]) -> str:
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


def plot_claim(claim: Claim) -> Figure:
    """What was measured for a claim, and beside it what decides it, each with its 95 % interval."""
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    figure.suptitle(textwrap.fill(claim.title, 120), fontsize="medium")
    left, right = figure.subplots(1, 2)
    for axes, lines in ((left, claim.curves), (right, claim.tests)):
        styles = _styles(list(lines))
        for label, line in lines.items():
            _draw(axes, line["freq"].to_numpy(), line, styles[label], label)
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
