"""Many units: `python benchmarks/scale.py UNITS`, a line for every tenth of them.

The loop of a sweep, with units that do nothing: what it and Dask's scheduler cost a unit, and
whether their memory stays flat.  Client, scheduler and workers are threads of this process, so its
memory is that of all of them.
"""

import sys
import time
from pathlib import Path

from pipeline.config import compose
from pipeline.planning.grid import Missing
from pipeline.planning.plan import make_plan
from pipeline.run import cluster
from pipeline.run.tasks import map_units
from pipeline.sources import kinds


def nothing(missing: Missing) -> None:
    """What a unit does here."""


def resident_mib() -> float:
    """Memory that this process has now."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main(units: int) -> None:
    """Run so many units, and print a table."""
    settings = compose.load([f"trials={units}", "unit_trials=1"])
    plan = make_plan(settings, kinds.resolve)
    print("| units | units/s | MiB |\n|--:|--:|--:|", flush=True)
    with cluster.connect(settings.cluster, print) as connection:
        step = max(1, units // 10)
        began = time.perf_counter()
        for count, (_, failure) in enumerate(
            map_units(connection, nothing, map(Missing, plan.grid.units()), print), start=1
        ):
            assert failure is None
            if count % step == 0:
                now = time.perf_counter()
                rate = step / (now - began)
                print(f"| {count:,} | {rate:,.0f} | {resident_mib():,.0f} |", flush=True)
                began = now


if __name__ == "__main__":
    main(int(float(sys.argv[1])))
