"""Identities: what decides the numbers of a store, compared and joined with what a sweep wants.

An identity has the values of each axis (of those that are named also parameters and contents),
and beside them the seed, the type of the numbers and the versions.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError, runs_of
from pipeline.functions.naming import TARGET
from pipeline.planning.axes import ALGORITHM, FREQ, NAMED, NAMES, Labels
from pipeline.planning.entries import SPREAD

# Where the code is that a function had.
TEXT_IS_KEPT = "as the store's attribute functions has it"


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
        """As a store keeps it: of algorithms that are no more than their names, these alone."""
        axes = dict(self.axes)
        if all(entry == {"kind": name} for name, entry in axes[ALGORITHM].items()):
            axes[ALGORITHM] = list(axes[ALGORITHM])
        return {**self.fixed, **axes}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Identity":
        """The inverse of `to_json`."""
        fixed = {key: value for key, value in data.items() if key not in NAMES}
        axes = {axis: data[axis] for axis in NAMES}
        if isinstance(axes[ALGORITHM], list):
            axes[ALGORITHM] = {name: {"kind": name} for name in axes[ALGORITHM]}
        return cls(axes, fixed)


def differences(stored: Identity, wanted: Identity) -> list[str]:
    """One phrase for each thing that differs; the order of values on an axis does not matter."""
    have, want = stored.to_json(), wanted.to_json()
    words = _orders(stored, wanted)
    for each in (have, want):
        each["source"] = {name: _but_order(e) for name, e in each["source"].items()}
    keys = [*NAMES, *sorted({*stored.fixed, *wanted.fixed})]
    if changed := _changed_functions(stored, wanted):
        return words + changed
    return words + [
        f"{key} is {json.dumps(have.get(key))} in the store, {json.dumps(want.get(key))} here"
        for key in keys
        if _unordered(have.get(key)) != _unordered(want.get(key))
    ]


def in_words(one: Identity, other: Identity) -> list[str]:
    """What differs between two identities, a line for each thing."""
    words = [
        f"{axis}: {_listed(axis, one)} -> {_listed(axis, other)}"
        for axis in NAMES
        if set(one.axes[axis]) != set(other.axes[axis])
    ]
    for axis in NAMED:
        ours, theirs = one.axes[axis], other.axes[axis]
        for name in (name for name in ours if name in theirs):
            have, want = _but_order(ours[name]), _but_order(theirs[name])
            words += [
                f"{axis}.{name}.{key}: {json.dumps(have.get(key))} -> {json.dumps(want.get(key))}"
                for key in dict.fromkeys([*have, *want])
                if have.get(key) != want.get(key)
            ]
    return (
        words
        + [
            f"{key}: {json.dumps(one.fixed.get(key))} -> {json.dumps(other.fixed.get(key))}"
            for key in dict.fromkeys([*one.fixed, *other.fixed])
            if one.fixed.get(key) != other.fixed.get(key)
        ]
        + _orders(one, other)
    )


def changed_code(one: Identity, other: Identity) -> list[str]:
    """A phrase for each function of the user's own that has other code than it had."""
    return [
        f"the code of {ours[TARGET]} ({axis} {name}) has changed: it is {theirs['code']} here, and "
        f"was {ours['code']}"
        for axis, name, ours, theirs in _functions_of_both(one, other)
        if ours["code"] != theirs["code"]
    ]


def _changed_functions(one: Identity, other: Identity) -> list[str]:
    """`changed_code`, and a phrase for each parameter that has another value."""
    return changed_code(one, other) + [
        f"{axis}.{name}.{key} is {json.dumps(have.get(key))} in the store, "
        f"{json.dumps(want.get(key))} here"
        for axis, name, ours, theirs in _functions_of_both(one, other)
        for have, want in [(ours["parameters"], theirs["parameters"])]
        for key in dict.fromkeys([*have, *want])
        if have.get(key) != want.get(key)
    ]


def _functions_of_both(one: Identity, other: Identity) -> Iterator[tuple[str, str, Any, Any]]:
    """Axis, name and both entries, of functions of the user's own that have one name in both."""
    for axis in NAMED:
        for name, ours in one.axes[axis].items():
            theirs = other.axes[axis].get(name, {})
            if TARGET in ours and theirs.get(TARGET) == ours[TARGET]:
                yield axis, name, ours, theirs


