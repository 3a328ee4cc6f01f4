"""A clock that is set back while a sweep runs, on the machine of all or on that of the workers."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.sweeps import SWEEP, rows_of, wait_for
from reliability import interposer

from pipeline.store.location import Location
from pipeline.store.store import Store

pytestmark = pytest.mark.slow

# A worker is given up after 2 s in place of 30.
IMPATIENT = """
import sys
from pipeline.__main__ import main
from pipeline.run import workers
workers.SILENT_SECONDS, workers._SECONDS_BETWEEN_CHECKS = 2.0, 0.5
sys.exit(main())
"""
# Four seconds and more on two cores.
LONGER = [*SWEEP, "trials=4e5"]


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory):
    """Variables of a process whose clock is set back when a file is there, and that file."""
    now = tmp_path_factory.mktemp("clock") / "now"
    return {"LD_PRELOAD": str(interposer.build()), "CLOCK_IS_SET_BY": str(now)}


@pytest.mark.parametrize(
    "kind",
    ["processes", *(pytest.param(kind, marks=pytest.mark.long) for kind in ("local", "scheduler"))],
)
def test_a_clock_that_is_set_back_stops_no_worker(path, preloaded, kind, request, monkeypatch):
    struck = Path(preloaded["CLOCK_IS_SET_BY"])
    struck.unlink(missing_ok=True)
    keys = [f"cluster={kind}"]
    if kind == "scheduler":
        scheduler = request.getfixturevalue("scheduler")
        keys = scheduler.keys
    for name, value in preloaded.items():
        monkeypatch.setenv(name, value)
    if kind == "scheduler":
        # The clock of their machine alone: who sets the scheduler's may not be asked to run evenly.
        scheduler.add_workers(2)
        for name in preloaded:
            monkeypatch.delenv(name)
    with subprocess.Popen(
        [sys.executable, "-c", IMPATIENT, "sweep", *LONGER, *keys, f"out={path}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            wait_for(lambda: rows_of(path) > 5)
            struck.touch()
            _, said = process.communicate(timeout=150)
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "does not answer" not in said
    assert "No worker is left" not in said
    assert Store.open(Location.of(path)).counts().min() == 500
