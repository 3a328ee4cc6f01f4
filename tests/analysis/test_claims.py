"""Claims: verdicts follow from intervals, and statistics from independent formulas."""

import numpy as np
import pytest
from helpers.oracles import interval_by_hall

from pipeline.analysis import claims
from pipeline.analysis.datasets import compare
from pipeline.analysis.opening import open_results
from pipeline.cli.main import main
from pipeline.config import compose, entries
from pipeline.show.claims import plot_claim


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """The experiments, with few trials."""
    folder = tmp_path_factory.mktemp("claims")
    opened = {}
    for name in claims.EXPERIMENTS:
        trials = "all" if name == "photograph" else 2000
        arguments = [f"experiment={name}", f"trials={trials}", f"out={folder}/{name}.zarr"]
        assert main(["sweep", *arguments]) == 0
        opened[name] = open_results(f"{folder}/{name}.zarr")
    return opened


@pytest.fixture(scope="module")
def settled(datasets):
    return claims.settle(datasets)


def test_all_six_claims_are_settled(settled):
    assert len(settled) == 6
    first = settled[0].verdict
    assert "max pooling, uniform: confirmed only for n = 9..13" in first
    assert "max pooling, autoregressive: confirmed;" in first
    assert "ReLU, upsampled: confirmed" in first
    assert settled[1].verdict == "confirmed only for n = 1..11 (refuted for n = 12..13)"
    assert settled[2].verdict == (
        "that blocks with image statistics do better: confirmed; that random blocks are the worst "
        "case, against anticorrelated ones: confirmed only for n = 1 (refuted for n = 2..13)"
    )
    assert settled[3].verdict == (
        "that a wrong choice weighs more: confirmed; that the small number of samples makes the "
        "error larger: refuted, it makes the mean error smaller and the mean square no different"
    )
    assert settled[4].verdict == "confirmed"
    assert settled[5].verdict.startswith("that ReLU does better than max pooling: uniform: ")


def trials_of(dataset, name, source, operation, algorithm, n):
    """What is stored, as float64, by plain indexing."""
    at = {"block_size": 0, "selection": 0}
    for axis, value in (("source", source), ("operation", operation), ("freq", n)):
        at[axis] = dataset[axis].values.tolist().index(value)
    if name == "error":
        at["algorithm"] = dataset["algorithm"].values.tolist().index(algorithm)
    return dataset[name].isel(at).to_numpy().astype(np.float64)


def mean_of(values):
    """Mean and ends."""
    return np.array([values.mean(), *interval_by_hall(values)])


def ratio_of_means(a, b):
    """Ratio and ends, those of the values that the ratio made linear has."""
    ratio = a.mean() / b.mean()
    residuals = (a - ratio * b) / b.mean()
    # The formula of the variance of a ratio.
    covariance = np.cov(a, b)
    variance = covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
    assert residuals.std(ddof=1) == pytest.approx(np.sqrt(variance) / b.mean(), rel=1e-9)
    return ratio + np.array([0.0, *interval_by_hall(residuals)])


def assert_point(test, n, expected):
    """Compare with mean and ends, in either order."""
    point = test.sel(freq=n)
    found = [float(point[name]) for name in ("mean_error", "ci_low", "ci_high")]
    mean, ends = expected[0], sorted(expected[1:])
    assert found[0] == pytest.approx(mean, rel=1e-5, abs=1e-9)
    assert found[1:] == pytest.approx(ends, abs=1e-4 * (ends[1] - ends[0]) + 1e-12)


@pytest.mark.parametrize("n", [1, 6, 13])
def test_claim_1_is_the_mean_of_paired_differences(datasets, settled, n):
    for name, dataset, source, operation in (
        (("max pooling", "uniform"), "claims", "uniform", "max_pool"),
        (("max pooling", "autoregressive"), "claims", "autoregressive", "max_pool"),
        (("ReLU", "upsampled"), "paper_relu", "upsampled", "relu"),
    ):
        asm, apx, corrected = (
            trials_of(datasets[dataset], "error", source, operation, algorithm, n)
            for algorithm in ("asm", "apx", "apx_offset")
        )
        tests = settled[0].tests
        assert_point(tests[*name, "APX"], n, mean_of(apx - asm))
        assert_point(tests[*name, "APX + offset"], n, mean_of(corrected - asm))


def test_claim_1_says_what_is_left_once_the_bias_is_gone(datasets, settled):
    # At n = 0 APX is the mean of the block.  Var max = 2/75, Var mean = 1/12/64, and a maximum has
    # the covariance 1/15 with the sum of its four.
    corrected = trials_of(datasets["claims"], "error", "uniform", "max_pool", "apx_offset", 0)
    assert np.sqrt((corrected**2).mean()) == pytest.approx(
        np.sqrt(2 / 75 + 1 / 12 / 64 - 2 / 15 / 64), rel=0.01
    )
    plain = trials_of(datasets["claims"], "error", "uniform", "max_pool", "apx", 0)
    remark = settled[0].remark
    numbers = f"{corrected.mean():.3f} in place of {plain.mean():.3f}"
    assert f"on uniform blocks at n = 0 is {numbers}" in remark
    assert "uniform: confirmed only for n = 10..13 (refuted for n = 0..9)" in remark
    assert "the error of ASM max pooling is 1.06 times" in remark


