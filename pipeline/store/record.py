"""The record of a store: its identity, its runs, its quarantine; kept in the store's attributes.

Attributes are texts and numbers, because a netCDF file can have no others; structures are JSON.
"""

import dataclasses
import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Integral
from typing import Any

import yaml

from pipeline.errors import UserError, command
from pipeline.planning import tiles
from pipeline.planning.axes import NAMES
from pipeline.planning.grid import Grid, Unit
from pipeline.planning.identity import Identity
from pipeline.planning.plan import LAYOUT_VERSION, Plan
from pipeline.planning.settings import ALL, Settings
from pipeline.planning.tiles import Tiles, TilesBySource
from pipeline.store import provenance

_TITLE = "Error of approximated spatial masking by number of spatial frequencies"
# Stores of earlier kernels have layout 4 too, but other moments; none was released.
_FIRST_KERNEL = 5
CHECKSUM = "checksum"
# A user may change the one, and xarray takes the other away when it copies a store.
_UNCHECKED = ("title", "coordinates")
_REMEDY = "restore zarr.json from a copy, or delete the store and run the sweep again"
# Where nothing says which, or not all sources have the same.
_SOME_UNIT = "unit of the samples"
# Keys of a configuration that say where it runs, and not what.
_PLACES = ("results", "out", "cluster", "extend", "durable", "storage")
# Keys of a command that say into which store it runs.
_STORE_KEYS = ("out", "results", "extend")


class DamagedRecordError(UserError):
    """The attributes of a store are not as they were written: what is wrong, and the remedy."""

    def __init__(self, what: str, remedy: str = _REMEDY) -> None:
        super().__init__(what, remedy)
        self.what, self.remedy = what, remedy

    def __str__(self) -> str:
        """Both, in one line."""
        return f"{self.what}: {self.remedy}"


@dataclass(frozen=True)
class Run:
    """One configuration that was run into a store.

    `given` has the keys that the user gave; `config` is the whole configuration in YAML; `wanted`
    is what it asks of the store; `resumes` counts how often it was run again; `config_dirs` are the
    user's own folders of entries.
    """

    given: Mapping[str, str]
    config: str
    wanted: Grid
    started: str
    ended: str | None = None
    resumes: int = 0
    config_dirs: tuple[str, ...] = ()

    @property
    def asked(self) -> Mapping[str, Any]:
        """The configuration without the keys that say where it was run."""
        settings = yaml.safe_load(self.config)
        return {key: value for key, value in settings.items() if key not in _PLACES}

    @property
    def cluster(self) -> Mapping[str, Any]:
        """The cluster that it was run on, as its configuration has it."""
        entry: Mapping[str, Any] = yaml.safe_load(self.config)["cluster"]
        return entry

    @property
    def given_elsewhere(self) -> dict[str, str]:
        """What was given of it, without the keys that say into which store."""
        return {key: text for key, text in self.given.items() if key not in _STORE_KEYS}

    def command(self, store: str, *, extend: bool) -> str:
        """The command that runs it again, into a store."""
        words = [f"{key}={text}" for key, text in self.given_elsewhere.items()]
        words += [f"out={store}", *(["extend=true"] if extend else [])]
        return command("sweep", *words, config_dirs=self.config_dirs)


@dataclass(frozen=True)
class Quarantined:
    """A unit that failed in every attempt: why, when, and the command that tries it once more."""

    unit: Unit
    reason: str
    when: str
    retry: str


