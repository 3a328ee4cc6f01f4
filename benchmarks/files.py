"""Image files: how long planning takes, and units against bare decoding and the kernel.

`python benchmarks/files.py [PHOTOGRAPHS] [SMALL]`: so many JPEG files of 1024 x 768 (2,000) and of
64 x 64 (100,000) are written into the working folder and removed at the end.
"""

import io
import itertools
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jpeglib
import numpy as np
from PIL import Image
from timing import folder as scratch
from timing import once, process, table

from asm_core import Operation, empty_measures, measure_into
from pipeline.config import compose
from pipeline.planning.plan import make_plan
from pipeline.run import rounds
from pipeline.sources import kinds

THREADS = 2
# Files that are different; the others are copies with a number behind their end.
_DIFFERENT = 50
# Files that units are measured with, of each kind.
_MEASURED = 341
_RUNS = 3
# Sweeps, each followed by what it is compared with, for its neighbours on the machine change.
_ROUNDS = 5
# Where what was found of files is kept.
_CACHE = "ASM_SWEEP_CACHE_DIR"


def photograph(number, height=768, width=1024):
    """Slopes, waves and noise in three channels."""
    random = np.random.default_rng(number)
    i, j = np.mgrid[:height, :width]
    waves = [np.sin(i / (50 + number) + c) + np.cos(j / (70 + c)) for c in range(3)]
    noisy = [128 + 60 * wave + random.normal(0, 9, (height, width)) for wave in waves]
    return Image.fromarray(np.stack(noisy, axis=-1).clip(0, 255).astype(np.uint8))


def write_many(folder, count, height, width):
    """So many JPEG files, all with another content."""
    folder.mkdir()
    contents = []
    for number in range(min(count, _DIFFERENT)):
        buffer = io.BytesIO()
        photograph(number, height, width).save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    for number, content in zip(range(count), itertools.cycle(contents)):
        # Without JFIF's segment: jpeglib, left to itself, lets threads share what it reads of it.
        (folder / f"{number:08d}.jpg").write_bytes(content[:2] + content[20:] + b"%08d" % number)


def words(kind, folder):
    """The words of a sweep of a folder."""
    return [f"source={kind}", f"source.{kind}.path={folder}"]


def planning(folder, kind):
    """Seconds to plan: the first time and again, beyond imports and as a whole command."""
    settings = compose.load(words(kind, folder))
    alone, whole = [], []
    for number in range(_RUNS):
        cache = f"{folder}.{kind}.{number}"
        os.environ[_CACHE] = cache
        alone.append([once(lambda: make_plan(settings, kinds.resolve)) for _ in range(2)])
        arguments = ("-m", "pipeline", "plan", *words(kind, folder))
        whole.append([process(*arguments, **{_CACHE: cache + ".whole"})[0] for _ in range(2)])
    return np.min(alone, axis=0), np.min(whole, axis=0)


def units(folder, kind, decode):
    """Seconds of a sweep's units, of bare decoding, and of that with the kernel, by round."""
    os.environ[_CACHE] = f"{folder}.cache"
    settings = compose.load(
        [*words(kind, folder), "trials=all", "store_trials=none", f"results={folder}.stores"]
    )
    paths, times = sorted(folder.iterdir()), []
    for number in range(_ROUNDS):
        placed = compose.load([*settings.words(), f"out={folder}.{kind}.{number}.zarr"])
        plan = make_plan(placed, kinds.resolve)
        outcome = rounds.execute(placed, plan, rounds.SilentObserver())
        assert not outcome.failures
        trials = plan.trials // len(paths)
        both = bare(paths, decode, trials)
        times.append((outcome.seconds, bare(paths, decode, 0), both))
    return np.array(times)


def bare(paths, decode, trials):
    """Seconds that the threads take to decode files, and to measure as many blocks of each."""
    blocks = np.random.default_rng(0).random((2048, 8, 8))

    def work(some):
        out = empty_measures(1, 1, 15, len(blocks))
        for path in some:
            decode(path)
            for start in range(0, trials, len(blocks)):
                few = blocks[: min(len(blocks), trials - start)]
                measure_into(out, few, range(15), [Operation("max_pool")], ["asm"], "triangle")

    def together():
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(work, [paths[k::THREADS] for k in range(THREADS)]))

    return once(together)


def pixels(path):
    """What Pillow takes to decode a file to luma."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L"))


def coefficients(path):
    """What jpeglib takes to read the coefficients of a file."""
    return jpeglib.read_dct(str(path)).Y


def of_units(folder):
    """A table: units against decoding and kernel."""
    jpegs, pngs = folder / "jpegs", folder / "pngs"
    write_many(jpegs, _MEASURED, 768, 1024)
    pngs.mkdir()
    for path in sorted(jpegs.iterdir()):
        with Image.open(path) as image:
            image.save(pngs / f"{path.stem}.png", compress_level=1)
    cases = {
        "JPEG": (jpegs, "images", pixels), "PNG": (pngs, "images", pixels),
        "JPEG coefficients": (jpegs, "jpeg", coefficients),
    }  # fmt: skip
    lines = []
    for name, case in cases.items():
        times = 1e3 * units(*case) / _MEASURED
        ratio = np.median(times[:, 0] / times[:, 2])
        lines.append([name, *(f"{time_:.1f}" for time_ in times.min(axis=0)), f"{ratio:.2f}"])
    return table(
        [
            "",
            "units, ms a file",
            "decoding alone",
            "decoding + kernel",
            "median ratio (asked: 1.3)",
        ],
        lines,
    )


def of_planning(folder, photographs, small):
    """A table: seconds to plan many files."""
    lines = []
    for count, side, asked in ((photographs, (768, 1024), (1, 0.5)), (small, (64, 64), (20, 5))):
        place = folder / f"many{count}"
        write_many(place, count, *side)
        # What was written within two seconds is not kept.
        time.sleep(2.5)
        for kind in ("images", "jpeg"):
            alone, whole = planning(place, kind)
            for time_, command, limit, when in zip(
                alone, whole, asked, ("first", "again"), strict=True
            ):
                name = f"{count:,} of {side[1]} x {side[0]}, {kind}, {when}"
                lines.append([name, f"{time_:.2f}", f"{command:.2f}", f"<= {limit}"])
    return table(["files", "planning, s", "whole `plan`, s", "asked of planning"], lines)


def pages(photographs=2000, small=100_000):
    """Paragraphs for the page."""
    with scratch() as path:
        folder = Path(path)
        planned = of_planning(folder, photographs, small)
        measured = of_units(folder)
    return (
        "Planning reads the heads and hashes the contents of files that are new; of the others "
        "what was found is kept. JPEG files, minima of "
        f"{_RUNS}, beyond start and imports of Python, and as a command:",
        planned,
        f"Units of sweeps that keep no trials, {_MEASURED} files of 1024 x 768, all tiles of "
        f"8 x 8, against {THREADS} threads that decode the same files with Pillow or jpeglib, and "
        "measure as many blocks from memory:",
        measured,
    )


if __name__ == "__main__":
    print("\n\n".join(pages(*(int(float(word)) for word in sys.argv[1:]))))
