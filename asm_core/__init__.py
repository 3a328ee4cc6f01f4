"""Approximated spatial masking: the numerics. Arrays in, arrays out.

Public names are loaded on first use (PEP 562), so that a program which only
checks its command line does not pay half a second for numba.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asm_core.dct import block_dct, block_idct, dct_basis
    from asm_core.dct_domain import (
        apply_mask,
        asm_max_pool,
        half_spatial_tensor,
        join_blocks,
        mean_and_variance,
        pool_masked,
    )
    from asm_core.errors import (
        Measures,
        empty_measures,
        errors_by_frequency,
        mean_offsets,
        measure,
        measure_into,
        rmse,
    )
    from asm_core.frequencies import approximate, coefficients_kept, frequency_rank
    from asm_core.functions import (
        AlgorithmFunction,
        Batch,
        SelectionFunction,
        SourceFunction,
        Words,
        measure_function,
    )
    from asm_core.masks import (
        approximate_local_maximum_mask,
        approximate_nonnegative_mask,
        local_maximum_mask,
        local_minimum_mask,
        nonnegative_mask,
    )
    from asm_core.operations import (
        Operation,
        leaky_relu,
        masked_leaky_relu,
        masked_max_pool,
        masked_relu,
        max_pool,
        min_pool,
        relu,
    )
    from asm_core.quantisation import (
        from_grey_levels,
        quantisation_table,
        quantise,
        quantised_coefficients,
    )

# Raised whenever a change of the kernels alters any bit of a result; part of a store's identity.
KERNEL_VERSION = 6

__all__ = [
    "KERNEL_VERSION",
    "AlgorithmFunction",
    "Batch",
    "Measures",
    "Operation",
    "SelectionFunction",
    "SourceFunction",
    "Words",
    "apply_mask",
    "approximate",
    "approximate_local_maximum_mask",
    "approximate_nonnegative_mask",
    "asm_max_pool",
    "block_dct",
    "block_idct",
    "coefficients_kept",
    "dct_basis",
    "empty_measures",
    "errors_by_frequency",
    "frequency_rank",
    "from_grey_levels",
    "half_spatial_tensor",
    "join_blocks",
    "leaky_relu",
    "local_maximum_mask",
    "local_minimum_mask",
    "masked_leaky_relu",
    "masked_max_pool",
    "masked_relu",
    "max_pool",
    "mean_and_variance",
    "mean_offsets",
    "measure",
    "measure_function",
    "measure_into",
    "min_pool",
    "nonnegative_mask",
    "pool_masked",
    "quantisation_table",
    "quantise",
    "quantised_coefficients",
    "relu",
    "rmse",
]

_MODULE_OF = {
    "AlgorithmFunction": "functions",
    "Batch": "functions",
    "Measures": "errors",
    "Operation": "operations",
    "SelectionFunction": "functions",
    "SourceFunction": "functions",
    "Words": "functions",
    "apply_mask": "dct_domain",
    "approximate": "frequencies",
    "approximate_local_maximum_mask": "masks",
    "approximate_nonnegative_mask": "masks",
    "asm_max_pool": "dct_domain",
    "block_dct": "dct",
    "block_idct": "dct",
    "coefficients_kept": "frequencies",
    "dct_basis": "dct",
    "empty_measures": "errors",
    "errors_by_frequency": "errors",
    "frequency_rank": "frequencies",
    "from_grey_levels": "quantisation",
    "half_spatial_tensor": "dct_domain",
    "join_blocks": "dct_domain",
    "leaky_relu": "operations",
    "local_maximum_mask": "masks",
    "local_minimum_mask": "masks",
    "masked_leaky_relu": "operations",
    "masked_max_pool": "operations",
    "masked_relu": "operations",
    "max_pool": "operations",
    "mean_and_variance": "dct_domain",
    "mean_offsets": "errors",
    "measure": "errors",
    "measure_function": "functions",
    "measure_into": "errors",
    "min_pool": "operations",
    "nonnegative_mask": "masks",
    "pool_masked": "dct_domain",
    "quantisation_table": "quantisation",
    "quantise": "quantisation",
    "quantised_coefficients": "quantisation",
    "relu": "operations",
    "rmse": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'asm_core' has no attribute {name!r}")
    value = getattr(import_module(f"asm_core.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