@dataclass(frozen=True)
class Record:
    """What a store says of itself.

    `growing` is the identity that the store is being extended to, None if it is not; `store_trials`
    is how many trials are kept one by one, None for all; `tiles` are those of stored sources;
    `units` is the unit of the samples of each source that says one; `computed` (trials) and
    `seconds` are those of the last run; `functions` has the source text of each function of the
    user's own, by its name and that of its code.
    """

    identity: Identity
    unit_trials: int
    store_trials: int | None
    tiles: TilesBySource = dataclasses.field(default_factory=dict)
    units: Mapping[str, str] = dataclasses.field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    quarantined: tuple[Quarantined, ...] = ()
    growing: Identity | None = None
    created: str = ""
    last_run: str = ""
    ended: str = ""
    computed: int = 0
    seconds: float = 0.0
    made_with: Mapping[str, str] = dataclasses.field(default_factory=dict)
    rerun_of: str = ""
    functions: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def identity_of_arrays(self) -> Identity:
        """The identity that the arrays have: the larger one where a growth was cut short."""
        return self.growing or self.identity

    @property
    def batched(self) -> bool:
        """Whether a source has batches of neighbouring tiles."""
        return any(each.ends for by_size in self.tiles.values() for each in by_size.values())

    @property
    def unit_of_samples(self) -> str:
        """The unit that the samples of every source have, and so their errors."""
        # Values of an array, or of a user's function, are taken as they are; all others have none.
        units = {
            self.units.get(name, _SOME_UNIT if entry.get("kind") in ("array", None) else "1")
            for name, entry in self.identity.axes["source"].items()
        }
        return units.pop() if len(units) == 1 else _SOME_UNIT

    def tiles_of(self, source: str, size: int) -> Tiles:
        """The tiles of a cell; of a source that is drawn, none."""
        return self.tiles.get(source, {}).get(size, Tiles(0))

    @property
    def wanted_trials(self) -> Mapping[tuple[str, int], int]:
        """The trials that the last run asks of each cell, by source and block size."""
        if not self.runs:
            return {}
        grid = self.runs[-1].wanted
        return {
            (source, size): grid.cell_trials[s][b]
            for s, source in enumerate(grid.labels["source"])
            for b, size in enumerate(grid.labels["block_size"])
        }

    def commands(self, store: str) -> list[str]:
        """The commands that made the store, to be run on it again."""
        commands = [run.command(store, extend=len(self.runs) > 1) for run in self.runs]
        return list(dict.fromkeys(commands))

    def attributes(self) -> dict[str, Any]:
        """The attributes of the store."""
        last = self.runs[-1] if self.runs else None
        words = [f"{key}={text}" for key, text in last.given.items()] if last else []
        attributes = {
            "title": _TITLE,
            "layout_version": LAYOUT_VERSION,
            "identity": json.dumps(self.identity.to_json()),
            "seed": self.identity.fixed["seed"],
            "unit_trials": self.unit_trials,
            "store_trials": ALL if self.store_trials is None else self.store_trials,
            "tiles": json.dumps(tiles.to_json(self.tiles)),
            "units_of_samples": json.dumps(self.units),
            "config": last.config if last else "",
            "overrides": shlex.join(words),
            "created": self.created,
            "last_run": self.last_run,
            "ended": self.ended,
            "resumes": sum(run.resumes for run in self.runs),
            "computed": self.computed,
            "seconds": self.seconds,
            "runs": json.dumps([_run_to_json(run) for run in self.runs]),
            "quarantined": json.dumps([dataclasses.asdict(each) for each in self.quarantined]),
            "growing": json.dumps(self.growing.to_json()) if self.growing else "",
            "rerun_of": self.rerun_of,
            **self.made_with,
            # Tells xarray that this is a coordinate, though it has no dimension of its name.
            "coordinates": "coefficients_kept",
        }
        if self.functions:
            attributes["functions"] = json.dumps(self.functions)
        names = [name for name in attributes if name not in _UNCHECKED]
        return {**attributes, CHECKSUM: _checksum(attributes, names)}


def is_of_store(attributes: Mapping[str, Any]) -> bool:
    """Whether attributes are those of a store of this program, of any layout version.

    Or of a dataset that was opened from one, which has them in one attribute, `record`.
    """
    return "identity" in as_stored(attributes)


