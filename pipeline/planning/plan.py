"""Settings -> Plan: what is measured, in which units, under which identity.

Nothing is read or written here.
"""

import dataclasses
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from asm_core import KERNEL_VERSION, validate
from asm_core.sources import STREAM_VERSION
from pipeline.errors import UserError, count_of
from pipeline.functions.resolving import Function
from pipeline.planning import entries
from pipeline.planning.axes import CURVE, FREQ, METRICS, Labels, shape
from pipeline.planning.entries import Choice, Source
from pipeline.planning.grid import Grid, Rectangle
from pipeline.planning.identity import Identity
from pipeline.planning.settings import AUTO, Settings
from pipeline.planning.tiles import TilesBySource

# Raised whenever the arrays of a store change their meaning or layout.
LAYOUT_VERSION = 4

# Bytes that one unit may hold as float32 errors: a worker thread holds two to three times that
# while it compresses, and blosc takes at most 2 GiB at once.
MAX_UNIT_BYTES = 1 << 28
# At most so many where no unit size is asked for.  A chunk is compressed whole, however few trials
# there are: 20 units of 480 curves of 1,000 trials took 6.8 s with 256 MiB, and 1.2 s with this.
_USUAL_UNIT_BYTES = 1 << 25
# At most so many trials of a function of the user's own: one of NumPy takes 30 to 60 microseconds a
# trial of N = 8, a hundred times as long as ours, and a unit should not take minutes.
_UNIT_OF_FUNCTIONS = 1 << 14
# A ledger row per unit, read whole when a store is opened.
MAX_UNITS = 1_000_000

# Trials of sources that draw blocks, unless the user asks for another number: the notebook's.
DRAWN_TRIALS = 1000

# Which field of a plan has the values of an axis.
_FIELDS = {
    "source": "sources",
    "block_size": "block_sizes",
    "operation": "operations",
    "selection": "selections",
    "algorithm": "algorithms",
    "freq": "freqs",
}


@dataclass(frozen=True)
class Plan:
    """A sweep, decided: the values of its axes, in store order, and the trials of each cell.

    `cell_trials[s][b]` is how many trials the cell of source s and block size b wants;
    `prefixes` are the trial counts at which the estimate is reported, the largest last;
    `keep` is how many trials, the first ones, the store keeps one by one: None means all.
    """

    seed: int
    sources: tuple[Source, ...]
    block_sizes: tuple[int, ...]
    operations: tuple[Choice, ...]
    selections: tuple[Choice, ...]
    algorithms: tuple[Choice, ...]
    freqs: tuple[int, ...]
    cell_trials: tuple[tuple[int, ...], ...]
    prefixes: tuple[int, ...]
    unit_trials: int
    keep: int | None = None

    @cached_property
    def labels(self) -> Labels:
        """The values of each axis."""
        return self.identity.labels

    @cached_property
    def grid(self) -> Grid:
        """What the plan asks of a store."""
        return Grid(self.labels, self.cell_trials, self.unit_trials)

    @property
    def tiles(self) -> TilesBySource:
        """The tiles of each stored source, by block size."""
        return {source.name: source.tiles for source in self.sources if source.tiles}

    @property
    def units_of_samples(self) -> dict[str, str]:
        """The unit of the samples of each source that says one."""
        return {source.name: source.units for source in self.sources if source.units}

    @property
    def functions(self) -> list[Function]:
        """The functions of the user's own that it calls."""
        named: list[Source | Choice] = [*self.sources, *self.selections, *self.algorithms]
        return [each.function for each in named if each.function]

    @property
    def trials(self) -> int:
        """Trials of the largest cell."""
        return self.grid.trials

    @property
    def kept_trials(self) -> int:
        """Length of the trial axis: how many trials of the largest cell are kept one by one."""
        return self.kept_of(self.trials)

    def kept_of(self, trials: int) -> int:
        """How many trials the store keeps one by one of a cell that has so many."""
        return trials if self.keep is None else min(trials, self.keep)

    @property
    def units_per_cell(self) -> int:
        """Length of the ledger's unit axis."""
        return self.grid.units_of(self.trials)

    def with_unit_trials(self, unit_trials: int) -> "Plan":
        """The same plan, cut into units of another size."""
        plan = dataclasses.replace(self, unit_trials=unit_trials)
        _check_count(plan)
        _check_prefixes(plan)
        return plan

    def with_trials(self, cell_trials: Sequence[Sequence[int]]) -> "Plan":
        """The same plan, with other numbers of trials."""
        plan = dataclasses.replace(self, cell_trials=tuple(map(tuple, cell_trials)))
        return dataclasses.replace(plan, prefixes=(plan.trials,))

    def of_part(self, part: Rectangle) -> "Plan":
        """The plan that has only this part of the curves."""
        chosen: dict[str, Any] = {
            _FIELDS[axis]: tuple(getattr(self, _FIELDS[axis])[k] for k in positions)
            for axis, positions in zip(CURVE, part, strict=True)
        }
        return dataclasses.replace(self, **chosen)

    def source(self, name: str) -> Source:
        """The source that has this name."""
        return next(source for source in self.sources if source.name == name)

    @property
    def curve_points(self) -> int:
        """How many errors each trial of a cell has."""
        return math.prod(shape(self.labels, CURVE))

    @property
    def values_per_trial(self) -> int:
        """How many numbers each trial of a cell has: errors, mask accuracies and regrets."""
        return sum(math.prod(shape(self.labels, metric.curve)) for metric in METRICS.values())

    @property
    def last_frequency(self) -> int:
        """The smallest n at which every block size and selection keeps all coefficients."""
        return max(
            entries.last_frequency(selection, size)
            for size in self.block_sizes
            for selection in self.selections
        )

    @property
    def unit_bytes(self) -> int:
        """Bytes that the errors of one whole unit take in memory."""
        return 4 * self.curve_points * self.unit_trials

    @cached_property
    def identity(self) -> Identity:
        """Everything that decides the numbers, and nothing else."""
        axes = {
            "source": {source.name: source.identity for source in self.sources},
            "block_size": list(self.block_sizes),
            "operation": {operation.name: operation.identity for operation in self.operations},
            "selection": {selection.name: selection.identity for selection in self.selections},
            "algorithm": {algorithm.name: algorithm.identity for algorithm in self.algorithms},
            FREQ: list(self.freqs),
        }
        fixed = {
            "seed": self.seed,
            "dtype": "float32",
            "stream_version": STREAM_VERSION,
            "kernel_version": KERNEL_VERSION,
            "layout_version": LAYOUT_VERSION,
        }
        return Identity(axes, fixed)

    @property
    def store_name(self) -> str:
        """The name of a store for which the user gave none; it has a hash of the identity."""
        text = json.dumps(self.identity.to_json(), sort_keys=True, separators=(",", ":"))
        return f"sweep-{hashlib.sha256(text.encode()).hexdigest()[:10]}.zarr"


