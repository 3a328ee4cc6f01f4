"""Pages that do not move: the claims, and two stores compared."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.analysis.claim import Claim
from pipeline.analysis.verdicts import Name
from pipeline.errors import count_of
from pipeline.planning.axes import CURVE_NAMES, FREQ
from pipeline.show.exports import table_of
from pipeline.show.figures import plot_claim
from pipeline.show.page import filled, png_of
from pipeline.show.plots import draw, styles
from pipeline.show.report import cell_of, rows_of_columns

# More lines in one figure cannot be told apart.
_MOST_LINES = 8


def page_of_claims(claims: Iterable[Claim]) -> str:
    """The claims as a page: what was said, the experiment, the figure, the numbers, the verdict."""
    parts = [
        {
            "title": f"{k}. {claim.title}",
            "verdict": f"Verdict: {claim.verdict}.",
            "lines": [f"Said by: {claim.said}. {claim.experiment}.", claim.remark],
            "picture": png_of(plot_claim(claim)),
            "alt": f"Claim {k}: what was measured, and beside it what decides it",
            "tables": [
                _table(claim.unit, claim.curves),
                *([_table("Behind it", claim.details)] if claim.details else []),
                _table("Tested: positive where the claim holds", claim.tests),
            ],
        }
        for k, claim in enumerate(claims, 1)
    ]
    return filled(
        "static.html", title="The claims of the notebook and the paper, measured",
        answer="n = 0 .. 14 spatial frequencies are kept, n = 0 is the DC alone; numbers are means "
        "over blocks with their 95 % intervals. Each verdict stands below its claim.",
        parts=parts,
    )  # fmt: skip


def _table(caption: str, columns: Mapping[Name, xr.Dataset]) -> dict[str, Any]:
    numbers = rows_of_columns(columns)
    return {
        "caption": caption,
        "headings": ["n", *(", ".join(name) for name in columns)],
        "rows": [[n, *(cell_of(each, n) for each in columns.values())] for n in numbers],
    }


def page_of_comparison(compared: xr.Dataset, differences: Sequence[str]) -> str:
    """Two stores compared, as a page: the answer, the figure, what differs, the table."""
    count, points = int(compared["significant"].sum()), compared.attrs["points"]
    how = "trial by trial" if compared.attrs["paired"] else "as independent samples"
    answer = (
        f"{count_of(count, 'point')} of {points:,} differ by more than chance"
        if count
        else "No point differs by more than chance"
    )
    headings, rows = table_of(compared)
    return filled(
        "static.html", title=f"Compared: {compared.attrs['title']}",
        answer=f"{answer}; compared {how}, the intervals hold together with 95 %.",
        parts=[
            {"picture": png_of(_plot(compared)), "alt": "Differences of mean errors, against n"},
            {"title": "What differs in how they were made",
             "lines": list(differences) or ["Nothing."]},
            {"title": "The numbers",
             "tables": [{"caption": "Differences", "headings": headings, "rows": rows}]},
        ],
    )  # fmt: skip


def _plot(compared: xr.Dataset) -> Figure:
    """The first curves of differences, each with its intervals."""
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    axes = figure.subplots()
    varying = [axis for axis in CURVE_NAMES if compared.sizes[axis] > 1]
    lines: dict[Name, xr.Dataset] = {}
    for index in np.ndindex(*(compared.sizes[axis] for axis in CURVE_NAMES)):
        one = compared.isel(dict(zip(CURVE_NAMES, index, strict=True)))
        if one["measured"].any() and len(lines) < _MOST_LINES:
            lines[tuple(str(one[axis].item()) for axis in varying)] = one
    look = styles(list(lines))
    for name, line in lines.items():
        draw(axes, line[FREQ].to_numpy(), line, look[name], name)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xlabel("spatial frequencies kept, n")
    axes.set_ylabel("difference of mean errors")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if varying:
        axes.legend(fontsize="small", frameon=False)
    return figure
