"""How fast, against what, and where the time goes: one table, printed and written.

`make bench`, or `python benchmarks/run.py [FOLDER] [TRIALS ...]`: the page goes to
FOLDER/BENCHMARKS.md (results), and whole sweeps of so many trials are timed (1e6 1e7).  Their
stores lie in the working folder until they are removed: 100 bytes a trial.
"""

import os
import platform
import statistics
import sys
import threading
from importlib.metadata import version
from pathlib import Path

# One thread for every rival.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false --xla_force_host_platform_device_count=1"
)

import buckets
import files
import functions
import numpy as np
import reading
import rivals
import sweeps
import units
from phases import phases
from timing import ROUNDS, in_turn, once, seconds, table

from asm_core import Operation, empty_measures, errors_by_frequency, measure_into
from asm_core.sources import uniform

SIZES = (4, 8, 16, 32, 64)
# How many times as fast as batched NumPy with BLAS and argmax the kernel is to be, by block size.
ASKED = {4: 28, 8: 25, 16: 17, 32: 15, 64: 22}
POOL, RELU = Operation("max_pool"), Operation("relu")


def blocks_of(N):
    """So many blocks as fill half a megabyte, and 64 at least, where BLAS is in its element."""
    return uniform(0, N, 0, max(64, (1 << 16) // N**2))


class Measuring:
    """`measure_into` of the same blocks into the same arrays, as a unit of a sweep has it."""

    def __init__(self, blocks, operations, algorithms=("asm",), selection="triangle", freqs=None):
        N = blocks.shape[-1]
        self.freqs = list(range(2 * N - 1)) if freqs is None else freqs
        self.arguments = blocks, self.freqs, operations, algorithms, selection
        self.out = empty_measures(len(operations), len(algorithms), len(self.freqs), len(blocks))

    def __call__(self):
        """Measure."""
        measure_into(self.out, *self.arguments)


def number(value):
    """Three significant digits, or all of a whole number beyond."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# Batches that each way is tried with, in samples; the best is taken.
BATCHES = (1 << 14, 1 << 16, 1 << 18)
# Beyond these sizes compiling takes minutes.
LARGEST = {"torch.compile": 16, "JAX": 32}


def ways(N):
    """Functions of blocks (T, N, N), T a multiple of 8: errors at all frequencies."""
    found = {
        "ours": lambda blocks: errors_by_frequency(blocks, range(2 * N - 1)),
        "NumPy argmax": rivals.numpy_argmax,
        "NumPy comparisons": rivals.numpy_compare,
        "numba loops": rivals.plain_numba,
        **rivals.torch_rivals(),
        **rivals.jax_rival(),
    }
    sketch = rivals.sketch_in_c(N)
    if sketch:
        found["C sketch"] = sketch
    return {name: way for name, way in found.items() if N <= LARGEST.get(name, N)}


def at_best(way, N):
    """A call of `way` on its best batch, and the number of blocks in that."""
    tried = []
    for samples in BATCHES:
        blocks = uniform(0, N, 0, max(16, samples // N**2))
        way(blocks)
        took = once(lambda blocks=blocks: way(blocks))
        tried.append((took / len(blocks), len(blocks), blocks))
        if took > 1:
            break
    _, count, blocks = min(tried, key=lambda each: each[0])
    return lambda: way(blocks), count


def against_rivals():
    """Microseconds a trial of every way, and ratios to ours."""
    rate = rivals.operations_a_second(seconds)
    found = {}
    for N in SIZES:
        few = uniform(0, N, 0, 16)
        calls, counts = {}, {}
        for name, way in ways(N).items():
            np.testing.assert_allclose(
                way(few), errors_by_frequency(few, range(2 * N - 1)), atol=1e-12
            )
            calls[name], counts[name] = at_best(way, N)
        blocks = blocks_of(N)
        T, out = len(blocks), empty_measures(1, 1, 2 * N - 1, len(blocks))
        calls |= {
            "sweep": Measuring(blocks, [POOL]),
            "draw": lambda N=N, T=T: uniform(0, N, 0, T),
            "both": lambda N=N, T=T, out=out: measure_into(
                out, uniform(0, N, 0, T), range(2 * N - 1), [POOL], ["asm"], "triangle"
            ),
        }  # fmt: skip
        times = in_turn(calls)
        found[N] = {name: 1e6 * time / counts.get(name, T) for name, time in times.items()}
        found[N]["floor"] = 1e6 * sum(rivals.operations(N).values()) / rate
    names = [name for name in found[SIZES[0]] if name not in ("sweep", "draw", "both", "floor")]
    shown = [*names, "sweep", "draw", "floor"]
    titles = {"ours": "ours, errors", "sweep": "ours, all metrics", "draw": "drawing"}
    lines = [
        [f"{N} x {N}, {2 * N - 1}", *(number(us[k]) if k in us else "-" for k in shown)]
        for N, us in found.items()
    ]
    times = table(["block, frequencies", *(titles.get(k, k) for k in shown)], lines)
    lines = [
        [f"{N} x {N}", *(f"{us[k] / us['ours']:.1f}" if k in us else "-" for k in names[1:]),
         f"{us['ours'] / us['floor']:.1f}", ASKED.get(N, "")]
        for N, us in found.items()
    ]  # fmt: skip
    headings = ["block", *names[1:], "ours / floor", "asked of NumPy argmax"]
    return times, table(headings, lines), found, rate


def ratios(found):
    """What was asked for at N = 8."""
    blocks, us = blocks_of(8), found[8]
    few = blocks[:3]
    slow = seconds(lambda: [rivals.notebook(b, n) for b in few for n in range(15)], 3) / len(few)
    for t, block in enumerate(few):
        ours = errors_by_frequency(few, range(15))[:, t]
        theirs = [rivals.notebook(block, n) for n in range(15)]
        np.testing.assert_allclose(theirs, ours, atol=1e-12)
    all_frequencies = range(15)
    times = in_turn({
        "all": lambda: errors_by_frequency(blocks, all_frequencies),
        "last but one": lambda: errors_by_frequency(blocks, [13]),
        "asm": Measuring(blocks, [POOL]),
        "apx": Measuring(blocks, [POOL], ("asm", "apx")),
        "relu": Measuring(blocks, [POOL, RELU]),
        "square": Measuring(blocks, [POOL], selection="square", freqs=range(15)),
    })  # fmt: skip
    threads = [one_and_two_threads(blocks) for _ in range(ROUNDS)]
    more = {name: 100 * (times[name] / times["asm"] - 1) for name in ("apx", "relu")}
    more["second"] = 100 * times["square"] / times["asm"]
    lines = [
        ["notebook's loops, us a trial", f"{1e6 * slow:,.0f}", ""],
        ["against the notebook", f"{1e6 * slow / us['ours']:,.0f} x", ">= 40,000 x"],
        ["15 frequencies / n = 13 alone", f"{times['all'] / times['last but one']:.2f}", "<= 1.9"],
        ["adding apx", f"+{more['apx']:.0f} %", "<= 15 %"],
        ["adding relu", f"+{more['relu']:.0f} %", "<= 45 %"],
        ["adding a second selection, square", f"+{more['second']:.0f} %", "<= 100 %"],
        ["kernel / counted floor", f"{us['sweep'] / us['floor']:.2f}", "<= 4"],
        ["drawing and kernel / kernel", f"{us['both'] / us['sweep']:.2f}", "<= 1.6"],
        ["2 threads / 1 thread, median", f"{statistics.median(threads):.2f}", ">= 1.8"],
        ["2 threads / 1 thread, range", f"{min(threads):.2f} .. {max(threads):.2f}", ""],
    ]
    return table(["N = 8, max_pool, asm, float64", "reached", "asked"], lines)


def one_and_two_threads(blocks):
    """How much more two threads measure in the same time."""

    def work(measuring):
        for _ in range(400):
            measuring()

    def run(count):
        measuring = [Measuring(blocks, [POOL]) for _ in range(count)]
        threads = [threading.Thread(target=work, args=(m,)) for m in measuring]

        def together():
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        return once(together)

    return 2 * run(1) / run(2)


def drawing_and_kernel():
    """Microseconds a trial of both at N = 8, one thread."""
    blocks = blocks_of(8)
    measuring, count = Measuring(blocks, [POOL]), len(blocks)
    times = in_turn({"draw": lambda: uniform(0, 8, 0, count), "measure": measuring})
    return 1e6 * sum(times.values()) / count


def where_it_goes(rate, found):
    """Phases of the kernel against the operations that they need."""
    needed = rivals.operations(8)
    took = phases(8, seconds)
    lines = [
        [name, f"{needed[name]:,}", f"{1e6 * needed[name] / rate:.3f}", f"{took[name]:.3f}",
         f"{took[name] / (1e6 * needed[name] / rate):.1f}"]
        for name in needed
    ]  # fmt: skip
    rest = found[8]["sweep"] - sum(took.values())
    lines.append(["between them, and around the kernel", "", "", f"{rest:.3f}", ""])
    return table(["phase at N = 8", "operations", "floor, us", "took, us", "took / floor"], lines)


def everything_else():
    """Every operation, algorithm and selection."""
    blocks = blocks_of(8)
    cases = {
        "max_pool, asm": Measuring(blocks, [POOL]),
        "max_pool, asm and apx": Measuring(blocks, [POOL], ("asm", "apx")),
        "max_pool_4": Measuring(blocks, [Operation("max_pool", 4)]),
        "min_pool": Measuring(blocks, [Operation("min_pool")]),
        "relu": Measuring(blocks, [RELU]),
        "relu, asm and apx": Measuring(blocks, [RELU], ("asm", "apx")),
        "leaky_relu": Measuring(blocks, [Operation("leaky_relu")]),
        "square, 8 frequencies": Measuring(blocks, [POOL], ("asm",), "square", range(8)),
        "zigzag, 64 frequencies": Measuring(blocks, [POOL], ("asm",), "zigzag", range(64)),
        "energy, 64 frequencies": Measuring(blocks, [POOL], ("asm",), "energy", range(64)),
    }
    lines = []
    for name, time in in_turn(cases).items():
        us = 1e6 * time / len(blocks)
        lines.append([name, f"{us:.3f}", f"{us / len(cases[name].freqs):.3f}"])
    return table(["N = 8, all metrics", "us a trial", "us a trial and frequency"], lines)


def machine():
    """Processor and versions, no host."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    packages = " ".join(f"{p} {version(p)}" for p in ("numpy", "numba", "dask", "zarr", "xarray"))
    return (
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores; "
        f"Python {platform.python_version()}, {packages}, {blas['name']} {blas['version']}."
    )


NOTES = """\
Measured while the kernel was written (AMD EPYC of 2022, AVX-512), so that nobody tries it again:

- Loops over lanes that LLVM vectorises by itself, arrays (sample, lane), 64 to 256 lanes: 1.15 us
  at N = 8 where vectors as values take 0.36 us. Beyond eight pointers LLVM gives up, and it checks
  all pairs of them before each loop of a few hundred lanes. With a higher limit
  (`-runtime-memory-check-threshold`) more loops were vectorised, and none got faster. Loops over
  fewer than 64 lanes, if their number is a constant, are unrolled whole and then not vectorised.
- 16 lanes in place of 8: 10 to 20 % faster up to N = 10 with AVX-512, 3 to 8 % slower beyond; with
  AVX2, whose registers they fill, 5 to 40 % slower. 4 lanes: 15 to 45 % slower.
- Four coefficients at a time in place of two: 8 % slower at N = 4 and 8, 6 to 14 % faster from 16.
- A table of products of two basis functions: 10 % faster at N = 16 and 32, 33 MB at N = 64.
- Adding all coefficients of a frequency in registers before anything is stored: twice as slow; the
  loops are short and of changing length, and branches are mispredicted.
- All lanes at once with AVX2: the choice in four windows kept 116 values in memory between its
  instructions, and took a third longer than one half of the lanes after the other.
- Quadrants interleaved sample by sample, as the planes are: a quarter to a third longer for adding
  coefficients at N = 16 and 32, since every fourth line of the cache is then used.
- Gaps between the arrays of the working set, so that they begin at other places of a page: nothing.
- numba's `inline="always"` for the helpers of a kernel: compiling took longer than with helpers
  that LLVM inlines (11.2 s against 9.6 on a slow machine; traced functions 5.1).
- Slices of the working set as arguments in place of row numbers: counting references took a fifth
  of the time at N = 4.
- Results rounded to float32 by the kernel itself, straight into the arrays of a unit: no gain. Its
  rows are a power of two apart and share their places in the cache.
- One more thread than cores: 6 % less time of sweeps that store, none of those that do not. A
  shorter switch interval, Dask's profiler off, blocks drawn into the same array each time: nothing
  that could be told from noise. Dask itself takes 1 ms a unit; the rest of a sweep is drawing, the
  kernel, and what storing takes: compressing, checksums and the files.
- The four writes of a unit gathered in one coroutine of zarr's loop: 2.6 ms of a core in place of
  3.5; without another thread 2.2. What did help is to encode and write whole chunks without the
  loop, and to read rows so: on a slower machine, where Dask alone takes 1.5 ms a unit, units of 100
  trials went from 10.2 to 6.8 ms stored, and from 6.6 to 4.6 ms with `store_trials=none`.
- Datasets summed up by one thread for each core: 1.3 times as fast, with 70 MiB more.
- All of malloc in one arena (`MALLOC_ARENA_MAX=1`): drawing took three times as long, since the
  states of two threads' generators then share a cache line.
- Files written in pieces of 1 MiB: 4 GB/s in place of 0.4 at first, but only while there were small
  pages that the machine had used before; a gigabyte later both were alike.
"""


def main():
    """Measure everything, print the page and write it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    trials = sys.argv[2:] or ["1e6", "1e7"]
    times, compared, found, rate = against_rivals()
    missing = [name for name in ("PyTorch", "JAX", "C sketch") if name not in found[SIZES[0]]]
    parts = [
        "# How fast, against what",
        f"`make bench` prints and writes this page. {machine()}",
        "Times are microseconds a trial, one thread, float64, medians of nine rounds in which the "
        "rivals take turns, each on its best batch of the same blocks. The C sketch "
        "(`benchmarks/sketch.c`) has the algorithm of ours for this one case, loops of constant "
        "length and neither ties nor metrics. The floor is the number of arithmetic operations "
        f"that the algorithm needs, counted, over the {rate / 1e9:.0f} billion a second that a "
        "compiled multiply-add loop reaches here with its numbers in registers."
        + "".join(f" {name} is not installed here." for name in missing),
        times,
        "Times of the others, in times ours:",
        compared,
        "## At N = 8",
        ratios(found),
        "## Where the kernel's time goes",
        where_it_goes(rate, found),
        "## Every operation, algorithm and selection",
        everything_else(),
        "## Compiling and starting",
        *sweeps.starting(),
        "## Whole sweeps",
        *sweeps.whole(trials, drawing_and_kernel),
        *units.shares(drawing_and_kernel),
        "## Reading",
        *reading.reading(),
        "## Small units and wide sweeps",
        *units.small(),
        "## Functions of the user's own",
        *functions.functions(),
        "## Object stores",
        *buckets.pages(),
        "## Image files",
        *files.pages(),
        "## What did not help",
        NOTES,
    ]
    page = "\n\n".join(parts)
    print(page)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "BENCHMARKS.md").write_text(page)


if __name__ == "__main__":
    main()
