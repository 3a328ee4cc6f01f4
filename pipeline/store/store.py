"""The store of a sweep: opened once, and passed to all that read or change it.

Its arrays are the business of `layout`, its units of `ledger`, what it says of itself of `record`,
and what a worker writes into it of `writer`.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core import Measures
from asm_core.batches import add_sums
from asm_core.moments import MOMENTS, add_moments
from pipeline.errors import UserError, refuse_unreadable
from pipeline.planning.axes import CELL, COST, CURVE, METRICS, NAMES, Labels, most
from pipeline.planning.grid import Unit
from pipeline.planning.identity import differences, joined, positions, renewed
from pipeline.planning.plan import Plan
from pipeline.planning.settings import Settings, store_trials_as_written
from pipeline.store import files, layout, ledger
from pipeline.store.attributes import set_attributes
from pipeline.store.damage import advice_on, naming_damage, remedy_for
from pipeline.store.location import Location
from pipeline.store.record import DamagedRecordError, Record, is_of_store, of_store

# So much of rows that were written is kept until they are packed.
_MOST_BYTES_KNOWN = 1 << 26


class Store:
    """An open store: its location, its record, its arrays and its ledger.

    `record` is that of the time when the store was opened, or last written through this object;
    `round` is the name of the round that was last begun through it.  With `durable`, whatever is
    written through it is on the disk, and not in its cache alone, before the next thing is written.
    """

    round = ""
    durable = False

    def __init__(self, location: Location, root: Any, record: Record) -> None:
        self.location = location
        self.root = root
        self.record = record
        self._known: dict[tuple[tuple[int, int], int], NDArray[np.float64]] = {}

    @classmethod
    def open(cls, location: Location) -> "Store":
        """The store at a place.

        Raises
        ------
        UserError
            Where there is no store of this program, or one of another layout, or one that cannot
            be read or whose attributes are damaged.
        """
        store = cls.find(location)
        if store is None:
            advice = advice_on(location, "give the path that sweep printed")
            raise UserError(f"{location} is not a store of this program{advice}")
        return store

    @classmethod
    def find(cls, location: Location) -> "Store | None":
        """The store at a place; None where there is no store of this program.

        Raises
        ------
        UserError
            For a store of another layout; for one whose attributes are damaged, which is a
            DamagedRecordError; for a place of which the system does not say what is there.
        """
        # From Python 3.14 on zarr takes a folder that may not be searched for one that is missing.
        if location.folder and not location.child("zarr.json").exists():
            return None
        try:
            root = layout.open_root(location)
            attributes = dict(root.attrs)
        except Exception as error:  # zarr raises whatever it meets
            refuse_unreadable(location, error)
            # Nothing there, something else, or damaged.
            return None
        if not is_of_store(attributes):
            return None
        try:
            return cls(location, root, of_store(str(location), attributes))
        except DamagedRecordError as error:
            raise DamagedRecordError(error.what, remedy_for(location)) from error

    @classmethod
    def create(
        cls, location: Location, plan: Plan, record: Record, *, durable: bool = False
    ) -> "Store":
        """A new store without values; if this fails, nothing is left of it."""

        def create(place: Location) -> None:
            if layout.is_half_made(place):
                place.remove_below()
            layout.create(
                files.writing(place, durable=durable),
                plan.identity, plan.unit_trials, plan.kept_trials, plan.units_per_cell,
                record.attributes(), batched=record.batched,
            )  # fmt: skip

        location.create_whole(create)
        if durable and location.folder:
            files.sync_folders([location.folder.parent])
        store = cls(location, layout.open_root(location), record)
        store.durable = durable
        return store

    def __str__(self) -> str:
        """Where it is."""
        return str(self.location)

    @property
    def labels(self) -> Labels:
        """The values of each axis, in the order in which the store has them."""
        return self.record.identity.labels

    @property
    def kept_trials(self) -> int:
        """Length of the trial axis."""
        with naming_damage(self.location):
            length: int = self.root["error"].shape[-1]
        return length

    def fit(self, plan: Plan, *, extend: bool) -> Plan:
        """The plan with the store's own unit size.

        Raises
        ------
        UserError
            For another experiment than the store's, unless `extend` allows to add it and it can be
            added; for another number of trials that are kept.
        """
        identity = self.record.identity
        unlike = differences(identity, plan.identity)
        both = joined(identity, plan.identity)
        if unlike and (both is None or not extend):
            add = (
                f"Add to what is stored with extend=true out={self}, or choose"
                if both is not None
                else "Choose"
            )
            raise UserError(
                f"{self} holds another experiment: {'; '.join(unlike)}. {add} another out=...; "
                "without out each experiment gets a store of its own"
            )
        if self.record.store_trials != plan.keep:
            kept = store_trials_as_written(self.record.store_trials)
            raise UserError(
                f"{self} was made with store_trials={kept}, which does not change: give "
                f"store_trials={kept}, or choose another out=..."
            )
        return plan.with_unit_trials(self.record.unit_trials)

    def counts(self) -> NDArray[np.int64]:
        """Trials that the ledger lists, (source, block_size, unit, curve ...); 0 = none yet."""
        with naming_damage(self.location):
            return ledger.counts(self.root, self.location, self.labels)

    def counts_of(self, labels: Labels) -> NDArray[np.int64]:
        """`counts` for other values of the axes; 0 where the store does not have a value."""
        return chosen_counts(self.counts(), self.labels, labels)

    def rows(self, names: Sequence[str] = tuple(METRICS)) -> dict[str, NDArray[np.float64]]:
        """The rows of each metric, (source, block_size, unit, curve ..., moment) float64.

        NaN where a unit has no row yet.
        """
        with naming_damage(self.location):
            rows = ledger.rows(self.root, self.location, self.labels, names)
            for name, values in rows.items():
                wanted = layout.row_shape(self.labels, name)
                if values.shape[len(CELL) + 1 :] != wanted:
                    raise ValueError(f"ledger/{name} has not the shape of the identity")
        return rows

    def sums(self, source: str, size: int) -> NDArray[np.float64] | None:
        """The errors of a cell summed up by batch, (unit, curve ..., batch, sum) float64.

        NaN where a unit has no row yet; None where the cell has no batches of neighbours.
        """
        if not self.record.tiles_of(source, size).ends:
            return None
        cell = self.labels["source"].index(source), self.labels["block_size"].index(size)
        with naming_damage(self.location):
            return ledger.sums(self.root, self.location, self.labels, cell)

    def read_values(
        self, metric: str, at: dict[str, list[int]], start: int, stop: int
    ) -> NDArray[np.float32]:
        """Trials start .. stop - 1 of a metric, (source, block_size, curve ..., trial) float32.

        `at` has the positions along each axis.  Whatever zarr raises for a damaged chunk is passed
        on.
        """
        return layout.read_values(self.root, metric, at, start, stop)

    def read_cell(self, labels: Labels, start: int, stop: int) -> Measures:
        """All metrics of trials start .. stop - 1 of one cell, for some values of the axes.

        Raises as `read_values`, and a UserError for a value that the store does not have.
        """
        return layout.read_cell(self.root, positions(self.labels, labels), start, stop)

    def coefficients_kept(self, at: dict[str, list[int]]) -> NDArray[np.int64]:
        """How many coefficients n frequencies keep, (selection, block_size, freq)."""
        with naming_damage(self.location):
            return np.asarray(self.root["coefficients_kept"].oindex[tuple(at[a] for a in COST)])

    def measured_trials(self) -> int:
        """Trials up to the last one that the ledger lists, of the cell where these are most."""
        return int(_lengths(self.counts(), self.record.unit_trials).max(initial=0))

    def begun_trials(self, plan: Plan) -> list[list[int]]:
        """For each cell of a plan, how many trials a run has asked of it, or the ledger lists.

        The larger of the two; `[s][b]` as `cell_trials`.
        """
        listed = _lengths(self.counts_of(plan.labels), plan.unit_trials)
        asked = self.record.wanted_trials
        return [
            [
                max(int(listed[s, b]), asked.get((source.name, size), 0))
                for b, size in enumerate(plan.block_sizes)
            ]
            for s, source in enumerate(plan.sources)
        ]

    def cell_sums(self, plan: Plan, source: str, size: int) -> NDArray[np.float64] | None:
        """The errors of a cell of a plan summed up by batch, (point, batch, sum); as `sums`."""
        sums = self.sums(source, size)
        if sums is None:
            return None
        curve = np.ix_(range(len(sums)), *(positions(self.labels, plan.labels)[a] for a in CURVE))
        return add_sums(sums[curve]).reshape(-1, *sums.shape[-2:])

    def cell_totals(self, plan: Plan) -> NDArray[np.float64]:
        """Moments of the error over all units of each cell, (source, block_size, point, moment)."""
        rows = self.rows(["error"])["error"]
        at = positions(self.labels, plan.labels)
        curve = [at[axis] for axis in CURVE]

        def totals(source: int, size: int, trials: int) -> NDArray[np.float64]:
            units = plan.grid.units_of(trials)
            chosen = rows[source, size, :units][np.ix_(range(units), *curve)]
            return add_moments(chosen).reshape(-1, len(MOMENTS))

        return np.array(
            [
                [totals(s, b, trials) for b, trials in zip(at["block_size"], row, strict=True)]
                for s, row in zip(at["source"], plan.cell_trials, strict=True)
            ]
        )

    @property
    def is_unfinished(self) -> bool:
        """Whether a run has not called `finish`: rows wait to be packed, or axes to be grown."""
        with naming_damage(self.location):
            return ledger.is_open(self.root) or self.record.growing is not None

    @property
    def has_damaged_journal(self) -> bool:
        """Whether the metadata of the journal is damaged, which `close_journal` mends."""
        return bool(ledger.damaged_metadata(self.root))

    def close_journal(self) -> None:
        """End the round, move the rows that wait into the ledger's arrays, remove the journal."""
        ledger.close_journal(self._writable, self.location, self._known)
        self._known.clear()

    def note_row(self, unit: Unit, row: NDArray[np.float64]) -> None:
        """Keep the row of a unit that was written, so that it need not be read to be packed."""
        cell = (
            self.labels["source"].index(unit.source),
            self.labels["block_size"].index(unit.block_size),
        )
        # The rows of a thousand units that measure many curves are gigabytes.
        if len(self._known) * row.nbytes < _MOST_BYTES_KNOWN:
            self._known[cell, unit.number] = row

    def begin_round(self, plan: Plan, record: Record, content: str) -> None:
        """Make the store ready to take units of a plan: make its axes longer, open a new journal.

        The caller must hold the store's lock.

        Parameters
        ----------
        record
            What the store is to say of itself.
        content
            The plan, for the workers to read.
        """
        self.close_journal()
        identity = self.record.identity
        both = joined(identity, plan.identity) or identity
        growing = self.record.growing
        if growing:
            # A growth that was cut short is finished with this one.
            both = joined(both, renewed(growing, both)) or both
        if both != identity or layout.is_short(
            self._writable, plan.kept_trials, plan.units_per_cell
        ):
            self.update(dataclasses.replace(self.record, growing=both))
        layout.lengthen(
            self._writable, both, plan.kept_trials, plan.units_per_cell, batched=record.batched
        )
        layout.consolidate(self._place)
        self.update(dataclasses.replace(record, identity=both, growing=None))
        self.open_journal(content)

    def open_journal(self, content: str) -> None:
        """Make an empty journal, beside the plan of its round."""
        self.round = ledger.open_journal(self._writable, self.location, content)

    def pack(self) -> None:
        """Move the rows that wait in the journal into the ledger's arrays."""
        files.check_current(self.location, self.round)
        ledger.pack(self._writable, self.location, self._known)
        self._known.clear()

    def finish(self, record: Record) -> None:
        """Close the journal and replace the record: the end of a run, also of one that failed."""
        files.check_current(self.location, self.round)
        self.close_journal()
        self.update(record)

    @cached_property
    def _writable(self) -> Any:
        """The root, of which arrays can be written."""
        return layout.open_root(self._place, "r+")

    @property
    def _place(self) -> layout.Place:
        return files.writing(self.location, durable=self.durable)

    def update(self, record: Record) -> None:
        """Replace the record of the store."""
        set_attributes(self._place, record.attributes())
        self.record = record


