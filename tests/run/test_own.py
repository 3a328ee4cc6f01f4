"""Algorithms, sources and selections that are functions of the user's own, in sweeps."""

import functools
import json
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from helpers import own
from helpers.sweeps import command

import asm_core
from asm_core.sources import uniform
from asm_core.stream import words_of
from pipeline import open_results, plan, summarize, sweep, verify
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.errors import UserError
from pipeline.functions import ranks, resolving
from pipeline.run import worker
from pipeline.run.planned import plan_of

FREQS = "freqs=0..14..2"


def errors(*words, **options):
    return sweep([FREQS, *words], **options).error.squeeze()


def test_an_algorithm_is_measured_on_the_same_blocks_as_ours(masks, tmp_path):
    words = ["algorithm=asm,apx,mine,other", *own.entry("algorithm", "own_asm")[1:]]
    words += own.entry("algorithm", "shifted", "other", by=0.5)[1:]
    found = errors(*words, "trials=300", f"out={tmp_path}/a.zarr")
    assert found.algorithm.values.tolist() == ["apx", "asm", "mine", "other"]
    np.testing.assert_allclose(found.sel(algorithm="mine"), found.sel(algorithm="asm"), atol=1e-7)
    blocks = uniform(0, 8, 0, 300)
    for n in (0, 6, 14):
        approximate = asm_core.approximate(asm_core.block_dct(blocks), n)
        expected = asm_core.max_pool(approximate) + 0.5 * (n < 14)
        expected = asm_core.rmse(expected, asm_core.max_pool(blocks))
        np.testing.assert_allclose(found.sel(algorithm="other", freq=n), expected, atol=1e-7)


def test_its_bits_depend_on_nothing_but_the_trial(masks, tmp_path):
    words = ["algorithm=asm,mine", *own.entry("algorithm", "mean", weight=0.9)[1:], "trials=5000"]
    words += ["operation=max_pool,min_pool", "selection=triangle,zigzag", "block_size=4,8"]
    whole = errors(*words, f"out={tmp_path}/a.zarr")
    for k, unit in enumerate((100, 777)):
        again = errors(*words, f"unit_trials={unit}", f"out={tmp_path}/b{k}.zarr")
        assert whole.identical(again.assign_attrs(whole.attrs))
    assert verify(tmp_path / "b1.zarr", 1.0).problems == []


def test_a_store_is_extended_by_an_algorithm(masks, tmp_path):
    out = f"out={tmp_path}/a.zarr"
    first = errors("trials=300", "unit_trials=100", out)
    words = ["algorithm=asm,mine", *own.entry("algorithm", "own_asm")[1:], "trials=300", out]
    both = errors(*words, "extend=true")
    assert (both.sel(algorithm="asm") == first).all()
    np.testing.assert_allclose(both.sel(algorithm="mine"), first, atol=1e-7)
    whole = errors(*words[:-1], f"out={tmp_path}/b.zarr")
    assert (both == whole).all()
    assert verify(tmp_path / "a.zarr", 1.0).problems == []


def test_a_changed_function_is_another_experiment_and_says_so(tmp_path):
    out = f"out={tmp_path}/a.zarr"
    words = [*own.entry("algorithm", "mean", weight=0.5), "trials=50"]
    with own.module(tmp_path):
        errors(*words, out)
        named = sweep([FREQS, *words, f"results={tmp_path}/r"]).attrs["store"]
        with pytest.raises(UserError, match=r"algorithm.mine.weight is 0.5 in the store, 0.6 here"):
            errors(*words[:-2], "algorithm.mine.weight=0.6", "trials=50", out)
    with own.module(tmp_path, own.TEXT.replace("weight * windows", "weight + windows")):
        with pytest.raises(UserError, match=r"the code of own_masks.mean \(algorithm mine\) has"):
            errors(*words, out)
        assert sweep([FREQS, *words, f"results={tmp_path}/r"]).attrs["store"] != named
        [problem] = verify(tmp_path / "a.zarr", 1.0).problems
        assert "the code of own_masks.mean (algorithm mine) has changed" in problem.words
    with own.module(tmp_path, own.TEXT + "\n\ndef more():\n    pass\n"):
        errors(*words, out)
        assert verify(tmp_path / "a.zarr", 1.0).problems == []


