"""Blocks from the coefficients of JPEG files, against Pillow's decoder."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.jpegs import SAMPLINGS, assert_decodes_as_in_pillow, draw, edit, picture, resolve, save
from PIL import Image

from asm_core import block_dct
from pipeline.sources import jpeg, kinds


@pytest.mark.parametrize("quality", [1, 5, 25, 50, 75, 95, 100])
@pytest.mark.parametrize("sampling", [None, *SAMPLINGS])
@pytest.mark.parametrize("shape", [(64, 48), (37, 53), (41, 8)])
def test_blocks_decode_as_in_pillow(tmp_path, quality, sampling, shape):
    path = save(tmp_path / "a.jpg", *shape, sampling, quality=quality)
    with Image.open(path) as image:
        assert sampling is None or image.layer[0][1:3] == SAMPLINGS[sampling]
    assert_decodes_as_in_pillow(path)


@pytest.mark.parametrize(
    "options",
    [{"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 3}, {"comment": "hello"}],
)
@pytest.mark.parametrize("sampling", [None, "4:2:0"])
def test_every_way_to_store_coefficients_is_read(tmp_path, options, sampling):
    assert_decodes_as_in_pillow(save(tmp_path / "a.jpeg", 37, 53, sampling, quality=80, **options))


def test_a_photograph_decodes_as_in_pillow(photograph):
    assert resolve(photograph).available == {8: 75 * 64}
    assert_decodes_as_in_pillow(photograph)


def test_a_file_of_an_installed_package_is_found(photograph):
    source = resolve("pkg://matplotlib/mpl-data/sample_data/grace_hopper.jpg")
    assert source.identity == resolve(photograph).identity


def test_black_and_white_are_0_and_1_and_what_lies_outside_is_kept(tmp_path):
    samples = np.zeros((16, 16), np.uint8)
    samples[:, 8:] = 255
    Image.fromarray(samples).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(draw(resolve(tmp_path)).mean((1, 2)), [0, 1, 0, 1], atol=0.002)
    save(tmp_path / "a.jpg", quality=5)
    blocks = draw(resolve(tmp_path))
    assert blocks.min() < -0.02
    assert blocks.max() > 1.02


def multiples(path, blocks):
    """Coefficients in units of the table that Pillow reads, which a JPEG stores as integers."""
    with Image.open(path) as image:
        table = np.reshape(image.quantization[image.layer[0][3]], (8, 8))
    return block_dct(255 * blocks - 128) / table


@pytest.mark.parametrize("sampling", [None, "4:4:4", "4:2:0"])
@pytest.mark.parametrize("quality", [10, 50, 90])
def test_coefficients_are_integer_multiples_of_the_tables_entries(tmp_path, sampling, quality):
    path = save(tmp_path / "a.jpg", 40, 56, sampling, quality=quality)
    levels = multiples(path, draw(resolve(path)))
    np.testing.assert_allclose(levels, levels.round(), atol=1e-8)
    assert np.abs(levels[:, 1:, 1:]).max() > 1


def test_an_asymmetric_table_is_not_transposed(tmp_path):
    table = list(range(1, 65))
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(40, 56)).save(path, qtables=[table, table[::-1]], subsampling=0)
    levels = multiples(path, draw(resolve(path)))
    np.testing.assert_allclose(levels, levels.round(), atol=1e-8)
    assert_decodes_as_in_pillow(path)


def test_luma_takes_the_table_that_its_component_names(tmp_path):
    path = save(tmp_path / "a.jpg", sampling="4:4:4", quality=30)
    before = draw(resolve(path))

    def swap(marker, each):
        if marker == 0xDB:
            return each[:4] + bytes([1 - each[4]]) + each[5:]
        if marker == 0xC0:
            each = bytearray(each)
            for place in (12, 15, 18):
                each[place] = 1 - each[place]
        return bytes(each)

    edit(path, swap)
    with Image.open(path) as image:
        assert image.layer[0][3] == 1
    assert np.array_equal(draw(resolve(path)), before)


def test_a_block_is_the_same_in_every_batch_and_across_files(tmp_path):
    shapes = [(16, 24), (8, 8), (43, 17), (9, 100)]
    paths = [save(tmp_path / f"{k}.jpg", *shape, seed=k) for k, shape in enumerate(shapes)]
    source = resolve(tmp_path)
    assert source.available == {8: 6 + 1 + 10 + 12}
    whole = draw(source)
    for first, count in [(0, 1), (5, 3), (6, 1), (3, 20), (28, 1), (29, 0)]:
        assert np.array_equal(draw(source, first, count), whole[first : first + count])
    assert np.array_equal(whole, np.concatenate([draw(resolve(path)) for path in paths]))


def test_threads_draw_what_one_draws(tmp_path):
    for k in range(12):
        save(tmp_path / f"{k:02}.jpg", 64, 64, "4:2:0", k, comment=f"number {k}" * k)
    source = resolve(tmp_path)
    whole = draw(source)
    jpeg._quantised.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda t: draw(source, t, 64), range(0, 12 * 64, 64)))
    assert np.array_equal(np.concatenate(drawn), whole)


def test_samples_beyond_the_last_whole_blocks_are_dropped(tmp_path):
    save(tmp_path / "a.jpg", 37, 53, "4:2:0")
    source = resolve(tmp_path)
    assert source.available == {8: 4 * 6}
    assert kinds.dropped(source, 8) == 37 * 53 - 32 * 48
