"""What a sweep would take, before it is run."""

from dataclasses import dataclass
from typing import Any

from dask.system import CPU_COUNT

from pipeline.planning import estimate
from pipeline.planning.axes import Labels
from pipeline.planning.estimate import Reading
from pipeline.planning.plan import Plan
from pipeline.planning.settings import Settings
from pipeline.run import cluster, own
from pipeline.store.store import find_for, location_of


@dataclass(frozen=True)
class Forecast:
    """What a sweep would compute and cost.

    `labels` are the values of each axis; `trials` the largest number of any source and block size;
    `units` how many there are in all, `missing` how many of them are to be computed;
    `unit_trials` and `unit_bytes` are of the largest; `stored_bytes` are those of all results,
    uncompressed, `written_bytes` what goes to the disk, of which `free_bytes` are free (None where
    unknown); `seconds` are on `threads` threads; `reading` is what is decoded of image files.
    """

    labels: Labels
    trials: int
    units: int
    missing: int
    unit_trials: int
    unit_bytes: int
    stored_bytes: int
    written_bytes: float
    free_bytes: int | None
    seconds: float
    threads: int
    reading: Reading
    store: str

    @property
    def fits(self) -> bool:
        """Whether there is room for it on the disk."""
        return self.free_bytes is None or self.written_bytes <= self.free_bytes


def forecast(settings: Settings, plan: Plan) -> Forecast:
    """What a sweep would take, given what its store has.

    Raises
    ------
    UserError
        Where the store is one of another experiment.
    """
    location = location_of(settings, plan)
    store, plan = find_for(location, plan, extend=settings.extend)
    grid = plan.grid
    missing = len(grid.missing(store.counts_of(plan.labels) if store else None))
    threads = cluster.threads(settings.cluster) or CPU_COUNT
    share = missing / max(grid.unit_count, 1)
    whole = estimate.core_seconds(plan) + own.core_seconds(plan)
    files, decodings, size, seconds = estimate.reading(plan)
    known: dict[str, Any] = {
        "reading": Reading(files, decodings * share, size * share, seconds * share / threads),
        "seconds": whole * share / threads + estimate.START_SECONDS,
    }
    return Forecast(
        labels=plan.labels, trials=plan.trials, units=grid.unit_count, missing=missing,
        unit_trials=plan.unit_trials, unit_bytes=plan.unit_bytes,
        stored_bytes=estimate.stored_bytes(plan),
        written_bytes=estimate.written_bytes(plan, share), free_bytes=location.free_bytes(),
        threads=threads, store=str(location), **known,
    )  # fmt: skip
