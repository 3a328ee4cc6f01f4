"""The order in which trials take the tiles of a stored source."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.planning.entries import Source
from pipeline.planning.tiles import Tiles, counted, from_json, to_json


@given(st.integers(1, 300), st.integers(1, 40), st.text(max_size=3))
def test_a_spread_order_takes_every_tile_once(down, across, key):
    tiles = Tiles(down * across, across).spread(key)
    assert sorted(tiles.of_trials(0, tiles.count).tolist()) == list(range(tiles.count))


@given(st.integers(1, 10**12), st.integers(0, 10**11), st.integers(1, 20), st.text(max_size=3))
def test_the_tile_of_a_trial_depends_on_its_number_alone(count, first, length, key):
    tiles = Tiles(count).spread(key)
    expected = [(tiles.start + t * tiles.step) % count for t in range(first, first + length)]
    assert tiles.of_trials(first, length).tolist() == expected


@pytest.mark.parametrize(("down", "across"), [(75, 64), (64, 75), (300, 41), (500, 500), (90, 89)])
@pytest.mark.parametrize("trials", [64, 200, 1000])
def test_the_first_trials_are_spread_over_the_picture(down, across, trials):
    for seed in range(20):
        tiles = Tiles(down * across, across).spread(str(seed)).of_trials(0, trials)
        row, column = np.divmod(tiles, across)
        quarters, *_ = np.histogram2d(row / down, column / across, 4, [[0, 1], [0, 1]])
        # Of a sixteenth each: where tiles are drawn by lot, some have none of 64.
        assert quarters.min() >= trials / 16 / 4
        assert quarters.max() <= trials / 16 * 2
        for share in ((row + 0.5) / down, (column + 0.5) / across):
            assert abs(share.mean() - 0.5) < 1 / np.sqrt(12 * trials)


def test_natural_order_is_that_of_the_tiles():
    assert Tiles(10).of_trials(3, 4).tolist() == [3, 4, 5, 6]


def spread(source, seed=0):
    return source.spread(seed, [8, 4])


def test_a_spread_sample_depends_on_seed_content_and_block_size_but_not_on_the_quality():
    identity = {"kind": "images", "sha256": "a"}
    source = Source("s", "images", {}, identity, {4: Tiles(4000), 8: Tiles(1000)})
    other = dataclasses.replace(source, identity={**identity, "sha256": "b"})
    quality = dataclasses.replace(source, identity={**identity, "quality": 10}, quality=10)
    starts = [spread(each).tiles[8].start for each in (source, other)]
    starts += [spread(source, 1).tiles[8].start, spread(source).tiles[4].start]
    assert len(set(starts)) == 4
    assert spread(quality).tiles == spread(source).tiles
    for size in (4, 8):
        alone = source.spread(0, [size])
        assert alone.tiles == {**source.tiles, size: spread(source).tiles[size]}
        assert alone.identity == {**identity, "spread": [size]}
    assert spread(source).identity == {**identity, "spread": [4, 8]}


def test_how_many_tiles_were_taken_is_said_with_how_many_there_are():
    tiles = {"photograph": {8: Tiles(4800)}}
    said = [
        counted(tiles, source, size, trials)
        for source, size, trials in itertools.product(["photograph", "drawn"], [8], [1000, 4800])
    ]
    assert said == ["1,000 of 4,800 tiles", "all 4,800 tiles", "1,000 trials", "4,800 trials"]


def test_tiles_are_the_same_by_way_of_json():
    spread, strips = Tiles(400, 20).spread("x"), Tiles(100, 10, (50, 100))
    tiles = {"a": {4: spread, 8: strips}, "b": {8: Tiles(7)}}
    assert from_json(json.loads(json.dumps(to_json(tiles)))) == tiles


@pytest.mark.parametrize("count", range(1, 21))
@pytest.mark.parametrize("tiles", [Tiles(20, 4, (12, 20)), Tiles(20, 4, (4, 20)).spread("x")])
def test_trials_in_one_batch_are_those_whose_tiles_are(tiles, count):
    batches = {int(np.sum(tile >= np.array(tiles.ends))) for tile in tiles.of_trials(0, count)}
    assert tiles.in_one_batch(count) == (len(batches) == 1)
