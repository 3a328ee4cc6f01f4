"""What a plan costs: seconds of one core, files to be read, and bytes on a disk."""

from collections.abc import Iterator
from typing import NamedTuple

from pipeline.planning.entries import Source, last_frequency
from pipeline.planning.plan import Plan

# What a process takes beside its units (imports, cluster, store, table); measured on the defaults.
START_SECONDS = 1.5
# Size after compression over size before, measured on the default sweep.
_COMPRESSED = 0.56
# What a unit takes of memory, over the size of its results: 1.5, measured on the default sweep.
_TIMES_IN_MEMORY = 1.5
# The rest is for the program itself, 0.2 GB a process, and decoded files.
_SHARE_FOR_UNITS = 0.5
# So many decoded files a worker keeps, unless they are huge: of no more each is decoded once.
_KEPT_FILES = 32
# What helps where a sweep does not fit on a disk.
SPACE_REMEDY = (
    "keep fewer trials, store_trials=none or a number (the ledger has every unit's moments); lower "
    "trials; or choose another disk with results=... or out=..."
)


class Reading(NamedTuple):
    """What a plan reads of files: how many files, how often one is decoded, bytes, seconds.

    `size` is what all decodings together read, `seconds` what they take one core.
    """

    files: int
    decodings: float
    size: float
    seconds: float


def stored_bytes(plan: Plan) -> int:
    """Bytes of all errors, mask accuracies and regrets that are kept, uncompressed."""
    kept = sum(plan.kept_of(trials) for row in plan.cell_trials for trials in row)
    return 4 * plan.values_per_trial * kept


def written_bytes(plan: Plan, share: float) -> float:
    """Bytes on a disk, compressed, of a share (0 .. 1) of a plan's trials."""
    return stored_bytes(plan) * _COMPRESSED * share


def fitting_unit(plan: Plan, memory: int, threads: int) -> int:
    """How many trials a unit may have, a power of two, so that one for each thread fits."""
    each = _TIMES_IN_MEMORY * 4 * plan.values_per_trial * threads
    return 1 << max(0, int(memory * _SHARE_FOR_UNITS / each).bit_length() - 1)


def reading(plan: Plan) -> Reading:
    """The files that are decoded, each for each unit that it has blocks in."""
    # Sources of other qualities have the same files.
    files = {source.content: source.files for source in plan.sources if source.files}
    passes = [(source, _passes(plan, source, *cell)) for source, *cell in _cells(plan)]
    decoded = sum(source.files * times for source, times in passes)
    return Reading(
        sum(files.values()),
        decoded / max(sum(files.values()), 1),
        sum(source.size * times for source, times in passes),
        sum(source.decoding * times for source, times in passes),
    )


def core_seconds(plan: Plan) -> float:
    """Seconds that one core is estimated to take for every unit, without start-up.

    Within a factor of 2; fitted to what `make bench` prints on a server core of 2022.  Each
    product of the reconstruction takes 0.07 ns and each of the transform 0.15 ns, each sample that
    is measured 0.2 ns, each number that is stored 10 ns; drawing and decoding take what a source
    says.
    """
    total = 10e-9 * stored_bytes(plan) / 4 + reading(plan).seconds
    for source, size, trials in _cells(plan):
        samples = size * size
        each = source.seconds * samples
        for selection in plan.selections:
            last = last_frequency(selection, size)
            steps = sum(1 for n in plan.freqs if n <= last) + 1
            each += 0.07e-9 * samples * samples / 4 + 0.15e-9 * samples * size
            each += 0.2e-9 * samples * steps * len(plan.operations)
        total += trials * each
    return total


def _cells(plan: Plan) -> Iterator[tuple[Source, int, int]]:
    """Source, block size and trials of each cell."""
    for source, row in zip(plan.sources, plan.cell_trials, strict=True):
        for size, trials in zip(plan.block_sizes, row, strict=True):
            yield source, size, trials


def _passes(plan: Plan, source: Source, size: int, trials: int) -> float:
    """How often each file of a source is decoded for a cell, on average."""
    if not source.files or source.tiles is None:
        return 0.0
    if not source.is_spread(size):
        # In their own order: two units that share a file find it kept.
        return trials / source.tiles[size].count
    each = min(plan.unit_trials, trials)
    units = 1.0 if source.files <= _KEPT_FILES else trials / each
    # Each unit has blocks of all files, or one of each where it has fewer trials.
    return units * min(1.0, each / source.files)
