"""Curves as pictures: which line goes into which axes, where its points stand, how it looks."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline.analysis.curves import Curve, Curves, in_range
from pipeline.analysis.verdicts import Name
from pipeline.errors import UserError
from pipeline.planning.axes import CURVE_NAMES, FREQ, LINE_AXES, STORE, X_AXES

# Okabe and Ito's colours, which colour-blind readers tell apart.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
_DASHES = ("-", "--", "-.", ":")
# More than these cannot be told apart, and go into further axes.
_LINES_PER_AXES = 8
_LINES_WITH_A_LEGEND_INSIDE = 6
_MOST_COLUMNS = 3
_SIZE = "block_size"


@dataclass(frozen=True)
class _Line:
    """A line of a picture: the axis values that name it, and its points, of a store's curves."""

    place: Mapping[str, Any]
    points: Curve
    of: Curves


def plot_curves(
    curves: Curves | Mapping[str, Curves],
    *,
    x: str | None = None,
    lines: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    log: bool = False,
) -> Figure:
    """Mean error of each curve, with its 95 % interval.

    Parameters
    ----------
    curves
        From a store by `curves.of_store`, or from a summary by `datasets.curves_of`; of several
        stores by a name for each.
    x
        One of X_AXES. By default n; block sizes are compared at equal n / (2N - 2), selections at
        equal numbers of coefficients kept, and both together at equal shares of them.
    lines, columns
        Which of LINE_AXES tell the lines within axes from each other, and which the axes. By
        default each operation has its own axes, since their errors differ in meaning and size, and
        so has whatever would make more than eight lines.
    log
        Draw errors on a logarithmic axis; an error of 0 is left out.

    Raises
    ------
    UserError
        For an axis that is given twice.
    """
    _check_axes(x, lines or [], columns or [])
    drawn = _lines(curves, by_size=x == _SIZE)
    varying = _varying(drawn)
    chosen = x or _default_x(drawn, varying)
    within, across = _division(drawn, varying, lines, columns)
    panels = _panels(drawn, within, across)
    return _figure(panels, drawn, within, across, chosen, log)


def _check_axes(x: str | None, lines: Sequence[str], columns: Sequence[str]) -> None:
    """Refuse an axis that is given twice, or that points already stand along."""
    given = [*lines, *columns]
    for axis in given:
        if given.count(axis) > 1:
            raise UserError(f"{axis} is given twice in lines and columns: leave it out once")
    along = _SIZE if x == _SIZE else FREQ
    if along in given:
        other = FREQ if along == _SIZE else _SIZE
        raise UserError(
            f"{along} is the axis along which lines are drawn: leave it out of lines and columns, "
            f"or give x={other}"
        )


def _lines(curves: Curves | Mapping[str, Curves], *, by_size: bool) -> list[_Line]:
    """All curves that have trials, along n or along the block size."""
    given = {"": curves} if isinstance(curves, Curves) else curves
    found = [
        _Line({STORE: store, **place}, in_range(curve, place[_SIZE]), each)
        for store, each in given.items()
        for place, curve in each
        if curve["measured"].max() > 0
    ]
    return _along_sizes(found) if by_size else found


def _along_sizes(lines: Sequence[_Line]) -> list[_Line]:
    """The same points in lines along the block size, one for each n."""
    points: dict[tuple[Any, ...], list[tuple[int, _Line, int]]] = {}
    for line in lines:
        others = {axis: value for axis, value in line.place.items() if axis != _SIZE}
        for k, n in enumerate(line.points[FREQ].tolist()):
            at = tuple({**others, FREQ: n}.items())
            points.setdefault(at, []).append((line.place[_SIZE], line, k))
    turned = []
    for at, found in points.items():
        found.sort(key=lambda each: each[0])
        curve = {
            name: np.array([line.points[name][k] for _, line, k in found])
            for name in found[0][1].points
        }
        curve[_SIZE] = np.array([size for size, _, _ in found])
        turned.append(_Line(dict(at), curve, found[0][1].of))
    return sorted(turned, key=lambda line: line.place[FREQ])


