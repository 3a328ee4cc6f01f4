"""The claims as a page: figures that answer to switches, in one file that needs no network."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from bokeh.embed import components
from bokeh.models import ColumnDataSource, HoverTool, HSpan, Range1d
from markupsafe import Markup

from pipeline.analysis.claim import Claim, Lines
from pipeline.analysis.verdicts import Name
from pipeline.show.claims import cell_of, rows_of_columns
from pipeline.show.html import (
    DASHES,
    GREY,
    X_LABELS,
    axes_of,
    filled,
    json_of,
    numbers_of,
    script_of,
)
from pipeline.show.plots import styles

# Matplotlib's dashes as Bokeh has them; and black, which would vanish in the dark.
_DASHES = {"-": "solid", "--": "dashed", "-.": "dotdash", ":": "dotted"}
_IN_THE_DARK = {"#000000": "#8a8a8a"}
_TESTED = "test: positive where the claim holds"
Look = Mapping[Name, tuple[str, str]]


def page_of_claims(claims: Iterable[Claim]) -> str:
    """The claims as a page: what was said, the experiment, the figures, the numbers, the verdict.

    A line can be hidden in both figures of its claim; all figures can be drawn against the share of
    coefficients kept, and errors on a logarithmic axis.
    """
    plots: dict[str, Any] = {}
    parts, numbers = [], []
    for k, claim in enumerate(claims, 1):
        look = _look(claim)
        panels = {
            "curves": (claim.curves, claim.unit, "linear", claim.level),
            "log": (claim.curves, claim.unit, "log", claim.level),
            "tests": (claim.tests, _TESTED, "linear", 0.0),
        }
        for panel, (lines, unit, scale, level) in panels.items():
            plots[f"{panel}-{k}"] = _plot(f"{panel}-{k}", lines, look, unit, scale, level)
        parts.append(
            {
                "claim": claim.title,
                "verdict": claim.verdict,
                "lines": [f"Said by: {claim.said}. {claim.experiment}.", claim.remark],
                "figures": [
                    {"names": [f"curves-{k}", f"log-{k}"], "alt": f"Claim {k}: {claim.unit}"},
                    {"names": [f"tests-{k}"], "alt": f"Claim {k}: {_TESTED}"},
                ],
                "legend": [
                    {"name": ", ".join(name), "colour": colour, "dashes": DASHES[dashes]}
                    for name, (colour, dashes) in look.items()
                ],
                "tables": [
                    _table(claim.unit, claim.curves),
                    *([_table("Behind it", claim.details)] if claim.details else []),
                    _table("Tested: positive where the claim holds", claim.tests),
                ],
            }
        )
        numbers.append({"curves": _numbers(claim.curves), "tests": _numbers(claim.tests)})
    script, divs = components(plots)
    return filled(
        "claims_page.html", title="The claims of the notebook and the paper, measured",
        answer="n = 0 .. 14 spatial frequencies are kept, n = 0 is the DC alone; numbers are means "
        "over blocks with their 95 % intervals.",
        parts=parts, plots={name: Markup(div) for name, div in divs.items()},
        data=Markup(json_of({"claims": numbers, "x_labels": X_LABELS})),
        bokeh_script=Markup(script), script=script_of("claims_page.js"),
    )  # fmt: skip


def _look(claim: Claim) -> Look:
    """One colour and one kind of dashes for one thing, in both figures of a claim."""
    look = styles(list(dict.fromkeys([*claim.curves, *claim.tests])))
    return {
        name: (_IN_THE_DARK.get(colour, colour), _DASHES[dashes])
        for name, (colour, dashes) in look.items()
    }


def _plot(
    name: str, lines: Lines, look: Look, unit: str, scale: str, level: float | None
) -> Any:  # fmt: skip
    # Of a logarithmic axis without values above 0 Bokeh finds no range.
    means = [line["mean_error"].to_numpy() for line in lines.values()]
    above = [float(value) for mean in means for value in mean[mean > 0]]
    ends = (
        {"y_range": Range1d(start=min(above) / 2, end=max(above) * 2)}
        if scale == "log" and above
        else {}
    )
    made = axes_of(name, y_axis_type=scale, **ends)
    points = []
    for key, line in lines.items():
        colour, dashes = look[key]
        source = ColumnDataSource(_columns(key, line, log=scale == "log"))
        label = ", ".join(key)
        made.varea("x", "low", "high", source=source, fill_color=colour, fill_alpha=0.2, name=label)
        made.line(
            "x", "y", source=source, line_color=colour, line_dash=dashes, line_width=2, name=label
        )
        points.append(made.scatter("x", "y", source=source, color=colour, size=6, name=label))
    if level is not None:
        made.add_glyph(HSpan(y=level, line_color=GREY, line_width=1))
    said = [("", "@name"), ("n", "@n"), ("value", "@mean{0.000000}"),
            ("95 %", "@from{0.000000} .. @to{0.000000}")]  # fmt: skip
    made.add_tools(HoverTool(renderers=points, tooltips=said))
    made.xaxis.axis_label, made.yaxis.axis_label = X_LABELS["n"], unit
    return made


def _columns(name: Name, line: xr.Dataset, *, log: bool) -> dict[str, Any]:
    """What a figure draws of a line; on a logarithmic axis what is above 0."""
    n = line["freq"].to_numpy()
    mean, low, high = (line[key].to_numpy() for key in ("mean_error", "ci_low", "ci_high"))
    drawn = np.where(mean > 0, mean, np.nan) if log else mean
    return {
        "x": n, "y": drawn, "n": n, "share": line["share_kept"].to_numpy(),
        "low": np.where(low > 0, low, drawn / 1000) if log else low,
        "high": np.where(mean > 0, high, np.nan) if log else high,
        "mean": mean, "from": low, "to": high, "name": [", ".join(name)] * len(n),
    }  # fmt: skip


def _numbers(lines: Lines) -> list[dict[str, Any]]:
    """What is saved as CSV."""
    names = ("freq", "share_kept", "mean_error", "ci_low", "ci_high")
    return [
        {"name": ", ".join(name), **{key: numbers_of(line[key].to_numpy()) for key in names}}
        for name, line in lines.items()
    ]


def _table(caption: str, columns: Mapping[Name, xr.Dataset]) -> dict[str, Any]:
    numbers = rows_of_columns(columns)
    return {
        "caption": caption,
        "headings": ["n", *(", ".join(name) for name in columns)],
        "rows": [[n, *(cell_of(each, n) for each in columns.values())] for n in numbers],
    }