Resolver = Callable[[str, dict[str, Any], Sequence[int]], list[Source]]


def make_plan(settings: Settings, resolve: Resolver) -> Plan:
    """The plan of some settings.

    Parameters
    ----------
    settings
        As `pipeline.config.compose.load` gives them.
    resolve
        (name, entry, block sizes) -> Sources; looks up the files that an entry names.

    Raises
    ------
    UserError
        For a combination that cannot be: a window that does not divide a block size, more trials
        than a source has blocks, too many units.
    """
    block_sizes = tuple(entries.block_size(size) for size in settings.block_size)
    if settings.freqs[-1] >= entries.MAX_BLOCK_SIZE**2:
        raise UserError(
            f"freqs must be at most {entries.MAX_BLOCK_SIZE**2 - 1}, where every block keeps "
            f"everything, got {settings.freqs[-1]}"
        )
    operations = tuple(
        entries.operation(name, entry, block_sizes) for name, entry in settings.operation.items()
    )
    selections = tuple(entries.selection(name, entry) for name, entry in settings.selection.items())
    algorithms = tuple(entries.algorithm(name, entry) for name, entry in settings.algorithm.items())
    sources = _sources(settings.source, resolve, block_sizes)
    if any(algorithm.kind == validate.APX_OFFSET for algorithm in algorithms):
        _check_others(sources)
    cell_trials = tuple(
        tuple(_trials(settings.trials, source, size) for size in block_sizes) for source in sources
    )
    sources = tuple(
        source.spread(settings.seed, _sampled(settings, source, row))
        for source, row in zip(sources, cell_trials, strict=True)
    )
    prefixes = (
        (max(max(row) for row in cell_trials),)
        if isinstance(settings.trials, str)
        else tuple(settings.trials)
    )
    plan = Plan(
        settings.seed, sources, block_sizes, operations, selections, algorithms,
        tuple(settings.freqs), cell_trials, prefixes, settings.unit_trials, settings.store_trials,
    )  # fmt: skip
    most = MAX_UNIT_BYTES if "unit_trials" in settings.given else _USUAL_UNIT_BYTES
    fitting = most // (4 * plan.curve_points)
    if not fitting:
        raise UserError(
            f"one trial has {plan.curve_points} errors, at most {most // 4} fit: sweep "
            "fewer values at a time"
        )
    # The unit size changes no result, so a sweep of many curves is given smaller units silently.
    fitting = 1 << (fitting.bit_length() - 1)
    if plan.functions and "unit_trials" not in settings.given:
        fitting = min(fitting, _UNIT_OF_FUNCTIONS)
    return plan.with_unit_trials(min(settings.unit_trials, fitting))


