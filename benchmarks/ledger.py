"""A store with many units: `python benchmarks/ledger.py UNITS`, seconds of what reads its ledger.

Every unit is one trial, so that the ledger is all there is to the store.  The last ten units are
missing, and the thousand before them wait in the journal, as after a client that was killed.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from asm_core.moments import MOMENTS
from pipeline import open_results
from pipeline.config import compose
from pipeline.planning.axes import METRICS
from pipeline.planning.plan import make_plan
from pipeline.run.worker import plan_to_text
from pipeline.sources import kinds
from pipeline.store import layout, ledger, record
from pipeline.store.location import Location
from pipeline.store.store import Store

MISSING, WAITING = 10, 1000


def fill(path: str, arguments: list[str]) -> None:
    """A store whose rows were all made by the first unit."""
    settings = compose.load(arguments)
    plan = make_plan(settings, kinds.resolve)
    start = record.of_sweep(plan, settings, None)
    store = Store.create(Location.of(path), plan, start)
    store.begin_round(plan, start, plan_to_text(plan))
    root = layout.open_root(store.location, "r+")
    first = {name: np.ones((*root[f"ledger/{name}"].shape[3:-1], len(MOMENTS))) for name in METRICS}
    packed = plan.grid.unit_count - MISSING - WAITING
    for name, row in first.items():
        root[f"ledger/{name}"][0, 0, :packed] = np.broadcast_to(row, (packed, *row.shape))
    for number in range(packed, packed + WAITING):
        ledger.write_row(root["journal/rows"], (0, 0), number, first)


def timed(what: str, function: Callable[[], object]) -> None:
    """A line of the table."""
    began = time.perf_counter()
    function()
    print(f"| {what} | {time.perf_counter() - began:.2f} |", flush=True)


def main(units: int) -> None:
    """Make a store of so many units, and time what opens it."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "s.zarr"))
        arguments = [f"trials={units}", "unit_trials=1", "store_trials=none", f"out={path}"]
        fill(path, arguments)

        def process(verb: str, *words: str) -> None:
            command = [sys.executable, "-m", "pipeline", verb, *words]
            subprocess.run(command, check=True, capture_output=True)

        print(f"| {units:,} units | s |\n|---|--:|")
        timed("`open_results`", lambda: open_results(path))
        timed("counting what is complete", lambda: Store.open(Location.of(path)).measured_trials())
        timed("`status`, as a process", lambda: process("status", path))
        timed("`sweep` that goes on, as a process", lambda: process("sweep", *arguments))
        timed("`summary`, as a process", lambda: process("summary", path))


if __name__ == "__main__":
    main(int(float(sys.argv[1])))
