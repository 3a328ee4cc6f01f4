"""Sources, operations, selections and block sizes of a sweep, each checked on its own."""

import dataclasses
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from asm_core import validate
from pipeline.errors import UserError, did_you_mean
from pipeline.functions import resolving
from pipeline.functions.naming import TARGET
from pipeline.functions.resolving import Function
from pipeline.planning.tiles import Tiles

# A larger block takes N^4 / 4 products, which is minutes for a few thousand trials.
MAX_BLOCK_SIZE = 256
# An entry of the identity of a stored source: the block sizes, ascending, of which trials are a
# spread sample of its tiles; none where there are none.
SPREAD = "spread"


@dataclass(frozen=True)
class Source:
    """One entry of conf/source, resolved: everything a worker needs to draw its blocks.

    `parameters` are those of the entry, plain JSON; `identity` is what decides its numbers; `tiles`
    are its blocks by block size where it is stored, None where blocks are drawn without end;
    `ordered` are the block sizes at which it is stored as trials, one block an image, whose order
    is kept; `quality` is that of JPEG quantisation, 1 .. 100, None without it; `seconds` is the
    time to draw one sample, for the estimate, as `files`, how many files are to be decoded, their
    `size` together in bytes, and `decoding`, the seconds that one core takes for all of them;
    `content` describes what lies at its path, as an object of the class that its kind names, None
    where blocks are drawn; `function` is the user's own that draws them, if one does.
    """

    name: str
    kind: str
    parameters: dict[str, Any]
    identity: dict[str, Any]
    tiles: dict[int, Tiles] | None = None
    ordered: tuple[int, ...] = ()
    quality: int | None = None
    seconds: float = 5e-9
    files: int = 0
    size: int = 0
    decoding: float = 0.0
    content: Any = None
    function: Function | None = None

    @property
    def units(self) -> str:
        """The unit of its samples, empty where nothing says so."""
        if self.function:
            return ""
        return "1" if self.content is None else str(self.content.units)

    @property
    def available(self) -> dict[int, int] | None:
        """The number of blocks by block size, None where they are drawn without end."""
        if self.tiles is None:
            return None
        return {size: tiles.count for size, tiles in self.tiles.items()}

    def is_spread(self, size: int) -> bool:
        """Whether trials are a spread sample of its tiles, and not tiles in natural order."""
        return size in self.identity.get(SPREAD, ())

    def spread(self, seed: int, sizes: Collection[int]) -> "Source":
        """The same stored source, whose trials are a spread sample of its tiles at these sizes.

        The sample depends on the seed, the content and the block size alone: qualities of the same
        images are measured on the same tiles, and other block sizes may be added later.
        """
        if not sizes or self.tiles is None:
            return self
        content = {k: v for k, v in self.identity.items() if k not in ("kind", "quality")}
        key = json.dumps([seed, content], sort_keys=True)
        tiles = {
            size: each.spread(f"{key} {size}") if size in sizes else each
            for size, each in self.tiles.items()
        }
        identity = {**self.identity, SPREAD: sorted(sizes)}
        return dataclasses.replace(self, tiles=tiles, identity=identity)


@dataclass(frozen=True)
class Choice:
    """One entry of an axis but of sources: its kind, with that kind's own parameters.

    One that names a function of the user's own has the kind TARGET.
    """

    name: str
    kind: str
    parameters: dict[str, Any]
    function: Function | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """What decides its numbers: everything but its name."""
        if self.function:
            return self.function.identity(self.parameters)
        return {"kind": self.kind, **self.parameters}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Choice":
        """The inverse of `dataclasses.asdict`."""
        return cls(**{**data, "function": data["function"] and Function(**data["function"])})


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
        For an unknown kind, or a rho that is not between 0 and 1; for a function that cannot be
        called.
    """
    if TARGET in entry:
        return _own("selection", name, entry)
    check_kind("selection", name, entry["kind"], validate.SELECTIONS)
    parameters = _parameters(entry)
    if "rho" in parameters:
        _within(f"selection.{name}.rho", parameters["rho"], ends=False)
    return Choice(name, entry["kind"], parameters)


def algorithm(name: str, entry: dict[str, Any]) -> Choice:
    """An entry of conf/algorithm, checked.

    Raises
    ------
    UserError
        For an unknown kind, or a function that cannot be called.
    """
    if TARGET in entry:
        return _own("algorithm", name, entry)
    check_kind("algorithm", name, entry["kind"], validate.ALGORITHMS)
    return Choice(name, entry["kind"], _parameters(entry))


def _own(group: str, name: str, entry: dict[str, Any]) -> Choice:
    """An entry that names a function of the user's own."""
    function, parameters = resolving.resolve(group, name, entry)
    return Choice(name, TARGET, parameters, function)


def last_frequency(selection: Choice, size: int) -> int:
    """The n from which on a selection keeps every coefficient of a block.

    Raises
    ------
    UserError
        Where it is a function that raises, or gives no ranks.
    """
    if selection.function:
        # Here, because it loads numba.
        from pipeline.functions.ranks import ranks

        return int(ranks(selection.identity, size).max())
    return validate.last_frequency(size, selection.kind)


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
