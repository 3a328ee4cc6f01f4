"""PNG files of every form, sample by sample: 16-bit colours, and what is transparent."""

import struct

import numpy as np
import pytest
from helpers.images import draw, resolve
from helpers.pngs import GREY, GREY_ALPHA, PALETTE, RGB, RGB_ALPHA, write
from PIL import Image

from pipeline import UserError

CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
HEIGHT, WIDTH = 14, 22


def samples(bits, kind, seed=0):
    drawn = np.random.default_rng(seed).integers(0, 1 << bits, (HEIGHT, WIDTH, CHANNELS[kind]))
    drawn[0, :2] = [[0], [(1 << bits) - 1]]
    if kind in (GREY_ALPHA, RGB_ALPHA):
        drawn[..., -1] = (1 << bits) - 1
    return drawn


def read(path):
    tiles = draw(resolve(path, 2), 2)
    return tiles.reshape(HEIGHT // 2, WIDTH // 2, 2, 2).swapaxes(1, 2).reshape(HEIGHT, WIDTH)


def luma(colours):
    """In whole levels, by Python's own integers."""
    return [
        [(19595 * int(r) + 38470 * int(g) + 7471 * int(b) + (1 << 15)) >> 16 for r, g, b in row]
        for row in colours
    ]


def grey_of(stored, kind):
    return luma(stored[..., :3]) if kind in (RGB, RGB_ALPHA) else stored[..., 0]


FORMS = [(bits, GREY) for bits in (1, 2, 4, 8, 16)] + [
    (bits, kind) for bits in (8, 16) for kind in (RGB, GREY_ALPHA, RGB_ALPHA)
]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("bits", "kind"), FORMS)
def test_every_bit_of_every_kind_is_read(tmp_path, bits, kind, interlaced):
    stored = samples(bits, kind)
    path = write(tmp_path / "a.png", stored, bits, kind, interlaced=interlaced)
    expected = np.array(grey_of(stored, kind)) / ((1 << bits) - 1)
    assert np.array_equal(read(path), expected)


def test_sixteen_bits_of_colour_are_the_exact_luma_to_half_a_level(tmp_path):
    stored = samples(16, RGB)
    block = read(write(tmp_path / "a.png", stored, 16, RGB))
    # The weights are whole multiples of 2^-16.
    exact = stored @ np.array([0.299, 0.587, 0.114])
    assert np.abs(65535 * block - exact).max() < 0.5 + 65535 * 2**-16


@pytest.mark.parametrize(("height", "width"), [(2, 2), (2, 9), (9, 2), (5, 3), (8, 8)])
def test_small_images_of_passes_without_samples(tmp_path, height, width):
    stored = samples(16, RGB)[:height, :width]
    for interlaced in (False, True):
        path = write(tmp_path / "a.png", stored, 16, RGB, interlaced=interlaced)
        tile = draw(resolve(path, 2), 2)[0]
        assert np.array_equal(tile, np.array(luma(stored))[:2, :2] / 65535)


def colours_of(bits):
    return np.random.default_rng(1).integers(0, 256, (1 << bits, 3))


def palette(bits):
    return b"PLTE", colours_of(bits).astype(np.uint8).tobytes()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_is_read(tmp_path, bits):
    stored = samples(bits, PALETTE)
    path = write(tmp_path / "a.png", stored, bits, PALETTE, chunks=[palette(bits)])
    assert np.array_equal(read(path), np.array(luma(colours_of(bits)[stored[..., 0]])) / 255)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", [GREY_ALPHA, RGB_ALPHA])
