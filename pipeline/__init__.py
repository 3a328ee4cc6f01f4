"""Parameter sweeps of approximated spatial masking on Dask, stored in Zarr, opened in xarray."""

from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.api import (
        compare,
        compare_results,
        convergence,
        crossing,
        export,
        open_results,
        plan,
        report,
        status,
        summarize,
        sweep,
        verify,
    )

    __version__: str

__all__ = [
    "UserError", "__version__", "compare", "compare_results", "convergence", "crossing", "export",
    "open_results", "plan", "report", "status", "summarize", "sweep", "verify",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    # xarray, zarr, dask and numba take 1 s to import; `--help` and refusals do without (PEP 562).
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("asm-sweep")
        except PackageNotFoundError:
            return "unknown"
    if name in __all__:
        from pipeline import api

        return getattr(api, name)
    raise AttributeError(f"module 'pipeline' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
