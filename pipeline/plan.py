"""Config -> Plan: what is measured, in which units, under which identity, at what cost.

Pure: no dask, no xarray, no zarr, nothing read or written.
"""

import dataclasses
import hashlib
import itertools
import json
import math
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from asm_core import KERNEL_VERSION, validate
from asm_core.sources import STREAM_VERSION
from pipeline.exceptions import UserError
from pipeline.overrides import did_you_mean

if TYPE_CHECKING:
    from pipeline.config import Config

# Raised whenever the arrays of a store change their meaning or layout.
LAYOUT_VERSION = 2

# Bytes that one unit may hold as float32 errors: a worker thread holds two to three times that
# while it compresses, and blosc takes at most 2 GiB at once.
MAX_UNIT_BYTES = 1 << 28
# A ledger row per unit, read whole when a store is opened.
MAX_UNITS = 1_000_000
# Beyond it one block is a picture: N^4 / 4 products a block, minutes for a few thousand trials.
MAX_BLOCK_SIZE = 256


@dataclass(frozen=True)
class Source:
    """One entry of conf/source, resolved: everything a worker needs to draw its blocks.

    `identity` is what of it decides numbers; `available` how many blocks there are of each block
    size, None where they never end; `quality` that of the JPEG quantisation of the blocks, if any;
    `seconds` what drawing a sample takes, for the estimate.
    """

    name: str
    kind: str
    parameters: dict[str, Any]
    identity: dict[str, Any]
    available: dict[int, int] | None = None
    quality: int | None = None
    seconds: float = 5e-9


@dataclass(frozen=True)
class Choice:
    """One entry of conf/operation or conf/selection: its kind, with that kind's own parameters."""

    name: str
    kind: str
    parameters: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """What of it decides numbers: all but its name."""
        return {"kind": self.kind, **self.parameters}


