"""The public names of `pipeline`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import xarray as xr
from distributed import Client

from pipeline.analysis.comparison import compare_results
from pipeline.analysis.datasets import compare, convergence, crossing, summarize
from pipeline.analysis.opening import open_results
from pipeline.config import compose
from pipeline.errors import count_of
from pipeline.planning.plan import make_plan
from pipeline.run import rounds
from pipeline.show import progress as shown
from pipeline.show.exports import export
from pipeline.sources import kinds
from pipeline.store import recent
from pipeline.store.location import Location
from pipeline.store.store import location_of

__all__ = [
    "compare", "compare_results", "convergence", "crossing", "export", "open_results", "summarize",
    "sweep",
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
    """
    chosen = compose.load(overrides, values=settings)
    plan = make_plan(chosen, kinds.resolve)
    with _observer(progress) as observer:
        for line in kinds.notes(plan.sources):
            observer.notify(f"note: {line}")
        try:
            outcome = rounds.execute(chosen, plan, observer, client)
        except KeyboardInterrupt as error:
            line = (
                f"Stopped. What was measured is in {location_of(chosen, plan)}: the same call goes "
                "on from there."
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


@contextmanager
def _observer(progress: bool | None) -> Iterator[rounds.Observer]:
    if progress if progress is not None else shown.is_watched():
        with shown.SweepProgress() as observer:
            yield observer
    else:
        yield rounds.SilentObserver()
