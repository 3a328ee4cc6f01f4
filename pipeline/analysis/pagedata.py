"""What a page about stores shows: numbers alone, of any number of stores."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from pipeline.analysis import crossings, curves, pairs
from pipeline.analysis.crossings import Crossing
from pipeline.analysis.curves import Curve, Curves, in_range
from pipeline.analysis.datasets import convergence, halves
from pipeline.analysis.opening import in_words, opened
from pipeline.errors import UserError, count_of
from pipeline.planning.axes import CURVE_NAMES, FREQ, TRIAL
from pipeline.planning.identity import positions
from pipeline.store.damage import naming_damage
from pipeline.store.store import Store

SHARE = 0.1
# So many errors are read for all histograms of a store, in a second; and bars of each.
_MOST_ERRORS, _BARS = 1 << 24, 24
# Of so many trials of a source and block size at most.
_MOST_TRIALS = 1 << 17


@dataclass(frozen=True)
class Histogram:
    """Errors of blocks at one n: counts between `low` and `high`, and quantiles."""

    low: float
    high: float
    counts: list[int]
    median: float
    largest: float


@dataclass(frozen=True)
class PageCurve:
    """One curve, and what is known of its trials; empty where they are not kept."""

    store: str
    place: Mapping[str, Any]
    curve: Curve
    below: Crossing
    """From which n on the error is below a tenth of that at the first n."""
    histograms: dict[int, Histogram] = field(default_factory=dict)


@dataclass(frozen=True)
class PageDifference:
    """ASM's error minus a rival's, on the same blocks, along n."""

    store: str
    rival: str
    place: Mapping[str, Any]
    numbers: Curve
    crossing: Crossing | None


@dataclass(frozen=True)
class PageConvergence:
    """The estimate of one curve at one n against the number of trials."""

    store: str
    place: Mapping[str, Any]
    freq: int
    numbers: Curve


@dataclass(frozen=True)
class PageStore:
    """A store in words: what was run, and how it is run again."""

    name: str
    path: str
    description: str
    commands: Sequence[str]
    made_with: Mapping[str, str]
    created: str
    trials: int


@dataclass(frozen=True)
class PageData:
    """All that a page shows."""

    stores: list[PageStore]
    curves: list[PageCurve]
    differences: list[PageDifference]
    convergences: list[PageConvergence]
    answer: str


def collect(stores: Mapping[str, Store]) -> PageData:
    """The numbers of a page about stores, by the name of each.

    Raises
    ------
    UserError
        Where no store has a trial yet, or one is damaged.
    """
    found: list[PageCurve] = []
    differences: list[PageDifference] = []
    convergences: list[PageConvergence] = []
    for name, store in stores.items():
        drawn = curves.of_store(store, store.measured_trials())
        tenths = {_key(each.place): each for each in crossings.of_curves(drawn, None, SHARE)}
        histograms = dict(_histograms(store, drawn))
        found += [
            PageCurve(
                name, place, in_range(curve, place["block_size"]), tenths[_key(place)],
                histograms.get(_key(place), {}),
            )
            for place, curve in drawn
            if curve["measured"].any()
        ]  # fmt: skip
        differences += _differences(name, store)
        convergences += _convergences(name, store, drawn)
    if not found:
        raise UserError(f"{', '.join(map(str, stores.values()))} has no trials yet: sweep it first")
    return PageData(
        [_in_words(name, store) for name, store in stores.items()],
        found, differences, convergences, _answer(found),
    )  # fmt: skip


def _key(place: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(place[axis] for axis in CURVE_NAMES)


def _in_words(name: str, store: Store) -> PageStore:
    record = store.record
    return PageStore(
        name, str(store), in_words(record), record.commands(str(store)), record.made_with,
        record.created, store.measured_trials(),
    )  # fmt: skip


def _answer(found: Sequence[PageCurve]) -> str:
    """How large the error is, and from which n on it is a tenth, in one sentence."""
    of_asm = [each for each in found if each.place["algorithm"] == "asm"] or list(found)
    first = of_asm[0]
    mean, n = first.curve["mean_error"], first.curve[FREQ]
    at = f"{first.place['algorithm'].upper()} {first.place['operation']}, {first.place['source']}"
    size = first.place["block_size"]
    begins = f"{at}, {size} x {size}: the mean error is {mean[0]:.3g} at n = {n[0]}"
    if not np.isfinite(first.below.n):
        falls = f"and nowhere below a tenth of that up to n = {n[-1]}"
    elif first.below.low == first.below.high:
        falls = f"and below a tenth of that from n = {first.below.n:g} on"
    else:
        high = f"{first.below.high:g}" if np.isfinite(first.below.high) else "later"
        falls = (
            f"and below a tenth of that from n = {first.below.n:g} on "
            f"(95 % interval {first.below.low:g} to {high})"
        )
    others = len(found) - 1
    more = f" The {count_of(others, 'other curve')} can be chosen below." if others else ""
    return f"{begins}, {falls}.{more}"


def _histograms(
    store: Store, drawn: Curves
) -> Iterator[tuple[tuple[Any, ...], dict[int, Histogram]]]:
    """How the errors of a part of the trials are distributed, for each curve."""
    points = sum(curve["measured"].size for _, curve in drawn)
    count = min(store.kept_trials, _MOST_TRIALS, max(1, _MOST_ERRORS // max(points, 1)))
    for place, _ in drawn:
        wanted = {axis: [place[axis]] for axis in CURVE_NAMES} | {FREQ: drawn.labels[FREQ]}
        at = positions(store.labels, wanted)
        with naming_damage(store.location):
            errors = store.read_values("error", at, 0, count)
        of_freq = errors.reshape(len(drawn.labels[FREQ]), -1).astype(np.float64)
        yield (
            _key(place),
            {
                n: _histogram(values)
                for n, row in zip(drawn.labels[FREQ], of_freq, strict=True)
                if (values := row[~np.isnan(row)]).size
            },
        )


def _histogram(values: Any) -> Histogram:
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, _BARS, (low, high if high > low else low + 1.0))
    return Histogram(low, high, counts.tolist(), float(np.median(values)), high)


def _differences(name: str, store: Store) -> Iterator[PageDifference]:
    dataset = opened(store)
    if not dataset.sizes[TRIAL]:
        return
    for rival, difference in pairs.against_asm(dataset).items():
        changes = {tuple(each.place.values()): each for each in pairs.overtaking(difference)}
        for place, numbers in _lines(difference, ("mean_error", "ci_low", "ci_high")):
            if numbers["measured"].any():
                axes = [axis for axis in CURVE_NAMES if axis in place]
                known = changes.get(tuple(place[axis] for axis in axes))
                yield PageDifference(name, rival, place, numbers, known)


def _convergences(name: str, store: Store, drawn: Curves) -> Iterator[PageConvergence]:
    """At the n in the middle of each curve."""
    points, unit = sum(curve["measured"].size for _, curve in drawn), store.record.unit_trials
    # The others are read trial by trial.
    counts = [
        count for count in halves(str(store)) if count % unit == 0 or count * points < _MOST_ERRORS
    ]
    with contextlib.suppress(ValueError):
        grown = convergence(str(store), counts or [store.measured_trials()])
        freqs = drawn.labels[FREQ]
        for place, curve in drawn:
            if not curve["measured"].any():
                continue
            n = int(in_range(curve, place["block_size"])[FREQ][-1]) // 2
            n = min(freqs, key=lambda freq: abs(freq - n))
            point = grown.sel({**place, FREQ: n})
            columns = (
                "mean_error", "ci_low", "ci_high", "standard_error", "expected_standard_error"
            )  # fmt: skip
            numbers: Curve = {each: point[each].to_numpy() for each in columns}
            numbers["trials"] = point["trials"].to_numpy()
            yield PageConvergence(name, place, n, numbers)


def _lines(dataset: xr.Dataset, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], Curve]]:
    """The curves of a dataset along n, with the axis values that name them."""
    axes = [axis for axis in CURVE_NAMES if axis in dataset.dims]
    for index in np.ndindex(*(dataset.sizes[axis] for axis in axes)):
        at = dict(zip(axes, index, strict=True))
        one = dataset.isel(at)
        place = {axis: one[axis].item() for axis in CURVE_NAMES if axis in one.coords}
        numbers: Curve = {name: one[name].to_numpy() for name in (*names, "measured")}
        yield place, numbers | {FREQ: one[FREQ].to_numpy()}
