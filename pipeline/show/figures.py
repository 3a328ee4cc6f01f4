"""How pictures are written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from pipeline.errors import UserError

# Endings of the pictures that can be written, and what is drawn where none is given.  EPS has no
# transparency, and its intervals would hide each other.
FORMATS = ("png", "svg", "pdf", "jpg", "tif", "webp")
_DEFAULT = ("png", "svg")


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
