"""Sweeps as processes: what a small unit costs, wide sweeps, and the share of the kernel."""

import re
import statistics
from functools import partial

from scale import nothing
from timing import folder, once, process, table

from pipeline.config import compose
from pipeline.planning.grid import Missing
from pipeline.planning.plan import make_plan
from pipeline.run import cluster
from pipeline.run.tasks import map_units
from pipeline.sources import kinds

_RUNS = 5
_SMALL = 1000
_WIDE = (
    "source=uniform,gaussian,upsampled,anticorrelated", "block_size=4,6,8,10,16", "trials=1000",
    "operation=max_pool,min_pool,relu,leaky_relu", "selection=triangle,square,zigzag,energy",
    "algorithm=asm,apx",
)  # fmt: skip


def _seconds(*words):
    """Seconds that a sweep's units take, once cluster and store are there."""
    with folder() as path:
        _, said = process("-m", "pipeline", "sweep", *words, f"out={path}/s.zarr")
    # As the sweep itself says: 100,000 trials in 0.5 s, 201,234 trials/s.
    trials, rate = re.search(r"^([\d,]+) trials in .* s, ([\d,]+) trials/s$", said, re.M).groups()
    return float(trials.replace(",", "")) / float(rate.replace(",", ""))


def small():
    """Milliseconds of a unit of 100 trials, beside those of one that does nothing."""
    words = f"trials={100 * _SMALL}", "unit_trials=100"
    ways = {
        "stored": partial(_seconds, *words),
        "`store_trials=none`": partial(_seconds, *words, "store_trials=none"),
        "nothing is done": partial(_idle, words),
    }
    times = {name: [] for name in ways}
    for _ in range(_RUNS):
        for name, way in ways.items():
            times[name].append(1e3 * way() / _SMALL)
    lines = [[name, f"{statistics.median(each):.1f}"] for name, each in times.items()]
    with folder() as path:
        wide = process("-m", "pipeline", "sweep", *_WIDE, f"out={path}/wide.zarr")[0]
    return (
        f"Milliseconds of a unit of 100 trials, of {_SMALL:,} (medians of {_RUNS}; two threads):",
        table(["", "ms a unit"], lines),
        f"640 curves of 1,000 trials, as a whole process with its table: {wide:.1f} s.",
    )


def _idle(words):
    """Seconds of the same units where none does anything: Dask, and the loop that submits them."""
    settings = compose.load(list(words))
    plan = make_plan(settings, kinds.resolve)
    with cluster.connect(settings.cluster, print) as connection:
        units = [Missing(unit) for unit in plan.grid.units()]
        return once(lambda: list(map_units(connection, nothing, units, print)))


def shares(drawing_and_kernel):
    """How much of a long sweep's time is drawing and kernel, which two threads share."""
    lines = []
    for words in (["trials=1e7", "store_trials=none"], ["trials=1e7"]):
        runs = []
        for _ in range(3):
            before = drawing_and_kernel()
            took = _seconds(*words)
            alone = (before + drawing_and_kernel()) / 2
            runs.append((took, 100 * alone / 2 * 10 / took))
        took, share = (statistics.median(column) for column in zip(*runs, strict=True))
        lines.append([f"`{' '.join(words)}`", f"{took:.1f}", f"{share:.0f} %"])
    return (
        "Seconds of the units of a sweep, and how much of them drawing and kernel take where they "
        "are alone, divided by two threads (medians of three):",
        table(["", "seconds", "drawing + kernel"], lines),
    )
