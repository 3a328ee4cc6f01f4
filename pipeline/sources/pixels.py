"""What sources made of image files share: luma of colours, and pixels that are transparent."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import UserError

# ITU-R BT.601 in units of 2^-16, as in Pillow: 0.299, 0.587, 0.114.  They sum to 2^16, so that the
# sum for 16-bit white, and a half for rounding, just fit into 32 bits.
_WEIGHTS = (19595, 38470, 7471)


def luma(colours: NDArray[Any]) -> NDArray[Any]:
    """Luma of red, green and blue, (..., 3) unsigned of at most 16 bits, rounded to whole levels.

    ITU-R BT.601, as JPEG has it: Y = 0.299 R + 0.587 G + 0.114 B, of the same dtype.
    """
    total = np.full(colours.shape[:-1], 1 << 15, np.uint32)
    for channel, weight in enumerate(_WEIGHTS):
        total += colours[..., channel] * np.uint32(weight)
    return (total >> 16).astype(colours.dtype)


def refuse_hidden(path: Path, hidden: NDArray[np.bool_]) -> None:
    """Refuse an image of which some pixels, (height, width), are not opaque.

    What is stored beneath them is not what anybody sees, and would count as if it were.
    """
    if hidden.any():
        row, column = place_of(hidden)
        raise UserError(
            f"{path} is transparent at row {row}, column {column}: flatten it onto a background, "
            "or colours that nobody sees would count"
        )


def place_of(wrong: NDArray[np.bool_]) -> tuple[int, ...]:
    """The index of the first true value, in row-major order."""
    return tuple(int(i) for i in np.unravel_index(int(wrong.argmax()), wrong.shape))
