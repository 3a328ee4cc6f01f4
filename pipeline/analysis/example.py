"""The notebook's worked example: one block through exact and approximated masking."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asm_core
from pipeline.errors import UserError
from pipeline.plan.axes import CELL, MASK_CURVE
from pipeline.plan.plan import make_plan
from pipeline.plan.settings import AUTO, Settings
from pipeline.sources import kinds


@dataclass(frozen=True)
class Example:
    """One block under one operation: matrices by name, and lines with accuracy and errors."""

    title: str
    matrices: dict[str, NDArray[Any]]
    lines: list[str]


def work_out(settings: Settings, freq: int, trial: int) -> Example:
    """Block `trial` of the configured source, with `freq` spatial frequencies kept.

    Raises
    ------
    UserError
        Where the configuration names more than one block, or the source has no such trial.
    """
    # Every tile of a stored source, in their natural order.
    shown = dataclasses.replace(settings, trials=AUTO, precision=None, freqs=(freq,))
    plan = make_plan(shown, kinds.resolve)
    for axis in (*CELL, *MASK_CURVE):
        if len(plan.labels[axis]) > 1:
            raise UserError(
                f"example shows one block: choose one {axis}, {len(plan.labels[axis])} are given"
            )
    source, size, operation = plan.sources[0], plan.block_sizes[0], plan.operations[0]
    selection = plan.selections[0]
    if source.available and trial >= source.available[size]:
        raise UserError(
            f"trial={trial} is not among the {source.available[size]} blocks of {size} x {size} "
            f"that source {source.name} has: use at most {source.available[size] - 1}"
        )
    ranks = asm_core.frequency_rank(size, selection.kind, **selection.parameters)
    blocks, known = kinds.draw_pair(source, plan.seed, size, trial, 1)
    block = blocks[0]
    spectrum = asm_core.block_dct(block) if known is None else known[0]
    approximate = asm_core.approximate(spectrum, freq, ranks)
    measured = asm_core.Operation(operation.kind, **operation.parameters)
    true_mask, mask = measured.mask(block), measured.mask(approximate)
    exact, result = measured.exact(block), measured.masked(block, mask)
    one = asm_core.measure(blocks, [freq], [measured], selection=ranks, coefficients=known)
    kept = asm_core.coefficients_kept(size, freq, ranks)
    lines = [
        f"mask:      {100 * float(one.mask_accuracy.item()):.1f} % right",
        f"ASM error: {float(asm_core.rmse(result, exact)):.6f} (RMSE)",
        f"APX error: {float(asm_core.rmse(measured.exact(approximate), exact)):.6f} (RMSE)",
    ]
    return Example(
        title=f"{operation.name}, {source.name} block {trial} of seed {plan.seed}, {size} x {size},"
        f" n = {freq} ({kept} of {size * size} coefficients)",
        matrices={
            "exact block": block,
            "approximate block": approximate,
            "true mask": true_mask.astype(np.float64),
            "approximate mask": mask.astype(np.float64),
            f"true {operation.name}": exact,
            f"approximate {operation.name} (ASM)": result,
        },
        lines=lines,
    )
