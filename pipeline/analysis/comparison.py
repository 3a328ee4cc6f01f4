"""Two stores, or two algorithms of one: where their means differ by more than chance."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from asm_core.intervals import CONFIDENCE
from asm_core.moments import MOMENTS, Array
from pipeline.analysis import curves
from pipeline.analysis.curves import of_differences
from pipeline.analysis.datasets import moments_by_trial
from pipeline.analysis.opening import Place, opened, store_at
from pipeline.analysis.verdicts import apart, better
from pipeline.errors import UserError, did_you_mean, refuse_unreadable
from pipeline.planning.axes import ALGORITHM, METRICS, NAMES, TRIAL, Labels
from pipeline.planning.identity import same_blocks
from pipeline.store.store import Store

_AXES = METRICS["error"].axes
_COST = ("coefficients_kept", "share_kept", "phi")
_LABELS = {
    "mean_error": ("difference of mean errors", "that of the first minus that of the second"),
    "ci_low": ("lower end of the 95 % interval", "of all differences together"),
    "ci_high": ("upper end of the 95 % interval", "of all differences together"),
    "significant": ("significant", "whether 0 lies outside the interval"),
    "first": ("mean error of the first", "RMSE per block"),
    "second": ("mean error of the second", "RMSE per block"),
    "measured": ("trials compared", "pairs, or trials of the smaller sample"),
}


def compare_results(
    first: Place, second: Place | None = None, *, algorithm: Sequence[str] | None = None
) -> xr.Dataset:
    """Whether two stores, or two algorithms of one, have the same mean errors, but for chance.

    Parameters
    ----------
    first, second
        Paths or URLs.  Where trial t is the same block in both, as with the same seed, differences
        are taken trial by trial, of trials that both keep; else the two are independent samples.
    algorithm
        In place of a second store, the names of two algorithms of the first, whose errors are
        subtracted trial by trial.

    Returns
    -------
    xarray.Dataset
        At every point that both have: `mean_error`, that of the first minus that of the second;
        `ci_low` and `ci_high`, between which all of these differences lie together with 95 %
        confidence (Bonferroni: each has 1 - 0.05 / points); `significant`, whether 0 lies outside;
        `first` and `second`, the mean errors, and `measured`, the trials that are compared (of the
        smaller sample).  Attributes: `paired`, 1 or 0, and `points`, how many are looked at: those
        where nothing varies and nothing differs, as where everything is kept, are not.  Of two
        algorithms also `verdict`: where the first is better, where it is worse, as one sentence for
        each curve; the axis has the name of the first.

    Raises
    ------
    UserError
        Where there is no such store or algorithm, or the two have no point in common that both have
        measured.

    Examples
    --------
    >>> import pipeline
    >>> one, two = (pipeline.sweep(seed=s, trials=500).attrs["store"] for s in (0, 1))
    >>> found = pipeline.compare_results(one, two)
    >>> bool(found.significant.any()), found.attrs["paired"]
    (False, 0)
    """
    if (second is None) == (algorithm is None):
        raise UserError(
            "compare takes a second store, or the names of two algorithms, algorithm=(...), got "
            f"{type(second).__name__} and {algorithm!r}"
        )
    if algorithm is not None:
        return compare_algorithms(store_at(first), algorithm)
    assert second is not None
    return compare_stores(store_at(first), store_at(second))


def compare_algorithms(store: Store, names: Sequence[str]) -> xr.Dataset:
    """`compare_results` of two algorithms of a store that is open."""
    known = store.labels[ALGORITHM]
    for name in names:
        if name not in known:
            raise UserError(f"{store} has no algorithm {name!r}: {did_you_mean(name, known)}")
    if len(names) != 2 or names[0] == names[1]:
        raise UserError(
            f"algorithm must be two names, the first minus the second, got {','.join(names)}: it "
            f"has {','.join(known)}"
        )
    kept = min(store.kept_trials, store.measured_trials())
    shared = {**store.labels, ALGORITHM: [names[0]]}
    errors = opened(store)["error"].isel({TRIAL: slice(0, kept)}).astype(np.float64)
    sides = [
        errors.sel({ALGORITHM: [name]}).assign_coords({ALGORITHM: shared[ALGORITHM]})
        for name in names
    ]
    found = _paired(sides[0] - sides[1], shared, str(store))
    curve = [curves.of_store(store, kept, {**shared, ALGORITHM: [name]}) for name in names]
    means = [xr.Dataset(_variables(side.values), shared) for side in curve]
    found = _completed(found, means, store, shared, str(store))
    title = f"{names[0]} minus {names[1]}, {store}"
    return found.assign_attrs(paired=1, title=title, verdict=better(found, *names))


def compare_stores(one: Store, two: Store) -> xr.Dataset:
    """`compare_results` of stores that are open."""
    shared = {axis: sorted(set(one.labels[axis]) & set(two.labels[axis])) for axis in NAMES}
    for axis, values in shared.items():
        if not values:
            raise UserError(
                f"{one} and {two} have no {axis} in common, {_listed(one, axis)} and "
                f"{_listed(two, axis)}: there is nothing to compare"
            )
    measured = [each.measured_trials() for each in (one, two)]
    kept = min(one.kept_trials, two.kept_trials, *measured)
    paired = kept > 1 and same_blocks(one.record.identity, two.record.identity, shared)
    # Of the trials that are compared.
    counts = [kept, kept] if paired else measured
    sides = [
        curves.of_store(each, count, shared) for each, count in zip((one, two), counts, strict=True)
    ]
    means = [xr.Dataset(_variables(side.values), shared) for side in sides]
    both = f"{one} and {two}"
    if paired:
        ours, theirs = (
            opened(store)["error"].sel(shared).isel({TRIAL: slice(0, kept)}).astype(np.float64)
            for store in (one, two)
        )
        found = _paired(ours - theirs, shared, f"{one} or {two}")
    else:
        found = _apart(one, two, shared, means)
    found = _completed(found, means, one, shared, both)
    return found.assign_attrs(paired=int(paired), title=f"{one} minus {two}")


def _completed(
    found: xr.Dataset, means: list[xr.Dataset], store: Store, shared: Labels, both: str
) -> xr.Dataset:
    """Differences with the means that they are of, whether they are significant, and labels."""
    if not (found["measured"] > 0).any():
        raise UserError(f"{both} have measured no point both: there is nothing to compare")
    if found["ci_low"].where(found["measured"] > 0).isnull().all():
        raise UserError(
            f"{both} have too few trials, or batches of neighbours, for an interval: measure more"
        )
    low, high = found["ci_low"], found["ci_high"]
    found = found.assign(
        first=means[0]["mean_error"], second=means[1]["mean_error"],
        significant=(low > 0) | (high < 0),
    )  # fmt: skip
    cost = opened(store).sel(shared).coords
    found = found.assign_coords({name: cost[name] for name in _COST})
    for name, (long_name, description) in _LABELS.items():
        found[name].attrs = {"long_name": long_name, "description": description}
    return found


def _listed(store: Store, axis: str) -> str:
    return ",".join(map(str, store.labels[axis]))


def _variables(values: dict[str, Array]) -> dict[str, tuple[tuple[str, ...], Array]]:
    of_error = [name for name, each in values.items() if each.ndim == len(_AXES)]
    return {name: (_AXES, values[name]) for name in of_error}


def _paired(differences: xr.DataArray, shared: Labels, of: str) -> xr.Dataset:
    """Mean differences of trials; `of` names the stores that they are read from."""
    try:
        moments, sums = moments_by_trial(differences)
    except Exception as error:  # zarr raises whatever it meets
        refuse_unreadable(of, error)
        raise UserError(
            f"{of} is damaged ({' '.join(str(error).split())}): verify names what is bad"
        ) from error
    numbers = moments.to_numpy()
    points = _points(numbers)
    statistics = of_differences(numbers, sums=sums, confidence=_each(points))
    found = xr.Dataset({n: (moments.dims[:-1], v) for n, v in statistics.items()}, shared)
    found = found.transpose(*_AXES)[["mean_error", "ci_low", "ci_high", "measured"]]
    return found.assign_attrs(points=points)


def _points(moments: Array) -> int:
    """At how many points there is anything to decide."""
    at = dict(zip(MOMENTS, np.moveaxis(moments, -1, 0), strict=True))
    with np.errstate(invalid="ignore"):
        return int(((at["count"] > 0) & ((at["M2"] > 0) | (at["mean"] != 0))).sum())


def _each(points: int) -> float:
    """The confidence of each of some intervals that hold all together."""
    return 1 - (1 - CONFIDENCE) / max(points, 1)


def _apart(one: Store, two: Store, shared: Labels, means: list[xr.Dataset]) -> xr.Dataset:
    """Differences of the means of independent samples."""
    measured = np.minimum(means[0]["measured"], means[1]["measured"])
    varies = sum((each["standard_deviation"].fillna(0) > 0) for each in means) > 0
    differs = means[0]["mean_error"] != means[1]["mean_error"]
    points = int(((measured > 0) & (varies | differs)).sum())
    confidence = _each(points)
    sides = [
        xr.Dataset(
            _variables(curves.of_store(store, store.measured_trials(), shared, confidence).values),
            shared,
        )
        for store in (one, two)
    ]
    return apart(*sides).assign(measured=measured).assign_attrs(points=points)
