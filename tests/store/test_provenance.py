"""What a store says of how it was made."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import zarr
from helpers.sweeps import open_store

from pipeline import sweep
from pipeline.audit.problem import Problem
from pipeline.audit.repair import repair
from pipeline.planning.grid import Unit

SWEEP = ["freqs=0..5", "trials=250", "unit_trials=100"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "s.zarr"
    sweep([*SWEEP, f"out={path}"])
    return path


def attributes_of(path):
    return dict(zarr.open_group(path, mode="r").attrs)


def test_the_provenance_says_what_decided_the_bits(path):
    sweep(["freqs=0..5", "trials=300", f"out={path}"])
    attributes = attributes_of(path)
    for name in ("python", "numpy", "numba", "zarr", "kernel", "stream", "layout"):
        assert f"{name}=" in attributes["versions"]
    root, head = Path(__file__).parents[2], ""
    if shutil.which("git") and (root / ".git").exists():
        head = subprocess.run(
            ["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
    assert attributes["commit"] == (head or "unknown")
    assert attributes["dirty"] in ("true", "false", "unknown")
    assert attributes["processor"]
    assert (attributes["seed"], attributes["resumes"]) == (0, 0)
    assert attributes["created"] <= attributes["last_run"] <= attributes["ended"]
    runs = json.loads(attributes["runs"])
    assert [run["given"]["trials"] for run in runs] == ["250", "300"]
    assert all(run["ended"] for run in runs)


def test_the_same_command_on_an_unfinished_store_counts_as_a_resume(path):
    repair(open_store(path), [Problem("", units=(Unit("uniform", 8, 1, 100, 200),))])
    sweep([*SWEEP, f"out={path}"])
    attributes = attributes_of(path)
    assert attributes["resumes"] == 1
    assert [run["resumes"] for run in json.loads(attributes["runs"])] == [1]


def test_a_checkout_without_git_is_of_an_unknown_commit(tmp_path):
    for name in ("asm_core", "pipeline", "conf"):
        shutil.copytree(Path(__file__).parents[2] / name, tmp_path / name)
    code = "from pipeline.store import provenance; print(provenance._commit())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout == "{'commit': 'unknown', 'dirty': 'unknown'}\n"
