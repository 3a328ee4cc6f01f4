"""What a plan costs: seconds of one core, and bytes on a disk."""

from asm_core import validate
from pipeline.plan.plan import Plan

# What a process takes beside its units (imports, cluster, store, table); measured on the defaults.
START_SECONDS = 1.5
# Size after compression over size before, measured on the default sweep.
_COMPRESSED = 0.56


def stored_bytes(plan: Plan) -> int:
    """Bytes of all errors, mask accuracies and regrets that are kept, uncompressed."""
    kept = sum(plan.kept_of(trials) for row in plan.cell_trials for trials in row)
    return 4 * plan.values_per_trial * kept


def written_bytes(plan: Plan, share: float) -> float:
    """Bytes on a disk, compressed, of a share (0 .. 1) of a plan's trials."""
    return stored_bytes(plan) * _COMPRESSED * share


def core_seconds(plan: Plan) -> float:
    """Seconds that one core is estimated to take for every unit, without start-up.

    Within a factor of 2; fitted to what `make bench` prints on a server core of 2022.  Each
    product of the reconstruction takes 0.07 ns and each of the transform 0.15 ns, each sample that
    is measured 0.2 ns, each number that is stored 10 ns; drawing takes what its source says.
    """
    total = 10e-9 * stored_bytes(plan) / 4
    for source, row in zip(plan.sources, plan.cell_trials, strict=True):
        for size, trials in zip(plan.block_sizes, row, strict=True):
            samples = size * size
            each = source.seconds * samples
            for selection in plan.selections:
                last = validate.last_frequency(size, selection.kind)
                steps = sum(1 for n in plan.freqs if n <= last) + 1
                each += 0.07e-9 * samples * samples / 4 + 0.15e-9 * samples * size
                each += 0.2e-9 * samples * steps * len(plan.operations)
            total += trials * each
    return total
