"""What a sweep asks of a store: a grid of axis values and trials, cut into units.

A cell is one (source, block size).  A unit is some consecutive trials of one cell: one task, one
chunk of each array, one row of the ledger.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.planning.axes import CELL, Labels, fewest

# A part of the curves: positions along each of their axes, all combinations of which belong to it.
Rectangle = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """The name of a unit: its cell, its number in the cell, and its trials start .. stop - 1."""

    source: str
    block_size: int
    number: int
    start: int
    stop: int

    @property
    def trials(self) -> int:
        """How many trials it has."""
        return self.stop - self.start

    @property
    def key(self) -> tuple[str, int, int]:
        """Source, block size and number: which unit it is, however many trials it has."""
        return self.source, self.block_size, self.number

    def __str__(self) -> str:
        """Its name in messages."""
        return (
            f"source={self.source} block_size={self.block_size} "
            f"trials {self.start}..{self.stop - 1}"
        )


@dataclass(frozen=True, slots=True)
class Missing:
    """A unit that is not complete, and which parts of its curves it lacks; () stands for all."""

    unit: Unit
    parts: tuple[Rectangle, ...] = ()


@dataclass(frozen=True)
class Grid:
    """What a sweep asks of a store.

    `labels` are the values of each axis, `cell_trials[s][b]` is how many trials the cell of source
    s and block size b has, `unit_trials` how many a unit has at most.
    """

    labels: Labels
    cell_trials: tuple[tuple[int, ...], ...]
    unit_trials: int

    @property
    def trials(self) -> int:
        """Trials of the largest cell."""
        return max((max(row) for row in self.cell_trials), default=0)

    @property
    def total_trials(self) -> int:
        """Trials of all cells together."""
        return sum(map(sum, self.cell_trials))

    @property
    def unit_count(self) -> int:
        """How many units there are."""
        return sum(self.units_of(trials) for row in self.cell_trials for trials in row)

    def within(self, labels: Labels) -> "Grid | None":
        """The part of the grid that has these axis values; None where no part does."""
        known = {axis: [v for v in self.labels[axis] if v in labels[axis]] for axis in self.labels}
        if not all(known.values()):
            return None
        rows, columns = ([self.labels[axis].index(v) for v in known[axis]] for axis in CELL)
        trials = tuple(tuple(self.cell_trials[s][b] for b in columns) for s in rows)
        return Grid(known, trials, self.unit_trials)

    def units_of(self, trials: int) -> int:
        """How many units a cell of so many trials has."""
        return -(-trials // self.unit_trials)

    def unit(self, cell: Sequence[int], number: int) -> Unit:
        """The unit of this number in the cell at these positions, (source, block size)."""
        s, b = cell
        start = number * self.unit_trials
        stop = min(start + self.unit_trials, self.cell_trials[s][b])
        return Unit(self.labels["source"][s], self.labels["block_size"][b], number, start, stop)

    def units(self) -> Iterator[Unit]:
        """Every unit, cell by cell and in trial order."""
        for s, row in enumerate(self.cell_trials):
            for b, trials in enumerate(row):
                for number in range(self.units_of(trials)):
                    yield self.unit((s, b), number)

    @cached_property
    def wanted(self) -> NDArray[np.int64]:
        """Trials of each unit, (source, block_size, unit); 0 where a cell has fewer units."""
        starts = self.unit_trials * np.arange(self.units_of(self.trials))
        trials = np.array(self.cell_trials, dtype=np.int64)[..., None]
        sizes: NDArray[np.int64] = np.clip(trials - starts, 0, self.unit_trials)
        return sizes

    def lacking(self, counts: NDArray[np.int64] | None) -> NDArray[np.int64]:
        """How many trials each unit still lacks; a unit is complete where this is 0.

        This is the one definition of complete: in the ledger every point of the unit's curves has
        as many trials as the grid wants.

        Parameters
        ----------
        counts
            Trials that the ledger lists, (source, block_size, unit, curve ...) with the labels of
            this grid and any number of units; None where there is no store.

        Returns
        -------
        (source, block_size, unit) int64, with the units of `wanted`.
        """
        if counts is None:
            return self.wanted
        listed = np.zeros_like(self.wanted)
        units = min(counts.shape[2], listed.shape[2])
        listed[..., :units] = fewest(counts)[..., :units]
        left: NDArray[np.int64] = np.maximum(self.wanted - listed, 0)
        return left

    def missing(self, counts: NDArray[np.int64] | None) -> list[Missing]:
        """Units that are not complete, in order, with the parts of their curves that they lack.

        `counts` as in `lacking`.
        """
        missing = []
        for s, b, number in np.argwhere(self.lacking(counts) > 0).tolist():
            unit = self.unit((s, b), number)
            parts: tuple[Rectangle, ...] = ()
            if counts is not None and number < counts.shape[2]:
                lacks = counts[s, b, number] < unit.trials
                parts = () if lacks.all() else tuple(rectangles(lacks))
            missing.append(Missing(unit, parts))
        return missing

    def complete(self, counts: NDArray[np.int64]) -> list[Unit]:
        """Units that are complete, in order."""
        whole = (self.lacking(counts) == 0) & (self.wanted > 0)
        return [self.unit((s, b), number) for s, b, number in np.argwhere(whole).tolist()]


def rectangles(chosen: NDArray[np.bool_]) -> Iterator[Rectangle]:
    """Divide the True points of an array into rectangles; each point lies in exactly one."""
    spans = [np.flatnonzero(chosen.any(axis=_others(chosen, k))) for k in range(chosen.ndim)]
    if chosen.all(where=_product(chosen, spans)):
        if chosen.any():
            yield tuple(tuple(map(int, span)) for span in spans)
        return
    for axis, span in enumerate(spans):
        layers = np.moveaxis(chosen, axis, 0)
        alike: dict[bytes, list[int]] = {}
        for k in span:
            alike.setdefault(layers[k].tobytes(), []).append(int(k))
        if len(alike) > 1:
            for group in alike.values():
                part = np.zeros_like(chosen)
                np.moveaxis(part, axis, 0)[group] = layers[group]
                yield from rectangles(part)
            return


def _others(grid: NDArray[Any], axis: int) -> tuple[int, ...]:
    return tuple(k for k in range(grid.ndim) if k != axis)


def _product(grid: NDArray[Any], spans: Sequence[NDArray[Any]]) -> NDArray[np.bool_]:
    inside = np.zeros_like(grid)
    inside[np.ix_(*spans)] = True
    return inside
