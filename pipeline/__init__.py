"""Parameter sweeps of approximated spatial masking on Dask, stored in Zarr, opened in xarray."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.results import open_results, summarize
    from pipeline.run import sweep

__all__ = ["Stopped", "UserError", "open_results", "summarize", "sweep"]


class UserError(ValueError):
    """What a user can mend: one line that names the value, the limit and the remedy."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C, after everything in flight was stored."""


def __getattr__(name: str) -> Any:
    # xarray, zarr and dask take 1.7 s to import; `--help` and refusals do without (PEP 562).
    if name == "sweep":
        from pipeline.run import sweep

        return sweep
    if name in ("open_results", "summarize"):
        from pipeline import results

        return getattr(results, name)
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
