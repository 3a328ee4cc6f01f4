"""A page about stores: one file of HTML that needs no network."""

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from bokeh.embed import components
from bokeh.models import ColumnDataSource, HoverTool, HSpan, Range1d
from markupsafe import Markup

from pipeline.analysis.curves import in_range
from pipeline.analysis.example import of_store
from pipeline.analysis.opening import Place, named, places_of, store_at
from pipeline.analysis.pagedata import PageCurve, PageData, PageDifference, collect
from pipeline.errors import UserError, count_of
from pipeline.planning.axes import CURVE_NAMES, FREQ, STORE
from pipeline.show.blocks import plot_example
from pipeline.show.exports import whole_file
from pipeline.show.html import (
    DASHES,
    GREY,
    X_LABELS,
    axes_of,
    filled,
    json_of,
    number_of,
    numbers_of,
    png_of,
    script_of,
)
from pipeline.store.location import path_text
from pipeline.store.store import Store

# Okabe and Ito's colours, which colour-blind readers tell apart; black would vanish in the dark.
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a", "#9c7a00"
)  # fmt: skip
_DASHES = ("solid", "dashed", "dotdash", "dotted", "solid", "dashed", "dotdash", "dotted")
_SLOTS = len(_COLOURS)
_METRICS = {"mean_error": "mean error", "mask_accuracy": "mask accuracy", "regret": "regret"}
_ALT = {
    "curves": "Curves of the chosen number against the frequencies kept; the table below has them",
    "histogram": "How many blocks have which error, at the chosen n",
    "differences": "Error of ASM minus that of others, with intervals, against n",
    "compared": "Mean error of the first store minus that of the second, against n",
    "convergence": "The estimate against the number of trials, with its interval",
}


def report(paths: Place | Iterable[Place], to: str | os.PathLike[str]) -> str:
    """Write a page about one store or several: a file that opens from a disk, and can be sent.

    Parameters
    ----------
    paths
        As `open_results` takes them; stores need not fit together.
    to
        The file, ``.html``; one that is there is replaced.

    Returns
    -------
    str
        Its path.

    Raises
    ------
    UserError
        Where there is no such store, or it has no trials; for a file that cannot be written.

    Examples
    --------
    >>> import pipeline
    >>> dataset = pipeline.sweep(algorithm=["asm", "apx"], freqs=range(15), trials=1000)
    >>> pipeline.report(dataset.attrs["store"], to="report.html")
    'report.html'
    """
    target = check(path_text(to))
    text = page_of(named([store_at(path) for path in places_of(paths)]))
    with whole_file(target) as partial:
        Path(partial).write_text(text, encoding="utf-8")
    return target


def check(to: str) -> str:
    """The path of a page; refused is one that is none."""
    if Path(to).suffix.lower() not in (".html", ".htm") or not Path(to).stem:
        raise UserError(f"to={to} must be a file that ends in .html")
    return to


def page_of(
    stores: Mapping[str, Store],
    compared: xr.Dataset | None = None,
    differing: Sequence[str] | None = None,
) -> str:
    """The page about some stores, by a name for each.

    Two stores may be `compared`, as `compare_stores` does, and `differing` says in words how they
    were made differently; or two algorithms of one store, as `compare_algorithms` does.
    """
    data = collect(stores)
    numbers, plots, answer, comparison = _numbers(data), _plots(), data.answer, None
    if data.differences:
        plots["differences"] = _differences("differences", "difference, below 0 ASM is the better")
    if compared is not None:
        plots["compared"] = _differences("compared", "difference of mean errors")
        numbers["compared"] = _compared(compared)
        answer = _answer(compared)
        comparison = {"differing": differing, "caption": _caption(compared)}
    script, divs = components(plots)
    what = "Approximated spatial masking" if compared is None else "Compared"
    title = f"{what}: {', '.join(stores)}"
    return filled(
        "page.html",
        title=title if len(stores) < 3 else f"{title} ({len(stores)} stores)",
        answer=answer, comparison=comparison, stores=data.stores, alt=_ALT,
        plots={name: Markup(div) for name, div in divs.items()},
        examples=_examples(stores, data), remark=_remark(data), data=Markup(json_of(numbers)),
        bokeh_script=Markup(script), script=script_of("page.js"),
    )  # fmt: skip


def _remark(data: PageData) -> str:
    count = count_of(len(data.curves), "curve")
    return (
        f"Of the lines shown above; the page has {count}. Intervals are of 95 %, each point by "
        "itself. A difference between curves of one source and block size is surer than their "
        "intervals show, since they are measured on the same blocks."
    )