def _varying(lines: Sequence[_Line]) -> list[str]:
    """Axes on which the lines differ; stores only where nothing else tells them apart."""
    axes = [axis for axis in LINE_AXES if len({line.place.get(axis) for line in lines}) > 1]
    others = [axis for axis in axes if axis != STORE]
    names = {_name(line, others) for line in lines}
    return others if len(names) == len(lines) else axes


def _default_x(lines: Sequence[_Line], varying: Sequence[str]) -> str:
    """What curves are compared at: n where it means the same for all of them."""
    # n / (2N - 2) is for triangle alone.
    of_triangle = {line.place["selection"] for line in lines} <= {"triangle"}
    if "selection" in varying or (_SIZE in varying and not of_triangle):
        return "share_kept" if _SIZE in varying else "coefficients_kept"
    return "freq_share" if _SIZE in varying else FREQ


def _division(
    drawn: Sequence[_Line],
    varying: Sequence[str],
    lines: Sequence[str] | None,
    columns: Sequence[str] | None,
) -> tuple[list[str], list[str]]:
    """The axes that tell lines apart, and those that tell panels apart."""
    if lines is not None:
        rest = [axis for axis in varying if axis not in lines]
        # What neither has would be lines with the same name.
        return list(lines), list(dict.fromkeys([*(columns or []), *rest]))
    across = list(columns) if columns is not None else [a for a in varying if a == "operation"]
    within = [axis for axis in varying if axis not in across]
    while len(within) > 1 and _most_lines(drawn, within, across) > _LINES_PER_AXES:
        across.append(within.pop(0))
    return within, across


def _most_lines(drawn: Sequence[_Line], within: Sequence[str], across: Sequence[str]) -> int:
    panels: dict[Name, set[Name]] = {}
    for line in drawn:
        panels.setdefault(_name(line, across), set()).add(_name(line, within))
    return max(map(len, panels.values()), default=0)


def _panels(
    drawn: Sequence[_Line], within: Sequence[str], across: Sequence[str]
) -> list[tuple[Name, list[_Line]]]:
    """The lines of each axes, and its name; never more than can be told apart."""
    groups: dict[Name, list[_Line]] = {}
    for line in drawn:
        groups.setdefault(_name(line, across), []).append(line)
    return [
        (name, group[first : first + _LINES_PER_AXES])
        for name, group in groups.items()
        for first in range(0, len(group), _LINES_PER_AXES)
    ] or [((), [])]


