"""The public names of `pipeline`."""

import xarray as xr

from pipeline.analysis.datasets import compare, open_results, summarize
from pipeline.config import compose
from pipeline.plan.plan import make_plan
from pipeline.run import rounds
from pipeline.sources import kinds

__all__ = ["compare", "open_results", "summarize", "sweep"]


def sweep(overrides: list[str]) -> xr.Dataset:
    """Run a sweep, or what is missing of it, and open the result.

    Parameters
    ----------
    overrides
        As on the command line: ``["freqs=0..14", "trials=1e6"]``.

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
    """
    settings = compose.load(overrides)
    outcome = rounds.execute(
        settings, make_plan(settings, kinds.resolve), overrides, rounds.Silent()
    )
    if outcome.failures:
        raise RuntimeError(
            f"{len(outcome.failures)} units failed; the first: {outcome.failures[0]}"
        )
    dataset = open_results(outcome.path).isel(trial=slice(0, outcome.plan.trials))
    # Of a store that was extended, what was asked for.
    return dataset.sel(outcome.plan.labels) if settings.extend else dataset
