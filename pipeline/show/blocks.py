"""Pictures of one block on its way through mask and operation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation, HTMLWriter, PillowWriter
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pipeline.analysis.example import Block

DIVERGING, NOTEBOOK = "diverging", "notebook"
# From dark blue by grey to light orange: two hues that all readers tell apart, and each step is
# lighter than the one before, so that it survives a printer without colours.
_DIVERGING = LinearSegmentedColormap.from_list("block", ["#00204d", "#7c7b78", "#ffd58a"])
_RING = "#d4006a"
_ANIMATED = {".gif": PillowWriter, ".html": HTMLWriter}
_FRAMES_A_SECOND = 2


def plot_example(block: Block, freq: int, colours: str = DIVERGING) -> Figure:
    """The block with `freq` frequencies kept: exact and approximate, masks, ASM beside APX.

    Functions of the user's own are beside them.

    Parameters
    ----------
    colours
        "diverging", or "notebook": red positive, green negative, blue zero.
    """
    shown = block.at(freq)
    columns = 4 + len(shown.own)
    figure = Figure(figsize=(3 * columns, 7), layout="constrained")
    figure.suptitle(f"{block.title}, n = {freq} ({shown.kept} coefficients)", fontsize="medium")
    norm = _norm(block)
    above: dict[str, NDArray[Any]] = {
        "exact block": shown.exact,
        f"approximate block, n = {freq}": shown.approximate,
        "exact mask": shown.true_mask,
        f"approximate mask\nringed: wrong ({100 * (1 - shown.accuracy):.0f} %)": shown.mask,
    }
    below: dict[str, NDArray[Any]] = {
        "exact result": shown.true,
        f"ASM, error {shown.asm_error:.4f}": shown.asm,
        f"APX, error {shown.apx_error:.4f}": shown.apx,
        **{f"{name}, error {error:.4f}": each for name, (each, error) in shown.own.items()},
    }
    grid = figure.subplots(2, columns)
    for row, panels in zip(grid, (above, below), strict=True):
        for axes in row[len(panels) :]:
            axes.set_axis_off()
        for axes, (name, matrix) in zip(row, panels.items(), strict=False):
            is_mask = matrix.dtype == bool
            said = name if is_mask else f"{name}\n{matrix.min():.3g} .. {matrix.max():.3g}"
            _draw(axes, matrix, said, Normalize(0, 1) if is_mask else norm, colours)
    _ring(grid[0, 3], shown.wrong)
    key = grid[1, -1]
    if colours == DIVERGING:
        mappable = ScalarMappable(norm, _DIVERGING)
        # Within the last place, so that all panels stand in one grid.
        figure.colorbar(mappable, cax=key.inset_axes((0.1, 0.05, 0.1, 0.9)), label="sample")
    else:
        key.text(0, 0.5, "red positive, green negative, blue zero", fontsize="small")
    return figure


def plot_strip(block: Block, colours: str = DIVERGING) -> Figure:
    """The block and, for every n, its approximation and its mask, wrong choices ringed."""
    count = block.last + 1
    figure = Figure(figsize=(1.5 + 1.35 * (count + 1), 4.6), layout="constrained")
    figure.suptitle(f"{block.title}: every n, wrong choices ringed", fontsize="medium")
    grid = figure.subplots(2, count + 1)
    norm = _norm(block)
    first = block.at(0)
    _draw(grid[0, 0], block.values, "exact", norm, colours)
    _draw(grid[1, 0], first.true_mask, "exact mask", Normalize(0, 1), colours)
    for n, (above, below) in enumerate(grid[:, 1:].T):
        shown = block.at(n)
        _draw(above, shown.approximate, f"n = {n}", norm, colours)
        _draw(below, shown.mask, f"ASM {shown.asm_error:.3f}", Normalize(0, 1), colours)
        _ring(below, shown.wrong)
    return figure


def is_animated(to: str) -> bool:
    """Whether a path is that of a picture that moves."""
    return Path(to).suffix.lower() in _ANIMATED


def save_animation(block: Block, to: str, colours: str = DIVERGING) -> list[str]:
    """Write what `plot_strip` shows as a GIF or a page that moves, n from 0 to all."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    all_axes = figure.subplots(1, 3)
    norm = _norm(block)

    def draw(n: int) -> Sequence[Any]:
        shown = block.at(n)
        for axes in all_axes:
            axes.clear()
        _draw(all_axes[0], shown.exact, "exact block", norm, colours)
        _draw(all_axes[1], shown.approximate, f"approximate block, n = {n}", norm, colours)
        _draw(all_axes[2], shown.mask, "mask, wrong choices ringed", Normalize(0, 1), colours)
        _ring(all_axes[2], shown.wrong)
        figure.suptitle(
            f"{block.title}, n = {n}: error of ASM {shown.asm_error:.4f}", fontsize="medium"
        )
        return []

    Path(to).parent.mkdir(parents=True, exist_ok=True)
    moving = FuncAnimation(figure, draw, frames=block.last + 1, init_func=lambda: [])
    options: dict[str, Any] = {"fps": _FRAMES_A_SECOND}
    if to.lower().endswith(".html"):
        options |= {"embed_frames": True, "default_mode": "loop"}
    moving.save(to, writer=_ANIMATED[Path(to).suffix.lower()](**options), dpi=90)
    return [to]


