"""TIFF files of every form that is read, sample by sample, and what is refused."""

import itertools

import numpy as np
import pytest
import tifffile
from helpers import tiffs
from helpers.images import draw, resolve
from helpers.tiffs import DEFLATE, GREY, INVERTED, LONG, NONE, PACKBITS, PALETTE, RGB, SHORT, write
from PIL import Image

from pipeline import UserError

# Neither a multiple of 8 samples, so that rows of few bits end within a byte.
HEIGHT, WIDTH = 11, 13
EXTRA_SAMPLES, SAMPLE_FORMAT, MAX_SAMPLE, SMAX_SAMPLE = 338, 339, 281, 341


def samples(bits, count=1, seed=0):
    random = np.random.default_rng(seed)
    drawn = random.integers(0, 1 << bits, (HEIGHT, WIDTH, count))
    drawn[0, :2] = [[0] * count, [(1 << bits) - 1] * count]
    return drawn


def read(path):
    """The whole image, in [0, 1]: its tiles of 1 x 1 would be, so of 2 x 2, put together."""
    source = resolve(path, 2)
    tiles = draw(source, 2)
    down, across = HEIGHT // 2, WIDTH // 2
    return tiles.reshape(down, across, 2, 2).swapaxes(1, 2).reshape(2 * down, 2 * across)


def whole(levels, white):
    return np.asarray(levels)[: HEIGHT // 2 * 2, : WIDTH // 2 * 2] / white


def luma(colours):
    """In whole levels, by Python's own integers."""
    return [
        [(19595 * int(r) + 38470 * int(g) + 7471 * int(b) + (1 << 15)) >> 16 for r, g, b in row]
        for row in colours
    ]


LAYOUTS = [
    pytest.param({}, id="one strip"),
    pytest.param({"rows": 3}, id="strips"),
    pytest.param({"tile": (16, 16)}, id="tile"),
    pytest.param({"tile": (16, 16), "big": True}, id="BigTIFF"),
]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [NONE, DEFLATE, PACKBITS])
@pytest.mark.parametrize("bits", range(1, 17))
def test_grey_of_any_number_of_bits(tmp_path, bits, compression, order, layout):
    stored = samples(bits)
    for photometric, reverse in itertools.product((GREY, INVERTED), (False, True)):
        path = write(
            tmp_path / "a.tif", stored, bits, order=order, compression=compression,
            photometric=photometric, reverse=reverse, **layout,
        )  # fmt: skip
        white = (1 << bits) - 1
        grey = white - stored if photometric == INVERTED else stored
        assert np.array_equal(read(path), whole(grey[..., 0], white))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [NONE, DEFLATE, PACKBITS])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 9, 10, 12, 14, 16])
