"""From which n on a curve is below something, and whether its interval holds what it promises."""

import numpy as np
import pytest
import xarray as xr

import asm_core
from pipeline import compare, convergence, crossing, open_results, summarize, sweep
from pipeline.analysis.crossings import Threshold, crossing_of

NAN = float("nan")


def found(mean, low, high, below=1.0):
    n = np.arange(len(mean)) * 2
    curve = (np.array(each, dtype=float) for each in (mean, low, high))
    return crossing_of(n, *curve, Threshold.exactly(below))


@pytest.mark.parametrize(
    ("mean", "half", "expected"),
    [
        ([3, 2, 0.5, 0.1], 0.1, (4, 4, 4)),
        ([3, 1.05, 0.95, 0.1], 0.1, (4, 2, 6)),
        ([0.5, 0.4, 0.3, 0.2], 0.1, (0, 0, 0)),
        ([3, 2, 2, 2], 0.1, (NAN, NAN, NAN)),
        ([3, 2, 2, 1.05], 0.1, (NAN, 6, NAN)),
        ([3, 2, 2, 0.95], 0.1, (6, 6, NAN)),
        # Below, above once more, and below: from the last time on.
        ([3, 0.5, 2, 0.5], 0.1, (6, 2, 6)),
        # Not measured, and no interval.
        ([3, NAN, NAN, 0.5], 0.1, (6, 6, 6)),
        ([3, 2, 0.5, 0.5], NAN, (4, 0, NAN)),
    ],
)
def test_the_crossing_and_its_ends(mean, half, expected):
    mean = np.array(mean)
    assert found(mean, mean - half, mean + half) == pytest.approx(expected, nan_ok=True)


def test_a_difference_of_what_is_exact_decides_nothing():
    mean, half = np.array([1.0, -1.0, 0.0, 0.0]), np.array([0.5, 0.5, 0.0, 0.0])
    assert found(mean, mean - half, mean + half, below=0.0) == (2, 2, 2)
    assert np.isnan(found(mean[2:], mean[2:], mean[2:], below=0.0)).all()


@pytest.mark.parametrize("steps", [[1.5, 1.2, 1.04, 0.99, 0.9, 0.5], [1.001, 0.999, 0.2], [2, 0.9]])
@pytest.mark.parametrize("share", [None, 0.5])
def test_the_interval_holds_the_true_crossing(steps, share):
    # 1,000 samples of 40 trials each, whose true curve is known.
    random = np.random.default_rng(7)
    curve = np.array(steps) if share is None else np.array([2.0, *steps])
    truth = int(np.flatnonzero(curve < 1)[0])
    draws = 1000
    noise = random.normal(size=(draws, len(curve), 40)) * 0.3
    dataset = xr.Dataset({"error": (("draw", "freq", "trial"), curve[:, None] + noise)})
    dataset = dataset.assign_coords(freq=np.arange(len(curve)), trial=np.arange(40))
    ends = crossing(dataset, below=1.0) if share is None else crossing(dataset, share=share)
    low = np.nan_to_num(ends.ci_low, nan=len(curve))
    high = np.nan_to_num(ends.ci_high, nan=len(curve))
    assert (low <= ends.crossing.fillna(len(curve))).all()
    assert (ends.crossing.fillna(len(curve)) <= high).all()
    # Each end is wrong in 2.5 %; three standard deviations of 1,000 draws are 1.5 %.
    assert (low > truth).mean() < 0.04
    assert (high < truth).mean() < 0.04
    if share is None and min(abs(curve - 1)) > 0.1:
        assert ((low == truth) & (high == truth)).mean() > 0.5


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    words = ["block_size=4,8", "algorithm=asm,apx", "trials=3000", "unit_trials=1024"]
    return sweep([*words, "freqs=0..14", f"out={folder}/s.zarr"]).attrs["store"]


