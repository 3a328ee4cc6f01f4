"""Planning: units partition the grid, identity decides, impossible combinations are refused."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import UserError
from pipeline.config import compose
from pipeline.planning import estimate
from pipeline.planning.entries import Source
from pipeline.planning.grid import rectangles
from pipeline.planning.identity import differences
from pipeline.planning.plan import make_plan
from pipeline.planning.tiles import Tiles
from pipeline.store.store import location_of


def endless(name, entry, block_sizes):
    return [Source(name, entry["kind"], {}, dict(entry))]


def of_blocks(available, **others):
    tiles = {size: Tiles(count) for size, count in available.items()}
    identity = {"kind": "images", "sha256": "a"}
    return lambda name, entry, sizes: [Source(name, "images", {}, identity, tiles, **others)]


def plan(*arguments, resolve=endless):
    return make_plan(compose.load(arguments), resolve)


# Composed once: a hundred examples would spend their time in Hydra.
NOTEBOOK = compose.load([])


@given(
    st.integers(1, 2000), st.integers(1, 700), st.sets(st.sampled_from([2, 4, 6, 8]), min_size=1)
)
def test_units_cover_every_trial_of_every_cell_exactly_once(trials, unit_trials, sizes):
    made = make_plan(
        dataclasses.replace(
            NOTEBOOK, trials=[trials], unit_trials=unit_trials, block_size=sorted(sizes)
        ),
        endless,
    )
    seen = []
    for unit in made.grid.units():
        assert unit.start == unit.number * unit_trials
        assert 0 < unit.trials <= unit_trials
        seen += [(unit.source, unit.block_size, t) for t in range(unit.start, unit.stop)]
    assert seen == [("uniform", size, t) for size in sorted(sizes) for t in range(trials)]
    assert made.grid.unit_count == len(list(made.grid.units()))
    assert made.units_per_cell == -(-trials // unit_trials)


def test_axes_are_sorted_so_that_order_does_not_matter():
    one = plan("block_size=16,4", "freqs=3,1", "algorithm=asm,apx", "operation=relu,max_pool")
    other = plan("block_size=4,16", "freqs=1,3", "algorithm=apx,asm", "operation=max_pool,relu")
    assert one == other
    assert one.block_sizes == (4, 16)
    assert one.store_name == other.store_name


@pytest.mark.parametrize(
    "argument",
    [
        "seed=1", "freqs=0..13", "block_size=4", "algorithm=apx", "operation=relu",
        "operation.max_pool.window=4", "source.uniform.low=-1", "selection=square",
        "source.uniform.quality=50",
    ],
)  # fmt: skip
def test_whatever_decides_the_numbers_changes_the_identity(argument):
    assert plan(argument).store_name != plan().store_name
    assert len(differences(plan().identity, plan(argument).identity)) == 1


@pytest.mark.parametrize(
    ("chosen", "parameter"),
    [
        ("selection=energy", "selection.energy.rho=0.9"),
        ("operation=leaky_relu", "operation.leaky_relu.slope=0.2"),
        ("source=autoregressive", "source.autoregressive.rho=0.9"),
    ],
)
def test_every_parameter_of_an_entry_is_part_of_the_identity(chosen, parameter):
    assert len(differences(plan(chosen).identity, plan(chosen, parameter).identity)) == 1


@pytest.mark.parametrize(
    "argument", ["trials=5", "unit_trials=7", "cluster=processes", "results=x", "out=y"]
)
def test_whatever_does_not_decide_the_numbers_leaves_the_identity(argument):
    assert plan(argument).store_name == plan().store_name


@pytest.mark.parametrize("version", ["KERNEL_VERSION", "STREAM_VERSION", "LAYOUT_VERSION"])
def test_another_version_of_what_makes_the_bits_is_another_identity(monkeypatch, version):
    before = plan().identity
    monkeypatch.setattr(f"pipeline.planning.plan.{version}", 99)
    key = version.lower()
    assert differences(before, plan().identity) == [
        f"{key} is {before.fixed[key]} in the store, 99 here"
    ]


def test_entries_of_groups_are_sorted_by_name_however_they_were_made():
    made = plan("source=uniform,early", "source.early.kind=uniform", "operation=relu,a",
                "operation.a.kind=max_pool")  # fmt: skip
    assert [source.name for source in made.sources] == ["early", "uniform"]
    assert [operation.name for operation in made.operations] == ["a", "relu"]


def test_the_name_of_a_store_carries_the_identity():
    settings = compose.load(["results=/a/b/"])
    made = make_plan(settings, endless)
    assert str(location_of(settings, made)) == f"/a/b/{made.store_name}"
    assert str(location_of(compose.load(["out=/c/d.zarr"]), made)) == "/c/d.zarr"
    assert str(location_of(compose.load(["out=file:///c/d.zarr"]), made)) == "/c/d.zarr"
    assert str(location_of(compose.load(["results=s3://bucket/x"]), made)).startswith(
        "s3://bucket/x/sweep-"
    )


def test_a_list_of_trials_stores_the_largest_and_reports_each():
    made = plan("trials=1000,10,100")
    assert made.prefixes == (10, 100, 1000)
    assert made.trials == 1000


def test_all_trials_of_a_source_are_counted_for_each_block_size():
    made = plan("trials=all", "block_size=4,8", resolve=of_blocks({4: 400, 8: 90}))
    assert made.cell_trials == ((400, 90),)
    assert made.trials == 400
    assert made.prefixes == (400,)
    assert [(u.block_size, u.start, u.stop) for u in made.grid.units()] == [(4, 0, 400), (8, 0, 90)]


def test_unless_told_otherwise_stored_sources_take_every_tile_and_drawn_ones_a_thousand():
    def mixed(name, entry, sizes):
        return endless(name, entry, sizes) if name == "uniform" else stored(name, entry, sizes)

    stored = of_blocks({4: 400, 8: 90})
    made = plan("source=photograph,uniform", "block_size=4,8", resolve=mixed)
    assert made.cell_trials == ((400, 90), (1000, 1000))
    assert made.prefixes == (1000,)
    for words in (["trials=auto"], ["trials=null"]):
        assert plan("source=photograph,uniform", "block_size=4,8", *words, resolve=mixed) == made
    with pytest.raises(UserError, match="trials=all needs a source with an end"):
        plan("source=photograph,uniform", "block_size=4,8", "trials=all", resolve=mixed)


@pytest.mark.parametrize(
    ("arguments", "spread"),
    [
        ([], False),
        (["trials=all"], False),
        (["trials=90"], False),
        (["trials=89"], True),
        (["block_size=4,8", "trials=90"], False),
        (["block_size=4,8", "trials=80"], True),
        (["block_size=4,8", "trials=all"], False),
        # The estimate is reported at the first 10, which must not be the top of a picture.
        (["trials=10,90"], True),
        (["precision=0.1"], True),
        (["precision=0.1", "trials=all"], True),
    ],
)
def test_some_of_the_tiles_are_a_spread_sample_and_another_experiment_than_all(arguments, spread):
    natural = plan(resolve=of_blocks({4: 400, 8: 90}))
    made = plan(*arguments, resolve=of_blocks({4: 400, 8: 90}))
    assert made.sources[0].is_spread(8) == spread
    first = made.sources[0].tiles[8].of_trials(0, 50).tolist()
    assert (first == list(range(50))) != spread
    unlike = differences(natural.identity, made.identity)
    words = (
        "source uniform of block_size=8 is all of its tiles in their own order in the store, "
        "a spread sample of its tiles here"
    )
    assert (words in unlike) == spread
    assert not any("sha256" in each for each in unlike)
    # Blocks that the user stored as trials keep their order.
    kept = plan(*arguments, resolve=of_blocks({4: 400, 8: 90}, ordered=(8,)))
    assert not kept.sources[0].is_spread(8)


def test_missing_units_are_those_whose_row_lists_too_few_trials():
    made = plan("trials=250", "unit_trials=100")
    assert [each.unit.number for each in made.grid.missing(None)] == [0, 1, 2]
    for listed, missing in [
        ([100, 0, 0], [1, 2]),
        ([100, 50], [1, 2]),
        ([100, 100, 50], []),
        ([100, 100, 100, 100], []),
    ]:
        counts = np.array(listed).reshape(1, 1, -1, 1, 1, 1, 1) * np.ones(15, int)
        found = made.grid.missing(counts)
        assert [each.unit.number for each in found] == missing
        assert all(each.parts == () for each in found)


def test_of_a_unit_that_has_some_points_only_the_others_are_missing():
    made = plan("trials=250", "unit_trials=100", "algorithm=asm,apx", "freqs=0..3")
    counts = np.zeros((1, 1, 3, 1, 1, 2, 4), int)
    counts[:, :, :2, :, :, 0, :2] = 100
    counts[:, :, 2] = 50
    assert [(each.unit.number, each.parts) for each in made.grid.missing(counts)] == [
        (0, (((0,), (0,), (0,), (2, 3)), ((0,), (0,), (1,), (0, 1, 2, 3)))),
        (1, (((0,), (0,), (0,), (2, 3)), ((0,), (0,), (1,), (0, 1, 2, 3)))),
    ]
    part = made.of_part(((0,), (0,), (1,), (2, 3)))
    assert (part.labels["algorithm"], part.freqs) == (["asm"], (2, 3))


@given(st.data())
def test_rectangles_hold_every_chosen_point_once_and_no_other(data):
    shape = data.draw(st.tuples(*[st.integers(0, 4)] * 3))
    flags = data.draw(st.lists(st.booleans(), min_size=math.prod(shape), max_size=math.prod(shape)))
    chosen = np.array(flags, bool).reshape(shape)
    held = np.zeros(shape, int)
    for part in rectangles(chosen):
        held[np.ix_(*part)] += 1
    assert np.array_equal(held, chosen.astype(int))


def test_what_grew_along_one_axis_is_one_rectangle():
    chosen = np.zeros((2, 3, 4), bool)
    chosen[:, :, 1:] = True
    assert list(rectangles(chosen)) == [((0, 1), (0, 1, 2), (1, 2, 3))]


def test_bytes_are_those_of_the_arrays():
    made = plan(
        "trials=1000",
        "block_size=4,8",
        "algorithm=asm,apx",
        "operation=max_pool,relu",
        "freqs=0..4",
    )
    errors, accuracies, regrets = 2 * 2 * 5, 2 * 5, 2 * 5
    assert estimate.stored_bytes(made) == 4 * 2 * 1000 * (errors + accuracies + regrets)
    assert made.unit_bytes == 4 * errors * 131072


def test_the_estimate_grows_with_trials_and_block_size():
    base = estimate.core_seconds(plan("trials=1000"))
    assert estimate.core_seconds(plan("trials=10000")) == pytest.approx(10 * base)
    assert estimate.core_seconds(plan("trials=1000", "block_size=16")) > 2 * base


def test_a_plan_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan().seed = 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["block_size=7"], "block_size must be even and within 2..256, got 7: use 6"),
        (["block_size=258"], "got 258: use 256"),
        (["operation.max_pool.window=3"], "window=3 does not divide block_size=8"),
        (["block_size=4,6", "operation.max_pool.window=4"], "does not divide block_size=6"),
        (["operation.max_pool.window=0"], "window must be at least 1, got 0"),
        (["selection=energy", "selection.energy.rho=1"], "selection.energy.rho must be between 0"),
        (["selection=energy", "selection.energy.rho=0"], "exclusive, got 0"),
        (["operation=leaky_relu", "operation.leaky_relu.slope=-0.1"], "slope must be within 0..1"),
        (["algorithm=amp"], "unknown algorithm 'amp'"),
        (["freqs=1e19"], "freqs must be at most 65535"),
        (["trials=all"], "trials=all needs a source with an end"),
        (["trials=1e12"], "at most 1000000 are allowed"),
    ],
)
def test_an_impossible_combination_is_refused_with_the_remedy(arguments, message):
    with pytest.raises(UserError, match=message) as refusal:
        plan(*arguments)
    assert "\n" not in str(refusal.value)


def test_units_are_as_large_as_asked_for_and_no_larger_than_fits():
    assert plan("unit_trials=4194304").unit_trials == 4194304
    assert plan("unit_trials=1e9").unit_trials == 4194304
    many = ["selection=triangle,square,zigzag,energy", "freqs=0..255", "algorithm=asm,apx"]
    asked = plan(*many, "unit_trials=1e6")
    assert asked.unit_trials == 32768
    assert asked.unit_bytes == 4 * 4 * 256 * 2 * 32768 == 1 << 28


def test_where_no_size_of_units_is_asked_for_they_are_of_32_mib_at_most():
    assert plan().unit_trials == 131072
    assert plan("freqs=0..63").unit_bytes == 1 << 25
    many = plan("selection=triangle,square,zigzag,energy", "freqs=0..255", "algorithm=asm,apx")
    assert many.unit_trials == 4096
    assert many.unit_bytes == 1 << 25


def test_more_trials_than_blocks_are_refused():
    with pytest.raises(UserError, match="trials=91 is more than the 90 blocks of 8 x 8"):
        plan("trials=91", resolve=of_blocks({8: 90}))


def test_the_unit_that_fits_grows_with_memory_and_takes_at_most_half_of_it():
    made = plan("trials=1e6", "freqs=0..14", "algorithm=asm,apx")
    each = 4 * 15 * 4
    for memory in (1 << 26, 1 << 30, 1 << 34):
        trials = estimate.fitting_unit(made, memory, threads=8)
        assert 8 * trials * each <= memory / 2 < 8 * 4 * trials * each
    assert estimate.fitting_unit(made, 1, threads=8) == 1