def test_colours_of_any_number_of_bits(tmp_path, bits, planar, compression, order, layout):
    stored = samples(bits, 3)
    path = write(
        tmp_path / "a.tif", stored, bits, order=order, compression=compression, planar=planar,
        **layout,
    )  # fmt: skip
    white = (1 << bits) - 1
    if bits < 8:
        stored, white = stored * (255 // white), 255
    assert np.array_equal(read(path), whole(luma(stored), white))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_differences_to_the_sample_before(tmp_path, bits, count, planar, order, layout):
    stored = samples(bits, count)
    path = write(
        tmp_path / "a.tif", stored, bits, order=order, compression=DEFLATE, planar=planar,
        predictor=True, **layout,
    )  # fmt: skip
    grey = luma(stored) if count == 3 else stored[..., 0]
    assert np.array_equal(read(path), whole(grey, (1 << bits) - 1))


@pytest.mark.parametrize(
    "compression",
    ["tiff_lzw", "tiff_adobe_deflate", "tiff_deflate", "packbits", "zstd"],
)
@pytest.mark.parametrize("predictor", [1, 2])
@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_what_libtiff_compressed_is_read(tmp_path, compression, predictor, mode):
    stored = samples(16 if mode == "I;16" else 8, 3 if mode == "RGB" else 1)
    array = stored.astype(np.uint16 if mode == "I;16" else np.uint8).squeeze()
    path = tmp_path / "a.tif"
    options = {"tiffinfo": {317: 2}} if predictor == 2 and compression != "packbits" else {}
    Image.fromarray(array).save(path, compression=compression, **options)
    grey = luma(stored) if mode == "RGB" else stored[..., 0]
    assert np.array_equal(read(path), whole(grey, 65535 if mode == "I;16" else 255))


@pytest.mark.parametrize(
    "compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "jpeg"]
)
def test_a_strip_that_is_shorter_than_the_image_is_damage(tmp_path, compression):
    path = tmp_path / "a.tif"
    Image.fromarray(samples(8)[..., 0].astype(np.uint8)).save(path, compression=compression)
    assert resolve(path).available == {8: 1}
    # The number of bytes of the only strip, which lies in the tag itself.
    content = bytearray(path.read_bytes())
    at = content.index((279).to_bytes(2, "little") + (4).to_bytes(2, "little")) + 8
    count = int.from_bytes(content[at : at + 4], "little")
    for less in (1, 2, count // 2, count - 1):
        content[at : at + 4] = (count - less).to_bytes(4, "little")
        path.write_bytes(content)
        if compression != "tiff_lzw" or less > 2:
            with pytest.raises(UserError, match=r"a\.tif is a broken image: "):
                draw(resolve(path))


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_fax_is_refused_by_name(tmp_path, compression):
    path = tmp_path / "a.tif"
    Image.fromarray(samples(1)[..., 0].astype(bool)).save(path, compression=compression)
    with pytest.raises(UserError, match=r"is compressed with CCITT.* \(1-bit samples\), which"):
        resolve(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "YCbCr"])
def test_jpeg_inside_tiff_is_what_libtiff_reads(tmp_path, photograph, mode):
    path = tmp_path / "a.tif"
    with Image.open(photograph) as image:
        image.crop((200, 100, 312, 180)).convert(mode).save(path, compression="jpeg", quality=80)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("L"))
    tiles = draw(resolve(path, 2), 2).reshape(40, 56, 2, 2).swapaxes(1, 2).reshape(80, 112)
    assert np.abs(255 * tiles - expected).max() <= 1


def palette(colours):
    return 320, SHORT, np.transpose(colours).ravel()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize(("factor", "white"), [(257, 255), (256, 255), (1, 65535)])
def test_a_palette_has_colours_of_8_bits_or_of_16(tmp_path, bits, factor, white):
    colours = np.random.default_rng(1).integers(0, white + 1, (1 << bits, 3))
    colours[0] = white
    stored = samples(bits)
    path = write(
        tmp_path / "a.tif", stored, bits, photometric=PALETTE, tags=[palette(colours * factor)]
    )
    assert np.array_equal(read(path), whole(luma(colours[stored[..., 0]]), white))


def test_a_palette_of_pillow_is_what_pillow_makes_of_it(tmp_path, photograph):
    with Image.open(photograph) as image:
        image.crop((200, 100, 213, 111)).quantize(32).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        expected = np.asarray(image.convert("L"))
    assert np.array_equal(read(tmp_path / "a.tif"), whole(expected, 255))


@pytest.mark.parametrize("tag", [MAX_SAMPLE, SMAX_SAMPLE])
@pytest.mark.parametrize("photometric", [GREY, INVERTED, RGB])
def test_a_file_of_16_bits_may_say_that_it_has_fewer(tmp_path, tag, photometric):
    count = 3 if photometric == RGB else 1
    stored = samples(12, count)
    told = [(tag, SHORT, [4095] * count)]
    path = write(tmp_path / "a.tif", stored, 16, photometric=photometric, tags=told)
    grey = luma(stored) if count == 3 else stored[..., 0]
    assert np.array_equal(read(path), whole(4095 - grey if photometric == INVERTED else grey, 4095))
    assert resolve(path, 2).content.notes == ()