@pytest.mark.parametrize("n", [1, 6, 13])
def test_claim_2_is_a_ratio_to_the_error_of_knowing_nothing(datasets, settled, n):
    error, nothing = (
        trials_of(datasets["claims"], "error", "uniform", "max_pool", "asm", k) for k in (n, 0)
    )
    ratio = ratio_of_means(error, nothing)
    assert_point(settled[1].curves["max pooling",], n, ratio)
    for name, share in (("above 10%", 0.1), ("above 5%", 0.05), ("above 20%", 0.2)):
        assert_point(settled[1].tests[name,], n, ratio - share)


@pytest.mark.parametrize("n", [1, 6])
def test_claim_3_compares_independent_samples(datasets, settled, n):
    curves = []
    for source in ("uniform", "autoregressive"):
        error, nothing = (
            trials_of(datasets["claims"], "error", source, "max_pool", "asm", k) for k in (n, 0)
        )
        curves.append(ratio_of_means(error, nothing))
    worse = settled[2].curves["anticorrelated",].sel(freq=6)
    assert float(worse["ci_low"]) > 1
    assert f"{float(worse['mean_error']):.3f}, above 1" in settled[2].remark
    (one, one_low, one_high), (other, other_low, other_high) = curves
    low = one - other - np.hypot(one - one_low, other_high - other)
    high = one - other + np.hypot(one_high - one, other - other_low)
    assert_point(settled[2].tests["autoregressive",], n, [one - other, low, high])
    # Neighbouring tiles are alike: as many say less than tiles that are not.
    error, nothing = (
        trials_of(datasets["photograph"], "error", "photograph", "max_pool", "asm", k)
        for k in (n, 0)
    )
    ratio, low, high = ratio_of_means(error, nothing)
    shown = settled[2].curves["photograph",].sel(freq=n)
    assert float(shown["mean_error"]) == pytest.approx(ratio)
    assert float(shown["ci_high"] - shown["ci_low"]) > 1.2 * (high - low)
    assert int(shown["measured"]) == 4800


@pytest.mark.parametrize("n", [0, 6, 13])
def test_claims_4_and_5_are_the_decomposition_on_the_same_blocks(datasets, settled, n):
    wrong, squares, skill = {}, {}, {}
    for operation, chance in (("max_pool", 1 / 4), ("relu", 1 / 2)):
        accuracy = trials_of(
            datasets["claims"], "mask_accuracy", "uniform_signed", operation, "asm", n
        )
        errors = trials_of(datasets["claims"], "error", "uniform_signed", operation, "asm", n)
        wrong[operation], squares[operation] = 1 - accuracy, errors**2
        skill[operation] = (accuracy - chance) / (1 - chance)
    curves, tests = settled[3].curves, settled[3].tests
    often = ratio_of_means(wrong["max_pool"], wrong["relu"])
    assert_point(curves["share of wrong choices",], n, often)
    squared = ratio_of_means(squares["max_pool"], squares["relu"])
    assert_point(curves["mean square error",], n, squared)
    ratio, total = often[0], squared[0]
    cost = total / ratio
    assert float(curves["cost of a wrong choice",].sel(freq=n)["mean_error"]) == pytest.approx(cost)
    # 16 result samples against 64: a wrong one weighs four times its cost.
    weight = float(tests["weight of a wrong choice",].sel(freq=n)["mean_error"])
    assert weight == pytest.approx(4 * cost - 1, rel=1e-5)
    # Four blocks as one result of 64 windows: the root of their mean square, over their mean.
    fours = squares["max_pool"].reshape(-1, 4)
    together, alone = np.sqrt(fours.mean(axis=1)), np.sqrt(fours).mean(axis=1)
    more = ratio_of_means(together, alone) - 1
    assert_point(tests["64 windows in place of 16",], n, more)
    assert more[0] > 0
    if n:
        difference = skill["relu"] - skill["max_pool"]
        assert_point(settled[4].tests["ReLU minus max pooling",], n, mean_of(difference))
    if n == 6:
        for number in (ratio, cost, total):
            assert f"{number:.2f} times" in settled[3].remark


@pytest.mark.parametrize("n", [5, 6])
def test_claim_6_is_the_contrast_on_the_same_blocks_and_a_threshold_beside_it(datasets, settled, n):
    for label, source in (("uniform", "uniform_signed"), ("autoregressive", "autoregressive")):
        for operation, name, sign in (
            ("relu", "ReLU is good", -1),
            ("max_pool", "max pooling is not", 1),
        ):
            error, nothing = (
                trials_of(datasets["claims"], "error", source, operation, "asm", k) for k in (n, 0)
            )
            ratio = ratio_of_means(error, nothing)
            assert_point(settled[5].details[label, name], n, sign * (ratio - 0.5))
        relative = []
        for operation in ("max_pool", "relu"):
            error, nothing = (
                trials_of(datasets["claims"], "error", source, operation, "asm", k) for k in (n, 0)
            )
            # Trial by trial: a ratio of means, linearised.
            ratio = error.mean() / nothing.mean()
            relative.append(ratio + (error - ratio * nothing) / nothing.mean())
        contrast = relative[0] - relative[1]
        test = settled[5].tests[label, "max pooling minus ReLU"]
        assert_point(test, n, mean_of(contrast))


