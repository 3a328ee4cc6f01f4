"""What the public functions accept; each refusal names the value, the limit and the remedy."""

import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# Pooling of X is max pooling of sign * X.
POOLINGS = {"max_pool": 1.0, "min_pool": -1.0}
RECTIFIERS = ("relu", "leaky_relu")
OPERATIONS = (*POOLINGS, *RECTIFIERS)
# APX, and a constant that comes from other blocks.
APX_OFFSET = "apx_offset"
ALGORITHMS = ("asm", "apx", APX_OFFSET)
# A coefficient of a block of 256 x 256 samples is up to 256 times as large as they are, and is made
# of 65,536 products.
LARGEST = 1e300
# Beyond it float64 has not every whole number.
WHOLE = 1 << 53
SELECTIONS = ("triangle", "square", "zigzag", "energy")
# Batches of neighbouring blocks that are told apart.
MOST_BATCHES = 32


def choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """`value`, which must be one of the choices."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}, got {value!r}")
    return value


def integer(name: str, value: Any, minimum: int) -> int:
    """`value` as an int of at least `minimum`; numpy integers pass, floats and bools do not."""
    if isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be an integer, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {number}")
    return number


def block_size(value: Any) -> int:
    """`value` as an even int of at least 2; even because the transforms fold a block in half."""
    size = integer("block size", value, minimum=2)
    if size % 2:
        raise ValueError(f"block size must be even, got {size}: use {size - 1} or {size + 1}")
    return size


def window(value: Any, size: int) -> int:
    """`value` as the int side of a pooling window, which must divide the block size."""
    side = integer("window", value, minimum=1)
    if size % side:
        raise ValueError(f"window must divide the block size {size}, got {side}")
    return side


def quality(value: Any, size: int = 8) -> int:
    """`value` as an int JPEG quality, 1 .. 100; the block size must be that of JPEG, 8."""
    number = integer("quality", value, minimum=1)
    if number > 100:
        raise ValueError(f"quality must be within 1..100, got {number}")
    if size != 8:
        raise ValueError(
            f"quality needs blocks of 8 x 8, as JPEG has them, got block_size={size}: "
            "use block_size=8"
        )
    return number


def last_frequency(size: int, selection: str) -> int:
    """The n from which on a selection keeps every coefficient of a block."""
    return {"triangle": 2 * size - 2, "square": size - 1}.get(selection, size * size - 1)


def slope(value: Any) -> float:
    """`value` as the float slope of a leaky ReLU, 0 (ReLU itself) .. 1 (keeps everything)."""
    return number("slope", value, 0.0, 1.0)


def number(name: str, value: Any, low: float, high: float, *, ends: bool = True) -> float:
    """`value` as a float within low .. high; without `ends` strictly between them."""
    try:
        result = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, got {value!r}") from None
    if not (low <= result <= high if ends else low < result < high):
        within = f"within {low:g}..{high:g}" if ends else f"between {low:g} and {high:g}, exclusive"
        raise ValueError(f"{name} must be {within}, got {value}")
    return result


def real_samples(name: str, values: ArrayLike) -> FloatArray:
    """`values` as float64, all finite."""
    return finite(name, real_numbers(name, values))


def real_numbers(name: str, values: ArrayLike) -> FloatArray:
    """`values` as float64."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} must be real numbers, got dtype {array.dtype}")
    if array.dtype.kind in "iu" and array.dtype.itemsize == 8 and array.size:
        far = max(int(array.max()), int(array.min()), key=abs)
        if abs(far) > WHOLE:
            raise ValueError(
                f"{name} must be whole numbers of at most 2^53 in magnitude, got {far}: float64 "
                "would round it; subtract a level first"
            )
    return array.astype(np.float64, copy=False)


def unmasked(values: ArrayLike) -> NDArray[Any]:
    """`values` as an array; a masked one has no numbers where it is masked, and is refused."""
    if np.ma.isMaskedArray(values):
        raise ValueError("a masked array has no numbers where it is masked: fill it first")
    if values is None:
        raise ValueError("got None, as a function without return gives")
    return np.asarray(values)


def finite(name: str, array: FloatArray) -> FloatArray:
    """`array`, whose numbers must be finite and small enough to be added up."""
    # NaN is neither.
    known = np.abs(array) <= LARGEST
    if not known.all():
        where = tuple(int(k) for k in np.argwhere(~known)[0])
        if np.isfinite(array[where]):
            raise ValueError(
                f"{name} must be at most {LARGEST:g} in magnitude, got {array[where]} at index "
                f"{where}: rescale them"
            )
        raise ValueError(f"{name} must be finite, got {array[where]} at index {where}")
    return array


def blocks(name: str, values: ArrayLike) -> FloatArray:
    """`values` as finite float64 blocks of shape (..., N, N) with N even."""
    return finite(name, blocks_of_numbers(name, values))


def blocks_of_numbers(name: str, values: ArrayLike) -> FloatArray:
    """`values` as float64 blocks of shape (..., N, N) with N even, finite or not."""
    array = np.asarray(values)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise ValueError(f"{name} must have shape (..., N, N), got {array.shape}")
    block_size(array.shape[-1])
    return real_numbers(name, array)