@pytest.mark.parametrize(
    ("bits", "said"),
    [
        pytest.param(16, 65535, id="all"),
        pytest.param(16, 40000, id="the largest that there is"),
        pytest.param(16, 4095, id="less than there is"),
        pytest.param(16, 127, id="that of a dark picture"),
        pytest.param(8, 127, id="of 8 bits"),
    ],
)
def test_what_else_is_said_of_the_largest_sample_changes_nothing(tmp_path, bits, said):
    stored = samples(bits)
    if said == 127:
        stored = np.minimum(stored, 127)
    path = write(tmp_path / "a.tif", stored, bits, tags=[(MAX_SAMPLE, SHORT, [said])])
    assert np.array_equal(read(path), whole(stored[..., 0], (1 << bits) - 1))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    ("meaning", "message"),
    [
        (1, "is transparent at row 3, column 5: flatten it"),
        (2, "is transparent at row 3, column 5: flatten it"),
        (0, "says neither that it is a colour nor alpha"),
        (None, "says neither that it is a colour nor alpha"),
    ],
)
def test_alpha_is_opaque_or_refused(tmp_path, bits, planar, count, meaning, message):
    white = (1 << bits) - 1
    stored = samples(bits, count + 1)
    stored[..., -1] = white
    options = {
        "photometric": RGB if count == 3 else GREY, "planar": planar,
        "tags": [] if meaning is None else [(EXTRA_SAMPLES, SHORT, [meaning])],
    }  # fmt: skip
    path = write(tmp_path / "a.tif", stored, bits, **options)
    grey = luma(stored[..., :3]) if count == 3 else stored[..., 0]
    assert np.array_equal(read(path), whole(grey, white))
    stored[3, 5, -1] -= 1
    with pytest.raises(UserError, match=message):
        resolve(write(path, stored, bits, **options))


def test_a_sample_that_gdal_says_is_missing_is_refused(tmp_path):
    stored = np.maximum(samples(16), 1)
    options = {"tags": [tiffs.ascii_tag(42113, "0")]}
    path = write(tmp_path / "a.tif", stored, 16, **options)
    assert np.array_equal(read(path), whole(stored[..., 0], 65535))
    stored[2, 9] = 0
    with pytest.raises(UserError, match=r"no data at row 2, column 9, where it has 0 \(GDAL_NODA"):
        resolve(write(path, stored, 16, **options))
    for text in ("-9999", "nan", "none", "65536"):
        write(path, stored, 16, tags=[tiffs.ascii_tag(42113, text)])
        assert np.array_equal(read(path), whole(stored[..., 0], 65535))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_samples_are_not_turned(tmp_path, orientation):
    stored = samples(8)
    path = write(tmp_path / "a.tif", stored, 8, tags=[(274, SHORT, [orientation])])
    assert np.array_equal(read(path), whole(stored[..., 0], 255))