@dataclass(frozen=True)
class Unit:
    """One cell (source, block size) and consecutive trials: one task, one chunk, one ledger row."""

    source: int
    block_size: int
    number: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """A sweep, decided: axes in store order, trials per cell, units.

    `cell_trials[s][b]` is how many trials the cell of source s and block size b wants;
    `prefixes` are the trial counts at which the estimate is reported, the largest last.
    """

    seed: int
    sources: tuple[Source, ...]
    block_sizes: tuple[int, ...]
    operations: tuple[Choice, ...]
    selections: tuple[Choice, ...]
    methods: tuple[str, ...]
    freqs: tuple[int, ...]
    cell_trials: tuple[tuple[int, ...], ...]
    prefixes: tuple[int, ...]
    unit_trials: int

    @property
    def trials(self) -> int:
        """Length of the trial axis."""
        return max(max(row) for row in self.cell_trials)

    @property
    def units_per_cell(self) -> int:
        """Length of the ledger's unit axis."""
        return _ceil(self.trials, self.unit_trials)

    def with_unit_trials(self, unit_trials: int) -> "Plan":
        """The same plan, cut into units of another size."""
        plan = dataclasses.replace(self, unit_trials=unit_trials)
        _check_count(plan)
        return plan

    @property
    def axis_sizes(self) -> dict[str, int]:
        """Lengths of the axes of one trial's curves."""
        return {
            "operation": len(self.operations),
            "selection": len(self.selections),
            "method": len(self.methods),
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
    def stored_bytes(self) -> int:
        """Size of all errors, mask accuracies and regrets, uncompressed."""
        return 4 * self.stored_values * sum(map(sum, self.cell_trials))

    @property
    def stored_values(self) -> int:
        """Errors, mask accuracies and regrets of one trial of a cell."""
        return self.curve_points + 2 * (self.curve_points // len(self.methods))

    @property
    def identity(self) -> dict[str, Any]:
        """Everything that decides the numbers, and nothing else; plain JSON."""
        return {
            "seed": self.seed,
            "source": {source.name: source.identity for source in self.sources},
            "block_size": list(self.block_sizes),
            "operation": {operation.name: operation.identity for operation in self.operations},
            "selection": {selection.name: selection.identity for selection in self.selections},
            "method": list(self.methods),
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
        """Units of which the ledger lists fewer trials than the plan wants.

        `counts` (source, block_size, unit), as the ledger has them; None where there is no store.
        """
        if counts is None:
            return list(self.units())
        length = counts.shape[-1]
        return [
            unit
            for unit in self.units()
            if unit.number >= length
            or counts[unit.source, unit.block_size, unit.number] < unit.stop - unit.start
        ]

    def describe(self, unit: Unit) -> str:
        """A unit, in words for a message."""
        source, size = self.sources[unit.source], self.block_sizes[unit.block_size]
        return f"source={source.name} block_size={size} trials {unit.start}..{unit.stop - 1}"

    @property
    def core_seconds(self) -> float:
        """Estimated time of one core for everything, without start-up.

        Fitted to what `make bench` prints on a server core of 2022, within a factor of 2: 0.07 ns a
        product of the reconstruction, 0.15 ns one of the transform, 0.2 ns a sample measured,
        10 ns a number stored, and what drawing takes.
        """
        total = 0.0
        for source, row in zip(self.sources, self.cell_trials, strict=True):
            for size, trials in zip(self.block_sizes, row, strict=True):
                samples = size * size
                each = source.seconds * samples + 10e-9 * self.stored_values
                for selection in self.selections:
                    last = validate.last_frequency(size, selection.kind)
                    steps = sum(1 for n in self.freqs if n <= last) + 1
                    each += 0.07e-9 * samples * samples / 4 + 0.15e-9 * samples * size
                    each += 0.2e-9 * samples * steps * len(self.operations)
                total += trials * each
        return total


Resolver = Callable[[str, dict[str, Any], Sequence[int]], list[Source]]


def make_plan(config: "Config", resolve: Resolver) -> Plan:
    """The plan of a configuration.

    Parameters
    ----------
    config
        As `pipeline.config.load` gives it.
    resolve
        (name, entry, block sizes) -> Sources; looks up the files that an entry names.

    Raises
    ------
    UserError
        For a combination that cannot be: a window that does not divide a block size, more trials
        than a source has blocks, too many units.
    """
    block_sizes = tuple(_block_size(size) for size in config.block_size)
    if config.freqs[-1] >= MAX_BLOCK_SIZE**2:
        raise UserError(
            f"freqs must be at most {MAX_BLOCK_SIZE**2 - 1}, where every block keeps everything, "
            f"got {config.freqs[-1]}"
        )
    operations = tuple(
        _operation(name, entry, block_sizes) for name, entry in config.operation.items()
    )
    selections = tuple(_selection(name, entry) for name, entry in config.selection.items())
    for method in config.method:
        if method not in validate.METHODS:
            raise UserError(f"unknown method {method!r}: {did_you_mean(method, validate.METHODS)}")
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
        config.seed, tuple(sources), block_sizes, operations, selections,
        tuple(config.method), tuple(config.freqs), cell_trials, prefixes, config.unit_trials,
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


def _block_size(size: int) -> int:
    if size < 2 or size % 2 or size > MAX_BLOCK_SIZE:
        raise UserError(
            f"block_size must be even and within 2..{MAX_BLOCK_SIZE}, got {size}: "
            f"use {min(max(size - size % 2, 2), MAX_BLOCK_SIZE)}"
        )
    return size


def _operation(name: str, entry: dict[str, Any], block_sizes: Sequence[int]) -> Choice:
    check_kind("operation", name, entry["kind"], validate.OPERATIONS)
    parameters = _parameters(entry)
    if "window" in parameters:
        window = parameters["window"]
        if window < 1:
            raise UserError(f"operation.{name}.window must be at least 1, got {window}")
        for size in block_sizes:
            if size % window:
                raise UserError(
                    f"operation.{name}.window={window} does not divide block_size={size}: choose "
                    f"a window that divides it, or a block_size that is a multiple of {window}"
                )
    if "slope" in parameters:
        _within(f"operation.{name}.slope", parameters["slope"], ends=True)
    return Choice(name, entry["kind"], parameters)


def _selection(name: str, entry: dict[str, Any]) -> Choice:
    check_kind("selection", name, entry["kind"], validate.SELECTIONS)
    parameters = _parameters(entry)
    if "rho" in parameters:
        _within(f"selection.{name}.rho", parameters["rho"], ends=False)
    return Choice(name, entry["kind"], parameters)


def check_kind(group: str, name: str, kind: str, known: Collection[str]) -> None:
    """Refuse a kind that conf/ introduces and the program does not have."""
    if kind not in known:
        raise UserError(f"{group}.{name}.kind={kind} is not known: {did_you_mean(kind, known)}")


def _parameters(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "kind"}


def _within(key: str, value: float, *, ends: bool) -> None:
    """A share between 0 and 1, as asm_core itself wants it."""
    try:
        validate.number(key, value, 0.0, 1.0, ends=ends)
    except ValueError as error:
        raise UserError(str(error)) from error


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


def differences(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What two identities disagree about, a phrase each."""
    return [
        f"{key} is {json.dumps(stored.get(key))} in the store, {json.dumps(wanted.get(key))} here"
        for key in sorted(stored.keys() | wanted.keys())
        if stored.get(key) != wanted.get(key)
    ]


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
