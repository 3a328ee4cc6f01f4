"""Text for a terminal: tables of curves and of a plan, and matrices."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table
from rich.text import Text

from pipeline.analysis.curves import AXES, Curve, Curves, in_range
from pipeline.plan import estimate
from pipeline.plan.estimate import in_bytes
from pipeline.plan.plan import Plan
from pipeline.plan.precision import trials_for
from pipeline.show.progress import console, duration


def print_curves(curves: Curves, precision: float | None = None) -> None:
    """Table of every curve: n, coefficients kept, mean error and its interval, mask, regret.

    With a precision, also whether each curve has reached it, and what it would take.
    """
    out = console()
    for name, curve in curves:
        count = int(curve["measured"].max())
        if not count:
            # A corner of a grid that grew for the sake of others.
            continue
        title = ", ".join(f"{axis}={name[axis]}" for axis in curves.varying or AXES)
        out.print(Text(f"{title}: {count:,} trials", style="bold"))
        out.print(_curve_table(in_range(curve, name["block_size"])))
        if precision is not None:
            out.print(_reached(curve, count, precision))


def _reached(curve: Curve, count: int, precision: float) -> str:
    widths = np.nan_to_num(curve["half_width"], nan=np.inf)
    widest = float(widths.max())
    if widest <= precision:
        return f"precision={precision:g} is reached: the widest interval is +-{widest:.3g}"
    n = curve["freq"][widths.argmax()]
    needed = f", it takes about {trials_for(widest, count, precision):,}" if count > 1 else ""
    return (
        f"precision={precision:g} is NOT reached: the interval at n = {n} is +-{widest:.3g} after "
        f"{count:,} trials{needed}; trials=... is the most that may be taken"
    )


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


def print_plan(plan: Plan, path: str, missing: int, threads: int) -> None:
    """What a sweep would do: axes, units, bytes, estimated time."""
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    cells = len(plan.sources) * len(plan.block_sizes)
    free = estimate.free_bytes(path)
    share = missing / max(plan.unit_count, 1)
    seconds = estimate.core_seconds(plan) * share / threads + estimate.START_SECONDS
    rows = {
        "source": ", ".join(source.name for source in plan.sources),
        "block_size": ", ".join(map(str, plan.block_sizes)),
        "operation": ", ".join(operation.name for operation in plan.operations),
        "selection": ", ".join(selection.name for selection in plan.selections),
        "algorithm": ", ".join(plan.algorithms),
        "freq": ", ".join(map(str, plan.freqs)),
        "trial": f"0 .. {plan.trials - 1:,}",
        "units": f"{plan.unit_count:,} of up to {plan.unit_trials:,} trials, {cells} cells; "
        f"{missing:,} to compute",
        "size": f"{in_bytes(estimate.stored_bytes(plan))} uncompressed, "
        f"{in_bytes(plan.unit_bytes)} a unit"
        + ("" if free is None else f"; {in_bytes(free)} free"),
        "time": f"about {duration(seconds)} on {threads} threads",
        "store": path,
    }
    for name, text in rows.items():
        table.add_row(name, text)
    console().print(table)


def print_matrix(name: str, matrix: NDArray[Any]) -> None:
    """A matrix with three decimals; in a terminal in the notebook's colours."""
    out = console()
    out.print(Text(f"\n{name}", style="bold"))
    for row in np.asarray(matrix, dtype=np.float64):
        line = Text()
        for value in row:
            colour = "red" if value > 0 else "green" if value < 0 else "blue"
            line.append(f"{value:8.3f}", style=colour)
        out.print(line, soft_wrap=True)
