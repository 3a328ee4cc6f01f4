"""Looking through a store for whatever is not as it was written, and queueing it for another run.

Four things are held against each other: the arrays against the identity, the files against the
arrays, every row of the ledger against the trials that it sums up (and both against their
checksums), and a sample of the units against a new computation.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from asm_core.moments import MOMENTS, moments_of
from pipeline.audit.metadata import (
    Finding,
    Place,
    chunk_grid,
    consolidated_copy,
    foreign_files,
    identity_of_arrays,
    metadata,
)
from pipeline.audit.opened import Opened
from pipeline.config import compose
from pipeline.errors import UserError
from pipeline.plan.identity import LISTED, differences, joined, labels, places
from pipeline.plan.plan import Plan, Unit, make_plan
from pipeline.run.worker import measure_unit
from pipeline.sources import kinds
from pipeline.store import layout, ledger, lock, provenance, store
from pipeline.store.layout import CURVE, METRICS
from pipeline.store.listing import on_axes_of

_COUNT = MOMENTS.index("count")
_ALGORITHM = CURVE.index("algorithm")


@dataclass
class Report:
    """What was looked at, and what was found."""

    units: int = 0
    recomputed: int = 0
    findings: list[Finding] = field(default_factory=list)


def verify(
    path: str, sample: float, seen: Callable[[str, int, int], None] = lambda what, k, n: None
) -> Report:
    """Look through a store.

    Parameters
    ----------
    path
        Of a store that nobody is writing.
    sample
        Share of the units that are computed again, 0 .. 1; at least one unless it is 0.
    seen
        Is told what is looked at, how far it is, and how far it goes.

    Raises
    ------
    UserError
        Where there is no store of this program, or one that is being written.
    """
    lock.check_free(path)
    report = Report(findings=list(metadata(path)))
    if any(finding.metadata for finding in report.findings):
        # Without its shape nothing in an array has a place.
        return report
    opened = Opened(path)
    report.findings += foreign_files(path)
    rows, damaged = _rows(opened)
    report.findings += damaged
    counts = np.nan_to_num(rows["error"][..., _COUNT]).astype(np.int64)
    listed = [(int(s), int(b), int(k)) for s, b, k in np.argwhere(counts.max(axis=(3, 4, 5, 6)))]
    for k, place in enumerate(listed):
        seen("ledger against trials", k, len(listed))
        report.findings += _unit(opened, place, rows)
    report.units = len(listed)
    bad = {unit for finding in report.findings for unit in finding.units}
    for k, (n, finding) in enumerate(_recomputed(opened, counts, rows, sample, bad)):
        seen("computing again", k, n)
        report.recomputed += int(n > 0)
        if finding:
            report.findings.append(finding)
    return report


def repair(path: str, findings: list[Finding]) -> None:
    """Mend what can be mended: bad units count as missing from now on, and leftovers are gone."""
    with lock.held(path):
        copy = consolidated_copy(path)
        for finding in findings:
            if finding.metadata in copy:
                text = json.dumps(copy[finding.metadata], indent=2)
                Path(path, finding.metadata, "zarr.json").write_text(text)
        # What is to be read from now on is whole once the bad files are away.
        for finding in findings:
            for name in finding.files:
                if Path(name).is_dir():
                    shutil.rmtree(name)
                else:
                    Path(name).unlink(missing_ok=True)
        root = layout.open_group(path, mode="r+")
        ledger.close_journal(root, path)
        for s, b, number in sorted({unit for finding in findings for unit in finding.units}):
            ledger.forget(root, (s, b), number)
        if not root.attrs.get("growing"):
            layout.write_coordinates(root, identity_of_arrays(root))
            layout.consolidate(path)
        store.clean(path)


def _rows(opened: Opened) -> tuple[dict[str, NDArray[np.float64]], list[Finding]]:
    """The rows of the ledger; where a chunk of them is bad, its units are to be computed again."""
    try:
        return ledger.rows(opened.root, opened.path), []
    except Exception:
        found: list[Finding] = []
    rows = {name: np.full(opened.root[f"ledger/{name}"].shape, np.nan) for name in METRICS}
    journal: Any = None
    try:
        if "journal" in opened.root:
            journal = opened.root["journal/rows"]
    except Exception as error:
        words = f"journal/rows/zarr.json is damaged ({error}): its units are computed again"
        found.append(Finding(words, files=(f"{opened.path}/journal",)))
    for (s, b), number, file in ledger.journal_files(opened.path) if journal is not None else ():
        try:
            journal[s, b, number]
        except Exception as error:
            words = f"{opened.describe((s, b, number))}: its row cannot be read ({error})"
            found.append(Finding(words, units=((s, b, number),), files=(file,)))
    for name in METRICS:
        array = opened.root[f"ledger/{name}"]
        step = array.chunks[2]
        for s, b in opened.cells:
            for first in range(0, array.shape[2], step):
                span = slice(first, min(first + step, array.shape[2]))
                try:
                    rows[name][s, b, span] = array[s, b, span]
                except Exception as error:
                    units = tuple((s, b, k) for k in range(span.start, span.stop))
                    grid = np.ndindex(*chunk_grid(array)[3:])
                    files = tuple(
                        f"{opened.path}/ledger/{name}/c/"
                        + "/".join(map(str, (s, b, first // step, *index)))
                        for index in grid
                    )
                    found.append(
                        Finding(
                            f"ledger/{name}, {opened.describe(units[0])} and up to "
                            f"{len(units) - 1} units after it: its rows cannot be read ({error})",
                            units=units, files=files,
                        )
                    )  # fmt: skip
    # Rows that wait in the journal are looked at once the bad ones are away.
    return rows, found


def _unit(opened: Opened, place: Place, rows: dict[str, NDArray[np.float64]]) -> Iterator[Finding]:
    """Whether the trials of a unit can be read, and are those that its row sums up."""
    have = labels(opened.identity)
    start = place[2] * opened.unit_trials
    whole = {**have, "source": [have["source"][place[0]]],
             "block_size": [have["block_size"][place[1]]]}  # fmt: skip
    kept = min(start + opened.unit_trials, opened.root["error"].shape[-1])
    try:
        measures = layout.read_trials(opened.root, opened.identity, whole, start, max(start, kept))
    except Exception as error:
        said = " ".join(str(error).split())
        yield Finding(
            f"{opened.describe(place)}: cannot be read ({type(error).__name__}: {said})",
            units=(place,), files=opened.chunk_files(place),
        )  # fmt: skip
        return
    known = ~np.isnan(rows["error"][place][..., _COUNT])
    for name in METRICS:
        row, values = rows[name][place], getattr(measures, name)
        listed = known if name == "error" else known.any(axis=_ALGORITHM)
        if np.isnan(row[..., _COUNT][listed]).any() or not _sums_up(row, values):
            yield Finding(
                f"{opened.describe(place)}: the ledger's row of {name} is not that of its trials",
                units=(place,), files=opened.chunk_files(place),
            )  # fmt: skip
            return


def _sums_up(row: NDArray[np.float64], values: NDArray[np.float32]) -> bool:
    """Whether a row has the moments of trials; those that are not kept cannot be looked at."""
    counts = row[..., _COUNT]
    for count in np.unique(counts[~np.isnan(counts)]):
        here = counts == count
        length = int(count)
        if length > values.shape[-1]:
            continue
        # A point that has no values, as the regret of ReLU, counts none.
        if moments_of(values[here][:, : length or None]).tobytes() != row[here].tobytes():
            return False
    return True


def _recomputed(
    opened: Opened,
    counts: NDArray[np.int64],
    rows: dict[str, NDArray[np.float64]],
    sample: float,
    bad: set[Place],
) -> Iterator[tuple[int, Finding | None]]:
    """Compute units again, chosen at random of those that are not bad, and compare their bits."""
    if not sample:
        return
    units = []
    for run in provenance.recorded_runs(opened.attributes):
        try:
            settings = compose.recorded(run["config"])
            plan = make_plan(settings, kinds.resolve).with_unit_trials(opened.unit_trials)
            _check_same(opened, plan)
        except UserError as error:
            words = f"cannot compute again what {run['overrides']!r} asked for: {error}"
            yield 0, Finding(words, mendable=False)
            continue
        units += [
            (plan, unit)
            for unit in _complete(plan, opened, counts)
            if _place(opened, plan, unit) not in bad
        ]
    if not units:
        return
    size = len(units) if sample >= 1 else max(1, round(sample * len(units)))
    chosen = np.random.default_rng().choice(len(units), size, replace=False)
    for k in sorted(chosen.tolist()):
        plan, unit = units[k]
        yield size, _differs(opened, plan, unit, rows)


def _check_same(opened: Opened, plan: Plan) -> None:
    """Refuse to compare with what files, parameters or kernels of today would give."""
    both = joined(opened.identity, plan.identity)
    if both != opened.identity:
        have = {**opened.identity, **{axis: plan.identity[axis] for axis in LISTED}}
        raise UserError("; ".join(differences(have, plan.identity)) or "its axes are not there")


def _complete(plan: Plan, opened: Opened, counts: NDArray[np.int64]) -> Iterator[Unit]:
    listed = on_axes_of(plan.labels, opened.identity, counts)
    whole = listed.min(axis=(3, 4, 5, 6))
    for unit in plan.units():
        if unit.number < whole.shape[-1] and whole[unit.source, unit.block_size, unit.number] >= (
            unit.stop - unit.start
        ):
            yield unit


def _place(opened: Opened, plan: Plan, unit: Unit) -> Place:
    have = labels(opened.identity)
    return (
        have["source"].index(plan.sources[unit.source].name),
        have["block_size"].index(plan.block_sizes[unit.block_size]),
        unit.number,
    )


def _differs(
    opened: Opened, plan: Plan, unit: Unit, rows: dict[str, NDArray[np.float64]]
) -> Finding | None:
    source, size = plan.sources[unit.source].name, plan.block_sizes[unit.block_size]
    wanted = {**plan.labels, "source": [source], "block_size": [size]}
    at, place = places(opened.identity, wanted), _place(opened, plan, unit)
    again = measure_unit(plan, unit)
    kept = min(unit.stop, opened.root["error"].shape[-1])
    stop = max(kept, unit.start)
    found = layout.read_trials(opened.root, opened.identity, wanted, unit.start, stop)
    for name, curve in METRICS.items():
        stored, new = getattr(found, name), getattr(again, name)
        row = rows[name][place][np.ix_(*(at[axis] for axis in curve))]
        same_length = row[..., _COUNT] == unit.stop - unit.start
        if (
            stored.tobytes() != new[..., : stored.shape[-1]].tobytes()
            or moments_of(new)[same_length].tobytes() != row[same_length].tobytes()
        ):
            return Finding(
                f"{plan.describe(unit)}: computed again, {name} has other bits",
                units=(place,), files=opened.chunk_files(place),
            )  # fmt: skip
    return None
