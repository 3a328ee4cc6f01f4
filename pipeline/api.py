"""The public names of `pipeline`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any, Literal

import xarray as xr
from distributed import Client

from pipeline.analysis.comparison import compare_results
from pipeline.analysis.datasets import compare, convergence, crossing, summarize
from pipeline.analysis.opening import Place, open_results, store_at
from pipeline.audit import verify as audit
from pipeline.audit.status import Status, status_of
from pipeline.audit.verify import Report
from pipeline.config import compose
from pipeline.errors import count_of
from pipeline.planning.settings import Settings
from pipeline.run import rounds
from pipeline.run.forecast import Forecast, forecast
from pipeline.run.planned import plan_of
from pipeline.show import progress as shown
from pipeline.show.exports import export
from pipeline.show.page import report
from pipeline.sources import kinds
from pipeline.store import lock, recent, services
from pipeline.store.damage import naming_damage
from pipeline.store.location import Location
from pipeline.store.store import location_of

__all__ = [
    "compare", "compare_results", "convergence", "crossing", "export", "open_results", "plan",
    "report", "status", "summarize", "sweep", "verify",
]  # fmt: skip


def sweep(
    overrides: str | Sequence[str] = (),
    /,
    *,
    client: Client | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> xr.Dataset:
    """Run a sweep, or what is missing of it, and open the result.

    Parameters
    ----------
    overrides
        As on the command line: ``["freqs=0..14", "trials=1e6"]``, or one string of them.
    client
        A client of a Dask cluster, which is used and left open; without it the cluster is that of
        the settings, and ends with the sweep.
    progress
        Whether to show how far the sweep is; None shows it only in a terminal or a notebook, where
        a person would see it.
    **settings
        The keys of the command line with Python values: ``freqs=range(15)``,
        ``algorithm=["asm", "apx"]``, ``trials=1_000_000``, ``source={"uniform": {"low": -1}}``.

    Returns
    -------
    xarray.Dataset
        As `open_results` opens it, restricted to the trials asked for.

    Raises
    ------
    UserError
        For whatever the command line would refuse.
    RuntimeError
        Where units failed; the others are stored, and the same call tries the failed ones again.
    KeyboardInterrupt
        After Ctrl-C; what was in flight is stored, and the same call goes on from there.

    Examples
    --------
    >>> import pipeline
    >>> dataset = pipeline.sweep(freqs=range(15), algorithm=["asm", "apx"], trials=1000)
    >>> dict(dataset.error.sel(algorithm="asm").squeeze().sizes)
    {'freq': 15, 'trial': 1000}
    """
    chosen = _chosen(overrides, settings)
    planned = plan_of(chosen)
    with _observer(progress, location_of(chosen, planned)) as observer:
        for line in kinds.notes(planned.sources):
            observer.notify(f"note: {line}")
        try:
            outcome = rounds.execute(chosen, planned, observer, client)
        except KeyboardInterrupt as error:
            line = (
                f"Stopped. What was measured is in {location_of(chosen, planned)}: the same call "
                "goes on from there."
            )
            observer.notify(line)
            # Also where nobody sees progress: the traceback ends with it.
            error.add_note(line)
            raise
    if outcome.failures:
        raise RuntimeError(
            f"{count_of(len(outcome.failures), 'unit')} failed; the first: {outcome.failures[0]}"
        )
    assert outcome.store is not None
    recent.note(Location.of(chosen.results), outcome.store.location)
    dataset = open_results(str(outcome.store)).isel(trial=slice(0, outcome.plan.trials))
    # A store that was extended has more than this call asked for.
    return dataset.sel(outcome.plan.labels) if chosen.extend else dataset


def plan(overrides: str | Sequence[str] = (), /, **settings: Any) -> Forecast:
    """What a sweep would compute and cost; nothing is run, and nothing written.

    Parameters
    ----------
    overrides, **settings
        As `sweep` takes them.

    Returns
    -------
    Forecast
        `labels`, `units`, `missing`, `stored_bytes`, `written_bytes`, `free_bytes`, `seconds` and
        others, see `pipeline.run.forecast.Forecast`.

    Raises
    ------
    UserError
        For whatever `sweep` would refuse.

    Examples
    --------
    >>> import pipeline
    >>> found = pipeline.plan(freqs=range(15), trials=10**6)
    >>> found.units, found.missing, found.fits
    (8, 8, True)
    """
    chosen = _chosen(overrides, settings)
    return forecast(chosen, plan_of(chosen))


def status(path: Place) -> Status:
    """How far a store is, also while another process sweeps it.

    Parameters
    ----------
    path
        Of the store; a folder or a URL.

    Returns
    -------
    Status
        `trials`, `trials_left`, `cells` with their units, `holder`, who sweeps it, `rate` and
        `quarantined`, see `pipeline.audit.status.Status`.

    Raises
    ------
    UserError
        Where there is no such store.

    Examples
    --------
    >>> import pipeline
    >>> found = pipeline.status(pipeline.sweep(trials=100).attrs["store"])
    >>> found.trials, found.trials_left
    (100, 0)
    """
    location = Location.of(path)
    # First the lock, then the ledger: a unit that ends in between then counts as complete.
    holder = lock.holder(location)
    return status_of(store_at(path), holder)


def verify(path: Place, sample: float | Literal["all"] = 0.01) -> Report:
    """Check a store for whatever is not as it was written.

    Parameters
    ----------
    path
        Of the store; a folder or a URL.
    sample
        Share of the units that are computed again, 0 .. 1 or all.

    Returns
    -------
    Report
        `units`, how many were checked, `recomputed`, and `problems`, each with its `words` and
        whether it is `harmless`.

    Raises
    ------
    UserError
        Where there is no such store, or it is being written.
    ValueError
        For a share that is none.

    Examples
    --------
    >>> import pipeline
    >>> found = pipeline.verify(pipeline.sweep(trials=100).attrs["store"], sample=1)
    >>> found.units, found.recomputed, found.problems
    (1, 1, [])
    """
    if sample == "all":
        sample = 1.0
    if not (isinstance(sample, Real) and 0 <= sample <= 1):
        raise ValueError(f"sample must be within 0..1, got {sample!r}: try 0.01 or all")
    store = store_at(path)
    with naming_damage(store.location):
        return audit.verify(store, sample)


def _chosen(overrides: str | Sequence[str], values: dict[str, Any]) -> Settings:
    chosen = compose.load(overrides, values=values)
    # What was said before is for what is opened afterwards, too.
    if chosen.storage:
        services.configure(chosen.storage)
    return chosen


@contextmanager
def _observer(progress: bool | None, place: Location) -> Iterator[rounds.Observer]:
    if progress if progress is not None else shown.is_watched():
        with shown.SweepProgress(place) as observer:
            yield observer
    else:
        yield rounds.SilentObserver()