def _listed(axis: str, identity: Identity) -> str:
    values = sorted(identity.labels[axis])
    return runs_of(values) if axis == FREQ else ", ".join(map(str, values))


def conflicts(one: Identity, other: Identity) -> list[str]:
    """One phrase for each thing that differs but for the values on the axes."""
    words = _orders(one, other)
    if changed := _changed_functions(one, other):
        return words + changed
    for axis in NAMED:
        ours, theirs = one.axes[axis], other.axes[axis]
        words += [
            f"{axis} {name} is {json.dumps(ours[name])} in the one, {json.dumps(theirs[name])} in "
            "the other"
            for name in ours
            if name in theirs and _but_order(ours[name]) != _but_order(theirs[name])
        ]
    return words + [
        f"{key} is {json.dumps(one.fixed.get(key))} in the one, "
        f"{json.dumps(other.fixed.get(key))} in the other"
        for key in sorted({*one.fixed, *other.fixed})
        if one.fixed.get(key) != other.fixed.get(key)
    ]


def joined(stored: Identity, wanted: Identity) -> Identity | None:
    """An identity with the axis values of both, those of the store first.

    None where the two cannot share a store: they differ in more than the values on their axes.
    """
    if conflicts(stored, wanted):
        return None
    axes: dict[str, Any] = {}
    for axis in NAMES:
        ours, theirs = stored.axes[axis], wanted.axes[axis]
        if axis in NAMED:
            axes[axis] = ours | {n: _spread(entry, ours.get(n, {})) for n, entry in theirs.items()}
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
            name: _spread(current.axes[axis].get(name, entry), entry, current.axes["block_size"])
            for name, entry in begun.axes[axis].items()
        }
    return Identity(axes, begun.fixed)


def changed_sources(stored: Identity, wanted: Identity) -> list[str]:
    """Sources of both of which the blocks are not the same."""
    have, want = stored.axes["source"], wanted.axes["source"]
    return [n for n in want if n in have and _but_order(have[n]) != _but_order(want[n])]


def same_blocks(one: Identity, other: Identity, shared: Labels) -> bool:
    """Whether trial t is the same block in both, for all sources and block sizes that they share.

    `shared` has the values of each axis that are looked at.
    """
    have, want = one.axes["source"], other.axes["source"]
    return (
        all(one.fixed[key] == other.fixed[key] for key in ("seed", "stream_version"))
        and all(_but_order(have[name]) == _but_order(want[name]) for name in shared["source"])
        and all(
            (size in have[name].get(SPREAD, ())) == (size in want[name].get(SPREAD, ()))
            for name in shared["source"]
            for size in shared["block_size"]
        )
    )


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


def _orders(stored: Identity, wanted: Identity) -> list[str]:
    """A phrase for each cell of which one has all tiles, and the other a sample of the same."""
    words = {True: "a spread sample of its tiles", False: "all of its tiles in their own order"}
    have, want = stored.axes["source"], wanted.axes["source"]
    return [
        f"source {name} of block_size={size} is {words[size in have[name].get(SPREAD, ())]} in the "
        f"store, {words[size in entry.get(SPREAD, ())]} here"
        for name, entry in want.items()
        if name in have and _but_order(have[name]) == _but_order(entry)
        for size in wanted.axes["block_size"]
        if size in stored.axes["block_size"]
        and (size in have[name].get(SPREAD, ())) != (size in entry.get(SPREAD, ()))
    ]


def _but_order(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry without the order of its trials, which each block size has for itself."""
    return {key: value for key, value in entry.items() if key != SPREAD}


def _spread(
    entry: Mapping[str, Any], other: Mapping[str, Any], but: Collection[int] = ()
) -> dict[str, Any]:
    """An entry that is also spread at the block sizes at which another is, but for some."""
    sizes = {*entry.get(SPREAD, ()), *(s for s in other.get(SPREAD, ()) if s not in but)}
    return _but_order(entry) | ({SPREAD: sorted(sizes)} if sizes else {})


def _unordered(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value
