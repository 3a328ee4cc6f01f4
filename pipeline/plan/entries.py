"""Sources, operations, selections and block sizes of a sweep, each checked on its own."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from asm_core import validate
from pipeline.errors import UserError, did_you_mean

# A larger block takes N^4 / 4 products, which is minutes for a few thousand trials.
MAX_BLOCK_SIZE = 256


@dataclass(frozen=True)
class Source:
    """One entry of conf/source, resolved: everything a worker needs to draw its blocks.

    `parameters` are those of the entry, plain JSON; `identity` is what decides its numbers;
    `available` is the number of blocks by block size, None where blocks are drawn without end;
    `quality` is that of JPEG quantisation, 1 .. 100, None without it; `seconds` is the time to draw
    one sample, for the estimate; `content` describes what lies at its path, as an object of the
    class that its kind names, None where blocks are drawn.
    """

    name: str
    kind: str
    parameters: dict[str, Any]
    identity: dict[str, Any]
    available: dict[int, int] | None = None
    quality: int | None = None
    seconds: float = 5e-9
    content: Any = None


@dataclass(frozen=True)
class Choice:
    """One entry of conf/operation or conf/selection: its kind, with that kind's own parameters."""

    name: str
    kind: str
    parameters: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its numbers: everything but its name."""
        return {"kind": self.kind, **self.parameters}


def block_size(size: int) -> int:
    """`size`, refused unless it is even and within 2 .. MAX_BLOCK_SIZE."""
    if size < 2 or size % 2 or size > MAX_BLOCK_SIZE:
        raise UserError(
            f"block_size must be even and within 2..{MAX_BLOCK_SIZE}, got {size}: "
            f"use {min(max(size - size % 2, 2), MAX_BLOCK_SIZE)}"
        )
    return size


def operation(name: str, entry: dict[str, Any], block_sizes: Sequence[int]) -> Choice:
    """An entry of conf/operation, checked, also against the block sizes that it is used with.

    Raises
    ------
    UserError
        For an unknown kind, a slope out of range, or a window that divides not every block size.
    """
    check_kind("operation", name, entry["kind"], validate.OPERATIONS)
    parameters = _parameters(entry)
    if "window" in parameters:
        window = parameters["window"]
        if window < 1:
            raise UserError(f"operation.{name}.window must be at least 1, got {window}")
        for size in block_sizes:
            if size % window:
                raise UserError(
                    f"operation.{name}.window={window} does not divide block_size={size}: choose "
                    f"a window that divides it, or a block_size that is a multiple of {window}"
                )
    if "slope" in parameters:
        _within(f"operation.{name}.slope", parameters["slope"], ends=True)
    return Choice(name, entry["kind"], parameters)


def selection(name: str, entry: dict[str, Any]) -> Choice:
    """An entry of conf/selection, checked.

    Raises
    ------
    UserError
        For an unknown kind, or a rho that is not between 0 and 1.
    """
    check_kind("selection", name, entry["kind"], validate.SELECTIONS)
    parameters = _parameters(entry)
    if "rho" in parameters:
        _within(f"selection.{name}.rho", parameters["rho"], ends=False)
    return Choice(name, entry["kind"], parameters)


def check_kind(group: str, name: str, kind: str, known: Collection[str]) -> None:
    """Refuse a kind that an entry names and the program does not have."""
    if kind not in known:
        raise UserError(f"{group}.{name}.kind={kind} is not known: {did_you_mean(kind, known)}")


def _parameters(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "kind"}


def _within(key: str, value: float, *, ends: bool) -> None:
    """Refuse a value outside 0 .. 1, by the check that asm_core makes; `ends` allows 0 and 1."""
    try:
        validate.number(key, value, 0.0, 1.0, ends=ends)
    except ValueError as error:
        raise UserError(str(error)) from error
