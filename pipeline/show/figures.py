"""Pictures of claims, and how pictures are written."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline.analysis.claim import Claim
from pipeline.errors import UserError
from pipeline.show.plots import draw, styles
from pipeline.show.report import claims_page

# Endings of the pictures that can be written, and what is drawn where none is given.
FORMATS = ("png", "svg", "pdf", "eps", "jpg", "tif", "webp")
_DEFAULT = ("png", "svg")


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


def formats_of(to: str) -> tuple[str, ...]:
    """The formats that a path of a picture stands for: that of its ending, or PNG and SVG.

    Raises
    ------
    UserError
        For an ending that looks like that of another kind of file.
    """
    ending = Path(to).suffix[1:].lower()
    if ending in FORMATS:
        return (ending,)
    if ending.isalpha() and len(ending) < 5:
        known = ", ".join(FORMATS)
        raise UserError(f"to={to}: no picture is written as {ending}, but as {known}")
    return _DEFAULT


def save(figure: Figure, to: str) -> Sequence[str]:
    """Write a figure in the format of the path's ending, or as PNG and SVG; returns the paths."""
    formats = formats_of(to)
    paths = [to] if Path(to).suffix[1:].lower() in formats else [f"{to}.{each}" for each in formats]
    Path(to).parent.mkdir(parents=True, exist_ok=True)
    # Laid out once, since text is a little wider or narrower in each format.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    # Text stays text.  Neither date nor random names: the same numbers give the same file.
    undated: dict[str, dict[str, Any]] = {
        "svg": {"metadata": {"Date": None}}, "pdf": {"metadata": {"CreationDate": None}}
    }  # fmt: skip
    with matplotlib.rc_context(
        {"svg.hashsalt": "asm-sweep", "svg.fonttype": "none", "pdf.fonttype": 42}
    ):
        for path, each in zip(paths, formats, strict=True):
            figure.savefig(path, format=each, dpi=160, **undated.get(each, {}))
    return paths
