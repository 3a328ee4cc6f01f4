"""The notebook's worked example: one block through exact and approximated masking."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asm_core
from pipeline import config, sources
from pipeline.exceptions import UserError
from pipeline.plan import make_plan


@dataclass(frozen=True)
class Example:
    """Matrices of one block under one operation, and what they say."""

    title: str
    matrices: dict[str, NDArray[Any]]
    lines: list[str]


def work_out(settings: config.Config, freq: int, trial: int) -> Example:
    """Block `trial` of the configured source, with `freq` spatial frequencies kept.

    Raises
    ------
    UserError
        Where the configuration names more than one block, or the source has no such trial.
    """
    settings.trials = [trial + 1]
    plan = make_plan(settings, sources.resolve)
    for key, values in (
        ("source", plan.sources),
        ("block_size", plan.block_sizes),
        ("operation", plan.operations),
        ("selection", plan.selections),
    ):
        if len(values) > 1:
            raise UserError(f"example shows one block: choose one {key}, {len(values)} are given")
    source, size, operation = plan.sources[0], plan.block_sizes[0], plan.operations[0]
    selection = plan.selections[0]
    block = sources.draw(source, plan.seed, size, trial, 1)[0]
    approximate = asm_core.approximate(asm_core.block_dct(block), freq, selection)
    if operation.kind == "max_pool":
        true_mask = asm_core.local_maximum_mask(block, operation.window)
        mask = asm_core.local_maximum_mask(approximate, operation.window)
        exact = asm_core.max_pool(block, operation.window)
        result = asm_core.masked_max_pool(block, mask, operation.window)
        direct = asm_core.max_pool(approximate, operation.window)
        right, of, what = int((true_mask & mask).sum()), exact.size, "windows"
    else:
        true_mask = asm_core.nonnegative_mask(block)
        mask = asm_core.nonnegative_mask(approximate)
        exact = asm_core.relu(block)
        result = asm_core.masked_relu(block, mask)
        direct = asm_core.relu(approximate)
        right, of, what = int((true_mask == mask).sum()), block.size, "signs"
    kept = asm_core.coefficients_kept(size, freq, selection)
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
        lines=[
            f"mask:      {right} of {of} {what} right",
            f"ASM error: {float(asm_core.rmse(result, exact)):.6f} (RMSE)",
            f"APX error: {float(asm_core.rmse(direct, exact)):.6f} (RMSE)",
        ],
    )
