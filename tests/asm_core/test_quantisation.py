"""JPEG quantisation: against Pillow's own tables and files, and against the definition."""

from io import BytesIO

import numpy as np
import pytest
import scipy.fft
from PIL import Image

import asm_core
from asm_core.sources import autoregressive


def encoded(samples, quality):
    """A grey JPEG file of these samples, as Pillow writes it."""
    file = BytesIO()
    Image.fromarray(samples).save(file, "JPEG", quality=quality)
    file.seek(0)
    return Image.open(file)


@pytest.mark.parametrize("quality", range(1, 101))
def test_tables_are_those_of_libjpeg(quality):
    image = encoded(np.zeros((8, 8), np.uint8), quality)
    assert asm_core.quantisation_table(quality).ravel().tolist() == image.quantization[0]


def test_quality_50_is_the_table_of_the_standard():
    table = asm_core.quantisation_table(50)
    assert table[0].tolist() == [16, 11, 10, 16, 24, 40, 51, 61]
    assert table[:, 0].tolist() == [16, 12, 14, 14, 18, 24, 49, 72]
    assert table[7, 7] == 99


@pytest.mark.parametrize("quality", [1, 10, 50, 90, 100])
def test_coefficients_are_the_nearest_multiples_of_their_steps(quality):
    blocks = np.random.default_rng(quality).random((200, 8, 8))
    steps = asm_core.quantisation_table(quality)
    exact = scipy.fft.dctn(255 * blocks - 128, axes=(1, 2), norm="ortho")
    quantised = asm_core.quantise(blocks, quality)
    kept = scipy.fft.dctn(255 * quantised - 128, axes=(1, 2), norm="ortho")
    np.testing.assert_allclose(kept / steps, np.round(kept / steps), atol=1e-10)
    assert (abs(kept - exact) <= steps / 2 + 1e-9).all()


def test_halves_are_rounded_away_from_zero():
    # DCs of +-8 and +-24 grey levels, of steps of 16: halves.  One level is 8 in the DC.
    levels = np.array([-3.0, -1.0, 1.0, 3.0])
    blocks = np.broadcast_to(((levels + 128) / 255)[:, None, None], (4, 8, 8))
    dc = asm_core.block_dct(asm_core.quantise(blocks, 50) * 255 - 128)[:, 0, 0]
    np.testing.assert_allclose(dc, [-32, -16, 16, 32], atol=1e-9)


@pytest.mark.parametrize("quality", [10, 30, 60])
def test_coefficients_are_those_of_a_file_that_pillow_writes(quality):
    # Steps of 6 and more: samples rounded to whole levels still tell which multiple was stored.
    # No photograph that was a JPEG before: its coefficients lie on halves of other steps.
    grey = np.round(255 * autoregressive(1, 64, 0, 1, mean=0.5, std=0.1)[0]).astype(np.uint8)
    tiles = grey.reshape(8, 8, 8, 8).swapaxes(1, 2)
    decoded = np.asarray(encoded(grey, quality), dtype=float).reshape(8, 8, 8, 8).swapaxes(1, 2)
    steps = asm_core.quantisation_table(quality)
    levels = 255 * asm_core.quantise(tiles / 255, quality)
    ours, theirs = (
        np.round(scipy.fft.dctn(samples - 128, axes=(2, 3), norm="ortho") / steps)
        for samples in (levels, decoded)
    )
    # libjpeg transforms in integers: now and then a coefficient falls to the other side of a half.
    assert abs(ours - theirs).max() <= 1
    assert np.mean(ours != theirs) < 0.003


def test_quantising_again_changes_nothing():
    once = asm_core.quantise(np.random.default_rng(0).random((100, 8, 8)), 30)
    np.testing.assert_allclose(asm_core.quantise(once, 30), once, atol=1e-13)


def test_a_block_is_quantised_the_same_in_every_batch():
    blocks = np.random.default_rng(0).normal(size=(600, 8, 8))
    whole = asm_core.quantise(blocks, 40)
    for start, stop in [(0, 1), (599, 600), (17, 300)]:
        assert np.array_equal(asm_core.quantise(blocks[start:stop], 40), whole[start:stop])


@pytest.mark.parametrize("quality", [0, 101, -3, 50.5, None])
def test_a_quality_out_of_range_is_refused(quality):
    with pytest.raises(ValueError, match="quality must be"):
        asm_core.quantise(np.zeros((1, 8, 8)), quality)


@pytest.mark.parametrize("size", [4, 16])
def test_other_blocks_than_8_by_8_are_refused(size):
    with pytest.raises(ValueError, match=f"got block_size={size}: use block_size=8"):
        asm_core.quantise(np.zeros((0, size, size)), 50)