@pytest.mark.parametrize(
    ("bits", "count", "options", "message"),
    [
        (8, 1, {"tags": [(SAMPLE_FORMAT, SHORT, [2])]}, "samples of signed integers, whose range"),
        (16, 1, {"tags": [(SAMPLE_FORMAT, SHORT, [2])]}, "samples of signed integers, whose"),
        (32, 1, {"tags": [(SAMPLE_FORMAT, SHORT, [3])]}, "samples of floats, whose range is unk"),
        (16, 1, {"tags": [(SAMPLE_FORMAT, SHORT, [3])]}, "samples of floats, whose range is unk"),
        (16, 1, {"tags": [(SAMPLE_FORMAT, SHORT, [4])]}, "samples of undefined, whose range"),
        (32, 1, {"tags": [(SAMPLE_FORMAT, SHORT, [5])]}, "samples of complex integers, whose"),
        (16, 3, {"tags": [(SAMPLE_FORMAT, SHORT, [1, 1, 2])]}, "of several formats"),
        (8, 3, {"tags": [(SAMPLE_FORMAT, SHORT, [3, 1, 1])], "order": ">", "big": True},
         "of several formats"),
        (8, 1, {"tags": [(SAMPLE_FORMAT, SHORT, [7])]}, "samples of SampleFormat 7, whose range"),
        (32, 1, {}, "samples of 32 bits, and at most 16"),
        (16, 3, {"tags": [(258, SHORT, [5, 6, 5])]}, r"samples of \(5, 6, 5\) bits, and at most"),
        (5, 3, {}, "colours of 5 bits: save it with 8 or 16"),
        (8, 4, {"photometric": 5}, "samples of CMYK: save it as grey or RGB"),
        (8, 3, {"photometric": 6}, "samples of PhotometricInterpretation 6: save it"),
        (8, 3, {"photometric": 8}, r"samples of CIE L\*a\*b\*: save it"),
        (1, 1, {"photometric": 4}, "samples of a transparency mask: save it"),
        (8, 1, {"photometric": 999}, "samples of PhotometricInterpretation 999: save it"),
        (8, 1, {"without": [262]}, "does not say which sample is black"),
        (8, 1, {"tags": [(259, SHORT, [34712])]}, r"compressed with JPEG2000 \(8-bit sam"),
        (8, 1, {"tags": [(259, SHORT, [34925])]}, r"compressed with LZMA \(8-bit sam"),
        (8, 1, {"tags": [(259, SHORT, [6])]}, r"compressed with OJPEG \(8-bit sam"),
        (8, 1, {"tags": [(259, SHORT, [999])]}, r"compressed with 999 \(8-bit sam"),
        (16, 1, {"tags": [(317, SHORT, [3])]}, "has predictor 3 with 16 bits a sample"),
        (4, 1, {"compression": DEFLATE, "tags": [(317, SHORT, [2])]}, "has predictor 2 with 4"),
        (8, 1, {"photometric": PALETTE, "tags": [palette(np.eye(256, 3, dtype=int))]},
         "has a palette of 8 bits where TIFF has 16"),
        (8, 1, {"photometric": PALETTE}, "is a broken image"),
        (8, 1, {"tags": [(32997, SHORT, [3])]}, "has 3 images in depth: save each as a file"),
        (8, 2, {"photometric": RGB}, "is a broken image"),
        (8, 1, {"tags": [(257, LONG, [HEIGHT + 1])]}, "is a broken image"),
        (8, 1, {"rows": 2, "tags": [(257, LONG, [4 * HEIGHT])]}, "is a broken image"),
        (8, 1, {"tags": [(279, LONG, [HEIGHT * WIDTH - 1])]}, "is a broken image"),
        (8, 1, {"tags": [(279, LONG, [0])]}, "strip or tile 0 is beyond the end of the file, or"),
        (8, 1, {"tags": [(273, LONG, [0])]}, "strip or tile 0 is beyond the end of the file, or"),
        (8, 1, {"tags": [(273, LONG, [10**6])]}, "strip or tile 0 is beyond the end"),
        (8, 1, {"tags": [(278, LONG, [0])]}, "is a broken image"),
        (8, 1, {"without": [273]}, "is a broken image"),
        (8, 1, {"without": [256]}, "is a broken image"),
    ],
)  # fmt: skip
def test_what_is_not_known_to_be_read_right_is_refused_by_name(
    tmp_path, bits, count, options, message
):
    path = write(tmp_path / "odd.tif", samples(bits, count), bits, **options)
    with pytest.raises(UserError, match=rf"odd\.tif .*{message}|odd\.tif {message}") as refusal:
        resolve(path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("options", [{}, {"imagej": True}, {"ome": True}])
def test_a_stack_of_which_one_page_is_described_is_refused(tmp_path, options):
    stack = np.zeros((5, 16, 16), np.uint16)
    for truncate in (False, True):
        if not (truncate and "ome" in options):
            tifffile.imwrite(tmp_path / "a.tif", stack, truncate=truncate, **options)
            with pytest.raises(UserError, match=r"a\.tif has 5 pages: save each as a file"):
                resolve(tmp_path)
    tifffile.imwrite(tmp_path / "a.tif", stack[0], **options)
    assert resolve(tmp_path).available == {8: 4}


def test_a_next_page_that_is_not_there_is_damage(tmp_path):
    path = write(tmp_path / "a.tif", samples(8), 8)
    content = bytearray(path.read_bytes())
    assert content[-4:] == bytes(4)
    content[-4:] = (10**6).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(UserError, match="the next page, at byte 1000000, cannot be read"):
        resolve(path)
