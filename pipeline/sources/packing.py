"""How values of an array are packed and which are missing: attributes of the CF conventions.

xarray writes them, and decodes them as is done here: value = stored * scale_factor + add_offset.
"""

import base64
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.store.location import Location

_SIGNED = {"true": "u", "false": "i"}
_DATES = re.compile(r"\w+\s+since\s", re.IGNORECASE)
_FILL, _MISSING = "_FillValue", "missing_value"
_LIMITS = ("valid_min", "valid_max", "valid_range")


@dataclass(frozen=True)
class Packing:
    """What makes values of stored numbers.

    `dtype`, in NumPy's notation, is as what a stored number is meant: of the same size as the
    array's, signed or not.  A value is that, times `scale`, plus `offset`, None where nothing is
    said; `computed` is the dtype in which these are done.
    """

    dtype: str
    scale: float | None = None
    offset: float | None = None
    computed: str = "<f8"

    @property
    def scales(self) -> bool:
        """Whether values are others than the stored numbers."""
        return self.scale is not None or self.offset is not None

    def meant(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Stored numbers, signed or unsigned as they are meant."""
        return stored.view(self.dtype)

    def decode(self, stored: NDArray[Any]) -> NDArray[Any]:
        """The values: of dtype `computed` where they are packed, else the stored numbers."""
        meant = self.meant(stored)
        if not self.scales:
            return meant
        values = meant.astype(self.computed)
        # A value beyond the dtype is infinite, and is refused when the array is first read.
        with np.errstate(over="ignore", invalid="ignore"):
            if self.scale is not None:
                values *= self.scale
            if self.offset is not None:
                values += self.offset
        return values


@dataclass(frozen=True)
class Missing:
    """Which stored numbers stand for no value: fill values, and what is out of the valid range.

    `fills` are (name of the attribute, number); `lowest` and `highest` are (name, limit), of the
    values where `of_values`, else of the stored numbers.
    """

    fills: tuple[tuple[str, Any], ...] = ()
    lowest: tuple[str, Any] | None = None
    highest: tuple[str, Any] | None = None
    of_values: bool = False

    def find(
        self, packing: Packing, stored: NDArray[Any]
    ) -> tuple[tuple[int, ...], str, Any] | None:
        """The first number that stands for no value: its index, the attribute, what that says."""
        meant = packing.meant(stored)
        found = []
        # NumPy rounds a number to the dtype of the floats that it is compared with, perhaps to inf.
        with np.errstate(over="ignore"):
            for name, fill in self.fills:
                # Either as stored or as meant: writers do both.
                found.append(((stored == fill) | (meant == fill), name, fill))
            seen = packing.decode(stored) if self.of_values else meant
            if self.lowest:
                found.append((seen < self.lowest[1], *self.lowest))
            if self.highest:
                found.append((seen > self.highest[1], *self.highest))
        places = [
            (tuple(int(i) for i in np.argwhere(wrong)[0]), name, said)
            for wrong, name, said in found
            if wrong.any()
        ]
        return min(places, key=lambda place: place[0], default=None)


def read(
    location: Location, dtype: np.dtype[Any], attributes: Mapping[str, Any], fill: Any = None
) -> tuple[Packing, Missing]:
    """What the attributes of an array say of its values.

    Parameters
    ----------
    fill
        The array's own fill value, where it stands for a missing value; None where not.

    Raises
    ------
    ValueError
        For dates, and for attributes that are not as the conventions have them.
    """
    said = {name: value for name, value in attributes.items() if value is not None}
    _refuse_others(location, said)
    signed = said.get("_Unsigned")
    if signed is not None and signed not in list(_SIGNED):
        raise ValueError(f"{location} has _Unsigned={signed!r}: give it 'true' or 'false'")
    meant = dtype
    if dtype.kind in "iu" and signed is not None:
        meant = np.dtype(f"{dtype.str[0]}{_SIGNED[signed]}{dtype.itemsize}")
    scale, offset = (_single(location, said, name) for name in ("scale_factor", "add_offset"))
    fills = [(name, each) for name in (_FILL, _MISSING) for each in _numbers(location, said, name)]
    if fill is not None:
        fills.append(("Zarr's fill_value", fill.item() if isinstance(fill, np.generic) else fill))
    # As xarray has it: it looks for a fill value before it decides in what to compute.
    only_nan = dtype.kind == "f" and fills and all(math.isnan(each) for _, each in fills)
    packing = Packing(meant.str, scale, offset, dtype.str if only_nan else "<f8")
    lowest, highest = _limits(location, said)
    # As netCDF's users' guide has it: limits of another type than the stored numbers are unpacked.
    floats = any(limit and isinstance(limit[1], float) for limit in (lowest, highest))
    of_values = packing.scales and dtype.kind in "iu" and floats
    return packing, Missing(tuple(fills), lowest, highest, of_values)


def _refuse_others(location: Location, said: Mapping[str, Any]) -> None:
    """Refuse numbers that stand for something else."""
    units, dtype = str(said.get("units", "")), str(said.get("dtype", ""))
    if _DATES.match(units) or dtype.startswith(("datetime64", "timedelta64")):
        what = f"units={units!r}" if units else f"dtype={dtype!r}"
        raise ValueError(
            f"{location} holds dates or times ({what}): save them as numbers without that "
            "attribute, (x - x.min()) / numpy.timedelta64(1, 's')"
        )


def _limits(
    location: Location, said: Mapping[str, Any]
) -> tuple[tuple[str, Any] | None, tuple[str, Any] | None]:
    """The least and the largest valid number, each with the name of its attribute."""
    numbers = {name: _numbers(location, said, name) for name in _LIMITS}
    for name, many in zip(_LIMITS, (1, 1, 2), strict=True):
        if len(numbers[name]) not in (0, many):
            raise ValueError(
                f"{location} has {name}={said[name]!r}, which must be {many} "
                f"number{'s' * (many > 1)}: mend or remove it"
            )
    lowest = [(name, numbers[name][0]) for name in ("valid_range", "valid_min") if numbers[name]]
    highest = [(name, numbers[name][-1]) for name in ("valid_range", "valid_max") if numbers[name]]
    return next(iter(lowest), None), next(iter(highest), None)


def _single(location: Location, said: Mapping[str, Any], name: str) -> float | None:
    """The one finite number that an attribute has; None where it is not there."""
    if name not in said:
        return None
    numbers = _numbers(location, said, name)
    if len(numbers) != 1 or not math.isfinite(numbers[0]):
        raise ValueError(
            f"{location} has {name}={said[name]!r}, which must be one finite number: mend it, or "
            "save the values unpacked"
        )
    return float(numbers[0])


def _numbers(location: Location, said: Mapping[str, Any], name: str) -> list[Any]:
    """The numbers that an attribute has, int or float; none where it is not there."""
    value = said.get(name, [])
    numbers = []
    for each in value if isinstance(value, list | tuple) else [value]:
        number = _decoded(each) if isinstance(each, str) else each
        # A whole number of any size is JSON.
        if type(number) not in (int, float) or (type(number) is int and abs(number) > 2**64):
            raise ValueError(
                f"{location} has {name}={value!r}, which is no number: mend or remove it"
            )
        numbers.append(number)
    return numbers


def _decoded(text: str) -> float | None:
    """A float as JSON has it where it has none of its own: "NaN", or eight bytes in base 64."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        (number,) = struct.unpack("<d", base64.b64decode(text, validate=True))
    except (ValueError, struct.error):
        return None
    return float(number)
