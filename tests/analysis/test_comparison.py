"""Two stores compared: paired or not, corrected for the number of points, and its exit codes."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
import zarr
from helpers.oracles import interval_by_hall

from asm_core.intervals import interval_of, student_quantile
from asm_core.moments import moments_of
from pipeline import UserError, compare_results, open_results, sweep
from pipeline.analysis.datasets import summarize_differences
from pipeline.analysis.verdicts import apart
from pipeline.cli.main import main
from pipeline.planning.axes import METRICS


def store(folder, name, **keys):
    settings = {"freqs": range(15), "trials": 1500, **keys, "out": str(folder / f"{name}.zarr")}
    return sweep(**settings).attrs["store"]


def scaled(path, factor, noise=0.0):
    """Change the errors of a store: what another version would have measured on the same blocks."""
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    values = root["error"][...]
    random = np.random.default_rng(3).normal(size=values.shape[-1])
    root["error"][...] = np.where(values > 0, values * factor + noise * random, values)


@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.99, 1 - 0.05 / 640])
def test_an_interval_has_the_confidence_that_is_asked_for(confidence):
    freedom = np.array([1.0, 5.0, 50.0, 899.0, 901.0, 1e6])
    expected = scipy.stats.t.ppf(0.5 + confidence / 2, freedom)
    np.testing.assert_allclose(student_quantile(freedom, confidence), expected, rtol=1e-9)
    values = np.random.default_rng(1).normal(size=300) ** 2
    _, low, high = interval_of(moments_of(values), confidence=confidence)
    np.testing.assert_allclose([low, high], interval_by_hall(values, confidence), rtol=1e-9)


def test_the_same_seed_is_compared_trial_by_trial(tmp_path):
    one, two = store(tmp_path, "one"), store(tmp_path, "two", trials=900)
    scaled(two, 1.001)
    found = compare_results(one, two)
    assert found.attrs["paired"] == 1
    # n = 14 is exact in both: there is nothing to decide.
    assert found.attrs["points"] == 14
    errors = [open_results(each).error.isel(trial=slice(0, 900)).squeeze() for each in (one, two)]
    for n in range(14):
        a, b = (each.sel(freq=n).to_numpy().astype(np.float64) for each in errors)
        point = found.sel(freq=n).squeeze()
        assert float(point.mean_error) == pytest.approx((a - b).mean(), rel=1e-9)
        low, high = interval_by_hall(a - b, 1 - 0.05 / 14)
        assert float(point.ci_low) == pytest.approx(low, rel=1e-7)
        assert float(point.ci_high) == pytest.approx(high, rel=1e-7)
        assert float(point["first"]) == pytest.approx(a.mean(), rel=1e-9)
    # A thousandth is seen, since the blocks are the same; independent ones would not tell.
    assert found.significant.sel(freq=range(12)).all()
    assert not bool(found.significant.sel(freq=14))
    assert (found.measured == 900).all()


def test_other_seeds_are_independent_samples(tmp_path):
    one, two = store(tmp_path, "one"), store(tmp_path, "two", seed=1, trials=900)
    found = compare_results(one, two)
    assert found.attrs["paired"] == 0
    assert found.attrs["points"] == 14
    sides = []
    for path in (one, two):
        errors = open_results(path).error.squeeze().to_numpy().astype(np.float64)
        ends = np.array([interval_by_hall(each, 1 - 0.05 / 14) for each in errors[:14]])
        names = ("mean_error", "ci_low", "ci_high")
        values = (errors[:14].mean(axis=-1), np.maximum(ends[:, 0], 0), ends[:, 1])
        sides.append(xr.Dataset({k: ("freq", v) for k, v in zip(names, values, strict=True)}))
    expected = apart(*sides)
    for name in expected:
        np.testing.assert_allclose(
            found[name].isel(freq=slice(14)).squeeze(), expected[name], rtol=1e-7, atol=1e-9
        )
    assert not found.significant.any()
    assert (found.measured == 900).all()


def test_equal_experiments_rarely_differ_at_any_of_many_points(tmp_path):
    # Of 40 pairs, each looked at in 28 points, 5 % may differ somewhere: more than 7 do in one of
    # 1,000 cases.  Without a correction it would be half of them.
    stores = [store(tmp_path, k, seed=k, trials=200, algorithm=["asm", "apx"]) for k in range(80)]
    wrong = [
        bool(compare_results(a, b).significant.any())
        for a, b in zip(stores[::2], stores[1::2], strict=True)
    ]
    assert sum(wrong) <= 7


def test_only_what_both_have_is_compared(tmp_path):
    one = store(tmp_path, "one", block_size=[4, 8], algorithm=["asm", "apx"], freqs=range(5))
    two = store(tmp_path, "two", block_size=[8, 16], operation=["relu", "max_pool"], freqs=[3, 9])
    found = compare_results(one, two)
    labels = {axis: found[axis].values.tolist() for axis in METRICS["error"].axes}
    assert labels == {
        "source": ["uniform"], "block_size": [8], "operation": ["max_pool"],
        "selection": ["triangle"], "algorithm": ["asm"], "freq": [3],
    }  # fmt: skip
    assert found.coefficients_kept.item() == 10
    assert found.mean_error.item() == 0


def test_a_source_of_other_parameters_is_another_sample(tmp_path):
    one, two = store(tmp_path, "one"), store(tmp_path, "two", source={"uniform": {"high": 2}})
    found = compare_results(one, two)
    assert found.attrs["paired"] == 0
    assert found.significant.sel(freq=range(13)).all()
    assert (found.ci_high.sel(freq=range(13)) < 0).all()


def test_tiles_of_the_same_image_are_paired_with_the_intervals_of_neighbours(tmp_path):
    one, two = (store(tmp_path, k, source="photograph", trials="auto") for k in ("one", "two"))
    scaled(two, 1.0, noise=1e-3)
    found = compare_results(one, two)
    assert found.attrs["paired"] == 1
    ours, theirs = open_results(one).error, open_results(two).error
    expected = summarize_differences(ours.astype(float) - theirs.astype(float))
    assert "batch" in ours.coords
    # Wider by the correction, but of the same batches.
    ratio = (found.ci_high - found.ci_low) / (expected.ci_high - expected.ci_low)
    at = ratio.isel(freq=slice(0, 13)).to_numpy()
    assert (at > 1.2).all()
    assert (at < 3).all()


def test_what_is_not_kept_is_compared_by_the_ledger(tmp_path):
    one, two = (store(tmp_path, k, seed=k, store_trials="none") for k in (0, 1))
    found = compare_results(one, two)
    assert found.attrs["paired"] == 0
    assert (found.measured == 1500).all()
    kept = [store(tmp_path, f"kept{k}", seed=k) for k in (0, 1)]
    xr.testing.assert_equal(found, compare_results(*kept))


@pytest.fixture
def stores(elsewhere):
    for name, keys in {
        "a": {}, "same": {"trials": 900}, "again": {"seed": 1}, "small": {}
    }.items():  # fmt: skip
        store(elsewhere, name, **keys)
    sweep(block_size=4, trials=10, out="small4.zarr")
    return elsewhere


@pytest.mark.parametrize(
    ("other", "code", "last"),
    [
        ("same", 0, "The same to the bit, wherever both have measured."),
        ("again", 0, "No point differs by more than chance."),
    ],
)
def test_equal_within_intervals_is_exit_code_0(stores, capsys, other, code, last):
    assert main(["compare", "a.zarr", f"{other}.zarr"]) == code
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_what_differs_is_exit_code_1_and_a_file(stores, capsys):
    sweep(freqs=range(15), trials=1500, source={"uniform": {"high": 1.3}}, out="b.zarr")
    assert main(["compare", "a.zarr", "b.zarr", "to=table.csv"]) == 1
    printed = capsys.readouterr().out
    assert "source.uniform.high: 1.0 -> 1.3\n" in printed
    assert "Differences of independent samples; the intervals of 14 points hold" in printed
    count = int(compare_results("a.zarr", "b.zarr").significant.sum())
    assert f"{count} points of 14 differ by more than chance.\n" in printed
    frame = pd.read_csv(stores / "table.csv")
    assert frame["significant"].sum() == count
    rows = [line.split() for line in printed.splitlines() if line.split()[-1:] in (["yes"], ["no"])]
    assert [row[-1] == "yes" for row in rows] == frame["significant"].tolist()
    np.testing.assert_allclose([float(row[3]) for row in rows], frame["mean_error"], atol=6e-6)


def test_what_cannot_be_compared_is_exit_code_2(stores, capsys):
    assert main(["compare", "a.zarr", "small4.zarr"]) == 2
    assert "have no block_size in common, 8 and 4: there is nothing" in capsys.readouterr().err
    assert main(["compare", "a.zarr", "nowhere.zarr"]) == 2
    assert main(["compare", "a.zarr"]) == 2
    assert (
        capsys.readouterr().err.splitlines()[-1] == "error: compare takes two stores, or "
        "one with algorithm=FIRST,SECOND: got 1 store without algorithm="
    )
    assert main(["compare", "a.zarr", "again.zarr", "to=table.docx"]) == 2
    with pytest.raises(UserError, match="nothing to compare"):
        compare_results("a.zarr", "small4.zarr")


def test_diff_says_in_words_what_differs(stores, capsys):
    assert main(["diff", "a.zarr", "small.zarr"]) == 0
    assert capsys.readouterr().out == "Nothing differs in how they were made.\n"
    sweep(
        freqs=[1, 2, 3, 7], block_size=[4, 8], source=["gaussian", "uniform"], trials=20, seed=4,
        operation={"max_pool": {"window": 4}}, out="b.zarr",
    )  # fmt: skip
    assert main(["diff", "a.zarr", "b.zarr"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "source: uniform -> gaussian, uniform",
        "block_size: 8 -> 4, 8",
        "freq: 0..14 -> 1..3, 7",
        "operation.max_pool.window: 2 -> 4",
        "seed: 0 -> 4",
        "trials: 1,500 -> 20",
    ]


def test_too_few_trials_for_an_interval_are_no_equality(tmp_path):
    one, two = (store(tmp_path, k, trials=1, seed=k) for k in (0, 1))
    with pytest.raises(UserError, match=r"too few trials.* for an interval: measure more"):
        compare_results(one, two)


def test_both_means_are_of_the_trials_that_are_compared(tmp_path):
    one, two = store(tmp_path, "one"), store(tmp_path, "two", trials=200, unit_trials=70)
    found = compare_results(one, two)
    assert found.attrs["paired"] == 1
    assert (found.mean_error == 0).all()
    xr.testing.assert_equal(found["first"], found["second"].rename("first"))


def test_a_damaged_store_is_named_and_no_traceback(tmp_path, capsys):
    one, two = store(tmp_path, "one"), store(tmp_path, "two")
    scaled(two, 1.01)
    for file in (tmp_path / "two.zarr/error/c").rglob("*"):
        if file.is_file():
            file.write_bytes(b"noise")
    assert main(["compare", one, two]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert "damaged" in line


def test_two_algorithms_of_a_store_are_compared_trial_by_trial(tmp_path):
    path = store(tmp_path, "one", algorithm=["asm", "apx"], block_size=[4, 8], trials=1200)
    found = compare_results(path, algorithm=("apx", "asm"))
    assert (found.attrs["paired"], found.algorithm.values.tolist()) == (1, ["apx"])
    # Six frequencies of the smaller block differ, and fourteen of the larger.
    assert found.attrs["points"] == 20
    errors = open_results(path).error.squeeze().astype(np.float64)
    for size, last in ((4, 6), (8, 14)):
        for n in range(last):
            pair = errors.sel(block_size=size, freq=n)
            a, b = (pair.sel(algorithm=name).to_numpy() for name in ("apx", "asm"))
            point = found.sel(block_size=size, freq=n).squeeze()
            assert float(point.mean_error) == pytest.approx((a - b).mean(), rel=1e-9)
            low, high = interval_by_hall(a - b, 1 - 0.05 / 20)
            assert float(point.ci_low) == pytest.approx(low, rel=1e-7)
            assert float(point.ci_high) == pytest.approx(high, rel=1e-7)
            assert float(point["second"]) == pytest.approx(b.mean(), rel=1e-9)
    # results/CLAIMS.md: ASM less APX changes sign at n = 9 of N = 8.
    said = dict(each.split(": ") for each in found.attrs["verdict"].split("; "))
    assert said["block_size=8"].startswith("apx is better than asm for n = 0..8, worse than asm ")
    assert said["block_size=4"].startswith("apx is better than asm for n = 0..2, worse than asm ")


def test_two_algorithms_are_two_that_the_store_has(tmp_path):
    path = store(tmp_path, "one", algorithm=["asm", "apx"], trials=50, freqs=[0, 3])
    for names, words in [
        (("asm", "apc"), "has no algorithm 'apc': did you mean apx"),
        (("asm", "asm"), "must be two names"),
        (("asm",), "must be two names"),
    ]:
        with pytest.raises(UserError, match=words):
            compare_results(path, algorithm=names)
    for arguments in [(path,), (path, path)]:
        with pytest.raises(UserError, match="compare takes a second store, or the names of two al"):
            compare_results(*arguments, **({"algorithm": ("asm", "apx")} if arguments[1:] else {}))


def test_the_verb_gives_a_verdict_on_two_algorithms(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = store(tmp_path, "one", algorithm=["asm", "apx"])
    # Which is better is no failure.
    assert main(["compare", path, "algorithm=apx,asm"]) == 0
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == (
        "Verdict: apx is better than asm for n = 0..8, worse than asm for n = 9..13, the same as "
        "asm for n = 14."
    )
    assert main(["compare", path, "algorithm=apx,asm", "to=a.csv"]) == 0
    assert pd.read_csv("a.csv").mean_error.notna().all()
    assert main(["compare", path, "algorithm=apx,asm", "to=a.html"]) == 0
    assert "apx minus asm" in (tmp_path / "a.html").read_text()
    capsys.readouterr()
    for words, expected in [
        ([path], "compare takes two stores, or one with algorithm=FIRST,SECOND: got 1 store with"),
        ([path, path, "algorithm=apx,asm"], "got 2 stores with algorithm="),
        (
            [path, "algorithm=apx"],
            "algorithm must be two names, the first minus the second, got apx",
        ),
        ([path, "algorithm=apx,nothing"], "has no algorithm 'nothing'"),
    ]:
        assert main(["compare", *words]) == 2
        assert expected in capsys.readouterr().err