def _figure(
    panels: Sequence[tuple[Name, list[_Line]]],
    drawn: Sequence[_Line],
    within: Sequence[str],
    across: Sequence[str],
    x: str,
    log: bool,
) -> Figure:
    columns = min(len(panels), _MOST_COLUMNS)
    rows = -(-len(panels) // columns)
    names = [[_name(line, within) for line in lines] for _, lines in panels]
    # One legend serves axes with the same lines, which then look the same everywhere.
    shared = all(each == names[0] for each in names)
    all_names = list(dict.fromkeys(name for each in names for name in each))
    fit = len(all_names) <= len(_COLOURS) * len(_DASHES)
    # Many lines leave no free corner for a legend, which then goes beside the axes.
    beside = len(names[0]) > _LINES_WITH_A_LEGEND_INSIDE
    units = list({line.of.unit_shown for line in drawn})
    figure = Figure(figsize=(2 + 5 * columns + 2.5 * beside, 4.5 * rows), layout="constrained")
    all_axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for k, (axes, (title, lines)) in enumerate(zip(all_axes, panels, strict=False)):
        look = styles(all_names if fit else names[k])
        for name, line in zip(names[k], lines, strict=True):
            draw(axes, _positions(line, x), line.points, look[name], name, log=log)
        _finish(axes, x, log, units[0] if len(units) == 1 else "")
        axes.set_title(", ".join(title), fontsize="medium")
        if within and len(all_names) > 1 and (not shared or k == columns - 1):
            place: dict[str, Any] = (
                {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if beside else {}
            )
            axes.legend(fontsize="small", frameon=False, **place)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    figure.suptitle(_title(drawn, [*within, *across], columns), fontsize="medium")
    return figure


def _finish(axes: Axes, x: str, log: bool, unit: str) -> None:
    """What the axes of a panel are called, and how they are divided."""
    axes.set_xlabel(X_AXES[x])
    axes.set_ylabel(f"mean error (RMSE per block){unit}")
    if x in (FREQ, "phi", _SIZE):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if log:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)


def _title(drawn: Sequence[_Line], differing: Sequence[str], columns: int) -> str:
    """The axis values that all lines share, how many trials they have, and the settings."""
    fixed = [axis for axis in CURVE_NAMES if axis not in differing and drawn]
    shared = [_value(axis, drawn[0].place[axis]) for axis in fixed if axis in drawn[0].place]
    ordered = sorted(drawn, key=lambda line: int(line.points["measured"].max()))
    counts = list(dict.fromkeys(_counted(line) for line in ordered))
    trials = " to ".join(counts[:1] + counts[1:][-1:])
    title = f"{', '.join(shared)}\n{trials}, shaded: 95 % interval of the mean"
    settings = {line.place[STORE]: line.of.settings for line in drawn}
    if len(set(settings.values())) > 1:
        told = "; ".join(f"{store}: {text or 'defaults'}" for store, text in settings.items())
    else:
        told = next(iter(settings.values()), "")
    return f"{title}\n{textwrap.fill(told, 60 * columns)}" if told else title


def _counted(line: _Line) -> str:
    size = int(line.points[_SIZE][0]) if _SIZE in line.points else line.place[_SIZE]
    return line.of.counted({**line.place, _SIZE: size}, line.points)


def styles(names: Sequence[Name]) -> dict[Name, tuple[str, str]]:
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


def draw(
    axes: Axes,
    x: NDArray[Any],
    line: Mapping[Any, Any],
    style: tuple[str, str],
    name: Name,
    *,
    log: bool = False,
) -> None:
    """A line with its interval; on a logarithmic axis without what is not above 0."""
    colour, dashes = style
    mean, low, high = (np.asarray(line[key]) for key in ("mean_error", "ci_low", "ci_high"))
    if log:
        mean, low, high = (np.where(mean > 0, values, np.nan) for values in (mean, low, high))
        # An interval that reaches to 0 reaches to the bottom, wherever that is.
        low = np.where(low <= 0, mean / 1e3, low)
    axes.plot(
        x, mean, dashes, color=colour, marker="o", markersize=2.5, linewidth=1.4,
        label=", ".join(name),
    )  # fmt: skip
    axes.fill_between(x, low, high, color=colour, alpha=0.25, linewidth=0)
    axes.grid(alpha=0.3)


def _name(line: _Line, axes: Sequence[str]) -> Name:
    return tuple(_value(axis, line.place[axis]) for axis in axes if axis in line.place)


def _positions(line: _Line, x: str) -> NDArray[Any]:
    """Where the points of a line stand."""
    points = line.points
    if x == _SIZE:
        return points[_SIZE]
    size = line.place[_SIZE]
    places: dict[str, NDArray[Any]] = {
        FREQ: points[FREQ],
        "phi": points[FREQ] + 1,
        "freq_share": points[FREQ] / (2 * size - 2),
        "coefficients_kept": points["coefficients_kept"],
        "share_kept": points["coefficients_kept"] / size**2,
    }
    return places[x]


def _value(axis: str, value: Any) -> str:
    return {_SIZE: f"{value} x {value} blocks", FREQ: f"n = {value}"}.get(axis, str(value))
