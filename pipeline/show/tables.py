"""Text for a terminal: tables of curves and of a plan, and matrices."""

import math
from typing import Any

import numpy as np
from dask.utils import format_bytes
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from asm_core.intervals import reach
from pipeline.analysis.curves import Curve, Curves, in_range
from pipeline.plan import estimate
from pipeline.plan.axes import CELL, CURVE_NAMES, TRIAL, shape
from pipeline.plan.plan import Plan
from pipeline.plan.precision import trials_for
from pipeline.show.progress import console, duration
from pipeline.store.location import Location

_ONE_BATCH = "No interval: all of these tiles lie in one strip of an image, or in one image."
_COPIES = (
    "No interval where errors of all images, or strips of the image, are alike to the last bit."
)


def print_curves(curves: Curves, precision: float | None = None) -> None:
    """Print a table of every curve: n, coefficients kept, mean error, interval, accuracy, regret.

    With a precision, also whether each curve has reached it, and how many trials it would take.
    """
    out = console()
    for name, curve in curves:
        count = int(curve["measured"].max())
        if not count:
            # A store that was extended may have combinations that no sweep asked for.
            continue
        title = ", ".join(f"{axis}={name[axis]}" for axis in curves.varying or CURVE_NAMES)
        tiles = curves.tiles.get(name["source"], {}).get(name["block_size"])
        neighbours = "; intervals of batches of neighbours" if tiles and tiles.ends else ""
        out.print(Text(f"{title}: {curves.counted(name, curve)}{neighbours}", style="bold"))
        out.print(_curve_table(in_range(curve, name["block_size"])))
        without = curve["measured"][np.isnan(curve["ci_low"]) & (curve["measured"] > 1)]
        if tiles and without.size:
            out.print(_ONE_BATCH if tiles.in_one_batch(int(without.min())) else _COPIES)
        if precision is not None:
            out.print(_reached(curve, count, precision, tiles.count if tiles else None))


def _reached(curve: Curve, count: int, precision: float, available: int | None) -> str:
    """Whether a curve has a precision, and what it takes; `available` blocks are stored."""
    widths = reach(curve["mean_error"], curve["ci_low"], curve["ci_high"])
    widths = np.nan_to_num(widths, nan=np.inf)
    widest = float(widths.max())
    if widest <= precision:
        return f"precision={precision:g} is reached: the widest interval is +-{widest:.3g}"
    n = curve["freq"][widths.argmax()]
    at = f"there is no interval at n = {n}"
    if np.isfinite(widest):
        at = f"the interval at n = {n} is +-{widest:.4g}"
    said = f"precision={precision:g} is NOT reached: {at} after {count:,} trials"
    if count == available:
        return f"{said}, which are all there are: add images"
    known = count > 1 and np.isfinite(widest)
    needed = f", it takes about {trials_for(widest, count, precision):,}" if known else ""
    return f"{said}{needed}; trials=... is the most that may be taken"


def _curve_table(curve: Curve) -> Table:
    table = Table(box=box.SIMPLE)
    # Rectifiers have no regret.
    columns = {"mask accuracy": "mask_accuracy", "regret": "regret"}
    columns = {
        heading: name for heading, name in columns.items() if not np.isnan(curve[name]).all()
    }
    for heading in ("n", "kept", "mean error", "95 % interval", *columns):
        table.add_column(heading, justify="right", no_wrap=True)
    for k, n in enumerate(curve["freq"]):
        table.add_row(
            str(n),
            str(curve["coefficients_kept"][k]),
            _figures(curve["mean_error"][k]),
            f"{_figures(curve['ci_low'][k])} .. {_figures(curve['ci_high'][k])}",
            *(_figures(curve[name][k]) for name in columns.values()),
        )
    return table


def _figures(value: Any) -> str:
    number = float(value)
    return (
        "-"
        if np.isnan(number)
        else f"{number:.5f}"
        if 1e-3 <= abs(number) < 1e4 or not number
        else f"{number:.3e}"
    )


def print_plan(plan: Plan, store: Location, missing: int, threads: int) -> None:
    """Print what a sweep would do: axes, units, bytes, estimated time.

    `missing` is how many units are to be computed, on `threads` threads.
    """
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    grid, free = plan.grid, store.free_bytes()
    cells = math.prod(shape(plan.labels, CELL))
    share = missing / max(grid.unit_count, 1)
    seconds = estimate.core_seconds(plan) * share / threads + estimate.START_SECONDS
    rows = {axis: ", ".join(map(str, values)) for axis, values in plan.labels.items()} | {
        TRIAL: f"0 .. {plan.trials - 1:,}",
        "units": f"{grid.unit_count:,} of up to {plan.unit_trials:,} trials, {cells} cells; "
        f"{missing:,} to compute",
        "size": f"{format_bytes(estimate.stored_bytes(plan))} uncompressed, "
        f"{format_bytes(plan.unit_bytes)} a unit"
        + ("" if free is None else f"; {format_bytes(free)} free"),
        "time": f"about {duration(seconds)} on {threads} threads",
        "store": str(store),
    }
    for name, text in rows.items():
        table.add_row(name, Text(text))
    console().print(table)


def print_matrix(name: str, matrix: NDArray[Any]) -> None:
    """Print a matrix with three decimals; in a terminal with the notebook's colours."""
    out = console()
    out.print(Text(f"\n{name}", style="bold"))
    for row in np.asarray(matrix, dtype=np.float64):
        line = Text()
        for value in row:
            colour = "red" if value > 0 else "green" if value < 0 else "blue"
            line.append(f"{value:8.3f}", style=colour)
        out.print(line, soft_wrap=True)
