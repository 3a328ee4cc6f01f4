"""Config -> Plan: what is measured, in which units, under which identity.

Pure: no dask, no xarray, no zarr, nothing read or written.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asm_core import KERNEL_VERSION, validate
from asm_core.sources import STREAM_VERSION
from pipeline.config.notation import did_you_mean
from pipeline.errors import UserError
from pipeline.plan import entries
from pipeline.plan.boxes import Box, boxes
from pipeline.plan.entries import Choice, Source
from pipeline.plan.identity import labels

if TYPE_CHECKING:
    from pipeline.config.compose import Config

# Raised whenever the arrays of a store change their meaning or layout.
LAYOUT_VERSION = 4

# Bytes that one unit may hold as float32 errors: a worker thread holds two to three times that
# while it compresses, and blosc takes at most 2 GiB at once.
MAX_UNIT_BYTES = 1 << 28
# A ledger row per unit, read whole when a store is opened.
MAX_UNITS = 1_000_000


@dataclass(frozen=True)
class Unit:
    """One cell (source, block size) and consecutive trials: one task, one chunk, one ledger row.

    `boxes` are the parts of its curves that are to be measured; none means all.
    """

    source: int
    block_size: int
    number: int
    start: int
    stop: int
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A sweep, decided: axes in store order, trials per cell, units.

    `cell_trials[s][b]` is how many trials the cell of source s and block size b wants;
    `prefixes` are the trial counts at which the estimate is reported, the largest last;
    `keep` is how many trials, the first ones, the store keeps one by one: None means all.
    """

    seed: int
    sources: tuple[Source, ...]
    block_sizes: tuple[int, ...]
    operations: tuple[Choice, ...]
    selections: tuple[Choice, ...]
    algorithms: tuple[str, ...]
    freqs: tuple[int, ...]
    cell_trials: tuple[tuple[int, ...], ...]
    prefixes: tuple[int, ...]
    unit_trials: int
    keep: int | None = None

    @property
    def trials(self) -> int:
        """Trials of the largest cell."""
        return max(max(row) for row in self.cell_trials)

    @property
    def kept_trials(self) -> int:
        """Length of the trial axis: what of the trials the store keeps one by one."""
        return self.trials if self.keep is None else min(self.trials, self.keep)

    @property
    def units_per_cell(self) -> int:
        """Length of the ledger's unit axis."""
        return self.units_of(self.trials)

    def units_of(self, trials: int) -> int:
        """How many units so many trials of a cell take."""
        return _ceil(trials, self.unit_trials)

    def with_unit_trials(self, unit_trials: int) -> "Plan":
        """The same plan, cut into units of another size."""
        plan = dataclasses.replace(self, unit_trials=unit_trials)
        _check_count(plan)
        _check_prefixes(plan)
        return plan

    def only(self, box: Box) -> "Plan":
        """The plan of a part of the curves."""
        operations, selections, algorithms, freqs = box
        return dataclasses.replace(
            self,
            operations=tuple(self.operations[k] for k in operations),
            selections=tuple(self.selections[k] for k in selections),
            algorithms=tuple(self.algorithms[k] for k in algorithms),
            freqs=tuple(self.freqs[k] for k in freqs),
        )

    @property
    def labels(self) -> dict[str, list[Any]]:
        """The values of each axis but trial."""
        return labels(self.identity)

    def with_trials(self, cell_trials: Sequence[Sequence[int]]) -> "Plan":
        """The same plan, with other numbers of trials."""
        plan = dataclasses.replace(self, cell_trials=tuple(map(tuple, cell_trials)))
        return dataclasses.replace(plan, prefixes=(plan.trials,))

    @property
    def axis_sizes(self) -> dict[str, int]:
        """Lengths of the axes of one trial's curves."""
        return {
            "operation": len(self.operations),
            "selection": len(self.selections),
            "algorithm": len(self.algorithms),
            "freq": len(self.freqs),
        }

    @property
    def curve_points(self) -> int:
        """Errors stored for each trial of a cell."""
        return math.prod(self.axis_sizes.values())

    @property
    def last_frequency(self) -> int:
        """The n from which on every block keeps everything."""
        return max(
            validate.last_frequency(size, selection.kind)
            for size in self.block_sizes
            for selection in self.selections
        )

    @property
    def unit_bytes(self) -> int:
        """Size of one unit's errors in memory."""
        return 4 * self.curve_points * self.unit_trials

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the numbers, and nothing else; plain JSON."""
        return {
            "seed": self.seed,
            "source": {source.name: source.identity for source in self.sources},
            "block_size": list(self.block_sizes),
            "operation": {operation.name: operation.identity for operation in self.operations},
            "selection": {selection.name: selection.identity for selection in self.selections},
            "algorithm": list(self.algorithms),
            "freq": list(self.freqs),
            "dtype": "float32",
            "stream_version": STREAM_VERSION,
            "kernel_version": KERNEL_VERSION,
            "layout_version": LAYOUT_VERSION,
        }

    @property
    def digest(self) -> str:
        """Short hash of the identity."""
        text = json.dumps(self.identity, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    def units(self) -> Iterator[Unit]:
        """Every unit, cell by cell and in trial order."""
        for s, row in enumerate(self.cell_trials):
            for b, trials in enumerate(row):
                for number, start in enumerate(range(0, trials, self.unit_trials)):
                    yield Unit(s, b, number, start, min(start + self.unit_trials, trials))

    @property
    def unit_count(self) -> int:
        """How many units there are."""
        return sum(_ceil(n, self.unit_trials) for row in self.cell_trials for n in row)

    def missing(self, counts: NDArray[np.int64] | None) -> list[Unit]:
        """Units, or the parts of them, of which the ledger lists fewer trials than are wanted.

        `counts` (source, block_size, unit, operation, selection, algorithm, freq) on the plan's own
        axes; None where there is no store.
        """
        if counts is None:
            return list(self.units())
        whole = counts.min(axis=(3, 4, 5, 6))
        found = []
        for unit in self.units():
            place, wanted = (unit.source, unit.block_size, unit.number), unit.stop - unit.start
            if unit.number >= whole.shape[-1]:
                found.append(unit)
            elif whole[place] < wanted:
                lacking = counts[place] < wanted
                parts = () if lacking.all() else tuple(boxes(lacking))
                found.append(dataclasses.replace(unit, boxes=parts))
        return found

    def name(self, unit: Unit) -> dict[str, Any]:
        """A unit by the values of its axes, as JSON has it."""
        return {
            "source": self.sources[unit.source].name,
            "block_size": self.block_sizes[unit.block_size],
            "number": unit.number,
        }

    def describe(self, unit: Unit) -> str:
        """A unit, in words for a message."""
        source, size = self.sources[unit.source], self.block_sizes[unit.block_size]
        return f"source={source.name} block_size={size} trials {unit.start}..{unit.stop - 1}"


Resolver = Callable[[str, dict[str, Any], Sequence[int]], list[Source]]


def make_plan(config: "Config", resolve: Resolver) -> Plan:
    """The plan of a configuration.

    Parameters
    ----------
    config
        As `pipeline.config.compose.load` gives it.
    resolve
        (name, entry, block sizes) -> Sources; looks up the files that an entry names.

    Raises
    ------
    UserError
        For a combination that cannot be: a window that does not divide a block size, more trials
        than a source has blocks, too many units.
    """
    block_sizes = tuple(entries.block_size(size) for size in config.block_size)
    if config.freqs[-1] >= entries.MAX_BLOCK_SIZE**2:
        raise UserError(
            f"freqs must be at most {entries.MAX_BLOCK_SIZE**2 - 1}, where every block keeps "
            f"everything, got {config.freqs[-1]}"
        )
    operations = tuple(
        entries.operation(name, entry, block_sizes) for name, entry in config.operation.items()
    )
    selections = tuple(entries.selection(name, entry) for name, entry in config.selection.items())
    for algorithm in config.algorithm:
        if algorithm not in validate.ALGORITHMS:
            raise UserError(
                f"unknown algorithm {algorithm!r}: {did_you_mean(algorithm, validate.ALGORITHMS)}"
            )
    found = (resolve(name, entry, block_sizes) for name, entry in config.source.items())
    sources = sorted(itertools.chain.from_iterable(found), key=lambda source: source.name)
    for source, following in itertools.pairwise(sources):
        if source.name == following.name:
            raise UserError(f"two sources are named {source.name}: give one another name")
    cell_trials = tuple(
        tuple(_trials(config.trials, source, size) for size in block_sizes) for source in sources
    )
    prefixes = (
        (max(max(row) for row in cell_trials),)
        if isinstance(config.trials, str)
        else tuple(config.trials)
    )
    plan = Plan(
        config.seed, tuple(sources), block_sizes, operations, selections, tuple(config.algorithm),
        tuple(config.freqs), cell_trials, prefixes, config.unit_trials, config.store_trials,
    )  # fmt: skip
    fitting = MAX_UNIT_BYTES // (4 * plan.curve_points)
    if not fitting:
        raise UserError(
            f"one trial has {plan.curve_points} errors, at most {MAX_UNIT_BYTES // 4} fit: sweep "
            "fewer values at a time"
        )
    # The unit size changes no number, so a sweep of many curves gets smaller units, unasked.
    return plan.with_unit_trials(min(config.unit_trials, 1 << (fitting.bit_length() - 1)))


def _check_count(plan: Plan) -> None:
    if plan.unit_count > MAX_UNITS:
        raise UserError(
            f"trials={plan.trials} with unit_trials={plan.unit_trials} makes {plan.unit_count} "
            f"units, at most {MAX_UNITS} are allowed: raise unit_trials (of a new store) or lower "
            "trials"
        )


def _check_prefixes(plan: Plan) -> None:
    """Each estimate needs its trials kept, or ends with a unit, of which the ledger has moments."""
    if plan.keep is None:
        return
    for trials in plan.prefixes[:-1]:
        if trials > plan.keep and trials % plan.unit_trials:
            raise UserError(
                f"trials={trials} ends within a unit of {plan.unit_trials} trials that "
                f"store_trials={plan.keep or 'none'} does not keep: use a multiple of "
                f"{plan.unit_trials}, or keep at least {trials}"
            )


def _trials(wanted: Sequence[int] | str, source: Source, size: int) -> int:
    """How many trials of a cell the sweep wants."""
    if source.available is None:
        if isinstance(wanted, str):
            raise UserError(
                f"trials=all needs a source with an end, and {source.name} draws without one: "
                "give a number, as trials=1e6"
            )
        return wanted[-1]
    have = source.available[size]
    if isinstance(wanted, str):
        return have
    if wanted[-1] > have:
        raise UserError(
            f"trials={wanted[-1]} is more than the {have} blocks of {size} x {size} that source "
            f"{source.name} has: use at most {have}, or, of stored blocks alone, trials=all"
        )
    return wanted[-1]


def store_path(config: "Config", plan: Plan) -> str:
    """Where the store of a plan is: `out`, or a name that carries the identity's hash."""
    slash = "" if config.results.endswith("/") else "/"
    path = config.out or f"{config.results}{slash}sweep-{plan.digest}.zarr"
    path = os.path.expanduser(path.removeprefix("file://"))
    return path if "://" in path else str(Path(path).absolute())


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
