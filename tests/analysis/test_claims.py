"""Claims: verdicts follow from intervals, and statistics from independent formulas."""

import numpy as np
import pytest
from scipy import stats

from pipeline.analysis import claims
from pipeline.analysis.datasets import compare, open_results
from pipeline.cli.main import main
from pipeline.config import compose, entries
from pipeline.show import figures


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """The experiments, with few trials."""
    folder = tmp_path_factory.mktemp("claims")
    opened = {}
    for name in claims.EXPERIMENTS:
        arguments = [f"experiment={name}", "trials=2000", f"out={folder}/{name}.zarr"]
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
    assert settled[2].verdict == "confirmed, against these three"
    assert settled[3].verdict.startswith("that a wrong choice weighs more: confirmed; that the")
    assert settled[4].verdict == "confirmed"
    assert settled[5].verdict.startswith("refuted on each kind of block")


def trials_of(dataset, name, source, operation, algorithm, n):
    """What is stored, as float64, by plain indexing."""
    at = {"block_size": 0, "selection": 0}
    for axis, value in (("source", source), ("operation", operation), ("freq", n)):
        at[axis] = dataset[axis].values.tolist().index(value)
    if name == "error":
        at["algorithm"] = dataset["algorithm"].values.tolist().index(algorithm)
    return dataset[name].isel(at).to_numpy().astype(np.float64)


def half_width(values):
    return stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))


def ratio_of_means(a, b):
    """Ratio and half-width, by the formula of the variance of a ratio."""
    ratio = a.mean() / b.mean()
    covariance = np.cov(a, b)
    variance = covariance[0, 0] - 2 * ratio * covariance[0, 1] + ratio**2 * covariance[1, 1]
    width = np.sqrt(variance / len(a)) / b.mean() * stats.t.ppf(0.975, len(a) - 1)
    return ratio, width


def assert_point(test, n, mean, half):
    point = test.sel(freq=n)
    assert float(point["mean_error"]) == pytest.approx(mean, rel=1e-5, abs=1e-9)
    assert float(point["ci_high"] - point["ci_low"]) / 2 == pytest.approx(half, rel=1e-4)


@pytest.mark.parametrize("n", [1, 6, 13])
def test_claim_1_is_the_mean_of_paired_differences(datasets, settled, n):
    for name, dataset, source, operation in (
        (("max pooling", "uniform"), "claims", "uniform", "max_pool"),
        (("max pooling", "autoregressive"), "claims", "autoregressive", "max_pool"),
        (("ReLU", "upsampled"), "paper_relu", "upsampled", "relu"),
    ):
        asm, apx = (
            trials_of(datasets[dataset], "error", source, operation, algorithm, n)
            for algorithm in ("asm", "apx")
        )
        assert_point(settled[0].tests[name], n, (apx - asm).mean(), half_width(apx - asm))


@pytest.mark.parametrize("n", [1, 6, 13])
def test_claim_2_is_a_ratio_to_the_error_of_knowing_nothing(datasets, settled, n):
    error, nothing = (
        trials_of(datasets["claims"], "error", "uniform", "max_pool", "asm", k) for k in (n, 0)
    )
    ratio, half = ratio_of_means(error, nothing)
    assert_point(settled[1].curves["max pooling",], n, ratio, half)
    for name, share in (("above 10%", 0.1), ("above 5%", 0.05), ("above 20%", 0.2)):
        assert_point(settled[1].tests[name,], n, ratio - share, half)


@pytest.mark.parametrize("n", [1, 6])
def test_claim_3_compares_independent_samples(datasets, settled, n):
    curves = []
    for source in ("uniform", "autoregressive"):
        error, nothing = (
            trials_of(datasets["claims"], "error", source, "max_pool", "asm", k) for k in (n, 0)
        )
        curves.append(ratio_of_means(error, nothing))
    (one, one_half), (other, other_half) = curves
    half = np.hypot(one_half, other_half)
    assert_point(settled[2].tests["autoregressive",], n, one - other, half)
    # Neighbouring tiles are alike: strips of them say less than as many tiles that are not.
    error, nothing = (
        trials_of(datasets["photograph"], "error", "photograph", "max_pool", "asm", k)
        for k in (n, 0)
    )
    ratio, half = ratio_of_means(error, nothing)
    shown = settled[2].curves["photograph",].sel(freq=n)
    assert float(shown["mean_error"]) == pytest.approx(ratio, rel=0.01)
    assert float(shown["ci_high"] - shown["ci_low"]) / 2 > 1.2 * half
    assert int(shown["measured"]) == 15


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
    ratio, half = ratio_of_means(wrong["max_pool"], wrong["relu"])
    assert_point(curves["share of wrong choices",], n, ratio, half)
    total, half = ratio_of_means(squares["max_pool"], squares["relu"])
    assert_point(curves["mean square error",], n, total, half)
    cost = total / ratio
    assert float(curves["cost of a wrong choice",].sel(freq=n)["mean_error"]) == pytest.approx(cost)
    # 16 result samples against 64: a wrong one weighs four times its cost.
    weight = float(tests["weight of a wrong choice",].sel(freq=n)["mean_error"])
    assert weight == pytest.approx(4 * cost - 1, rel=1e-5)
    if n:
        difference = skill["relu"] - skill["max_pool"]
        assert_point(
            settled[4].tests["ReLU minus max pooling",],
            n,
            difference.mean(),
            half_width(difference),
        )
    if n == 6:
        for number in (ratio, cost, total):
            assert f"{number:.2f} times" in settled[3].remark


@pytest.mark.parametrize("n", [5, 6])
def test_claim_6_asks_whether_less_than_half_is_left(datasets, settled, n):
    for label, source in (("uniform", "uniform_signed"), ("autoregressive", "autoregressive")):
        for operation, name, sign in (
            ("relu", "ReLU is good", -1),
            ("max_pool", "max pooling is not", 1),
        ):
            error, nothing = (
                trials_of(datasets["claims"], "error", source, operation, "asm", k) for k in (n, 0)
            )
            ratio, half = ratio_of_means(error, nothing)
            assert_point(settled[5].tests[label, name], n, sign * (ratio - 0.5), half)


def test_what_is_not_decided_is_not_called_refuted(datasets):
    few = {
        name: dataset.isel(trial=slice(0, 15 if name == "photograph" else 2))
        for name, dataset in datasets.items()
    }
    assert "not decided" in claims.settle(few)[5].verdict


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
    left, right = figures.plot_claim(settled[0]).axes
    assert len(left.lines) == 8
    # The tests, and the line at zero.
    assert len(right.lines) == 5
    expected = settled[0].tests["ReLU", "upsampled"]["mean_error"].values
    assert right.lines[3].get_ydata() == pytest.approx(expected)
    # The level that divides high from not high.
    assert figures.plot_claim(settled[1]).axes[0].lines[-1].get_ydata() == pytest.approx([0.1, 0.1])