@pytest.mark.parametrize("alpha", [0, "half", "nearly"])
def test_alpha_that_is_not_opaque_is_refused(tmp_path, bits, kind, alpha):
    stored = samples(bits, kind)
    white = (1 << bits) - 1
    stored[4, 17, -1] = {"half": white // 2, "nearly": white - 1}.get(alpha, alpha)
    with pytest.raises(UserError, match=r"a\.png is transparent at row 4, column 17: flatten it"):
        resolve(write(tmp_path / "a.png", stored, bits, kind))


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_grey_that_is_transparent_is_refused_where_it_is_used(tmp_path, bits):
    stored = samples(bits, GREY)
    unused = 1 if bits > 1 else 0
    stored[stored == unused] = (1 << bits) - 1
    chunks = [(b"tRNS", struct.pack(">H", unused))]
    path = write(tmp_path / "a.png", stored, bits, GREY, chunks=chunks)
    assert np.array_equal(read(path), stored[..., 0] / ((1 << bits) - 1))
    stored[6, 1] = unused
    with pytest.raises(UserError, match="is transparent at row 6, column 1: flatten it"):
        resolve(write(path, stored, bits, GREY, chunks=chunks))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_colour_that_is_transparent_is_refused_where_it_is_used(tmp_path, bits):
    stored = samples(bits, RGB)
    # Of 16 bits the high bytes of another colour, which Pillow alone would take for it.
    colour = stored[3, 3] ^ 1
    chunks = [(b"tRNS", struct.pack(">3H", *colour))]
    path = write(tmp_path / "a.png", stored, bits, RGB, chunks=chunks)
    assert np.array_equal(read(path), np.array(luma(stored)) / ((1 << bits) - 1))
    stored[9, 21] = colour
    with pytest.raises(UserError, match="is transparent at row 9, column 21: flatten it"):
        resolve(write(path, stored, bits, RGB, chunks=chunks))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("alpha", [0, 128, 254])
def test_a_colour_of_a_palette_that_is_transparent_is_refused_where_it_is_used(
    tmp_path, bits, alpha
):
    stored = np.minimum(samples(bits, PALETTE), (1 << bits) - 2)
    chunks = [palette(bits), (b"tRNS", bytes([255] * ((1 << bits) - 1) + [alpha]))]
    path = write(tmp_path / "a.png", stored, bits, PALETTE, chunks=chunks)
    assert np.array_equal(read(path), np.array(luma(colours_of(bits)[stored[..., 0]])) / 255)
    stored[2, 2] = (1 << bits) - 1
    with pytest.raises(UserError, match="is transparent at row 2, column 2: flatten it"):
        resolve(write(path, stored, bits, PALETTE, chunks=chunks))


def test_twelve_bits_that_were_scaled_to_16_are_read_and_others_refused(tmp_path):
    told = [(b"sBIT", b"\x0c")]
    stored = samples(12, GREY)
    path = write(tmp_path / "a.png", stored << 4 | stored >> 8, 16, GREY, chunks=told)
    np.testing.assert_allclose(read(path), stored[..., 0] / 4095, atol=1e-4)
    with pytest.raises(UserError, match=r"says that 12 of its 16 bits are significant \(sBIT\), a"):
        resolve(write(path, stored, 16, GREY, chunks=told))
    write(path, samples(12, RGB_ALPHA) | [0, 0, 0, 0xFFFF], 16, RGB_ALPHA,
          chunks=[(b"sBIT", b"\x0c\x0c\x0c\x10")])  # fmt: skip
    assert resolve(path, 2).content.notes


@pytest.mark.parametrize(
    ("bits", "kind", "largest", "noted"),
    [(16, GREY, 4095, True), (16, RGB, 4095, True), (16, GREY, 8191, True), (16, GREY, 8192, False),
     (8, GREY, 10, False)],
)  # fmt: skip
def test_images_of_16_bits_that_are_all_dark_are_noted(tmp_path, bits, kind, largest, noted):
    dark = samples(bits, kind) % 8
    dark[1, 1] = largest
    for name in ("a.png", "b.png"):
        write(tmp_path / name, dark, bits, kind)
    [*notes] = resolve(tmp_path, 2).content.notes
    assert len(notes) == noted
    if noted:
        assert (
            f"no sample of 2 images of 16 bits is above {largest / 65535:.3f} of white" in notes[0]
        )
    write(tmp_path / "c.png", samples(16, GREY), 16, GREY)
    assert resolve(tmp_path, 2).content.notes == ()


def test_several_frames_are_refused(tmp_path):
    frames = [Image.new("L", (8, 8), k) for k in range(2)]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=r"a\.png has 2 frames: save each as a file of its own"):
        resolve(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        {"beyond": bytes(1000)},
        {"after": b"rest"},
        {"chunks": [(b"sRGB", b"\x09"), (b"gAMA", b"\0\0\0\0")]},
        {"interlaced": True, "beyond": bytes(1000)},
    ],
)
def test_what_is_left_over_is_left_alone_without_a_word(tmp_path, capfd, options):
    stored = samples(16, RGB)
    path = write(tmp_path / "a.png", stored, 16, RGB, **options)
    assert np.array_equal(read(path), np.array(luma(stored)) / 65535)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_colour_that_is_not_in_the_palette_is_refused(tmp_path, bits):
    stored = samples(bits, PALETTE)
    entries = (b"PLTE", bytes(range(3)))
    path = write(tmp_path / "a.png", stored, bits, PALETTE, chunks=[entries])
    with pytest.raises(
        UserError, match=rf"broken image: it has colour {stored.max()} of a .* of 1"
    ):
        draw(resolve(path, 2), 2)
    write(path, 0 * stored, bits, PALETTE, chunks=[entries])
    assert (read(path) == read(path)[0, 0]).all()
