"""What decides the numbers of a store, as plain JSON: compared, and made one of two.

An identity names each axis with its values: of sources, operations and selections with all their
parameters, of the others as lists; and beside them the seed and the versions.
"""

import json
from typing import Any

from pipeline.errors import UserError

NAMED = ("source", "operation", "selection")
LISTED = ("block_size", "algorithm", "freq")
AXES = ("source", "block_size", "operation", "selection", "algorithm", "freq")

Identity = dict[str, Any]


def labels(identity: Identity) -> dict[str, list[Any]]:
    """The values of each axis, in the order in which a store has them."""
    return {axis: list(identity[axis]) for axis in AXES}


def differences(stored: Identity, wanted: Identity) -> list[str]:
    """What two identities disagree about, a phrase each; the order of an axis is no difference."""
    return [
        f"{key} is {json.dumps(stored.get(key))} in the store, {json.dumps(wanted.get(key))} here"
        for key in sorted(stored.keys() | wanted.keys())
        if _sorted(key, stored.get(key)) != _sorted(key, wanted.get(key))
    ]


def joined(stored: Identity, wanted: Identity) -> Identity | None:
    """An identity with the axis values of both, those of the store first.

    None where the two cannot share a store: they differ in more than the values on their axes.
    """
    fixed = {key: value for key, value in stored.items() if key not in AXES}
    if fixed != {key: value for key, value in wanted.items() if key not in AXES}:
        return None
    both = dict(stored)
    for axis in NAMED:
        both[axis] = {**wanted[axis], **stored[axis]}
        if any(both[axis][name] != entry for name, entry in wanted[axis].items()):
            return None
        added = [name for name in wanted[axis] if name not in stored[axis]]
        both[axis] = {name: both[axis][name] for name in (*stored[axis], *added)}
    for axis in LISTED:
        both[axis] = [*stored[axis], *(v for v in wanted[axis] if v not in stored[axis])]
    return both


def places(identity: Identity, wanted: dict[str, list[Any]]) -> dict[str, list[int]]:
    """Where the values of each axis stand in a store.

    Raises
    ------
    UserError
        For a value that the store does not have.
    """
    found = {}
    for axis, have in labels(identity).items():
        for value in wanted[axis]:
            if value not in have:
                raise UserError(f"the store has no {axis}={value}: it has {have}")
        found[axis] = [have.index(value) for value in wanted[axis]]
    return found


def _sorted(key: str, value: Any) -> Any:
    return sorted(value) if key in LISTED and value is not None else value
