"""The operations and selections of a plan, as asm_core takes them."""

import numpy as np
from numpy.typing import NDArray

from asm_core import Operation
from pipeline.functions.ranks import ranks
from pipeline.planning.plan import Plan


def operations_of(plan: Plan) -> list[Operation]:
    """The operations, in the order of their axis."""
    return [Operation(choice.kind, **choice.parameters) for choice in plan.operations]


def ranks_of(plan: Plan, size: int) -> list[NDArray[np.int64]]:
    """The ranks (N, N) of each selection, in the order of their axis."""
    return [ranks(choice.identity, size) for choice in plan.selections]