def _sources(
    chosen: Mapping[str, dict[str, Any]], resolve: Resolver, block_sizes: Sequence[int]
) -> tuple[Source, ...]:
    resolved = (resolve(name, entry, block_sizes) for name, entry in chosen.items())
    sources = sorted(itertools.chain.from_iterable(resolved), key=lambda source: source.name)
    for source, following in itertools.pairwise(sources):
        if source.name == following.name:
            raise UserError(f"two sources are named {source.name}: give one another name")
    return tuple(sources)


def _check_others(sources: Sequence[Source]) -> None:
    """Refuse a stored source that has no other block than the one that is judged."""
    for source in sources:
        for size, available in (source.available or {}).items():
            if available < 2:
                raise UserError(
                    f"algorithm={validate.APX_OFFSET} estimates its constant on other blocks than "
                    f"it is judged on, and source {source.name} has {available} of "
                    f"{size} x {size}: leave it out"
                )


def _check_count(plan: Plan) -> None:
    if plan.grid.unit_count > MAX_UNITS:
        raise UserError(
            f"trials={plan.trials} with unit_trials={plan.unit_trials} makes "
            f"{plan.grid.unit_count} units, at most {MAX_UNITS} are allowed: raise unit_trials "
            "(of a new store) or lower trials"
        )


def _check_prefixes(plan: Plan) -> None:
    """Refuse a prefix that neither kept trials nor the moments of whole units can give."""
    if plan.keep is None:
        return
    for trials in plan.prefixes[:-1]:
        if trials > plan.keep and trials % plan.unit_trials:
            raise UserError(
                f"trials={trials} ends within a unit of {count_of(plan.unit_trials, 'trial')} that "
                f"store_trials={plan.keep or 'none'} does not keep: use a multiple of "
                f"{plan.unit_trials}, or keep at least {trials}"
            )


def _trials(wanted: Sequence[int] | str, source: Source, size: int) -> int:
    """How many trials of a cell the sweep wants."""
    if source.available is None:
        if wanted == AUTO:
            return DRAWN_TRIALS
        if isinstance(wanted, str):
            raise UserError(
                f"trials=all needs a source with an end, and {source.name} draws without one: "
                "give a number, as trials=1e6"
            )
        return wanted[-1]
    available = source.available[size]
    if isinstance(wanted, str):
        return available
    if wanted[-1] > available:
        raise UserError(
            f"trials={wanted[-1]} is more than the {count_of(available, 'block')} of {size} x "
            f"{size} that source {source.name} has: use at most {available}, or trials=auto for "
            "every one"
        )
    return wanted[-1]


def _sampled(settings: Settings, source: Source, trials: Sequence[int]) -> list[int]:
    """The block sizes of which a sweep measures, now or at first, only some tiles of a source.

    In natural order these would be the top of the first image.  All tiles are read fastest in that
    order; but a list of trials and a precision report on the first of them, too.
    """
    if source.available is None:
        return []
    several = not isinstance(settings.trials, str) and len(settings.trials) > 1
    some = several or settings.precision is not None
    return [
        size
        for size, count in zip(settings.block_size, trials, strict=True)
        if size not in source.ordered and (some or count < source.available[size])
    ]


def to_json(plan: Plan, of_source: Callable[[Source], dict[str, Any]]) -> dict[str, Any]:
    """A plan as plain JSON; `of_source` turns a source into JSON."""
    fields = {field.name: getattr(plan, field.name) for field in dataclasses.fields(plan)}
    return {
        **fields,
        "sources": [of_source(source) for source in plan.sources],
        "operations": [dataclasses.asdict(operation) for operation in plan.operations],
        "selections": [dataclasses.asdict(selection) for selection in plan.selections],
        "algorithms": [dataclasses.asdict(algorithm) for algorithm in plan.algorithms],
    }


def from_json(data: Mapping[str, Any], to_source: Callable[[dict[str, Any]], Source]) -> Plan:
    """The inverse of `to_json`; `to_source` is that of `of_source`."""
    lists = ("block_sizes", "freqs", "prefixes")
    plain: dict[str, Any] = {name: tuple(data[name]) for name in lists}
    plain |= {name: data[name] for name in ("seed", "unit_trials", "keep")}
    return Plan(
        **plain,
        sources=tuple(to_source(source) for source in data["sources"]),
        operations=tuple(map(Choice.from_json, data["operations"])),
        selections=tuple(map(Choice.from_json, data["selections"])),
        algorithms=tuple(map(Choice.from_json, data["algorithms"])),
        cell_trials=tuple(map(tuple, data["cell_trials"])),
    )
