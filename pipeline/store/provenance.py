"""What a store was made with: versions, processor and commit, which decide the bits of results."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from asm_core import KERNEL_VERSION
from asm_core.sources import STREAM_VERSION
from pipeline.planning.plan import LAYOUT_VERSION

NAMES = ("versions", "processor", "commit", "dirty")
_PACKAGES = (
    "asm-sweep", "numpy", "scipy", "numba", "llvmlite", "dask", "distributed", "xarray", "zarr",
)  # fmt: skip


def of_this_program() -> dict[str, str]:
    """The attributes NAMES: versions, processor, commit, and whether the checkout was changed."""
    return {"versions": _versions(), "processor": processor(), **_commit()}


def _versions() -> str:
    own = {"kernel": KERNEL_VERSION, "stream": STREAM_VERSION, "layout": LAYOUT_VERSION}
    versions: dict[str, Any] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "unknown"
    return " ".join(f"{name}={value}" for name, value in {**versions, **own}.items())


def processor() -> str:
    """The name of this machine's processor, as the operating system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> dict[str, str]:
    """The commit of this program, and whether it was changed since; unknown outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    commit = {"commit": "unknown", "dirty": "unknown"}
    if not (folder / ".git").exists():
        return commit
    try:
        commit["commit"] = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        commit["dirty"] = str(bool(changed)).lower()
    except (OSError, subprocess.SubprocessError):
        pass
    return commit


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True, text=True, check=True, timeout=10,
        # Without it `git status` may lock the index while the user commits.
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    ).stdout.strip()  # fmt: skip
