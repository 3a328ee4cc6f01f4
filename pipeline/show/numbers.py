"""How a number with its interval is written."""

import numpy as np


def with_interval(mean: float, low: float, high: float) -> str:
    """A number and its interval, with as many digits as the interval lets stand."""
    width = high - low
    if not width > 1e-12 * max(abs(mean), 1.0):
        # The interval is empty, rounding error alone, or NaN, as that of a single trial.
        return f"{_rounded(mean, 12):g}"
    # And two of the interval.
    digits = min(8, max(0, 1 - int(np.floor(np.log10(width)))))
    shown = [f"{_rounded(value, digits):.{digits}f}" for value in (mean, low, high)]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def _rounded(value: float, digits: int) -> float:
    # Adding 0 makes a negative zero positive.
    return round(value, digits) + 0.0