def test_what_is_not_decided_is_not_called_refuted(datasets):
    few = {
        name: dataset.isel(trial=slice(0, 15 if name == "photograph" else 2))
        for name, dataset in datasets.items()
    }
    assert "not decided" in claims.settle(few)[5].verdict + claims.settle(few)[5].remark


def test_paired_differences_are_those_of_numpy(datasets):
    chosen = datasets["claims"].sel(source="uniform", operation="max_pool", freq=7).squeeze()
    asm, apx = (chosen.error.sel(algorithm=name).to_numpy() for name in ("asm", "apx"))
    difference = asm.astype(float) - apx.astype(float)
    compared = compare(chosen, "algorithm", "asm", "apx")
    assert float(compared["mean_error"]) == pytest.approx(difference.mean(), rel=1e-6)
    spread = difference.std(ddof=1) / np.sqrt(len(difference))
    assert float(compared["standard_error"]) == pytest.approx(spread, rel=1e-6)
    # Less than the error of two curves that were measured on different blocks.
    apart = np.hypot(asm.std(ddof=1), apx.std(ddof=1)) / np.sqrt(len(asm))
    assert float(compared["standard_error"]) < 0.9 * apart


def test_share_wrong_times_cost_is_the_mean_square_error(datasets, settled):
    behind = settled[3].details
    for operation, name in (("max_pool", "max pooling"), ("relu", "ReLU")):
        errors = trials_of(datasets["claims"], "error", "uniform_signed", operation, "asm", 6)
        share, cost = (
            float(behind[part, name].sel(freq=6)["mean_error"]) for part in ("share wrong", "cost")
        )
        assert share * cost == pytest.approx((errors**2).mean(), rel=1e-5)


def test_skill_is_zero_by_chance_and_one_when_right(settled):
    skill = settled[4].curves
    # With the DC alone the first of four is chosen: right in one of four.
    point = skill["max pooling",].sel(freq=0)
    assert float(point["ci_low"]) - 0.01 < 0 < float(point["ci_high"]) + 0.01
    assert float(skill["ReLU",].sel(freq=13)["mean_error"]) > 0.9


def test_every_experiment_composes_and_says_what_it_is():
    for name in entries.names("experiment"):
        settings = compose.load([f"experiment={name}", "trials=5"])
        assert settings.trials == (5,)
        assert len(entries.description(name)) > 20


def test_the_command_prints_all_verdicts_and_writes_page_and_pictures(elsewhere, capsys):
    # More than the photograph has tiles, all of which are taken whatever is asked for.
    assert main(["claims", "trials=5000", "to=here"]) == 0
    printed = capsys.readouterr()
    assert printed.out.count("**Verdict: ") == 6
    page = (elsewhere / "here" / "CLAIMS.md").read_text()
    for k in range(1, 7):
        assert f"figures/claim-{k}.png" in page
        assert (elsewhere / "here" / "figures" / f"claim-{k}.png").stat().st_size > 10_000
    # The second time nothing is computed, and the same is printed.
    assert main(["claims", "trials=5000"]) == 0
    again = capsys.readouterr()
    assert again.out == printed.out
    assert again.err.count("Nothing to compute") == 3


@pytest.mark.parametrize(
    "argument",
    ["experiment=notebook", "out=x.zarr", "source=uniform", "block_size=16", "freqs=0..6",
     "algorithm=asm", "selection=zigzag", "trails=5", "trials=0", "cluster=slrum"],
)  # fmt: skip
def test_what_claims_cannot_take_is_refused_before_anything_runs(elsewhere, capsys, argument):
    assert main(["claims", argument]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


def test_the_picture_of_a_claim_shows_what_was_measured_and_what_decides(settled):
    left, right = plot_claim(settled[0]).axes
    assert len(left.lines) == 12
    # The tests, and the line at zero.
    assert len(right.lines) == 9
    expected = settled[0].tests["ReLU", "upsampled", "APX"]["mean_error"].values
    assert right.lines[3].get_ydata() == pytest.approx(expected)
    # The level that divides high from not high.
    assert plot_claim(settled[1]).axes[0].lines[-1].get_ydata() == pytest.approx([0.1, 0.1])


def test_no_interval_of_an_error_reaches_below_zero(settled):
    for claim in (settled[0], settled[1], settled[2], settled[5]):
        for curve in claim.curves.values():
            assert (curve["ci_low"] >= 0).all()
            assert (curve["ci_low"] <= curve["mean_error"]).all()
    # That of a difference may.
    assert any((test["ci_low"] < 0).any() for test in settled[0].tests.values())
