"""The claims as a page of Markdown."""

from collections.abc import Iterable, Mapping

import numpy as np
import xarray as xr

from pipeline.analysis.claim import Claim
from pipeline.analysis.verdicts import Name

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


def with_interval(mean: float, low: float, high: float) -> str:
    """A number and its interval, with as many digits as the interval lets stand."""
    width = high - low
    if not width > 1e-12 * max(abs(mean), 1.0):
        # The interval is empty, rounding error alone, or NaN, as that of a single trial.
        return f"{_rounded(mean, 12):g}"
    # And two of the interval.
    digits = min(8, max(0, 1 - int(np.floor(np.log10(width)))))
    shown = [f"{_rounded(value, digits):.{digits}f}" for value in (mean, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def _rounded(value: float, digits: int) -> float:
    # Adding 0 makes a negative zero positive.
    return round(value, digits) + 0.0
