"""What a plan costs: seconds of a core, bytes of memory and of disk."""

import shutil
from pathlib import Path

from asm_core import validate
from pipeline.errors import UserError
from pipeline.plan.plan import Plan

# Imports, cluster, store and table of a whole process, measured for the default sweep.
START_SECONDS = 1.5
# Of what is stored after compression: 0.56 of the default sweep's numbers are left.
_COMPRESSED = 0.56


def stored_values(plan: Plan) -> int:
    """Errors, mask accuracies and regrets of one trial of a cell."""
    return plan.curve_points + 2 * (plan.curve_points // len(plan.algorithms))


def stored_bytes(plan: Plan) -> int:
    """Size of all errors, mask accuracies and regrets that are kept, uncompressed."""
    kept = sum(
        trials if plan.keep is None else min(trials, plan.keep)
        for row in plan.cell_trials
        for trials in row
    )
    return 4 * stored_values(plan) * kept


def core_seconds(plan: Plan) -> float:
    """Estimated time of one core for everything, without start-up.

    Fitted to what `make bench` prints on a server core of 2022, within a factor of 2: 0.07 ns a
    product of the reconstruction, 0.15 ns one of the transform, 0.2 ns a sample measured, 10 ns a
    number stored, and what drawing takes.
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


def free_bytes(path: str) -> int | None:
    """Free space of the disk on which a store is or will be; None where nothing tells."""
    if "://" in path:
        return None
    folder = Path(path).absolute()
    while not folder.exists():
        folder = folder.parent
    disk = shutil.disk_usage(folder)
    # What has no size, as /proc, is no disk.
    return disk.free if disk.total else None


def check_space(plan: Plan, path: str, share: float) -> None:
    """Refuse a plan of which a share is still to be written and does not fit on the disk.

    Raises
    ------
    UserError
        With the three ways out.
    """
    free = free_bytes(path)
    needed = stored_bytes(plan) * _COMPRESSED * share
    if free is not None and needed > free:
        raise UserError(
            f"the sweep will write about {in_bytes(needed)} and {path} has {in_bytes(free)} free: "
            "keep fewer trials, store_trials=none or a number (the ledger has every unit's "
            "moments); lower trials; or choose another disk with results=... or out=..."
        )


def in_bytes(count: float) -> str:
    """A number of bytes, for people."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
