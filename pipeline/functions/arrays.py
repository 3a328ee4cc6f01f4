"""Functions of the user's own that give arrays; apart, since NumPy takes a tenth of a second."""

import functools
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

from asm_core import validate


def giving_arrays(function: Callable[..., Any]) -> Callable[..., NDArray[Any]]:
    """The same function, which gives arrays of numbers; what is none is its own error."""

    @functools.wraps(function)
    def made(*arguments: Any, **parameters: Any) -> NDArray[Any]:
        return validate.unmasked(function(*arguments, **parameters))

    return made