def test_a_sweep_says_that_the_code_has_changed_since_the_last(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    words = ["sweep", FREQS, *own.entry("algorithm", "mean", weight=0.5), "trials=50"]
    for text, begins in ((own.TEXT, False), (own.TEXT.replace("weight *", "weight +"), True)):
        with own.module(tmp_path, text):
            assert main(words) == 0
        said = "".join(capfd.readouterr())
        assert ("the code of own_masks.mean (algorithm mine) has changed" in said) == begins
        assert ("this is another experiment, with a store of its own" in said) == begins


def test_a_store_keeps_the_source_text(masks, tmp_path):
    words = ["algorithm=asm,mine", *own.entry("algorithm", "fails", above=9)[1:],
             *own.entry("source", "ramp")]  # fmt: skip
    errors(*words, "trials=5", f"out={tmp_path}/a.zarr")
    texts = json.loads(xr.open_zarr(tmp_path / "a.zarr").attrs["functions"])
    assert [name.split()[0] for name in texts] == ["own_masks.ramp", "own_masks.fails"]
    [text] = [text for name, text in texts.items() if "fails" in name]
    assert 'raise RuntimeError("too large")' in text
    assert "def own_asm(batch):" in text


def test_what_fails_is_one_line_with_its_place_and_the_others_are_stored(masks, tmp_path, capfd):
    out = f"{tmp_path}/a.zarr"
    words = ["algorithm=asm,mine", *own.entry("algorithm", "fails")[1:], "trials=500"]
    code = main(["sweep", FREQS, *words, "unit_trials=50", f"out={out}"])
    said = capfd.readouterr().err
    assert code == 3
    [line] = [line for line in said.splitlines() if line.startswith("failed:")]
    number = 1 + own.TEXT.splitlines().index('        raise RuntimeError("too large")')
    assert f"RuntimeError: too large ({tmp_path}/own_masks.py, line {number})" in line
    assert "algorithm.mine: own_masks.fails" in line
    assert "failed 3 times" not in said
    stored = open_results(out).error.squeeze()
    assert stored.sel(algorithm="asm").notnull().all()
    large = (uniform(0, 8, 0, 500)[:, 0, 0] > 0.98).reshape(10, 50).any(axis=1)
    assert 0 < large.sum() < 10
    kept = stored.sel(algorithm="mine").isel(freq=0).notnull().values.reshape(10, 50)
    np.testing.assert_array_equal(kept.all(axis=1), ~large)
    np.testing.assert_array_equal(kept.any(axis=1), ~large)
    assert (summarize(out).measured.sel(algorithm="asm") == 500).all()
    assert verify(out, 1.0).problems == []
    # It may be tried again, and the parts that are there stay.
    assert main(["sweep", FREQS, *words, "unit_trials=50", f"out={out}"]) == 3
    assert (
        open_results(out).error.squeeze().sel(algorithm="asm") == stored.sel(algorithm="asm")
    ).all()


def test_where_all_that_is_asked_fails_nothing_is_listed(masks, tmp_path):
    words = [*own.entry("algorithm", "fails", above=0.9999), "trials=2e4", "unit_trials=2e4"]
    with pytest.raises(RuntimeError, match=r"1 unit failed.*too large"):
        errors(*words, f"out={tmp_path}/a.zarr")
    assert (summarize(tmp_path / "a.zarr").measured == 0).all()


def test_a_selection_of_the_user_s_is_as_good_as_ours(masks, tmp_path):
    ours = sweep([FREQS, "trials=200", "block_size=4,8", f"out={tmp_path}/a.zarr"])
    words = [*own.entry("selection", "diagonals"), "trials=200", "block_size=4,8"]
    mine = sweep([FREQS, *words, f"out={tmp_path}/b.zarr"])
    for name in ("error", "mask_accuracy", "regret", "coefficients_kept"):
        np.testing.assert_array_equal(mine[name].values, ours[name].values)
    shifted = sweep([*words, "freqs=0..15", "selection.mine.shift=1", f"out={tmp_path}/c.zarr"])
    kept = shifted.coefficients_kept.squeeze().sel(block_size=8)
    assert kept.values.tolist()[:4] == [1, 1, 3, 6]
    words[-1] = "block_size=4,6,8"
    sweep([*words, FREQS, "extend=true", f"out={tmp_path}/b.zarr"])
    assert verify(tmp_path / "b.zarr", 1.0).problems == []


def test_a_store_is_read_without_the_code_of_its_selection(tmp_path):
    path = tmp_path / "a.zarr"
    with own.module(tmp_path):
        words = [*own.entry("selection", "diagonals"), "selection=triangle,mine", "trials=60"]
        whole = sweep([FREQS, *words[1:], f"out={path}"])
    changed = own.TEXT.replace("return u + v + shift", "return u + v + 0 + shift")
    for text in ("", changed):
        ranks._ranks.cache_clear()
        resolving._loaded.clear()
        with own.module(tmp_path, text):
            assert open_results(path).identical(whole)
            assert (summarize(path).coefficients_kept == whole.coefficients_kept).all()
            [problem] = verify(path, 1.0).problems
            assert "mine" in problem.words
    sys.modules.pop("own_masks", None)
    both = [open_results(each) for each in (path, path)]
    assert both[0].identical(both[1])


def test_a_source_draws_from_its_own_words(masks, tmp_path):
    words = [*own.entry("source", "ramp", high=2), "trials=400", "algorithm=asm"]
    found = errors(*words, f"out={tmp_path}/a.zarr")
    blocks = 2 * np.sqrt(words_of(0, "own_masks.ramp", 8, 0, 400)(8, 8))
    expected = asm_core.errors_by_frequency(blocks, range(0, 15, 2)).astype(np.float32)
    np.testing.assert_array_equal(found, expected)
    again = errors(*words, "seed=1", f"out={tmp_path}/b.zarr")
    assert not (found == again).isel(freq=0).any()
    assert verify(tmp_path / "a.zarr", 1.0).problems == []


def test_words_are_uniform_and_none_comes_twice():
    words = words_of(3, "a.b", 8, 0, 50_000)
    one, two = words(2), words(2)
    assert one.shape == (50_000, 2)
    assert one.min() >= 0.0
    assert one.max() < 1.0
    # The standard error of a mean of 10^5 uniform numbers is 0.0009.
    assert abs(one.mean() - 0.5) < 0.005
    assert abs(np.corrcoef(one.ravel(), two.ravel())[0, 1]) < 0.02
    assert not np.isin(two, one).any()
    part = words_of(3, "a.b", 8, 700, 40)
    np.testing.assert_array_equal(part(2), one[700:740])
    np.testing.assert_array_equal(part(2), two[700:740])
    for other in (
        words_of(4, "a.b", 8, 0, 9),
        words_of(3, "a.c", 8, 0, 9),
        words_of(3, "a.b", 4, 0, 9),
    ):
        assert not np.isin(other(2), one).any()


def test_a_source_may_also_be_quantised(masks, tmp_path):
    words = [*own.entry("source", "ramp"), "source.mine.quality=50,90", "trials=30"]
    found = sweep([FREQS, *words, f"out={tmp_path}/a.zarr"])
    assert found.source.values.tolist() == ["mine_q50", "mine_q90"]
    assert verify(tmp_path / "a.zarr", 1.0).problems == []


def test_functions_are_given_in_python(masks, tmp_path):
    found = sweep(
        algorithm=["asm,apx", masks.own_asm, functools.partial(masks.shifted, by=0.5)],
        source={"mine": {"_target_": masks.ramp, "high": 3.0}},
        selection=masks.diagonals,
        freqs=[0, 7], trials=40, out=tmp_path / "a.zarr",
    )  # fmt: skip
    assert found.algorithm.values.tolist() == ["apx", "asm", "own_asm", "shifted"]
    assert found.source.values.tolist() == ["mine"]
    assert found.selection.values.tolist() == ["diagonals"]
    by_name = sweep(
        ["freqs=0,7", "trials=40", "algorithm=asm,apx,own_asm,shifted",
         "algorithm.own_asm._target_=own_masks.own_asm", "algorithm.shifted.by=0.5",
         "algorithm.shifted._target_=own_masks.shifted", *own.entry("source", "ramp", high=3.0),
         *own.entry("selection", "diagonals", "diagonals"), f"out={tmp_path}/a.zarr"]
    )  # fmt: skip
    assert by_name.identical(found)


@pytest.mark.slow
def test_functions_that_no_module_has_go_to_worker_processes(masks, tmp_path):
    words = {"algorithm": ["asm", own.local_function(0.5)], "freqs": [0, 7], "trials": 4000}
    one = sweep(**words, unit_trials=500, out=tmp_path / "a.zarr")
    two = sweep(**words, unit_trials=500, cluster="processes", out=tmp_path / "b.zarr")
    assert (one.error == two.error).all()
    assert verify(tmp_path / "a.zarr", 1.0).problems == []
    # Another one of the same name is another experiment.
    with pytest.raises(UserError, match=r"the code of .*local_function.mine .* has changed"):
        sweep(
            algorithm=["asm", own.local_function(0.6)],
            freqs=[0, 7],
            trials=4000,
            out=tmp_path / "a.zarr",
        )


def test_parameters_may_have_any_name(tmp_path):
    text = "def f(batch, what, function, key=1): return batch.operation.exact(batch.blocks)\n"
    with own.module(tmp_path, text):
        errors(*own.entry("algorithm", "f", what=1, function="x", key=2), "trials=5",
               f"out={tmp_path}/a.zarr")  # fmt: skip


def test_functions_cannot_change_what_others_are_given(tmp_path):
    text = (
        own.TEXT
        + """

def spoils(batch):
    for values in (batch.blocks, batch.coefficients):
        try:
            values.setflags(write=True)
            values[:] = 0
        except ValueError:
            pass
    return own_asm(batch)
"""
    )
    with own.module(tmp_path, text):
        alone = errors(*own.entry("algorithm", "own_asm"), "trials=60", f"out={tmp_path}/a.zarr")
        words = ["algorithm=mine,first", *own.entry("algorithm", "own_asm")[1:]]
        words += own.entry("algorithm", "spoils", "first")[1:]
        both = errors(*words, "trials=60", f"out={tmp_path}/b.zarr")
    assert (both == alone).all()


def test_what_it_takes_is_in_the_plan(tmp_path):
    slow = "def slow(batch):\n    time.sleep(0.01)\n    return own_asm(batch)\n"
    with own.module(tmp_path, f"import time\n{own.TEXT}\n\n{slow}"):
        words = {"trials": 256_000, "freqs": range(15), "results": tmp_path, "cluster": "local"}
        found = plan(own.entry("algorithm", "slow"), **words)
        # 15 calls for each 256 blocks that it is timed on, on all threads of this machine.
        assert found.seconds > 15 * 0.01 * 1000 / found.threads
        # Smaller than those of our own, so that no unit takes minutes.
        assert found.unit_trials == 16_384
        assert (
            plan(own.entry("algorithm", "slow"), **words, unit_trials=50_000).unit_trials == 50_000
        )
        assert plan(algorithm="asm", **words).unit_trials == 131_072


def test_a_worker_says_which_folder_it_lacks(tmp_path, monkeypatch):
    words = [*own.entry("algorithm", "own_asm"), "trials=50"]
    with own.module(tmp_path):
        text = worker.plan_to_text(plan_of(compose.load(words)))
    monkeypatch.setattr(resolving, "_loaded", {})
    # Where the folder is there, the module is found in it.
    worker.plan_from_text(text)
    assert sys.path.pop() == str(tmp_path)
    sys.modules.pop("own_masks")
    monkeypatch.setattr(resolving, "_loaded", {})
    gone = text.replace(str(tmp_path), f"{tmp_path}-gone")
    with pytest.raises(worker.MisfitError, match=f"the folder {tmp_path}-gone is not there"):
        worker.plan_from_text(gone)
    changed = own.TEXT.replace("batch.masked", "1 * batch.masked")
    with (
        own.module(tmp_path, changed),
        pytest.raises(worker.MisfitError, match=r"own_masks.own_asm is another one here"),
    ):
        worker.plan_from_text(text)


@pytest.mark.slow
def test_a_store_is_run_again_and_verified_by_other_processes(tmp_path):
    def program(*words):
        done = subprocess.run(
            command(*words), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240
        )
        return done.returncode, done.stdout + done.stderr

    conf = tmp_path / "conf" / "algorithm"
    conf.mkdir(parents=True)
    (tmp_path / "code").mkdir()
    (conf / "mine.yaml").write_text("mine:\n  _target_: code_of_mine.mean\n  weight: 0.5\n")
    # Beside the entries, where --config-dir finds it.
    (tmp_path / "conf" / "code_of_mine.py").write_text(own.TEXT)
    words = ["algorithm=asm,mine", "freqs=0..14..7", "trials=2000", "unit_trials=500"]
    mine = ["--config-dir", "conf"]
    for cluster in ("local", "processes"):
        code, said = program("sweep", *words, *mine, f"cluster={cluster}", f"out={cluster}.zarr")
        assert code == 0, said
    one, other = (open_results(tmp_path / f"{name}.zarr").error for name in ("local", "processes"))
    assert (one == other).all()
    code, said = program("rerun", "local.zarr", *mine, "out=again.zarr")
    assert (code, "The same to the bit" in said) == (0, True), said
    code, said = program("verify", "local.zarr", "sample=all")
    assert code != 0
    assert "there is no module code_of_mine here: name the folder that it is in" in said
    code, said = program("verify", "local.zarr", "sample=all", *mine)
    assert (code, "4 computed again" in said) == (0, True), said