def _numbers(data: PageData) -> dict[str, Any]:
    """What the script of the page reads."""

    def asm_first(value: Any) -> Any:
        return value != "asm", value

    axes: dict[str, list[Any]] = {STORE: [store.name for store in data.stores]}
    for axis in CURVE_NAMES:
        axes[axis] = sorted({each.place[axis] for each in data.curves}, key=asm_first)
    shown = sorted(data.curves, key=lambda each: each.place["algorithm"] != "asm")
    freqs = sorted({n for curve in data.curves for n in curve.curve["freq"].tolist()})
    return {
        "slots": _SLOTS,
        "colours": [[c, DASHES[d]] for c, d in zip(_COLOURS, _DASHES, strict=True)],
        "axes": axes, "freqs": freqs, "x_labels": X_LABELS,
        "metrics": {**_METRICS, **_with_unit(data)},
        "curves": [_of_curve(curve) for curve in shown],
        "compared": [],
        "differences": [_of_difference(each) for each in data.differences],
        "convergences": [
            {
                "freq": each.freq, "place": {STORE: each.store, **each.place},
                **{name: numbers_of(values, 6) for name, values in each.numbers.items()},
            }
            for each in data.convergences
        ],
    }  # fmt: skip


def _with_unit(data: PageData) -> dict[str, str]:
    """Numbers that have the unit of the samples, where it is one."""
    units = {store.units for store in data.stores}
    if len(units) > 1 or "1" in units:
        return {}
    (unit,) = units
    return {name: f"{_METRICS[name]}, {unit}" for name in ("mean_error", "regret")}


def _of_curve(curve: PageCurve) -> dict[str, Any]:
    names = ("mean_error", "ci_low", "ci_high", "mask_accuracy", "regret", "measured")
    return {
        "place": {STORE: curve.store, **curve.place},
        "n": curve.curve["freq"].tolist(),
        "kept": curve.curve["coefficients_kept"].tolist(),
        **{name: numbers_of(curve.curve[name]) for name in names},
        "histograms": {
            n: {name: number_of(value, 6) for name, value in vars(each).items()}
            for n, each in curve.histograms.items()
        },
    }


def _of_difference(each: PageDifference) -> dict[str, Any]:
    crossing = each.crossing
    known = crossing is not None and math.isfinite(crossing.n)
    return {
        "rival": each.rival,
        "place": {STORE: each.store, **each.place},
        "n": each.numbers["freq"].tolist(),
        **{name: numbers_of(each.numbers[name]) for name in ("mean_error", "ci_low", "ci_high")},
        "crossing": {
            "n": crossing.n,
            "low": number_of(crossing.low, 6),
            "high": number_of(crossing.high, 6),
        }
        if crossing is not None and known
        else None,
    }


def _compared(compared: xr.Dataset) -> list[dict[str, Any]]:
    """The differences of two stores, a curve each."""
    names = ("mean_error", "ci_low", "ci_high", "first", "second", "significant", "measured")
    numbers = xr.broadcast(compared.reset_coords("coefficients_kept"))[0]
    numbers = numbers[[*names, "coefficients_kept"]].transpose(*CURVE_NAMES, FREQ)
    found = []
    for index in np.ndindex(numbers["measured"].shape[:-1]):
        one = numbers.isel(dict(zip(CURVE_NAMES, index, strict=True)))
        place = {axis: one[axis].item() for axis in CURVE_NAMES}
        curve = {name: one[name].to_numpy() for name in (FREQ, *names, "coefficients_kept")}
        curve = in_range(curve, place["block_size"])
        at = curve["measured"] > 0
        if at.any():
            lines = {name: numbers_of(curve[name][at]) for name in names}
            found.append({"place": place, "n": curve[FREQ][at].tolist(), **lines})
    return sorted(found, key=lambda each: each["place"]["algorithm"] != "asm")


def _answer(compared: xr.Dataset) -> str:
    count, points = int(compared["significant"].sum()), compared.attrs["points"]
    if verdict := compared.attrs.get("verdict"):
        return f"Verdict: {verdict}."
    if not count:
        return "No point differs by more than chance."
    return f"{count_of(count, 'point')} of {points:,} differ by more than chance."


def _caption(compared: xr.Dataset) -> str:
    how = "trial by trial" if compared.attrs["paired"] else "as independent samples"
    return (
        f"{compared.attrs['title']}, compared {how}. All intervals hold together with 95 %, "
        "so that each is wider than those of the curves."
    )


