"""Summing up and comparing stores: seconds, bytes a second, memory; processes of their own."""

import statistics
import sys
from pathlib import Path
from time import perf_counter

from timing import folder, process, table

from pipeline import compare, open_results, summarize

# What is read: the variables of a store of 1e7 trials, or the ledger of one of 1e8.
ROWS = {
    "summarize(PATH)": ("1e8", []),
    "summarize(dataset)": ("1e7", ["error", "mask_accuracy", "regret"]),
    'compare(dataset, "algorithm", "asm", "apx")': ("1e7", ["error"]),
}
_RUNS = 3


def reading():
    """The page's part: it writes stores of 1.4 GB, and removes them."""
    with folder() as path:
        words = "-m", "pipeline", "sweep"
        process(*words, "trials=1e8", "store_trials=none", f"out={path}/1e8")
        process(*words, "trials=1e7", "algorithm=asm,apx", f"out={path}/1e7")
        lines = []
        for name, (trials, variables) in ROWS.items():
            runs = []
            for _ in range(_RUNS):
                _, said = process(__file__, name, f"{path}/{trials}")
                runs.append([float(number) for number in said.split()[-4:]])
            taken, size, base, peak = (
                statistics.median(column) for column in zip(*runs, strict=True)
            )
            rate = f"{size / 1e6 / taken:.0f}" if variables else ""
            lines.append(
                [f"`{name}`", trials, f"{taken:.2f}", rate, f"{peak - base:.0f}", f"{peak:.0f}"]
            )
    headings = ["", "trials", "seconds", "MB/s", "MiB beyond imports", "peak MiB"]
    return (
        f"Once the process is up (medians of {_RUNS}); bytes are those of the variables that are "
        "needed, uncompressed:",
        table(headings, lines),
    )


def _peak():
    # Not by getrusage, which counts the parent, whose copy a process begins as.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main(name, path):
    """One of the rows, in this process: seconds, bytes, MiB of the imports and of the peak."""
    base, dataset = _peak(), open_results(path)
    calls = {
        "summarize(PATH)": lambda: summarize(path),
        "summarize(dataset)": lambda: summarize(dataset),
        'compare(dataset, "algorithm", "asm", "apx")': lambda: compare(
            dataset, "algorithm", "asm", "apx"
        ),
    }
    size = sum(dataset[variable].nbytes for variable in ROWS[name][1])
    began = perf_counter()
    calls[name]()
    print(perf_counter() - began, size, base, _peak(), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
