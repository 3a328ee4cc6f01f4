"""What a page about stores shows: numbers alone, of any number of stores."""

import contextlib
import itertools
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
from pipeline.errors import UserError, are, count_of
from pipeline.planning.axes import CELL, CURVE, CURVE_NAMES, FREQ, TRIAL
from pipeline.planning.identity import positions
from pipeline.store.damage import naming_damage
from pipeline.store.store import Store

SHARE = 0.1
# So many errors are read for all histograms of a store, in a second; and bars of each.
_MOST_ERRORS, _BARS = 1 << 24, 24
# And so many for each number of trials, that is the end of no unit, of which an estimate is shown.
_MOST_AT_ENDS = 1 << 22
# Of so many trials of a source and block size at most.
_MOST_TRIALS = 1 << 17


@dataclass(frozen=True)
class Histogram:
    """Errors of blocks at one n: the smallest and the largest, counts between them, the median."""

    low: float
    high: float
    counts: list[int]
    median: float


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
    units: str


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
        lasts = {
            (each.place["selection"], each.place["block_size"]): int(each.curve[FREQ][-1])
            for each in found
            if each.store == name
        }
        differences += _differences(name, store, lasts)
        convergences += _convergences(name, store, drawn, lasts)
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
        record.created, store.measured_trials(), record.unit_of_samples,
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
    more = f" There {are(others)} {count_of(others, 'other curve')} below." if others else ""
    return f"{begins}, {falls}.{more}"


def _histograms(
    store: Store, drawn: Curves
) -> Iterator[tuple[tuple[Any, ...], dict[int, Histogram]]]:
    """How the errors of a part of the trials are distributed, for each curve."""
    freqs, points = drawn.labels[FREQ], drawn.values["mean_error"].size
    count = min(store.kept_trials, _MOST_TRIALS, max(1, _MOST_ERRORS // points))
    # All curves of a cell lie in one chunk, which is read once.
    for cell in itertools.product(*(drawn.labels[axis] for axis in CELL)):
        wanted = {**drawn.labels, **{axis: [v] for axis, v in zip(CELL, cell, strict=True)}}
        with naming_damage(store.location):
            errors = store.read_values("error", positions(store.labels, wanted), 0, count)
        for index in np.ndindex(errors.shape[len(CELL) : -2]):
            curve = errors[(0, 0, *index)].astype(np.float64)
            names = (drawn.labels[axis][k] for axis, k in zip(CURVE[:-1], index, strict=True))
            yield (
                (*cell, *names),
                {
                    n: _histogram(values)
                    for n, row in zip(freqs, curve, strict=True)
                    if (values := row[~np.isnan(row)]).size
                },
            )


def _histogram(values: Any) -> Histogram:
    low, high = float(values.min()), float(values.max())
    counts, _ = np.histogram(values, _BARS, (low, high if high > low else low + 1.0))
    return Histogram(low, high, counts.tolist(), float(np.median(values)))


def _differences(
    name: str, store: Store, lasts: Mapping[tuple[str, int], int]
) -> Iterator[PageDifference]:
    """Of every rival; `lasts` are the last n by selection and block size: beyond it all is 0."""
    dataset = opened(store)
    if not dataset.sizes[TRIAL]:
        return
    for rival, difference in pairs.against_asm(dataset).items():
        changes = {tuple(each.place.values()): each for each in pairs.overtaking(difference)}
        for place, numbers in _lines(difference, ("mean_error", "ci_low", "ci_high")):
            if numbers["measured"].any():
                axes = [axis for axis in CURVE_NAMES if axis in place]
                known = changes.get(tuple(place[axis] for axis in axes))
                within = numbers[FREQ] <= lasts[place["selection"], place["block_size"]]
                numbers = {key: values[within] for key, values in numbers.items()}
                yield PageDifference(name, rival, place, numbers, known)


def _convergences(
    name: str, store: Store, drawn: Curves, lasts: Mapping[tuple[str, int], int]
) -> Iterator[PageConvergence]:
    """At the n in the middle of each curve."""
    points, unit = sum(curve["measured"].size for _, curve in drawn), store.record.unit_trials
    # The others are read trial by trial.
    counts = [
        count for count in halves(str(store)) if count % unit == 0 or count * points < _MOST_AT_ENDS
    ]
    with contextlib.suppress(ValueError):
        grown = convergence(str(store), counts or [store.measured_trials()])
        trials, freqs = grown["trials"].to_numpy(), drawn.labels[FREQ]
        names = ("mean_error", "ci_low", "ci_high", "standard_error", "expected_standard_error")
        arrays = {
            each: grown[each].transpose(*CURVE_NAMES, FREQ, "trials").to_numpy() for each in names
        }
        for index in np.ndindex(drawn.values["mean_error"].shape[:-1]):
            place = {a: drawn.labels[a][k] for a, k in zip(CURVE_NAMES, index, strict=True)}
            last = lasts.get((place["selection"], place["block_size"]))
            if last is None or not drawn.values["measured"][index].any():
                continue
            k = min(range(len(freqs)), key=lambda k: abs(freqs[k] - last // 2))
            numbers = {each: values[(*index, k)] for each, values in arrays.items()}
            yield PageConvergence(name, place, freqs[k], {**numbers, "trials": trials})


def _lines(dataset: xr.Dataset, names: Sequence[str]) -> Iterator[tuple[dict[str, Any], Curve]]:
    """The curves of a dataset along n, with the axis values that name them."""
    axes = [axis for axis in CURVE_NAMES if axis in dataset.dims]
    known = {axis: np.atleast_1d(dataset[axis]).tolist() for axis in axes}
    arrays = {
        each: dataset[each].transpose(*axes, FREQ).to_numpy() for each in (*names, "measured")
    }
    for index in np.ndindex(*(len(values) for values in known.values())):
        place = {axis: known[axis][k] for axis, k in zip(axes, index, strict=True)}
        numbers = {each: values[index] for each, values in arrays.items()}
        yield place, {**numbers, FREQ: dataset[FREQ].to_numpy()}