def as_stored(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """The attributes of a store, also of a dataset that has them in one, as text."""
    try:
        stored = json.loads(attributes["record"])
    except (KeyError, TypeError, ValueError):
        return attributes
    return stored if isinstance(stored, dict) else attributes


def of_store(store: str, attributes: Mapping[str, Any]) -> Record:
    """The record in the attributes of a store on a disk, where a bit may have flipped.

    Stores of development versions, as the one that is kept in the tests, have no checksum.

    Raises
    ------
    UserError
        As `from_attributes`; a DamagedRecordError where they are not those that were written.
    """
    record = from_attributes(store, attributes)
    checksum = attributes.get(CHECKSUM)
    if checksum is not None:
        _, *names = str(checksum).split()
        if checksum != _checksum(attributes, names):
            raise DamagedRecordError(
                f"{store}/zarr.json is damaged: what it says has another checksum"
            )
    return record


def _checksum(attributes: Mapping[str, Any], names: Sequence[str]) -> str:
    """The checksum of some attributes, and their names: a later version may have others."""
    checked = json.dumps([attributes.get(name) for name in names])
    return " ".join([hashlib.sha256(checked.encode()).hexdigest()[:16], *names])


def from_attributes(store: str, attributes: Mapping[str, Any]) -> Record:
    """The record in the attributes of a store; `store` names it in refusals.

    Raises
    ------
    UserError
        For another layout than this program reads; a DamagedRecordError for attributes that cannot
        be read.
    """
    attributes = as_stored(attributes)
    identity = _decoded(store, "identity", lambda: json.loads(attributes["identity"]))
    layout = identity.get("layout_version") if isinstance(identity, dict) else None
    if layout != LAYOUT_VERSION:
        raise UserError(
            f"{store} has layout {layout}, and this version reads layout {LAYOUT_VERSION}: run the "
            "sweep again, into a new store"
        )
    if identity.get("kernel_version", 0) < _FIRST_KERNEL:
        raise UserError(
            f"{store} was made by a development version, whose ledger had fewer moments: run the "
            "sweep again, into a new store"
        )
    unit_trials = _decoded(store, "unit_trials", lambda: _positive(attributes["unit_trials"]))
    growing = attributes.get("growing", "")
    return Record(
        identity=_decoded(store, "identity", lambda: Identity.from_json(identity)),
        unit_trials=unit_trials,
        store_trials=_decoded(
            store, "store_trials", lambda: _store_trials(attributes["store_trials"])
        ),
        tiles=_decoded(
            store, "tiles", lambda: tiles.from_json(json.loads(attributes.get("tiles", "{}")))
        ),
        units=_decoded(
            store, "units_of_samples", lambda: _texts(attributes.get("units_of_samples", "{}"))
        ),
        runs=_decoded(store, "runs", lambda: _runs(attributes.get("runs", "[]"), unit_trials)),
        quarantined=_decoded(
            store, "quarantined", lambda: _quarantined(attributes.get("quarantined", "[]"))
        ),
        growing=_decoded(
            store, "growing", lambda: Identity.from_json(json.loads(growing)) if growing else None
        ),
        created=attributes.get("created", ""),
        last_run=attributes.get("last_run", ""),
        ended=attributes.get("ended", ""),
        computed=attributes.get("computed", 0),
        seconds=attributes.get("seconds", 0.0),
        made_with={name: attributes.get(name, "unknown") for name in provenance.NAMES},
        rerun_of=attributes.get("rerun_of", ""),
        functions=_decoded(store, "functions", lambda: _texts(attributes.get("functions", "{}"))),
    )


def of_sweep(plan: Plan, settings: Settings, before: Record | None) -> Record:
    """The record when a sweep begins; `before` is the store's own, None where the store is new."""
    began = now()
    run = Run(
        dict(settings.given), settings.to_yaml(), plan.grid, began, config_dirs=settings.config_dirs
    )
    record = before or Record(plan.identity, plan.unit_trials, plan.keep, created=began)
    known = record.tiles
    # What is stored was made with the tiles that are known, and the rest is of the same identity.
    both = {**known, **{name: {**t, **known.get(name, {})} for name, t in plan.tiles.items()}}
    runs = record.runs
    if runs and runs[-1].asked == run.asked:
        again = dataclasses.replace(runs[-1], resumes=runs[-1].resumes + 1, ended=None)
        runs = (*runs[:-1], dataclasses.replace(again, wanted=plan.grid))
    else:
        runs = (*runs, run)
    return dataclasses.replace(
        record, tiles=both, units={**record.units, **plan.units_of_samples}, runs=runs,
        functions={**record.functions, **{each.name: each.text for each in plan.functions}},
        last_run=began, ended="",
        made_with=provenance.of_this_program(),
    )  # fmt: skip


def of_round(record: Record, plan: Plan) -> Record:
    """The record when a round of a sweep begins; the round may ask for more than the one before."""
    last = dataclasses.replace(record.runs[-1], wanted=plan.grid)
    return dataclasses.replace(record, runs=(*record.runs[:-1], last))


def of_end(record: Record, computed: int, seconds: float) -> Record:
    """The record when a sweep has ended, in whatever way."""
    ended = now()
    runs = record.runs
    if runs:
        runs = (*runs[:-1], dataclasses.replace(runs[-1], ended=ended))
    return dataclasses.replace(
        record, runs=runs, ended=ended, computed=computed, seconds=round(seconds, 3)
    )


def now() -> str:
    """The time now, in UTC, as records have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run_to_json(run: Run) -> dict[str, Any]:
    wanted = {**run.wanted.labels, "trials": run.wanted.cell_trials}
    fields = {field.name: getattr(run, field.name) for field in dataclasses.fields(run)}
    return {**fields, "given": dict(run.given), "wanted": wanted}


def _runs(text: str, unit_trials: int) -> tuple[Run, ...]:
    return tuple(
        Run(
            **{
                **data,
                "wanted": _grid(data["wanted"], unit_trials),
                "config_dirs": tuple(data["config_dirs"]),
            }
        )
        for data in json.loads(text)
    )


def _grid(wanted: Mapping[str, Any], unit_trials: int) -> Grid:
    labels = {axis: wanted[axis] for axis in NAMES}
    return Grid(labels, tuple(map(tuple, wanted["trials"])), unit_trials)


def _quarantined(text: str) -> tuple[Quarantined, ...]:
    return tuple(Quarantined(**{**data, "unit": Unit(**data["unit"])}) for data in json.loads(text))


def _texts(text: str) -> dict[str, str]:
    return {str(name): str(value) for name, value in json.loads(text).items()}


def _positive(value: Any) -> int:
    # In a netCDF file integers come to be NumPy's.
    if not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{value!r} is not a number of trials")
    return int(value)


def _store_trials(value: Any) -> int | None:
    if value == ALL:
        return None
    if not isinstance(value, Integral):
        raise ValueError(f"{value!r} is neither {ALL} nor a number of trials")
    return int(value)


def _decoded(store: str, name: str, decode: Any) -> Any:
    try:
        return decode()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedRecordError(
            f"{store}: the attribute {name} in zarr.json is damaged ({error})"
        ) from error
