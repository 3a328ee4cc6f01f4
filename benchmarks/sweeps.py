"""Whole processes: start-up, compiling, and sweeps from the command line to the stored result."""

import re
import statistics
from pathlib import Path

from timing import folder, once, process, table

import pipeline
from pipeline.config import compose
from pipeline.planning.plan import make_plan
from pipeline.run.worker import measure_unit, plan_to_text
from pipeline.sources import kinds
from pipeline.store import record
from pipeline.store.location import Location
from pipeline.store.store import Store
from pipeline.store.writer import UnitWriter

_STARTUP = str(Path(__file__).with_name("startup.py"))
_RUNS = 5
_PRESETS = sorted(Path(pipeline.__file__).parents[1].glob("conf/experiment/*.yaml"))


def starting():
    """The default sweep, stage by stage; with and without compiled kernels; how many there are."""
    with folder() as path:
        cache = {"NUMBA_CACHE_DIR": f"{path}/cache"}
        cold, said = process(_STARTUP, "sweep", f"results={path}/cold", **cache)
        compiling = _stages(said)["load or compile the kernel"]
        warm = [process(_STARTUP, "sweep", f"results={path}/{k}", **cache) for k in range(_RUNS)]
        helping = statistics.median(process("-m", "pipeline", "--help")[0] for _ in range(_RUNS))
        again = [process("-m", "pipeline", "sweep", f"results={path}/0", **cache)[0]
                 for _ in range(_RUNS)]  # fmt: skip
        variants = _variants(f"{path}/presets")
    stages = [_stages(said) for _, said in warm]
    lines = [[name, f"{statistics.median(s[name] for s in stages):.2f}"] for name in stages[0]]
    wall = statistics.median(time for time, _ in warm)
    rest = wall - sum(statistics.median(s[name] for s in stages) for name in stages[0])
    lines += [["start and end of Python", f"{rest:.2f}"], ["**together**", f"**{wall:.2f}**"]]
    return (
        "Seconds of `sweep`, 1,000 trials into a new store, kernels compiled before (medians of "
        f"{_RUNS} processes):",
        table(["stage", "seconds"], lines),
        f"With nothing compiled the same takes {cold:.1f} s, {compiling:.1f} s of it to compile; "
        f"again, when there is nothing to compute, {statistics.median(again):.2f} s; `--help` "
        f"{helping:.2f} s.",
        *variants,
    )


def _stages(said):
    """Seconds of each stage, from what `startup.py` says."""
    stages, before = {}, 0.0
    for line in said.splitlines():
        if line.startswith("stage "):
            _, moment, name = line.split(" ", 2)
            stages[name] = float(moment) - before
            before = float(moment)
    return stages


def _variants(cache):
    """How many loops the presets compile, and how long the first sweep takes with many sizes."""
    first = {}
    for sizes in ("8", "2,4,6,8,16"):
        arguments = ("-m", "pipeline", "sweep", f"block_size={sizes}", f"results={cache}/{sizes}")
        first[sizes] = process(*arguments, NUMBA_CACHE_DIR=f"{cache}/{sizes}.cache")[0]
    shared = {"NUMBA_CACHE_DIR": f"{cache}/all"}
    for preset in _PRESETS:
        arguments = ["sweep", f"experiment={preset.stem}", f"results={cache}/stores"]
        if preset.stem != "claims":
            arguments.append("trials=8")
        process("-m", "pipeline", *arguments, **shared)
    compiled = {}
    for path in Path(cache, "all").rglob("*.nbc"):
        name = path.name.partition("-")[0]
        compiled[name] = compiled.get(name, 0) + 1
    many = ", ".join(f"{count} of `{name}`" for name, count in sorted(compiled.items()))
    listed = ", ".join(f"block_size={sizes} {time:.1f} s" for sizes, time in first.items())
    return (
        f"The first sweep of a fresh installation (one kernel serves all block sizes): {listed}.",
        f"All {len(_PRESETS)} presets of `conf/experiment` together compile {many}.",
    )


def whole(trials, drawing_and_kernel):
    """Sweeps of the defaults into a new store, each beside drawing and kernel just then."""
    lines, base = [], None
    for count in ("1e3", *trials):
        runs = [_sweep(count, drawing_and_kernel) for _ in range(1 if float(count) > 2e7 else 5)]
        wall, memory, alone = (statistics.median(run[k] for run in runs) for k in range(3))
        base = base or wall
        each = 1e6 * (wall - base) / float(count)
        limit = 1.5 * alone / 2 * float(count) / 1e6 + 4
        lines.append(
            [
                count, f"{wall:.1f}", f"{limit:.1f}", f"{alone:.2f}",
                f"{each:.2f}" if wall > base else "", f"{memory:.0f}",
            ]
        )  # fmt: skip
    headings = [
        "trials", "wall, s", "limit, s", "drawing + kernel, us", "us a trial beyond 1e3",
        "peak MiB",
    ]  # fmt: skip
    return (
        "Whole processes on two cores, stored and in the ledger, medians of five (one of the "
        "largest). Limit: 1.5 x (drawing + kernel) / 2 + 4 s.",
        table(headings, lines),
        f"Storing, which the limit does not count, took {_storing():.2f} us of one core a trial "
        "(moments, compressing, checksums and files, 100 bytes), a gigabyte written to plain files "
        f"{_writing():.1f} s: new pages come slowly where the machine is a virtual one.",
    )


def _sweep(count, alone):
    with folder() as path:
        before = alone()
        wall, said = process(_STARTUP, "sweep", f"trials={count}", f"results={path}")
        peak = re.search(r"^peak (\d+)$", said, re.MULTILINE)
        return wall, int(peak[1]) / 1024, (before + alone()) / 2


def _storing():
    """Microseconds a trial of writing units that are measured already."""
    settings = compose.load(["trials=1e6"])
    plan = make_plan(settings, kinds.resolve)
    units = [unit for unit in plan.grid.units() if unit.trials == plan.unit_trials]
    parts = [(plan.labels, measure_unit(plan, units[0]))]
    with folder() as path:
        location = Location.of(f"{path}/sweep.zarr")
        start = record.of_sweep(plan, settings, None)
        store = Store.create(location, plan, start)
        store.open_journal(plan_to_text(plan))
        writer = UnitWriter(location, store.round, durable=False)
        time = once(lambda: [writer.write(unit, parts) for unit in units])
    return 1e6 * time / plan.unit_trials / len(units)


def _writing():
    content = bytes(range(256)) * (1 << 14)
    with folder() as path:

        def write():
            for k in range(239):
                Path(path, str(k)).write_bytes(content)

        return once(write)