def test_the_crossing_of_a_sweep_is_what_its_curve_says(path):
    summary = summarize(path)
    for source in (path, open_results(path), summary):
        ends = crossing(source, below=0.05)
        assert ends.sizes == {
            "source": 1, "block_size": 2, "operation": 1, "selection": 1, "algorithm": 2
        }  # fmt: skip
        for point in ({"block_size": b, "algorithm": a} for b in (4, 8) for a in ("asm", "apx")):
            curve = summary.sel(point).squeeze()
            expected = []
            for name in ("mean_error", "ci_low", "ci_high"):
                n = 15
                while n and float(curve[name].sel(freq=n - 1)) < 0.05:
                    n -= 1
                expected.append(n)
            measured = ends.sel(point).squeeze()
            assert float(measured.crossing) == expected[0]
            assert float(measured.ci_high) == expected[2]
            assert float(measured.ci_low) <= expected[0]
    # Notebook: ASM max pooling of uniform 8 x 8 blocks falls below 0.05 at n = 11.
    assert ends.crossing.sel(block_size=8, algorithm="asm").item() == 11


def test_where_one_algorithm_overtakes_another(path):
    dataset = open_results(path).sel(block_size=8)
    ends = crossing(compare(dataset, "algorithm", "asm", "apx"), below=0)
    errors = {
        name: asm_core.errors_by_frequency(
            asm_core.sources.uniform(0, 8, 0, 3000), range(15), algorithm=name
        ).mean(axis=1)
        for name in ("asm", "apx")
    }
    # At n = 14 both are exact.
    better = errors["asm"][:14] < errors["apx"][:14]
    assert better.tolist() == [False] * 9 + [True] * 5
    assert [ends[name].item() for name in ("crossing", "ci_low", "ci_high")] == [9, 9, 9]


@pytest.mark.parametrize("wrong", [{}, {"below": 1, "share": 1}, {"below": NAN}, {"share": 0}])
def test_a_threshold_that_says_nothing_is_refused(path, wrong):
    with pytest.raises(ValueError, match="crossing takes"):
        crossing(path, **wrong)


def test_a_curve_along_no_frequencies_is_refused(path):
    with pytest.raises(ValueError, match="crossing takes a curve along freq"):
        crossing(summarize(path).sel(freq=3), below=1)


def test_convergence_is_the_estimate_of_each_half(path):
    for source in (path, open_results(path)):
        grown = convergence(source)
        counts = grown.trials.values.tolist()
        assert counts == [11, 23, 46, 93, 187, 375, 750, 1500, 3000]
        for count in counts:
            one = summarize(source, trials=count).squeeze("trials", drop=True)
            xr.testing.assert_equal(grown.sel(trials=count, drop=True)[list(one)], one)
    last = grown.isel(trials=-1)
    xr.testing.assert_allclose(last.expected_standard_error, last.standard_error)
    ratio = grown.expected_standard_error / last.standard_error
    expected = np.sqrt(3000 / np.array(counts))
    np.testing.assert_allclose(ratio.sel(freq=3, algorithm="asm", block_size=8).squeeze(), expected)


def test_convergence_of_what_is_not_kept_goes_by_units(tmp_path):
    words = ["trials=3000", "unit_trials=1024", "store_trials=200", f"out={tmp_path}/s.zarr"]
    sweep([*words, "freqs=3"])
    assert convergence(tmp_path / "s.zarr").trials.values.tolist() == [
        11, 23, 46, 93, 187, 1024, 3000
    ]  # fmt: skip


def test_convergence_of_a_few_trials_is_one_estimate(tmp_path):
    dataset = sweep(["trials=3", "freqs=3", f"out={tmp_path}/s.zarr"])
    assert convergence(dataset).trials.values.tolist() == [3]


def test_a_curve_that_has_lost_its_frequencies_is_refused(path):
    with pytest.raises(ValueError, match="does not say any more which freq it has: keep freq"):
        crossing(summarize(path).drop_vars(["freq", "phi"]), below=0.1)
