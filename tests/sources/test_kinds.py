"""Entries of conf/source become sources: qualities, parameters out of range."""

import shutil

import numpy as np
import pytest

import asm_core
from asm_core.sources import autoregressive
from pipeline import UserError, sweep
from pipeline.cli.main import main
from pipeline.config import compose, entries
from pipeline.planning.plan import make_plan
from pipeline.sources import kinds


def plan(*arguments):
    return make_plan(compose.load(arguments), kinds.resolve)


def test_every_quality_of_an_entry_is_a_source_of_its_own():
    made = plan("source.uniform.quality=5,10..90..40")
    assert [source.name for source in made.sources] == [
        "uniform_q05", "uniform_q10", "uniform_q50", "uniform_q90",
    ]  # fmt: skip
    assert [source.identity["quality"] for source in made.sources] == [5, 10, 50, 90]
    (alone,) = plan("source.uniform.quality=30").sources
    assert (alone.name, alone.quality) == ("uniform", 30)
    assert "quality" not in plan().sources[0].identity


def test_a_quality_quantises_the_blocks_that_the_source_draws():
    (source,) = plan("source=autoregressive", "source.autoregressive.quality=40").sources
    expected = asm_core.quantise(autoregressive(3, 8, 7, 5), 40)
    assert np.array_equal(kinds.draw(source, 3, 8, 7, 5), expected)


@pytest.mark.parametrize("source", ["uniform", "autoregressive", "images"])
def test_ties_of_quantised_blocks_are_those_of_their_coefficients(tmp_path, photograph, source):
    # Most coefficients are exactly 0; by way of the samples they would be 1e-17, and would decide.
    arguments = [f"source={source}", f"source.{source}.quality=10", "trials=500"]
    if source == "images":
        arguments.append(f"source.images.path={photograph}")
    dataset = sweep([*arguments, "freqs=0..3", f"out={tmp_path}/s.zarr"])
    (planned,) = plan(*arguments).sources
    blocks, known = kinds.draw_pair(planned, 0, 8, 0, 500)
    assert (known == 0).mean() > 0.5
    assert np.array_equal(asm_core.block_idct(known), blocks)
    for n in range(4):
        mask = asm_core.approximate_local_maximum_mask(known, n)
        chosen = asm_core.masked_max_pool(blocks, mask)
        expected = asm_core.rmse(chosen, asm_core.max_pool(blocks)).astype(np.float32)
        # To the rounding of samples: where errors of 0 are meant, samples may differ by that.
        np.testing.assert_allclose(dataset.error.sel(freq=n).squeeze(), expected, atol=1e-14)


def test_the_exact_result_is_that_of_the_quantised_block(tmp_path):
    dataset = sweep(["source.uniform.quality=20", "freqs=14", "trials=50", "algorithm=asm,apx",
                     f"out={tmp_path}/s.zarr"])  # fmt: skip
    assert float(dataset.error.max()) < 1e-12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["source.uniform.quality=0"], "quality must be at least 1, got 0"),
        (["source.uniform.quality=101"], "quality must be within 1..100, got 101"),
        (["source.uniform.quality=50", "block_size=16"], "got block_size=16: use block_size=8"),
        (["source.uniform.quality=50", "block_size=4,8"], "got block_size=4: use block_size=8"),
        (["source=autoregressive", "source.autoregressive.rho=1"], "rho must be between -1 and 1"),
        (["source=autoregressive", "source.autoregressive.rho=-1.5"], "exclusive, got -1.5"),
        (["source=gaussian", "source.gaussian.std=0"], "std must be within"),
        (["source=upsampled", "source.upsampled.shift=2"], "shift must be 0 or 1, got 2"),
        (["source=upsampled_shifted", "block_size=6"], "multiple of 4, got 6"),
        (["selection=energy", "selection.energy.rho=1"], "selection.energy.rho must be between"),
        (["operation=leaky_relu", "operation.leaky_relu.slope=2"], "slope must be within 0..1"),
        (["operation=max_pool_4", "block_size=6"], "window=4 does not divide block_size=6"),
    ],
)
def test_a_parameter_out_of_range_is_one_line_before_anything_starts(
    elsewhere, capsys, arguments, message
):
    assert main(["sweep", *arguments]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    ("group", "name"), [("source", "s"), ("operation", "o"), ("selection", "n")]
)
def test_a_kind_that_only_conf_knows_is_refused(tmp_path, monkeypatch, group, name):
    shutil.copytree(entries.CONF, tmp_path / "conf")
    monkeypatch.setattr(entries, "CONF", tmp_path / "conf")
    (tmp_path / "conf" / group / f"{name}.yaml").write_text(f"{name}: {{kind: {name}}}")
    with pytest.raises(UserError, match=f"{group}.{name}.kind={name} is not known"):
        plan(f"{group}={name}")


def test_two_sources_of_one_name_are_refused():
    with pytest.raises(UserError, match="two sources are named uniform_q10"):
        plan("source=uniform,uniform_q10", "source.uniform.quality=10,20",
             "source.uniform_q10.kind=uniform")  # fmt: skip


def test_every_entry_of_conf_is_of_a_known_kind():
    for name in entries.names("source"):
        assert entries.entry("source", name)["kind"] in kinds.KINDS
    for group, known in (("operation", asm_core.validate.OPERATIONS),
                         ("selection", asm_core.validate.SELECTIONS)):  # fmt: skip
        of_conf = {entries.entry(group, name)["kind"] for name in entries.names(group)}
        assert of_conf == set(known)
