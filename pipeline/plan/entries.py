"""Entries of the axes: sources, operations, selections and block sizes, each checked by itself."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from asm_core import validate
from pipeline.config.notation import did_you_mean
from pipeline.errors import UserError

# Beyond it one block is a picture: N^4 / 4 products a block, minutes for a few thousand trials.
MAX_BLOCK_SIZE = 256


@dataclass(frozen=True)
class Source:
    """One entry of conf/source, resolved: everything a worker needs to draw its blocks.

    `identity` is what of it decides numbers; `available` how many blocks there are of each block
    size, None where they never end; `quality` that of the JPEG quantisation of the blocks, if any;
    `seconds` what drawing a sample takes, for the estimate.
    """

    name: str
    kind: str
    parameters: dict[str, Any]
    identity: dict[str, Any]
    available: dict[int, int] | None = None
    quality: int | None = None
    seconds: float = 5e-9


@dataclass(frozen=True)
class Choice:
    """One entry of conf/operation or conf/selection: its kind, with that kind's own parameters."""

    name: str
    kind: str
    parameters: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        """What of it decides numbers: all but its name."""
        return {"kind": self.kind, **self.parameters}


def block_size(size: int) -> int:
    """A block size, checked."""
    if size < 2 or size % 2 or size > MAX_BLOCK_SIZE:
        raise UserError(
            f"block_size must be even and within 2..{MAX_BLOCK_SIZE}, got {size}: "
            f"use {min(max(size - size % 2, 2), MAX_BLOCK_SIZE)}"
        )
    return size


def operation(name: str, entry: dict[str, Any], block_sizes: Sequence[int]) -> Choice:
    """An entry of conf/operation, checked: also against the block sizes it is to work on."""
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
    """An entry of conf/selection, checked."""
    check_kind("selection", name, entry["kind"], validate.SELECTIONS)
    parameters = _parameters(entry)
    if "rho" in parameters:
        _within(f"selection.{name}.rho", parameters["rho"], ends=False)
    return Choice(name, entry["kind"], parameters)


def check_kind(group: str, name: str, kind: str, known: Collection[str]) -> None:
    """Refuse a kind that conf/ introduces and the program does not have."""
    if kind not in known:
        raise UserError(f"{group}.{name}.kind={kind} is not known: {did_you_mean(kind, known)}")


def _parameters(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key != "kind"}


def _within(key: str, value: float, *, ends: bool) -> None:
    """A share between 0 and 1, as asm_core itself wants it."""
    try:
        validate.number(key, value, 0.0, 1.0, ends=ends)
    except ValueError as error:
        raise UserError(str(error)) from error
