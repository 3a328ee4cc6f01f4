"""A page about stores: one file of HTML that needs no network."""

import base64
import io
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from bokeh.embed import components
from bokeh.models import ColumnDataSource, HoverTool, HSpan, Range1d
from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from pipeline.analysis.example import of_store
from pipeline.analysis.opening import Place, named, places_of, store_at
from pipeline.analysis.pagedata import PageCurve, PageData, PageDifference, collect
from pipeline.errors import UserError, count_of
from pipeline.planning.axes import CURVE_NAMES, STORE
from pipeline.show.blocks import plot_example
from pipeline.show.exports import whole_file
from pipeline.store.store import Store

# Okabe and Ito's colours, which colour-blind readers tell apart; black would vanish in the dark.
_COLOURS = (
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a8a8a", "#9c7a00"
)  # fmt: skip
_DASHES = ("solid", "dashed", "dotdash", "dotted", "solid", "dashed", "dotdash", "dotted")
# The same dashes as SVG has them, in legends.
_OF_SVG = {"solid": "", "dashed": "9 5", "dotdash": "9 4 2 4", "dotted": "2 4"}
_SLOTS = len(_COLOURS)
# Legible on white and on black.
_GREY = "#7d7d7d"
_X_LABELS = {"n": "spatial frequencies kept, n", "share": "share of coefficients kept"}
_METRICS = {"mean_error": "mean error", "mask_accuracy": "mask accuracy", "regret": "regret"}
_TOOLS = "pan,wheel_zoom,box_zoom,reset,save"
_ALT = {
    "curves": "Curves of the chosen number against the frequencies kept; the table below has them",
    "histogram": "How many blocks have which error, at the chosen n",
    "differences": "Error of ASM minus that of others, with intervals, against n",
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
    target = check(os.fsdecode(to))
    text = page_of(named([store_at(path) for path in places_of(paths)]))
    with whole_file(target) as partial:
        Path(partial).write_text(text, encoding="utf-8")
    return target


def check(to: str) -> str:
    """The path of a page; refused is one that is none."""
    if Path(to).suffix.lower() not in (".html", ".htm") or not Path(to).stem:
        raise UserError(f"to={to} must be a file that ends in .html")
    return to


def page_of(stores: Mapping[str, Store]) -> str:
    """The page about some stores, by a name for each."""
    data = collect(stores)
    plots = _plots()
    script, divs = components(plots)
    single = len(stores) == 1
    title = f"Approximated spatial masking: {', '.join(stores)}"
    return filled(
        "page.html",
        title=title if single else f"{title} ({len(stores)} stores)",
        answer=data.answer, stores=data.stores, alt=_ALT,
        bokeh=Markup(_bokeh().render()),
        plots={name: Markup(div) for name, div in divs.items()},
        has_differences=bool(data.differences), examples=_examples(stores, data),
        remark=_remark(data), data=Markup(_json(_numbers(data))),
        script=Markup(_file("page.js")),
    ).replace("</main>", f"</main>{script}")  # fmt: skip


def filled(name: str, **values: Any) -> str:
    """A template of this folder with its values; text becomes HTML that shows it."""
    template = Environment(autoescape=select_autoescape(default=True)).from_string(_file(name))
    page: str = template.render(style=Markup(_file("page.css")), **values)
    return page


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _bokeh() -> Resources:
    """Bokeh's own script, without its widgets, tables and WebGL, which are three times as large."""
    return Resources(mode="inline", components=["bokeh"])


def _json(value: Any) -> str:
    # Inside a script a < could end it.
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


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
        "colours": [[c, _OF_SVG[d]] for c, d in zip(_COLOURS, _DASHES, strict=True)],
        "axes": axes, "freqs": freqs, "x_labels": _X_LABELS,
        "metrics": _METRICS,
        "curves": [_of_curve(curve) for curve in shown],
        "differences": [_of_difference(each) for each in data.differences],
        "convergences": [
            {
                "freq": each.freq, "place": {STORE: each.store, **each.place},
                **{name: _list(values, 6) for name, values in each.numbers.items()},
            }
            for each in data.convergences
        ],
    }  # fmt: skip


