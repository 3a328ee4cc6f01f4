"""Identities: what decides the numbers of a store, compared and joined with what a sweep wants.

An identity has the values of each axis (for sources, operations and selections also their
parameters and contents), and beside them the seed, the type of the numbers and the versions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError
from pipeline.plan.axes import NAMED, NAMES, Labels


@dataclass(frozen=True)
class Identity:
    """Everything that decides the numbers, and nothing else; plain JSON.

    `axes` has the values of each axis: {name: what decides its numbers} where they are names of
    entries, else a list.  `fixed` is what does not vary within a store.
    """

    axes: Mapping[str, Any]
    fixed: Mapping[str, Any]

    @property
    def labels(self) -> Labels:
        """The values of each axis, in the order in which a store has them."""
        return {axis: list(self.axes[axis]) for axis in NAMES}

    def to_json(self) -> dict[str, Any]:
        """As a store keeps it."""
        return {**self.fixed, **self.axes}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Identity":
        """The inverse of `to_json`."""
        fixed = {key: value for key, value in data.items() if key not in NAMES}
        return cls({axis: data[axis] for axis in NAMES}, fixed)


def differences(stored: Identity, wanted: Identity) -> list[str]:
    """One phrase for each thing that differs; the order of values on an axis does not matter."""
    have, want = stored.to_json(), wanted.to_json()
    keys = [*NAMES, *sorted({*stored.fixed, *wanted.fixed})]
    return [
        f"{key} is {json.dumps(have.get(key))} in the store, {json.dumps(want.get(key))} here"
        for key in keys
        if _unordered(have.get(key)) != _unordered(want.get(key))
    ]


def joined(stored: Identity, wanted: Identity) -> Identity | None:
    """An identity with the axis values of both, those of the store first.

    None where the two cannot share a store: they differ in more than the values on their axes.
    """
    if stored.fixed != wanted.fixed:
        return None
    axes: dict[str, Any] = {}
    for axis in NAMES:
        ours, theirs = stored.axes[axis], wanted.axes[axis]
        if axis in NAMED:
            if any(ours.get(name, entry) != entry for name, entry in theirs.items()):
                return None
            axes[axis] = {**ours, **theirs}
        else:
            axes[axis] = [*ours, *(value for value in theirs if value not in ours)]
    return Identity(axes, stored.fixed)


def renewed(begun: Identity, current: Identity) -> Identity:
    """The identity of a growth that was cut short, with the entries as they are now.

    Entries that have changed since may be replaced, because what was to be added has no trials yet.
    """
    axes = dict(begun.axes)
    for axis in NAMED:
        axes[axis] = {
            name: current.axes[axis].get(name, entry) for name, entry in begun.axes[axis].items()
        }
    return Identity(axes, begun.fixed)


def positions(labels: Labels, wanted: Labels) -> dict[str, list[int]]:
    """The positions of the wanted values of each axis among the labels of a store.

    Raises
    ------
    UserError
        For a value that the store does not have.
    """
    places = {}
    for axis in NAMES:
        for value in wanted[axis]:
            if value not in labels[axis]:
                raise UserError(f"the store has no {axis}={value}: it has {labels[axis]}")
        places[axis] = [labels[axis].index(value) for value in wanted[axis]]
    return places


def _unordered(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value
