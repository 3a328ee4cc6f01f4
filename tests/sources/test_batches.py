"""Batches of neighbouring tiles: strips of an image, or images."""

import numpy as np
import pytest
from helpers.arrays import resolve, save, values
from hypothesis import given
from hypothesis import strategies as st

from asm_core.validate import MOST_BATCHES
from pipeline.sources.files import Files
from pipeline.sources.tiling import STRIPS, groups, strips


def files_of(*shapes):
    heights, widths = zip(*shapes, strict=True)
    paths = [f"{k}.png" for k in range(len(shapes))]
    return Files.of(paths, heights, widths, bytes(32 * len(shapes)))


@given(st.integers(1, 300), st.integers(1, 300))
def test_strips_are_whole_rows_of_about_equal_number(down, across):
    ends = strips(down, across)
    assert ends[-1] == down * across
    rows = np.diff([0, *ends])
    if down == 1:
        assert len(ends) == min(across, STRIPS)
    else:
        assert len(ends) == min(down, STRIPS)
        assert not (rows % across).any()
        rows //= across
    assert rows.min() > 0
    assert rows.max() - rows.min() <= 1


def test_strips_of_the_photograph_are_six_or_seven_rows():
    ends = files_of((600, 512)).batches(8)
    assert len(ends) == 12
    assert sorted(set(np.diff([0, *ends]) // 64)) == [6, 7]


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=200))
def test_several_images_are_never_divided(tiles):
    ends = np.cumsum(tiles)
    found = groups(ends)
    assert set(found) <= set(ends.tolist())
    assert found[-1] == ends[-1]
    assert list(found) == sorted(set(found))
    if len(tiles) <= MOST_BATCHES:
        assert found == tuple(ends.tolist())
    else:
        assert len(found) == MOST_BATCHES
        # No batch has more than its share and what the last of its images adds.
        assert np.diff([0, *found]).max() <= ends[-1] / MOST_BATCHES + max(tiles) + 1


@given(
    st.lists(st.integers(1, 20), min_size=32, max_size=100),
    st.lists(st.tuples(st.integers(0, 100), st.integers(2000, 10**6)), min_size=1, max_size=20),
)
def test_large_images_leave_the_others_their_batches(small, large):
    tiles = list(small)
    for place, size in large:
        tiles.insert(place, size)
    found = groups(np.cumsum(tiles))
    assert len(found) == MOST_BATCHES
    each = np.split(tiles, np.searchsorted(np.cumsum(tiles), found[:-1]) + 1)
    assert max(np.count_nonzero(group >= 2000) for group in each) == 1
    share = sum(small) / (MOST_BATCHES - len(large))
    assert max(group[group < 2000].sum() for group in each) <= 2 * share + 20


def test_small_images_beside_a_large_one_are_shared_out_among_many_batches():
    large, small = (320, 400), (8, 8)
    for shapes in ([*[small] * 40, large], [large, *[small] * 40]):
        sizes = np.diff([0, *files_of(*shapes).batches(8)])
        assert sorted(sizes) == [*[1] * 22, *[2] * 9, 2000]


def test_few_images_are_a_batch_each_and_many_are_grouped():
    assert files_of((16, 16), (8, 24), (32, 8)).batches(8) == (4, 7, 11)
    assert files_of(*[(16, 16)] * 64).batches(8) == tuple(range(8, 257, 8))


@pytest.mark.parametrize("images", [1, 2, 7, 32, 33, 100])
def test_batches_of_an_array_are_those_of_files_of_its_images(tmp_path, images):
    array = save(tmp_path / "a.npy", values((images, 30, 18)))
    expected = files_of(*[(30, 18)] * images).batches(4)
    assert resolve(array).content.batches(4) == expected
    assert resolve(array).tiles[4].ends == expected


def test_blocks_stored_as_trials_are_in_no_batch(tmp_path):
    source = resolve(save(tmp_path / "a.npy", values((50, 8, 8))), 8)
    assert source.ordered == (8,)
    assert source.tiles[8].ends == ()
    assert set(source.tiles[8].batch_of(0, 50)) == {-1}
    # Of smaller blocks an image has several.
    source = resolve(save(tmp_path / "b.npy", values((50, 8, 8))), 4, 8)
    assert source.ordered == (8,)
    assert source.tiles[8].ends == ()
    assert len(source.tiles[4].ends) == MOST_BATCHES


def test_a_trial_is_in_the_batch_of_its_tile(tmp_path):
    [natural] = [resolve(save(tmp_path / "a.npy", values((5, 16, 16))), 4).tiles[4]]
    assert natural.batch_of(0, 80).tolist() == np.repeat(range(5), 16).tolist()
    spread = natural.spread("x")
    assert spread.batch_of(7, 30).tolist() == (spread.of_trials(7, 30) // 16).tolist()