def _norm(block: Block) -> Normalize:
    """One scale for all samples, symmetric about 0 where there are some on both sides."""
    low, high = float(block.values.min()), float(block.values.max())
    if low < 0 < high:
        high = max(-low, high)
        low = -high
    return Normalize(low, high if high > low else low + 1)


def _draw(axes: Axes, matrix: NDArray[Any], name: str, norm: Normalize, colours: str) -> None:
    if colours == NOTEBOOK:
        largest = max(abs(float(norm.vmin or 0)), abs(float(norm.vmax or 0))) or 1.0
        axes.imshow(colours_of(matrix, largest), interpolation="nearest")
    else:
        axes.imshow(matrix, cmap=_DIVERGING, norm=norm, interpolation="nearest")
    axes.set_title(name, fontsize="small")
    ticks = np.arange(-0.5, len(matrix))
    axes.set_xticks(ticks, labels=[])
    axes.set_yticks(ticks, labels=[])
    axes.grid(color="white", linewidth=0.6)
    axes.tick_params(length=0)


def _ring(axes: Axes, wrong: NDArray[np.bool_]) -> None:
    """Mark choices that are wrong, in a way that needs no colour."""
    rows, columns = np.nonzero(wrong)
    size = 0.55 * axes.get_window_extent().width / len(wrong)
    axes.plot(columns, rows, "o", markersize=size * 72 / axes.get_figure().dpi,  # type: ignore[union-attr]
              markerfacecolor="none", markeredgecolor=_RING, markeredgewidth=1.6)  # fmt: skip


def colours_of(matrix: NDArray[Any], largest: float) -> NDArray[np.float64]:
    """The notebook's colours: red positive, green negative, blue zero.

    Parameters
    ----------
    matrix
        (M, M) real.
    largest
        The magnitude that is shown in full colour.

    Returns
    -------
    (M, M, 3) RGB in [0, 1]; red and green grow with the magnitude.
    """
    values = np.asarray(matrix, dtype=np.float64)
    # From 0.25 up, so that the smallest value is not black.
    strength = 0.25 + 0.75 * np.minimum(np.abs(values) / largest, 1.0)
    picture = np.zeros((*values.shape, 3))
    picture[..., 0] = np.where(values > 0, strength, 0.0)
    picture[..., 1] = np.where(values < 0, strength, 0.0)
    picture[..., 2] = np.where(values == 0, 1.0, 0.0)
    return picture
