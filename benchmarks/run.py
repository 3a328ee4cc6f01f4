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
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import rivals
import sweeps
from phases import phases
from timing import ROUNDS, in_turn, once, seconds, table

from asm_core import Operation, empty_measures, errors_by_frequency, measure_into
from asm_core.sources import uniform

SIZES = (4, 8, 16, 32, 64)
# What was asked for against batched NumPy and BLAS, by block size.
ASKED = {4: 15, 8: 15, 16: 8, 32: 4, 64: 2}
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


def against_rivals():
    """Microseconds a trial of everything, and the ratios that were asked for."""
    rate = rivals.operations_a_second(seconds)
    lines, found = [], {}
    for N in SIZES:
        blocks = blocks_of(N)
        T, freqs = len(blocks), range(2 * N - 1)
        ours = errors_by_frequency(blocks, freqs)
        for rival in (rivals.numpy_argmax, rivals.numpy_compare):
            np.testing.assert_allclose(rival(blocks), ours, atol=1e-12)
        out = empty_measures(1, 1, len(freqs), T)
        times = in_turn({
            "argmax": lambda blocks=blocks: rivals.numpy_argmax(blocks),
            "compare": lambda blocks=blocks: rivals.numpy_compare(blocks),
            "ours": lambda blocks=blocks, freqs=freqs: errors_by_frequency(blocks, freqs),
            "sweep": Measuring(blocks, [POOL]),
            "draw": lambda N=N, T=T: uniform(0, N, 0, T),
            "both": lambda N=N, T=T, out=out, freqs=freqs: measure_into(
                out, uniform(0, N, 0, T), freqs, [POOL], ["asm"], "triangle"
            ),
        })  # fmt: skip
        us = {name: 1e6 * time / T for name, time in times.items()}
        us["floor"] = 1e6 * sum(rivals.operations(N).values()) / rate
        found[N] = us
        ratio = us["argmax"] / us["ours"]
        lines.append([
            f"{N} x {N}, {len(freqs)}", number(us["argmax"]), number(us["compare"]),
            number(us["ours"]), number(us["sweep"]), number(us["draw"]), number(us["floor"]),
            f"{ratio:.1f} x (asked {ASKED[N]})", f"{us['compare'] / us['ours']:.1f} x",
            f"{us['sweep'] / us['floor']:.1f}",
        ])  # fmt: skip
    headings = [
        "block, frequencies", "NumPy + BLAS, argmax", "NumPy + BLAS, comparisons", "ours, errors",
        "ours, all metrics", "drawing", "floor", "argmax / ours", "comparisons / ours",
        "ours / floor",
    ]  # fmt: skip
    return table(headings, lines), found, rate


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
        "last": lambda: errors_by_frequency(blocks, [14]),
        "last but one": lambda: errors_by_frequency(blocks, [13]),
        "asm": Measuring(blocks, [POOL]),
        "apx": Measuring(blocks, [POOL], ("asm", "apx")),
        "relu": Measuring(blocks, [POOL, RELU]),
    })  # fmt: skip
    threads = [one_and_two_threads(blocks) for _ in range(ROUNDS)]
    more = {name: 100 * (times[name] / times["asm"] - 1) for name in ("apx", "relu")}
    lines = [
        ["notebook's loops, us a trial", f"{1e6 * slow:,.0f}", ""],
        ["against the notebook", f"{1e6 * slow / us['ours']:,.0f} x", ">= 40,000 x"],
        ["against NumPy + BLAS, argmax", f"{us['argmax'] / us['ours']:.1f} x", ">= 15 x"],
        ["15 frequencies / n = 14 alone", f"{times['all'] / times['last']:.2f}", "<= 4"],
        ["15 frequencies / n = 13 alone", f"{times['all'] / times['last but one']:.2f}", ""],
        ["adding apx", f"+{more['apx']:.0f} %", "<= 50 %"],
        ["adding relu", f"+{more['relu']:.0f} %", "<= 50 %"],
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
    rest = found[8]["ours"] - sum(took.values())
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
- Slices of the working set as arguments in place of row numbers: counting references took a fifth
  of the time at N = 4.
- Results rounded to float32 by the kernel itself, straight into the arrays of a unit: no gain. Its
  rows are a power of two apart and share their places in the cache.
- One more thread than cores: 6 % less time of sweeps that store, none of those that do not. A
  shorter switch interval, Dask's profiler off, blocks drawn into the same array each time: nothing
  that could be told from noise. Dask itself takes 4 ms a unit; the rest of a sweep is drawing, the
  kernel, and what storing takes: compressing, checksums and the files.
- All of malloc in one arena (`MALLOC_ARENA_MAX=1`): drawing took three times as long, since the
  states of two threads' generators then share a cache line.
- Files written in pieces of 1 MiB: 4 GB/s in place of 0.4 at first, but only while there were small
  pages that the machine had used before; a gigabyte later both were alike.
"""


def main():
    """Measure everything, print the page and write it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    trials = sys.argv[2:] or ["1e6", "1e7"]
    compared, found, rate = against_rivals()
    parts = [
        "# How fast, against what",
        f"`make bench` prints and writes this page. {machine()}",
        "Times are microseconds a trial, one thread, medians of nine rounds in which the rivals "
        "take turns on the same blocks. The floor is the number of arithmetic operations that the "
        f"algorithm needs, counted, over the {rate / 1e9:.0f} billion a second that a compiled "
        "multiply-add loop reaches here with its numbers in registers.",
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
        "## What did not help",
        NOTES,
    ]
    page = "\n\n".join(parts)
    print(page)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "BENCHMARKS.md").write_text(page)


if __name__ == "__main__":
    main()
