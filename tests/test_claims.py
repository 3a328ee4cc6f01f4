"""Claims: verdicts follow from intervals, and statistics from independent formulas."""

import numpy as np
import pytest
import xarray as xr

from pipeline import claims, config, figures, results
from pipeline.cli import main


def interval_of(low, high):
    return xr.Dataset(
        {"ci_low": ("freq", np.array(low, float)), "ci_high": ("freq", np.array(high, float))},
        {"freq": list(range(len(low)))},
    )


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        ([1, 2], [2, 3], "confirmed"),
        ([-3, -2], [-2, -1], "refuted"),
        ([1, 1, -2, 1], [2, 2, -1, 2], "confirmed only for n = 0..1, 3 (refuted for n = 2)"),
        ([1, -1], [2, 1], "confirmed only for n = 0 (refuted or not decided for n = 1)"),
        ([-1, -1], [1, 1], "not confirmed: refuted or not decided at every n"),
        ([-3, -1], [-2, 1], "not confirmed: refuted or not decided at every n"),
    ],
)
def test_a_verdict_follows_from_the_intervals(low, high, expected):
    assert claims.verdict(interval_of(low, high)) == expected


def test_an_interval_that_touches_zero_decides_nothing():
    assert claims.verdict(interval_of([0.0], [1.0])).startswith("not confirmed")


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """The experiments, with few trials."""
    folder = tmp_path_factory.mktemp("claims")
    opened = {}
    for name in claims.EXPERIMENTS:
        arguments = [f"experiment={name}", "trials=2000", f"out={folder}/{name}.zarr"]
        assert main(["sweep", *arguments]) == 0
        opened[name] = results.open_results(f"{folder}/{name}.zarr")
    return opened


@pytest.fixture(scope="module")
def settled(datasets):
    return claims.settle(datasets)


def test_all_six_claims_are_settled(settled):
    assert len(settled) == 6
    assert "max pooling: confirmed only for n = 9..13" in settled[0].verdict
    assert "ReLU: confirmed" in settled[0].verdict
    assert settled[1].verdict == "confirmed only for n = 0..11 (refuted for n = 12..13)"
    assert settled[2].verdict == "confirmed"
    assert settled[4].verdict == "confirmed"
    assert "on no kind of block where both" in settled[5].verdict


def test_paired_differences_are_those_of_numpy(datasets):
    chosen = datasets["claims"].sel(source="uniform", operation="max_pool", freq=7).squeeze()
    asm, apx = (chosen.error.sel({"method": name}).to_numpy() for name in ("asm", "apx"))
    difference = asm.astype(float) - apx.astype(float)
    compared = results.compare(chosen, "method", "asm", "apx")
    assert float(compared["mean"]) == pytest.approx(difference.mean(), rel=1e-6)
    spread = difference.std(ddof=1) / np.sqrt(len(difference))
    assert float(compared["standard_error"]) == pytest.approx(spread, rel=1e-6)
    # Less than the error of two curves that were measured on different blocks.
    apart = np.hypot(asm.std(ddof=1), apx.std(ddof=1)) / np.sqrt(len(asm))
    assert float(compared["standard_error"]) < 0.9 * apart


def test_the_spread_of_a_ratio_is_that_of_repeated_samples():
    # 2,000 samples of 400 pairs: how much the ratio of their means really varies.
    random = np.random.default_rng(0)
    b = random.gamma(4.0, size=(2000, 400))
    a = 0.3 * b + random.normal(size=b.shape) * 0.2 + 0.1
    ratios = a.mean(axis=1) / b.mean(axis=1)
    one = results.ratio_trials(xr.DataArray(a[0], dims="trial"), xr.DataArray(b[0], dims="trial"))
    assert float(one.mean()) == pytest.approx(ratios[0], rel=1e-12)
    predicted = float(one.std(ddof=1)) / np.sqrt(400)
    # The spread of 2,000 is known to 1.6 %, that of one sample of 400 to 4 %: 4 of both together.
    assert predicted == pytest.approx(ratios.std(ddof=1), rel=0.17)


def test_share_wrong_times_cost_is_the_mean_square_error(datasets, settled):
    chosen = datasets["claims"].sel(source="uniform_signed").squeeze().sel({"method": "asm"})
    parts = settled[3].curves
    for operation, name in (("max_pool", "max pooling"), ("relu", "ReLU")):
        errors = chosen.error.sel(operation=operation, freq=6).to_numpy().astype(float)
        share, cost = (
            float(parts[f"{name}, {part}"].sel(freq=6)["mean"]) for part in ("share wrong", "cost")
        )
        assert share * cost == pytest.approx((errors**2).mean(), rel=1e-5)


def test_skill_is_zero_by_chance_and_one_when_right(settled):
    skill = settled[4].curves
    # With the DC alone the first of four is chosen: right in one of four.
    point = skill["max pooling"].sel(freq=0)
    assert float(point["ci_low"]) - 0.01 < 0 < float(point["ci_high"]) + 0.01
    assert float(skill["ReLU"].sel(freq=13)["mean"]) > 0.9


def test_every_experiment_composes_and_says_what_it_is():
    for name in config.options("experiment"):
        settings = config.load([f"experiment={name}", "trials=5"])
        assert settings.trials == [5]
        assert len(config.described(name)) > 20


def test_the_command_prints_all_verdicts_and_writes_page_and_pictures(elsewhere, capsys):
    assert main(["claims", "trials=300", "to=here"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("**Verdict: ") == 6
    page = (elsewhere / "here" / "CLAIMS.md").read_text()
    for k in range(1, 7):
        assert f"figures/claim-{k}.png" in page
        assert (elsewhere / "here" / "figures" / f"claim-{k}.png").stat().st_size > 10_000
    # The second time nothing is computed, and the same is printed.
    assert main(["claims", "trials=300"]) == 0
    again = capsys.readouterr()
    assert again.out == printed.out
    assert again.err.count("Nothing to compute") == 3


@pytest.mark.parametrize("argument", ["experiment=notebook", "out=x.zarr", "source=unifrom"])
def test_what_claims_cannot_take_is_refused_before_anything_runs(elsewhere, capsys, argument):
    assert main(["claims", argument]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


def test_the_picture_of_a_claim_shows_what_was_measured_and_what_decides(settled):
    left, right = figures.plot_claim(settled[0]).axes
    assert len(left.lines) == 4
    # The tests, and the line at zero.
    assert len(right.lines) == 3
    expected = settled[0].tests["ReLU"]["mean"].values
    assert right.lines[1].get_ydata() == pytest.approx(expected)
