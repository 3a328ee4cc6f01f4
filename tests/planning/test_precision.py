"""Sweeps to a precision: the rule, its cap, its bias, and what survives a stop."""

import numpy as np
import pytest
import scipy.stats
from helpers.sweeps import assert_same, counted, execute

from asm_core.moments import moments_of
from pipeline import UserError, open_results, summarize, sweep
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.planning import precision
from pipeline.run import rounds


def totals(*points):
    return np.stack([moments_of(np.asarray(values, np.float32)) for values in points])


@pytest.mark.parametrize(
    ("width", "count", "goal", "expected"),
    # count (width / goal)^2 * 1.05, up to three digits.
    [
        (0.02, 10_000, 0.01, 42_000),
        (0.01, 10_000, 0.003, 117_000),
        (3.0, 100, 3.0, 105),
        # Too many for a float: beyond a ratio of 10^9 it is no longer told how many.
        (0.02, 10_000, 1e-200, 10_600_000_000_000_000_000_000),
    ],
)
def test_the_trials_that_a_precision_takes_are_foretold(width, count, goal, expected):
    assert precision.trials_for(width, count, goal) == expected


def test_the_rule_goes_on_until_the_widest_point_is_narrow_enough():
    random = np.random.default_rng(1)
    narrow, wide = random.normal(0, 0.1, 10_000), random.normal(0, 1, 10_000)
    # 1.96 / 100 is the half-width of the wide one.
    both = totals(narrow, wide)
    assert precision.next_trials(both, 0.021, 10_000, 10**9) == 10_000
    assert 39_000 < precision.next_trials(both, 0.01, 10_000, 10**9) < 43_000
    assert precision.next_trials(both, 0.01, 10_000, 20_000) == 20_000
    assert precision.next_trials(both, 0.01, 20_000, 20_000) == 20_000
    # At most tenfold at a time.
    assert precision.next_trials(both, 1e-6, 10_000, 10**9) == 100_000


def test_what_must_be_narrow_is_the_longer_side_of_an_interval():
    # 1 of 100 errors is not 0: the upper side is 15 % longer than the lower.
    values = np.arange(10_000) % 100 == 0
    half = 1.96 * scipy.stats.sem(values)
    # To first order in skewness / sqrt(count).
    upper = half * (1 + scipy.stats.skew(values) / 100 * (1.96**2 / 3 + 1 / 6) / 1.96)
    assert upper > 1.06 * half
    assert precision.next_trials(totals(values), half * 1.03, 10_000, 10**9) > 10_000
    assert precision.next_trials(totals(values), upper * 1.03, 10_000, 10**9) == 10_000


def test_the_bias_of_stopping_is_that_of_the_docstring_and_falls_with_the_first_count():
    # Exponential errors, skewness 2: stop at T proportional to the sample's variance, as the rule
    # does, with means over many repetitions.  Foretold: -2 / (1.96 sqrt(T)) half-widths.
    random = np.random.default_rng(3)
    start, goal = 100, 0.1
    off = []
    for _ in range(20_000):
        values = random.exponential(size=4000)
        squares, sums = np.cumsum(values**2), np.cumsum(values)
        count = np.arange(1, 4001)
        variance = (squares - sums**2 / count) / np.maximum(count - 1, 1)
        stop = start + np.argmax(1.96 * np.sqrt(variance / count)[start:] <= goal)
        off.append(sums[stop] / (stop + 1) - 1.0)
    found, error = np.mean(off) / goal, np.std(off) / goal / np.sqrt(len(off))
    foretold = -2 / (1.96 * np.sqrt((1.96 / goal) ** 2))
    assert found == pytest.approx(foretold, abs=4 * error + 0.25 * abs(foretold))
    assert abs(foretold) / (1.96 / goal) > 2 / 1.96 / precision.MIN_TRIALS


def test_every_point_of_the_curve_reaches_the_precision(tmp_path, capsys):
    out = f"out={tmp_path}/s.zarr"
    assert main(["sweep", "precision=1e-3", "trials=1e6", out]) == 0
    assert "precision=0.001 is reached" in capsys.readouterr().out
    summary = summarize(open_results(tmp_path / "s.zarr"))
    means, ends = summary.mean_error, (summary.ci_low, summary.ci_high)
    widths = np.maximum(*(abs(end - means) for end in ends))
    assert float(widths.max()) <= 1e-3
    count = int(summary["measured"].max())
    # Enough, and not much more: the widest point would not do with a tenth less.
    assert float(widths.max()) > 1e-3 * 0.9
    assert count >= precision.MIN_TRIALS
    # The same command computes nothing; plain trials give the same bits.
    assert counted(["precision=1e-3", "trials=1e6", out]).advanced == 0
    plain = sweep([f"trials={count}", f"out={tmp_path}/plain.zarr"])
    assert_same(plain, open_results(tmp_path / "s.zarr"))


def test_cells_that_are_done_stop_early(tmp_path):
    dataset = sweep(
        ["precision=1e-3", "trials=1e6", "block_size=4,32", f"out={tmp_path}/s.zarr", "freqs=0..6"]
    )
    count = summarize(dataset)["measured"].max("freq").squeeze()
    assert count.sel(block_size=32) == precision.MIN_TRIALS
    assert count.sel(block_size=4) > 2 * precision.MIN_TRIALS


def test_trials_are_the_cap_and_the_table_says_so(tmp_path, capsys):
    assert main(["sweep", "precision=1e-4", "trials=2e4", f"out={tmp_path}/s.zarr"]) == 0
    printed = capsys.readouterr().out
    assert ": 20,000 trials" in printed
    assert "precision=0.0001 is NOT reached: the interval at n = " in printed
    assert "trials=... is the most that may be taken" in printed


def test_the_count_depends_on_neither_unit_size_nor_threads_nor_what_is_kept(tmp_path):
    arguments = ["precision=2e-3", "trials=1e6", "freqs=0..3"]
    base = sweep([*arguments, f"out={tmp_path}/a.zarr"])
    small = sweep([*arguments, "unit_trials=700", "cluster.threads=1", f"out={tmp_path}/b.zarr"])
    assert_same(base, small)
    sweep([*arguments, "store_trials=none", f"out={tmp_path}/c.zarr"])
    assert summarize(tmp_path / "c.zarr")["mean_error"].to_numpy().tobytes() == (
        summarize(base)["mean_error"].to_numpy().tobytes()
    )


def test_a_round_that_was_cut_short_is_completed_before_the_next_is_decided(tmp_path):
    arguments = ["precision=1e-3", "trials=1e6", "freqs=0..3", "unit_trials=250"]
    whole = sweep([*arguments, f"out={tmp_path}/whole.zarr"])
    done = []

    class Cut(rounds.SilentObserver):
        def advance(self, trials):
            done.append(trials)
            if len(done) % 7 == 0:
                raise RuntimeError("cut")

    given = [*arguments, f"out={tmp_path}/cut.zarr"]
    for _ in range(20):
        try:
            execute(given, Cut())
            break
        except RuntimeError:
            continue
    assert len(done) > 14
    assert_same(whole, open_results(tmp_path / "cut.zarr"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["precision=0"], "precision must be more than 0, got 0"),
        (["precision=-1e-4"], "precision must be more than 0"),
        (["precision=small"], "precision must be a number"),
        (["precision=1e-3", "trials=[10,100]"], "precision=0.001 runs up to one number of trials"),
    ],
)
def test_a_mistaken_precision_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        compose.load(arguments)