def _of_curve(curve: PageCurve) -> dict[str, Any]:
    names = ("mean_error", "ci_low", "ci_high", "mask_accuracy", "regret", "measured")
    return {
        "place": {STORE: curve.store, **curve.place},
        "n": curve.curve["freq"].tolist(),
        "kept": curve.curve["coefficients_kept"].tolist(),
        **{name: _list(curve.curve[name]) for name in names},
        "histograms": {
            n: {name: _rounded(value, 6) for name, value in vars(each).items()}
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
        **{name: _list(each.numbers[name]) for name in ("mean_error", "ci_low", "ci_high")},
        "crossing": {
            "n": crossing.n,
            "low": _rounded(crossing.low, 6),
            "high": _rounded(crossing.high, 6),
        }
        if crossing is not None and known
        else None,
    }


def _list(values: Any, digits: int | None = None) -> list[Any]:
    return [_rounded(value, digits) for value in values.tolist()]


def _rounded(value: Any, digits: int | None) -> Any:
    """A number as JSON has it; not a number is null."""
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return value if digits is None else float(f"{value:.{digits}g}")


def _plots() -> dict[str, Any]:
    """Figures whose sources the page fills."""
    columns = ("x", "y", "low", "high", "n", "kept", "name", "log_y", "log_high", "log_low",
               "trials")  # fmt: skip
    slots = [_source("curves", k, columns) for k in range(_SLOTS)]
    plots = {
        "curves": _lines("curves-linear", slots, "y", "low", "high", "linear"),
        "curves_log": _lines("curves-log", slots, "log_y", "log_low", "log_high", "log"),
        "histogram": _histogram(),
        "convergence": _convergence(),
    }
    slots = [_source("differences", k, ("x", "y", "low", "high", "name")) for k in range(_SLOTS)]
    differences = _lines("differences", slots, "y", "low", "high", "linear")
    differences.add_glyph(HSpan(y=0, line_color=_GREY, line_width=1))
    differences.xaxis.axis_label = _X_LABELS["n"]
    differences.yaxis.axis_label = "difference of mean errors; below 0 ASM is the better"
    return {**plots, "differences": differences}


def _source(name: str, k: int, columns: Sequence[str]) -> ColumnDataSource:
    # Of points, which the page replaces at once: of none Bokeh warns that it finds no range.
    return ColumnDataSource({column: [1.0, 2.0] for column in columns}, name=f"{name}-{k}")


def _axes(name: str, **options: Any) -> Any:
    """Axes without a colour of their own, so that they are legible on white and on black."""
    made = figure(
        name=name, height=380, sizing_mode="stretch_width", tools=_TOOLS,
        background_fill_alpha=0, border_fill_alpha=0, outline_line_color=_GREY, **options,
    )  # fmt: skip
    made.xaxis[0].name, made.yaxis[0].name = f"{name}-x", f"{name}-y"
    for axis in made.axis:
        axis.axis_label_text_color = axis.major_label_text_color = _GREY
        axis.axis_line_color = axis.major_tick_line_color = _GREY
        axis.minor_tick_line_color = None
    made.grid.grid_line_color, made.grid.grid_line_alpha = _GREY, 0.25
    made.toolbar.logo = None
    return made


def _lines(
    name: str, slots: Sequence[ColumnDataSource], y: str, low: str, high: str, scale: str
) -> Any:
    # Of a logarithmic axis the page says the range, since it has no values of 0.
    ends = {"y_range": Range1d(start=0.001, end=1.0)} if scale == "log" else {}
    made = _axes(name, y_axis_type=scale, **ends)
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
    made = _axes("histogram")
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
    made = _axes("convergence", x_axis_type="log")
    columns = ("x", "y", "low", "high", "error", "expected", "from", "to")
    source = _source("convergence", 0, columns)
    made.varea("x", "low", "high", source=source, fill_color=_COLOURS[0], fill_alpha=0.25)
    made.line("x", "y", source=source, line_color=_COLOURS[0], line_width=2)
    points = made.scatter("x", "y", source=source, color=_COLOURS[0], size=6)
    for end in ("from", "to"):
        made.line("x", end, source=source, line_color=_GREY, line_dash="dashed")
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


def png_of(picture: Figure) -> str:
    """A picture as the text of a PNG file in base 64."""
    written = io.BytesIO()
    picture.savefig(written, format="png", dpi=70)
    return base64.b64encode(written.getvalue()).decode()
