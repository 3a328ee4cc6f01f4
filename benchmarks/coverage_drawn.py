"""How often the 95 % interval holds the mean of drawn blocks, and writes it down.

`python benchmarks/coverage_drawn.py [FOLDER] [TRIALS]`.

Every drawn source in conf/source, max pooling and ReLU, ASM and APX, 8 x 8 blocks, n = 6 and 13, at
200, 1,000 and 10,000 trials.  The page goes to FOLDER/COVERAGE.md (results), from TRIALS blocks of
each source (2e7, about five minutes on one core).
"""

import itertools
import sys
from pathlib import Path

import numpy as np
from scipy.stats import t
from timing import table

import asm_core
from asm_core import Operation
from asm_core.moments import MOMENTS, add_moments, moments_of
from pipeline.analysis.curves import statistics
from pipeline.config import entries
from pipeline.sources import kinds

COUNTS = (200, 1000, 10_000)
SIZE, FREQS = 8, (6, 13)
OPERATIONS = {"max pooling": Operation("max_pool"), "ReLU": Operation("relu")}
ALGORITHMS = ("asm", "apx")
_BATCH = 20_000


def drawn_sources():
    """All of conf/source that are drawn at random."""
    for name in entries.names("source"):
        entry = entries.entry("source", name)
        if kinds.KINDS[entry["kind"]].inspect is None:
            yield kinds.resolve(name, entry, [SIZE])[0]


def moments_by_sample(source, freqs, trials):
    """Moments of the smallest samples, (samples, operations, algorithms, freqs, moment)."""
    parts = []
    for first in range(0, trials, _BATCH):
        blocks = kinds.draw(source, 0, SIZE, first, _BATCH)
        errors = asm_core.measure(blocks, freqs, list(OPERATIONS.values()), ALGORITHMS).error
        errors = errors.astype(np.float32).reshape(*errors.shape[:-1], -1, COUNTS[0])
        parts.append(np.moveaxis(moments_of(errors), -2, 0))
    return np.concatenate(parts)


def misses(samples, count, truth):
    """Shares of samples of `count` trials whose interval lies above the truth, and below it.

    Of Student's t first, then ours: (interval, side, operations, algorithms, freqs).
    """
    each = count // COUNTS[0]
    parts = samples.reshape(-1, each, *samples.shape[1:]).swapaxes(0, 1)
    numbers = statistics({"error": add_moments(parts)})
    half = t.ppf(0.5 + 0.95 / 2, count - 1) * numbers["standard_error"]
    mean = numbers["mean_error"]
    ends = [(mean - half, mean + half), (numbers["ci_low"], numbers["ci_high"])]
    return np.array(
        [[(low > truth).mean(axis=0), (high < truth).mean(axis=0)] for low, high in ends]
    )


def points(freqs, trials):
    """Of each curve point its name, its skewness, and misses in % (count, interval, side)."""
    for source in drawn_sources():
        samples = moments_by_sample(source, freqs, trials)
        total = dict(zip(MOMENTS, np.moveaxis(add_moments(samples), -1, 0), strict=True))
        missed = np.array([100 * misses(samples, count, total["mean"]) for count in COUNTS])
        for place in np.ndindex(total["mean"].shape):
            # Nothing can be said of a point where every error is 0.
            if total["max"][place]:
                (o, a, f), m2, m3 = place, total["M2"][place], total["M3"][place]
                name = (
                    f"{source.name}, {list(OPERATIONS)[o]}, {ALGORITHMS[a].upper()}, n = {freqs[f]}"
                )
                yield name, trials**0.5 * m3 / m2**1.5, missed[..., o, a, f]


def summary(found, trials):
    """Least and most coverage, at each number of trials."""
    lines = []
    for k, count in enumerate(COUNTS):
        samples = trials // count
        held = np.array([100 - missed[k].sum(axis=-1) for _, _, missed in found])
        spans = [f"{each.min():.1f} to {each.max():.1f}" for each in held.T]
        lines.append(
            [f"{count:,}", f"{samples:,}", *spans, f"{100 * (0.95 * 0.05 / samples) ** 0.5:.2f}"]
        )
    return table(["trials", "samples", "Student's t, %", "ours, %", "error of a share, %"], lines)


def every_point(found):
    """Coverage and misses of each curve point."""
    headings = [f"{name}, {count:,}" for count in COUNTS for name in ("t", "ours")]
    lines = [
        [name, f"{skewness:.1f}"]
        + [f"{100 - sum(m):.1f} ({m[0]:.1f} / {m[1]:.1f})" for m in missed.reshape(-1, 2)]
        for name, skewness, missed in found
    ]
    return table(["", "skewness", *headings], lines)


def where_it_ends(found):
    """Least and most coverage at the smallest number of trials, by skewness."""
    edges = [0, 2, 4, 6, 8, 10, 15, 20, np.inf]
    lines = []
    for low, high in itertools.pairwise(edges):
        held = [100 - m[0].sum(axis=-1) for _, skewness, m in found if low <= abs(skewness) < high]
        if held:
            spans = [f"{min(each):.1f} to {max(each):.1f}" for each in zip(*held, strict=True)]
            lines.append([f"{low} to {high}", len(held), *spans])
    return table(["skewness", "curve points", "Student's t, %", "ours, %"], lines)


PREFACE = """\
The share of samples, in %, whose 95 % interval holds the mean. "Ours" is Student's t with Hall's
transformation for skewed values (`asm_core.intervals`), which every summary, table and picture
shows. Independent 8 x 8 blocks of every drawn source, max pooling and ReLU, ASM and APX, n = 6 and
13; curve points whose errors are all 0 are left out. The mean is that of all {trials:,} blocks of a
source, whose own standard error is {own:.1f} % of that of a sample of {most:,}."""
BY_POINT = """\
In brackets, the shares whose interval lies above the mean and below it; 2.5 each would be right."""
ENDS = """\
At {least} trials and every n from 0 to 13, by the skewness of the errors. The more skewed they are,
the fewer samples have any of the rare large errors, or any error at all, and no function of a
sample's moments can make up for that. With more trials skewness may be larger, in proportion to
the root of their number."""


def main():
    """Draw, measure, print the page and write it."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    trials = int(float(sys.argv[2])) if len(sys.argv) > 2 else 20_000_000
    if trials % (10 * _BATCH):
        sys.exit(f"TRIALS must be a multiple of {10 * _BATCH:,}, got {trials:,}")
    found = list(points(FREQS, trials))
    own = 100 * (COUNTS[-1] / trials) ** 0.5
    page = "\n\n".join(
        [
            "# How often the 95 % interval holds",
            "`python benchmarks/coverage_drawn.py` prints and writes this page.",
            PREFACE.format(trials=trials, own=own, most=COUNTS[-1]),
            summary(found, trials),
            "## Where it ends to hold",
            ENDS.format(least=COUNTS[0]),
            where_it_ends(list(points(range(2 * SIZE - 2), trials // 10))),
            "## Every curve point",
            BY_POINT,
            every_point(found),
        ]
    )
    print(page)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "COVERAGE.md").write_text(page + "\n")


if __name__ == "__main__":
    main()
