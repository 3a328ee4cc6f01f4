"""What an algorithm of the user's own costs beside the time that its function takes.

`python benchmarks/functions.py` prints the section; `make bench` has it in the page.
"""

import sys
from pathlib import Path

from timing import in_turn, table

from asm_core import Batch, block_dct
from pipeline.config import compose
from pipeline.functions.resolving import load
from pipeline.run import worker
from pipeline.run.choices import operations_of, ranks_of
from pipeline.run.planned import plan_of
from pipeline.sources import kinds

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))

_TRIALS = 1 << 14
_ROUNDS = 7
_FUNCTIONS = {
    "soft_max_pool": ("temperature=0.05",),
    "apx_with_offset": (),
    "conditional_mean": (),
}
_FREQS = "freqs=0..14"


def _plan(*words):
    return plan_of(compose.load([_FREQS, f"trials={_TRIALS}", *words]))


def _alone(plan):
    """The function on the batches of a unit, at every n, and nothing else."""
    [choice] = (each for each in plan.algorithms if each.function)
    function = load(choice.function)
    [source], [size], [ranks] = plan.sources, plan.block_sizes, ranks_of(plan, plan.block_sizes[0])
    [operation] = operations_of(plan)
    blocks = kinds.draw(source, plan.seed, size, 0, plan.trials)
    step = worker._SAMPLES_PER_BATCH // size**2
    batches = [
        Batch(part, block_dct(part), ranks <= n, operation)
        for part in (blocks[k : k + step] for k in range(0, len(blocks), step))
        for n in plan.freqs
    ]

    def run():
        for batch in batches:
            function(batch, **choice.parameters)

    return run


def functions():
    """How much longer a unit takes than without the function, over the function's own time."""
    ours = _plan("algorithm=asm")
    [unit] = ours.grid.units()
    lines = []
    for name, parameters in _FUNCTIONS.items():
        words = (f"algorithm.own._target_=my_masks.{name}",)
        words += tuple(f"algorithm.own.{each}" for each in parameters)
        both = _plan("algorithm=asm,own", *words)
        times = in_turn(
            {
                "alone": _alone(both),
                "ours": lambda: worker.measure_unit(ours, unit, reuse=True),
                "both": lambda plan=both: worker.measure_unit(plan, unit, reuse=True),
            },
            _ROUNDS,
        )
        added = times["both"] - times["ours"]
        lines.append(
            [f"`{name}`", f"{1e6 * times['alone'] / _TRIALS:.2f}", f"{1e6 * added / _TRIALS:.2f}",
             f"{100 * (added / times['alone'] - 1):+.1f} %"]
        )  # fmt: skip
    return (
        f"Microseconds a trial of N = 8 at 15 frequencies (units of {_TRIALS:,} trials, medians of "
        f"{_ROUNDS}): an algorithm of examples/my_masks.py by itself, and what it adds to a unit "
        "of ASM:",
        table(["function", "by itself", "added to a unit", "more"], lines),
    )


if __name__ == "__main__":
    print("\n\n".join(functions()))
