"""Each machine for some seconds, as a process of its own: whatever it tries survives."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

slow = pytest.mark.slow


@pytest.mark.parametrize(
    ("name", "seconds"),
    [
        ("pictures", 5),
        pytest.param("hosts", 5, marks=slow),
        pytest.param("verbs", 15, marks=slow),
        pytest.param("calls", 20, marks=slow),
        pytest.param("damage", 10, marks=slow),
        pytest.param("together", 8, marks=slow),
        pytest.param("clock", 8, marks=slow),
        pytest.param("bucket", 30, marks=slow),
    ],
)
def test_whatever_a_machine_tries_survives(name, seconds):
    seed = ["--seed", "0"] if "CI" in os.environ else []
    done = subprocess.run(
        [sys.executable, "-m", "reliability", name, "--seconds", str(seconds), *seed],
        capture_output=True, text=True, timeout=540, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 failed" in done.stdout