def location_of(settings: Settings, plan: Plan) -> Location:
    """Where the store of a plan is: `out`, or in `results` under the name of its identity."""
    if settings.out:
        return Location.of(settings.out)
    return Location.of(settings.results).child(plan.store_name)


def find_for(location: Location, plan: Plan, *, extend: bool) -> tuple[Store | None, Plan]:
    """The store that a plan goes into, None if there is none yet, and the plan with its unit size.

    Raises
    ------
    UserError
        Where the place holds another experiment or something else, or cannot be written.
    """
    location.check_openable()
    store = Store.find(location)
    if store is not None:
        return store, store.fit(plan, extend=extend)
    if location.exists() and not layout.is_half_made(location):
        advice = advice_on(location, "choose another out=...")
        raise UserError(f"{location} exists and is not a store of this program{advice}")
    if location.folder:
        Location(str(location.folder.parent)).check_writable("results")
    return None, plan


def chosen_counts(counts: NDArray[np.int64], labels: Labels, wanted: Labels) -> NDArray[np.int64]:
    """Counts (source, block_size, unit, curve ...) for other values of the axes.

    `labels` are the axis values of `counts`; 0 for wanted values that are not among them.
    """
    unit = len(CELL)
    # Index -1, for a value that is not there, is in an edge of zeros.
    edged = np.pad(counts, [(0, int(axis != unit)) for axis in range(counts.ndim)])
    index = [
        [labels[axis].index(value) if value in labels[axis] else -1 for value in wanted[axis]]
        for axis in NAMES
    ]
    index.insert(unit, list(range(counts.shape[unit])))
    chosen: NDArray[np.int64] = edged[np.ix_(*index)]
    return chosen


def _lengths(listed: NDArray[np.int64], unit_trials: int) -> NDArray[np.int64]:
    """Trials of each cell up to the last one that is listed, (source, block_size)."""
    trials = most(listed)
    starts = unit_trials * np.arange(trials.shape[-1])
    ends: NDArray[np.int64] = np.where(trials > 0, starts + trials, 0).max(axis=-1, initial=0)
    return ends
