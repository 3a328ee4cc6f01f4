"""The constants of `apx_offset`: from other blocks, and the same whatever the sweep looks like."""

import numpy as np
import pytest
from helpers import arrays, oracles

import asm_core
from asm_core import Operation
from asm_core.sources import uniform
from pipeline.config import compose
from pipeline.errors import UserError
from pipeline.planning.plan import make_plan
from pipeline.run import offsets
from pipeline.run.worker import measure_unit
from pipeline.sources import kinds

WORDS = ["algorithm=apx,asm,apx_offset", "freqs=0,6,14", "operation=max_pool,relu"]


def plan_of(*words):
    # A word that is given twice is the later one.
    chosen = {word.partition("=")[0]: word for word in (*WORDS, *words)}
    return make_plan(compose.load(list(chosen.values())), kinds.resolve)


def measured(plan):
    return np.concatenate([measure_unit(plan, unit).error for unit in plan.grid.units()], axis=-1)


def test_drawn_blocks_are_judged_with_constants_of_trials_that_no_sweep_reaches():
    plan = plan_of("trials=300")
    others = uniform(0, 8, 1 << 62, 4096)
    chosen = [Operation("max_pool"), Operation("relu")]
    constants = asm_core.mean_offsets(others, plan.freqs, chosen)
    found = measured(plan)[:, 0, plan.labels["algorithm"].index("apx_offset")]
    blocks = uniform(0, 8, 0, 300)
    for o, operation in enumerate(chosen):
        expected = asm_core.errors_by_frequency(
            blocks, plan.freqs, operation.kind, "apx_offset", offsets=constants[o]
        )
        assert np.array_equal(found[o], expected.astype(np.float32))
    # And by nested loops, of one block.
    A = oracles.approximate(oracles.dct(blocks[7]), 6)
    expected = oracles.error(blocks[7], A, "max_pool", "apx", offset=constants[0, 1])
    assert found[0, 1, 7] == pytest.approx(expected, rel=1e-6)


def test_each_half_of_stored_blocks_is_judged_with_the_constants_of_the_other(tmp_path):
    # Even tiles are dark and odd ones bright: the constants of the two halves differ.
    blocks = np.random.default_rng(0).random((101, 8, 8))
    blocks[1::2] *= 100
    source = arrays.save(tmp_path / "blocks.npy", blocks)
    plan = plan_of("source=array", f"source.array.path={source}", "trials=all")
    found = measured(plan)[0, 0, plan.labels["algorithm"].index("apx_offset")]
    for half in (0, 1):
        constants = asm_core.mean_offsets(
            blocks[1 - half :: 2], plan.freqs, [Operation("max_pool")]
        )
        expected = asm_core.errors_by_frequency(
            blocks[half::2], plan.freqs, algorithm="apx_offset", offsets=constants[0]
        )
        assert np.array_equal(found[:, half::2], expected.astype(np.float32))


@pytest.mark.parametrize("source", ["uniform", "photograph"])
def test_no_bit_depends_on_units_on_other_algorithms_or_on_what_was_estimated_before(
    source, monkeypatch
):
    expected = measured(plan_of(f"source={source}", "trials=600"))
    for words in (["unit_trials=64"], ["algorithm=apx_offset,apx"], ["freqs=0,3,6,14"]):
        monkeypatch.setattr(offsets, "_known", {})
        plan = plan_of(f"source={source}", "trials=600", *words)
        found = measured(plan)[:, :, plan.labels["algorithm"].index("apx_offset")]
        freqs = [plan.freqs.index(n) for n in (0, 6, 14)]
        assert np.array_equal(
            found[:, :, freqs], expected[:, :, plan_of().labels["algorithm"].index("apx_offset")]
        )


def test_only_so_many_constants_are_kept(monkeypatch):
    monkeypatch.setattr(offsets, "_MOST_KNOWN", 2)
    monkeypatch.setattr(offsets, "_known", {})
    for seed in range(5):
        measured(plan_of("trials=5", f"seed={seed}"))
        assert 1 <= len(offsets._known) <= 2


def test_a_single_stored_block_has_no_other_and_is_refused(tmp_path):
    source = arrays.save(tmp_path / "one.npy", np.ones((1, 8, 8)))
    with pytest.raises(UserError, match="source array has 1 of 8 x 8: leave it out"):
        plan_of("source=array", f"source.array.path={source}")
    assert plan_of("source=array", f"source.array.path={source}", "algorithm=asm").trials == 1
