"""Parameter sweeps of approximated spatial masking on Dask, stored in Zarr, opened in xarray."""

from typing import TYPE_CHECKING, Any

from pipeline.exceptions import UserError

if TYPE_CHECKING:
    from pipeline.results import compare, open_results, summarize
    from pipeline.run import sweep

__all__ = ["UserError", "compare", "open_results", "summarize", "sweep"]


def __getattr__(name: str) -> Any:
    # xarray, zarr, dask and numba take 1 s to import; `--help` and refusals do without (PEP 562).
    if name == "sweep":
        from pipeline.run import sweep

        return sweep
    if name in ("compare", "open_results", "summarize"):
        from pipeline import results

        return getattr(results, name)
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")