def _plots() -> dict[str, Any]:
    """Figures whose sources the page fills."""
    columns = ("x", "y", "low", "high", "n", "kept", "name", "log_y", "log_high", "log_low",
               "trials")  # fmt: skip
    slots = [_source("curves", k, columns) for k in range(_SLOTS)]
    return {
        "curves": _lines("curves-linear", slots, "y", "low", "high", "linear"),
        "curves_log": _lines("curves-log", slots, "log_y", "log_low", "log_high", "log"),
        "histogram": _histogram(),
        "convergence": _convergence(),
    }


def _differences(name: str, label: str) -> Any:
    """A figure of differences, with a line at 0."""
    slots = [_source(name, k, ("x", "y", "low", "high", "name")) for k in range(_SLOTS)]
    made = _lines(name, slots, "y", "low", "high", "linear")
    made.add_glyph(HSpan(y=0, line_color=GREY, line_width=1))
    made.xaxis.axis_label, made.yaxis.axis_label = X_LABELS["n"], label
    return made


def _source(name: str, k: int, columns: Sequence[str]) -> ColumnDataSource:
    # Of points, which the page replaces at once: of none Bokeh warns that it finds no range.
    return ColumnDataSource({column: [1.0, 2.0] for column in columns}, name=f"{name}-{k}")


def _lines(
    name: str, slots: Sequence[ColumnDataSource], y: str, low: str, high: str, scale: str
) -> Any:
    # Of a logarithmic axis the page says the range, since it has no values of 0.
    ends = {"y_range": Range1d(start=0.001, end=1.0)} if scale == "log" else {}
    made = axes_of(name, y_axis_type=scale, **ends)
    made.y_range.name = f"{name}-range"
    points = []
    for source, colour, dash in zip(slots, _COLOURS, _DASHES, strict=True):
        made.varea("x", low, high, source=source, fill_color=colour, fill_alpha=0.25)
        made.line("x", y, source=source, line_color=colour, line_dash=dash, line_width=2)
        points.append(made.scatter("x", y, source=source, color=colour, size=6))
    of_curves = name.startswith("curves")
    said = [("", "@name"), ("n", "@n (@kept kept)" if of_curves else "@x"),
            ("value", "@y{0.000000}"), ("95 %", "@low{0.000000} .. @high{0.000000}")]  # fmt: skip
    if of_curves:
        said.append(("trials", "@trials{0,0}"))
    made.add_tools(HoverTool(renderers=points, tooltips=said))
    return made


def _histogram() -> Any:
    made = axes_of("histogram")
    source = _source("histogram", 0, ("left", "right", "top"))
    bars = made.quad(
        left="left", right="right", top="top", bottom=0, source=source,
        fill_color=_COLOURS[0], fill_alpha=0.7, line_color=None,
    )  # fmt: skip
    said = [("error", "@left{0.0000} .. @right{0.0000}"), ("blocks", "@top{0,0}")]
    made.add_tools(HoverTool(renderers=[bars], tooltips=said))
    made.xaxis.axis_label, made.yaxis.axis_label = "error of a block (RMSE)", "blocks"
    return made


def _convergence() -> Any:
    made = axes_of("convergence", x_axis_type="log")
    columns = ("x", "y", "low", "high", "error", "expected", "from", "to")
    source = _source("convergence", 0, columns)
    made.varea("x", "low", "high", source=source, fill_color=_COLOURS[0], fill_alpha=0.25)
    made.line("x", "y", source=source, line_color=_COLOURS[0], line_width=2)
    points = made.scatter("x", "y", source=source, color=_COLOURS[0], size=6)
    for end in ("from", "to"):
        made.line("x", end, source=source, line_color=GREY, line_dash="dashed")
    said = [("trials", "@x{0,0}"), ("mean error", "@y{0.000000}"),
            ("standard error", "@error, expected @expected")]  # fmt: skip
    made.add_tools(HoverTool(renderers=[points], tooltips=said))
    made.xaxis.axis_label, made.yaxis.axis_label = "trials", "mean error"
    return made


def _examples(stores: Mapping[str, Store], data: PageData) -> list[dict[str, str]]:
    """Pictures of the best, the median and the worst block of the first curve, where it is kept."""
    first = next((c for c in data.curves if c.place["algorithm"] == "asm"), data.curves[0])
    freqs = first.curve["freq"].tolist()
    freq, store = freqs[len(freqs) // 2], stores[first.store]
    wanted = {
        axis: str(first.place[axis]) for axis in ("source", "block_size", "operation", "selection")
    }
    pictures = []
    for which in ("best", "median", "worst"):
        try:
            block, _ = of_store(store, wanted, first.place["algorithm"], freq, which)
        except UserError:
            # Not kept, or what lies at the source's path has changed: the page does without.
            return []
        said = f"The {which}: {block.title}, n = {freq}"
        pictures.append({"png": png_of(plot_example(block, freq)), "alt": said})
    return pictures
