"""Text for a terminal: tables of curves and of a plan, and matrices."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.utils import format_bytes
from numpy.typing import NDArray
from rich.console import Console
from rich.text import Text

from asm_core.intervals import reach
from pipeline.analysis.crossings import Crossing
from pipeline.analysis.curves import Curve, Curves, in_range
from pipeline.audit.listing import Listed
from pipeline.audit.status import Status
from pipeline.errors import count_of, runs_of
from pipeline.planning import estimate
from pipeline.planning.axes import ALGORITHM, CELL, CURVE_NAMES, FREQ, TRIAL, shape
from pipeline.planning.precision import trials_for
from pipeline.run.forecast import Forecast
from pipeline.show.fitting import console, print_fields, print_table, say
from pipeline.show.progress import duration

if TYPE_CHECKING:
    # Which takes 0.4 s to import.
    import xarray as xr

# Whole tables of more lines, a tall screen's, are for those who ask for them.
_SCREENFUL = 100
# Lines of a table beside those of its frequencies: title, headings, rules.
_LINES_PER_TABLE = 5
# The overview says where the error falls below these shares of that of the first frequency.
_SHARES = {"1/2": 1 / 2, "1/10": 1 / 10, "1/100": 1 / 100}
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_WORST_SHOWN = 5
# Columns of a number of a matrix.
_DIGITS = 8
_ONE_BATCH = "No interval: all of these tiles lie in one strip of an image, or in one image."
_COPIES = (
    "No interval where errors of all images, or strips of the image, are alike to the last bit."
)


def print_curves(curves: Curves, precision: float | None = None) -> None:
    """Print a table of every curve: n, coefficients kept, mean error, interval, accuracy, regret.

    With a precision, also whether each curve has reached it, and how many trials it would take.
    """
    out = console()
    for name, curve in _measured(curves):
        count = int(curve["measured"].max())
        title = ", ".join(f"{axis}={name[axis]}" for axis in curves.varying or CURVE_NAMES)
        tiles = curves.tiles.get(name["source"], {}).get(name["block_size"])
        neighbours = "; intervals of batches of neighbours" if tiles and tiles.ends else ""
        say(f"{title}: {curves.counted(name, curve)}{neighbours}", out, style="bold")
        _print_curve(out, in_range(curve, name["block_size"]))
        without = curve["measured"][np.isnan(curve["ci_low"]) & (curve["measured"] > 1)]
        if tiles and without.size:
            say(_ONE_BATCH if tiles.in_one_batch(int(without.min())) else _COPIES, out)
        if precision is not None:
            say(_reached(curve, count, precision, tiles.count if tiles else None), out)


def are_long(tabled: Sequence[Curves]) -> bool:
    """Whether whole tables of these curves take more than a screen."""
    lines = (
        len(in_range(curve, name["block_size"])[FREQ]) + _LINES_PER_TABLE
        for curves in tabled
        for name, curve in _measured(curves)
    )
    return sum(lines) > _SCREENFUL


def print_overview(curves: Curves, precision: float | None = None) -> None:
    """Print a line for each curve, algorithms side by side: where its error has fallen how far.

    With a precision, also how many curves have reached it.
    """
    axes = [axis for axis in curves.varying if axis != ALGORITHM] or ["source"]
    algorithms = curves.labels[ALGORITHM]
    headings = [*axes, "trials", *(f"{a} {share}" for a in algorithms for share in _SHARES)]
    rows = []
    widths = []
    for _, group in itertools.groupby(_measured(curves), lambda each: {**each[0], ALGORITHM: None}):
        found = {name[ALGORITHM]: (name, curve) for name, curve in group}
        (name, curve), *_ = found.values()
        falls = [_falls(found[a][1]) if a in found else ["-"] * len(_SHARES) for a in algorithms]
        rows.append(
            [
                *(str(name[axis]) for axis in axes),
                f"{int(curve['measured'].max()):,}",
                *itertools.chain.from_iterable(falls),
            ]
        )
        widths += [float(_widths(curve).max()) for _, curve in found.values()]
    out = console()
    first = curves.labels[FREQ][0]
    say(
        f"The smallest n with a mean error below 1/2, 1/10 and 1/100 of that at n = {first}; - for "
        "none:",
        out,
    )
    print_table(out, headings, rows, keys=len(axes))
    if precision is not None:
        reached = sum(width <= precision for width in widths)
        widest = (
            f"; the widest interval is +-{max(widths):.3g}" if np.isfinite(widths).all() else ""
        )
        say(
            f"precision={precision:g} is reached by {reached} of {count_of(len(widths), 'curve')}"
            f"{widest}",
            out,
        )


def _falls(curve: Curve) -> list[str]:
    """The first n whose error is below each share of that of the first n."""
    errors = curve["mean_error"]
    below = [np.flatnonzero(errors < share * errors[0]) for share in _SHARES.values()]
    return [str(curve[FREQ][at[0]]) if at.size else "-" for at in below]


def _measured(curves: Curves) -> Iterator[tuple[dict[str, Any], Curve]]:
    """The curves that have trials: cells of a store that was extended may have none."""
    return ((name, curve) for name, curve in curves if curve["measured"].any())


def _widths(curve: Curve) -> NDArray[np.float64]:
    """Half the width of each interval of a curve; infinite where there is none."""
    widths = reach(curve["mean_error"], curve["ci_low"], curve["ci_high"])
    return np.asarray(np.nan_to_num(widths, nan=np.inf))


def _reached(curve: Curve, count: int, precision: float, available: int | None) -> str:
    """Whether a curve has a precision, and what it takes; `available` blocks are stored."""
    widths = _widths(curve)
    widest = float(widths.max())
    if widest <= precision:
        return f"precision={precision:g} is reached: the widest interval is +-{widest:.3g}"
    n = curve["freq"][widths.argmax()]
    at = f"there is no interval at n = {n}"
    if np.isfinite(widest):
        at = f"the interval at n = {n} is +-{widest:.4g}"
    said = f"precision={precision:g} is NOT reached: {at} after {count_of(count, 'trial')}"
    if count == available:
        return f"{said}, which are all there are: add images"
    known = count > 1 and np.isfinite(widest)
    needed = f", it takes about {trials_for(widest, count, precision):,}" if known else ""
    return f"{said}{needed}; trials=... is the most that may be taken"


def _print_curve(out: Console, curve: Curve) -> None:
    # Rectifiers have no regret.
    columns = {"mask accuracy": "mask_accuracy", "regret": "regret"}
    columns = {
        heading: name for heading, name in columns.items() if not np.isnan(curve[name]).all()
    }
    rows = [
        [
            str(n),
            str(curve["coefficients_kept"][k]),
            rounded(curve["mean_error"][k]),
            f"{rounded(curve['ci_low'][k])} .. {rounded(curve['ci_high'][k])}",
            *(rounded(curve[name][k]) for name in columns.values()),
        ]
        for k, n in enumerate(curve["freq"])
    ]
    print_table(out, ["n", "kept", "mean error", "95 % interval", *columns], rows, keys=1)


def rounded(value: Any) -> str:
    """A number with five decimals; with an exponent where these would not show it."""
    number = float(value)
    return (
        "-"
        if np.isnan(number)
        else f"{number:.5f}"
        if 1e-3 <= abs(number) < 1e4 or not number
        else f"{number:.3e}"
    )


def print_stores(stores: Sequence[Listed]) -> None:
    """Print a table of stores; of those that cannot be opened, why."""
    rows = []
    out = console()
    for each in stores:
        if each.labels is None or each.status is None:
            continue
        labels = {axis: sorted(values) for axis, values in each.labels.items()}
        trials = max((cell.trials_done for cell in each.status.cells), default=0)
        rows.append(
            [
                each.name,
                *(",".join(map(str, labels[axis])) for axis in CURVE_NAMES),
                runs_of(labels[FREQ]),
                f"{trials:,}",
                format_bytes(each.size),
                _how_far(each.status),
                each.when[:16].replace("T", " "),
            ]
        )
    if rows:
        headings = ["name", *CURVE_NAMES, "n", "trials", "size", "state", "when (UTC)"]
        print_table(out, headings, rows, keys=1)
    for each in stores:
        if each.problem:
            say(f"{each.name}: {each.problem}", out)


def _how_far(status: Status) -> str:
    """Whether a store is complete, or what share of its trials it has."""
    if not status.trials_left:
        return "complete" if status.trials else "empty"
    share = f"{math.floor(100 * (1 - status.trials_left / status.trials))} %"
    if status.holder:
        return f"{share}, running"
    failed = len(status.quarantined)
    return f"{share}, {count_of(failed, 'unit')} failed" if failed else share


def distribution(errors: NDArray[Any]) -> dict[str, Any]:
    """How errors of blocks are distributed, and which blocks have the largest."""
    known = errors[~np.isnan(errors)].astype(np.float64)
    # Of equal errors the first, which trial=worst is, too.
    order = np.argsort(np.where(np.isnan(errors), np.inf, -errors), kind="stable")
    worst = order[: min(_WORST_SHOWN, len(known))].tolist()
    return {
        "blocks": len(known),
        "quantiles": {share: float(np.quantile(known, share)) for share in QUANTILES},
        "worst": [{"trial": trial, "error": float(errors[trial])} for trial in worst],
    }


def distribution_in_words(found: Mapping[str, Any], of: str) -> str:
    """What `distribution` found, as lines."""
    at = " ".join(f"{share:.0%}: {rounded(value)}" for share, value in found["quantiles"].items())
    worst = ", ".join(f"{each['trial']} ({rounded(each['error'])})" for each in found["worst"])
    return (
        f"Errors of {of}, {count_of(found['blocks'], 'block')}, quantiles: {at}\n"
        f"The worst blocks: {worst}"
    )


def print_comparison(compared: "xr.Dataset") -> None:
    """Print a comparison of two stores, a row for each point, and what it comes to."""
    axes = [axis for axis in CURVE_NAMES if compared.sizes[axis] > 1]
    rows = []
    for at in np.ndindex(*compared["mean_error"].shape):
        point = compared.isel(dict(zip(compared["mean_error"].dims, at, strict=True)))
        if not point["measured"]:
            continue
        first, second, mean, low, high = (
            float(point[name]) for name in ("first", "second", "mean_error", "ci_low", "ci_high")
        )
        rows.append(
            [
                *(str(point[axis].item()) for axis in axes),
                str(point[FREQ].item()),
                rounded(first),
                rounded(second),
                rounded(mean),
                f"{rounded(low)} .. {rounded(high)}",
                "yes" if point["significant"] else "no",
            ]
        )
    out = console()
    paired = compared.attrs["paired"]
    how = "paired, trial by trial" if paired else "of independent samples"
    points = count_of(compared.attrs["points"], "point")
    say(f"Differences {how}; the intervals of {points} hold together with 95 %:", out)
    headings = [*axes, "n", "first", "second", "difference", "95 % interval", "significant"]
    print_table(out, headings, rows, keys=len(axes) + 1)
    count = int(compared["significant"].sum())
    say(
        f"{count_of(count, 'point')} of {compared.attrs['points']:,} differ by more than chance."
        if count
        else "No point differs by more than chance.",
        out,
    )


def print_crossings(crossings: Sequence[Crossing], axes: Sequence[str], what: str) -> None:
    """Print from which n on each curve is below something, and how surely; `what` says below what.

    `axes` are those on which the curves differ.
    """
    shown = axes or ["source"]
    rows = [[*(str(each.place[axis]) for axis in shown), *_in_words(each)] for each in crossings]
    out = console()
    say(f"The smallest n from which on {what}:", out)
    print_table(out, [*shown, "n", "95 % interval"], rows, keys=len(shown))


def _in_words(crossing: Crossing) -> list[str]:
    """An n and its interval; NaN is behind the last n."""
    n, least, most = (
        f"{number:g}" if np.isfinite(number) else ""
        for number in (crossing.n, crossing.low, crossing.high)
    )
    interval = f"{least} .. {most}" if least and most else f"{least} or later" if least else "-"
    return [n or "-", interval]


def print_plan(forecast: Forecast) -> None:
    """Print what a sweep would do: axes, units, bytes, estimated time."""
    cells, free = math.prod(shape(forecast.labels, CELL)), forecast.free_bytes
    rows = {axis: ", ".join(map(str, values)) for axis, values in forecast.labels.items()} | {
        TRIAL: f"0 .. {forecast.trials - 1:,}",
        "units": f"{forecast.units:,} of up to {count_of(forecast.unit_trials, 'trial')}, "
        f"{count_of(cells, 'cell')}; "
        f"{forecast.missing:,} to compute",
        **_files(forecast),
        "size": f"{format_bytes(forecast.stored_bytes)} uncompressed, "
        f"{format_bytes(forecast.unit_bytes)} a unit; "
        f"about {format_bytes(int(forecast.written_bytes))} to write"
        + ("" if free is None else f", {format_bytes(free)} free"),
        "time": f"about {duration(forecast.seconds)} on {count_of(forecast.threads, 'thread')}",
        "store": forecast.store,
    }
    if not forecast.fits:
        rows["DOES NOT FIT"] = f"a sweep would be refused: {estimate.SPACE_REMEDY}"
    print_fields(console(), rows, whole=["store"])


def _files(forecast: Forecast) -> dict[str, str]:
    """What a sweep decodes, if it does."""
    files, decodings, size, seconds = forecast.reading
    if not files:
        return {}
    return {
        "files": f"{files:,}, {format_bytes(int(size))} to read; a file is decoded about "
        f"{decodings:.1f} times, {duration(seconds)} of the time below",
    }


def print_matrix(name: str, matrix: NDArray[Any]) -> None:
    """Print a matrix with three decimals; in a terminal with the notebook's colours."""
    out = console()
    out.print(Text(f"\n{name}", style="bold"))
    # A narrow terminal gets a row in several lines.
    most = max(1, out.width // _DIGITS) if out.is_terminal else None
    for row in np.asarray(matrix, dtype=np.float64):
        line = Text()
        for k, value in enumerate(row):
            if most and k and k % most == 0:
                line.append("\n")
            colour = "red" if value > 0 else "green" if value < 0 else "blue"
            line.append(f"{value:{_DIGITS}.3f}", style=colour)
        out.print(line, soft_wrap=True)
