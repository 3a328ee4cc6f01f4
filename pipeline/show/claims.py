"""The claims as Markdown, with a picture of each."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.analysis.claim import Claim
from pipeline.analysis.verdicts import Name
from pipeline.show.numbers import with_interval
from pipeline.show.plots import draw, styles

_PREFACE = """\
`python -m pipeline claims` runs what it needs and prints this; `make claims` also writes it here.
The notebook is Max Ehrlich's *Max Pooling with Approximated Spatial Masking* (2018), the paper
Ehrlich and Davis, *Deep Residual Learning in the JPEG Transform Domain*, ICCV 2019
([arXiv 1812.11690](https://arxiv.org/abs/1812.11690)).

n = 0 .. 14 spatial frequencies are kept, n = 0 is the DC alone. Numbers are means over blocks with
their 95 % intervals (Student's t with Hall's transformation for skewed values, each n by itself);
ratios are ratios of means, their intervals by the delta method. A test is positive where the claim
holds, and its interval decides at each n: paired, trial by trial on the same blocks, but for claim
3, which compares different blocks. Tiles of the photograph are not independent: their intervals are
those of strips of neighbours (docs/results.md)."""


def claims_page(claims: Iterable[Claim], figure: str | None = None) -> str:
    """All claims as Markdown: what was said, the experiment, numbers, verdict.

    Parameters
    ----------
    claims
        As `pipeline.analysis.claims.settle` gives them.
    figure
        Path of the picture of claim k, with {k} for the number; None links no pictures.
    """
    parts = ["# The claims of the notebook and the paper, measured", _PREFACE]
    for k, claim in enumerate(claims, 1):
        parts += [
            f"## {k}. {claim.title}",
            f"**Verdict: {claim.verdict}.**",
            f"Said by: {claim.said}. {claim.experiment}.",
        ]
        if claim.remark:
            parts.append(claim.remark)
        if figure:
            parts.append(f"![Claim {k}]({figure.format(k=k)})")
        parts.append(_table(claim.unit, claim.curves))
        if claim.details:
            parts.append(_table("Behind it", claim.details))
        parts.append(_table("Tested", claim.tests))
    return "\n\n".join(parts) + "\n"


def plot_claim(claim: Claim) -> Figure:
    """What was measured for a claim, and beside it what decides it, each with its 95 % interval."""
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    figure.suptitle(textwrap.fill(claim.title, 120), fontsize="medium")
    left, right = figure.subplots(1, 2)
    # One look for one thing, on both sides.
    look = styles(list(dict.fromkeys([*claim.curves, *claim.tests])))
    for axes, lines in ((left, claim.curves), (right, claim.tests)):
        for name, line in lines.items():
            draw(axes, line["freq"].to_numpy(), line, look[name], name)
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


def _table(heading: str, columns: Mapping[Name, xr.Dataset]) -> str:
    """Markdown; a row for every n that any of the columns has."""
    rows = rows_of_columns(columns)
    lines = [
        f"{heading}:\n",
        "| n | " + " | ".join(", ".join(name) for name in columns) + " |",
        "|--:|" + "--:|" * len(columns),
    ]
    for n in rows:
        cells = [cell_of(column, n) for column in columns.values()]
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def rows_of_columns(columns: Mapping[Name, xr.Dataset]) -> list[int]:
    """Every n that any of some columns has."""
    return sorted({int(n) for column in columns.values() for n in column["freq"].to_numpy()})


def cell_of(column: xr.Dataset, n: int) -> str:
    """A number of a column with its interval; empty where the column has not this n."""
    if n not in column["freq"]:
        return ""
    point = column.sel(freq=n)
    return with_interval(*(float(point[name]) for name in ("mean_error", "ci_low", "ci_high")))
