"""What a store says of its making: enough to know what decided its bits, and to run it again."""

import json
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from asm_core import KERNEL_VERSION
from asm_core.sources import STREAM_VERSION
from pipeline.config.compose import Config
from pipeline.plan.plan import LAYOUT_VERSION, Plan

_PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "dask", "distributed", "xarray", "zarr")
# Of a configuration, what says where and not what.
_PLACES = ("results", "out", "cluster", "extend")


def now() -> str:
    """The time, as the attributes have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def at_start(
    settings: Config, plan: Plan, arguments: Sequence[str], before: dict[str, Any]
) -> dict[str, Any]:
    """Attributes of a store whose sweep begins.

    Parameters
    ----------
    settings, plan, arguments
        Of the sweep.
    before
        The attributes that the store has; empty for a new one.

    Returns
    -------
    dict
        Text and numbers, as netCDF attributes can be; `runs` is JSON, an entry for each
        configuration that was run, `wanted` what the last one asks for.
    """
    began = now()
    runs = json.loads(before.get("runs", "[]"))
    config = settings.to_yaml()
    if runs and _what(runs[-1]["config"]) == _what(config):
        runs[-1] |= {"resumes": runs[-1]["resumes"] + 1, "ended": None}
    else:
        runs.append(
            {
                "overrides": shlex.join(arguments),
                "config": config,
                "started": began,
                "ended": None,
                "resumes": 0,
            }
        )
    runs[-1]["wanted"] = _wanted(plan)
    return {
        "title": "Error of approximated spatial masking by number of spatial frequencies",
        "config": config,
        "overrides": shlex.join(arguments),
        "seed": plan.seed,
        "created": before.get("created", began),
        "last_run": began,
        "ended": "",
        "resumes": sum(run["resumes"] for run in runs),
        "runs": json.dumps(runs),
        "wanted": json.dumps(_wanted(plan)),
        "versions": _versions(),
        "processor": processor(),
        **_commit(),
    }


def of_round(started: dict[str, Any], plan: Plan) -> dict[str, Any]:
    """Attributes that change when a round begins: what it asks for."""
    runs = json.loads(started["runs"])
    runs[-1]["wanted"] = _wanted(plan)
    return {"runs": json.dumps(runs), "wanted": json.dumps(_wanted(plan))}


def _wanted(plan: Plan) -> dict[str, Any]:
    """What a plan asks of a store: values of each axis, and trials of each cell."""
    return {**plan.labels, "trials": plan.cell_trials}


def at_end(started: dict[str, Any], quarantined: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Attributes that change when a sweep has ended, in whatever way."""
    runs = json.loads(started["runs"])
    runs[-1]["ended"] = now()
    return {
        "ended": runs[-1]["ended"],
        "runs": json.dumps(runs),
        "quarantined": json.dumps(list(quarantined)),
    }


def recorded_runs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    """Every configuration that was run into a store, as `at_start` noted it, in order."""
    runs: list[dict[str, Any]] = json.loads(attributes["runs"])
    return runs


def words_of(run: dict[str, Any], path: str, *, extend: bool) -> list[str]:
    """What was given to a run, but for its store, which is `path`."""
    words = [
        word
        for word in shlex.split(run["overrides"])
        if not word.startswith(("out=", "results=", "extend="))
    ]
    return [*words, f"out={path}", *(["extend=true"] if extend else [])]


def commands(attributes: dict[str, Any], path: str) -> list[str]:
    """The commands that made a store, to be run on it again."""
    runs = recorded_runs(attributes)
    found = [shlex.join(words_of(run, path, extend=len(runs) > 1)) for run in runs]
    return [f"python -m pipeline sweep {words}" for words in dict.fromkeys(found)]


def _what(config: str) -> dict[str, Any]:
    found = yaml.safe_load(config)
    return {key: value for key, value in found.items() if key not in _PLACES}


def _versions() -> str:
    own = {"kernel": KERNEL_VERSION, "stream": STREAM_VERSION, "layout": LAYOUT_VERSION}
    found: dict[str, Any] = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "unknown"
    return " ".join(f"{name}={value}" for name, value in {**found, **own}.items())


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> dict[str, str]:
    """The commit of this program, and whether it was changed since; unknown outside a checkout."""
    folder = Path(__file__).resolve().parents[2]
    found = {"commit": "unknown", "dirty": "unknown"}
    if not (folder / ".git").exists():
        return found
    try:
        found["commit"] = _git(folder, "rev-parse", "HEAD")
        changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
        found["dirty"] = str(bool(changed)).lower()
    except (OSError, subprocess.SubprocessError):
        pass
    return found


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True, text=True, check=True, timeout=10,
        # Looking must not lock the index for somebody who commits.
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    ).stdout.strip()  # fmt: skip
