"""Blocks from the coefficients of JPEG files, against Pillow's decoder."""

import contextlib
import importlib
import tempfile
from concurrent.futures import ThreadPoolExecutor

import jpeglib
import numpy as np
import pytest
from PIL import Image

from asm_core import block_dct
from pipeline import UserError
from pipeline.sources import kinds

# Horizontal and vertical sampling factors of luma; Pillow writes the first three.
SAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2), "4:4:0": (1, 2), "4:1:1": (4, 1)}
APP0, APP14, COMMENT = 0xE0, 0xEE, 0xFE


def resolve(path, *sizes):
    [source] = kinds.resolve("jpeg", {"kind": "jpeg", "path": str(path)}, sizes or (8,))
    return source


def draw(source, first=0, count=None):
    count = source.available[8] - first if count is None else count
    return kinds.draw(source, 0, 8, first, count)


def picture(height, width, seed=0):
    """Edges, slopes and noise in three channels, uint8, with samples at both ends of the range."""
    random = np.random.default_rng(seed)
    i, j = np.mgrid[:height, :width]
    waves = [np.sin(i / 3 + j / 7), np.sign(np.sin(i / 11) * np.cos(j / 5)), j / width - i / height]
    noisy = [110 * wave + random.normal(128, 40, (height, width)) for wave in waves]
    return np.stack(noisy, axis=-1).clip(0, 255).astype(np.uint8)


def save(path, height=40, width=56, sampling=None, seed=0, **options):
    """A colour JPEG, or a grey one without a sampling."""
    samples = picture(height, width, seed)
    if sampling is None:
        Image.fromarray(samples[..., 0]).save(path, "JPEG", **options)
    elif sampling in ("4:4:4", "4:2:2", "4:2:0"):
        Image.fromarray(samples).save(path, "JPEG", subsampling=sampling, **options)
    else:
        writer = jpeglib.from_spatial(samples)
        writer.samp_factor = sampling
        writer.write_spatial(str(path), qt=options["quality"])
    return path


def luma(path):
    """Pillow's samples of the first component, (height, width) uint8."""
    with Image.open(path) as image:
        image.draft("L", image.size)
        assert image.mode == "L"
        return np.asarray(image)


def cut(samples):
    height, width = samples.shape
    return np.array(
        [
            samples[i : i + 8, j : j + 8]
            for i in range(0, height - 7, 8)
            for j in range(0, width - 7, 8)
        ]
    )


def assert_decodes_as_in_pillow(path):
    levels = np.clip(255 * draw(resolve(path)), 0, 255)
    expected = cut(luma(path))
    assert levels.shape == expected.shape
    # Pillow rounds its samples, after a transform in integers.
    assert np.abs(levels - expected).max() <= 1


def segment(marker, content):
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2) + content


JFIF = segment(APP0, b"JFIF\0\1\1\0\0\1\0\1\0\0")


def segments(content):
    """The segments of a JPEG up to its first scan, as (marker, whole segment), and the rest."""
    found, at = [], 2
    while content[at + 1] != 0xDA:
        after = at + 2 + int.from_bytes(content[at + 2 : at + 4])
        found.append((content[at + 1], content[at:after]))
        at = after
    return found, content[at:]


def edit(path, change):
    """Rewrite the segments of a file, each by change(marker, segment)."""
    found, rest = segments(path.read_bytes())
    path.write_bytes(b"\xff\xd8" + b"".join(change(*each) for each in found) + rest)


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
    kinds.jpeg._quantised.cache_clear()
    with ThreadPoolExecutor(8) as pool:
        drawn = list(pool.map(lambda t: draw(source, t, 64), range(0, 12 * 64, 64)))
    assert np.array_equal(np.concatenate(drawn), whole)


def test_samples_beyond_the_last_whole_blocks_are_dropped(tmp_path):
    save(tmp_path / "a.jpg", 37, 53, "4:2:0")
    source = resolve(tmp_path)
    assert source.available == {8: 4 * 6}
    assert kinds.dropped(source, 8) == 37 * 53 - 32 * 48


@pytest.mark.parametrize("size", [4, 16])
def test_other_block_sizes_are_refused(tmp_path, size):
    save(tmp_path / "a.jpg")
    with pytest.raises(
        UserError,
        match=rf"jpeg has blocks of 8 x 8 only, got block_size={size}: use block_size=8",
    ):
        resolve(tmp_path, 8, size)


def test_an_image_smaller_than_a_block_is_named(tmp_path):
    save(tmp_path / "small.jpg", 20, 7)
    with pytest.raises(UserError, match=r"small\.jpg is 20 x 7 samples, smaller than a block"):
        resolve(tmp_path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere.jpg", "matches no file"),
        (lambda folder: folder, r"needs files named \.jpg, \.jpeg"),
    ],
)
def test_no_files_at_all_are_refused(tmp_path, make, message):
    Image.fromarray(picture(8, 8)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=message):
        resolve(make(tmp_path))


def test_what_is_not_a_jpeg_is_named(tmp_path):
    Image.fromarray(picture(8, 8)).save(tmp_path / "a.jpg", "PNG")
    with pytest.raises(UserError, match=r"a\.jpg is not a JPEG image"):
        resolve(tmp_path)


def test_cmyk_and_rgb_have_no_luma(tmp_path):
    path = tmp_path / "a.jpg"
    image = Image.fromarray(picture(8, 8))
    image.convert("CMYK").save(path)
    with pytest.raises(UserError, match=r"a\.jpg is a JPEG of CMYK, which has no luma: .* images"):
        resolve(path)
    image.save(path, keep_rgb=True)
    with pytest.raises(UserError, match=r"a\.jpg is a JPEG of RGB, which has no luma"):
        resolve(path)
    # Without the marker that says it, the components' identifiers still do.
    edit(path, lambda marker, each: b"" if marker == APP14 else each)
    with pytest.raises(UserError, match="is a JPEG of RGB"):
        resolve(path)


@pytest.mark.parametrize(
    "instead",
    [
        pytest.param(b"", id="none"),
        pytest.param(segment(APP14, b"Adobe\0\x64\0\0\0\0\x01"), id="Adobe's YCbCr"),
        pytest.param(JFIF + segment(APP14, b"Adobe\0\x64\0\0\0\0\0"), id="JFIF, Adobe's RGB"),
    ],
)
def test_luma_is_known_as_libjpeg_guesses_it(tmp_path, instead):
    path = save(tmp_path / "a.jpg", sampling="4:2:0")
    edit(path, lambda marker, each: instead if marker == APP0 else each)
    assert_decodes_as_in_pillow(path)


def test_luma_of_lower_resolution_than_colour_is_refused(tmp_path):
    writer = jpeglib.from_spatial(picture(32, 32))
    writer.samp_factor = np.array([[1, 1], [2, 2], [1, 1]])
    writer.write_spatial(str(tmp_path / "a.jpg"))
    with pytest.raises(UserError, match=r"a\.jpg has luma of lower resolution than colour"):
        resolve(tmp_path)


@pytest.mark.parametrize("sampling", [None, "4:2:0"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_named_before_anything_starts(tmp_path, sampling, share):
    path = save(tmp_path / "cut.jpg", 64, 64, sampling)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"source.jpeg: .*cut\.jpg is ") as refusal:
        resolve(tmp_path)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("place", "value"), [pytest.param(4, 12, id="12 bits"), pytest.param(1, 0xC9, id="arithmetic")]
)
def test_what_jpeglib_cannot_read_is_named(tmp_path, place, value):
    path = save(tmp_path / "odd.jpg")

    def change(marker, each):
        if marker != 0xC0:
            return each
        return each[:place] + bytes([value]) + each[place + 1 :]

    edit(path, change)
    with pytest.raises(UserError, match=r"source.jpeg: .*odd\.jpg ") as refusal:
        resolve(path)
    assert "\n" not in str(refusal.value)


def test_coefficients_that_no_image_has_are_damage(tmp_path):
    path = save(tmp_path / "a.jpg", quality=10)
    image = jpeglib.read_dct(str(path))
    image.Y[2, 3, 1, 0] = 1024 // image.qt[0, 1, 0]
    image.write_dct(str(path))
    assert resolve(path).available == {8: 35}
    image.Y[2, 3, 1, 0] = 600
    image.write_dct(str(path))
    with pytest.raises(UserError, match=r"a\.jpg is damaged: it has coefficients that no image"):
        resolve(path)


def test_flipped_bytes_are_read_or_refused_but_never_a_crash(tmp_path, flipped):
    for number, options in enumerate([{}, {"progressive": True}]):
        path = save(tmp_path / f"{number}.jpg", 32, 32, "4:2:0", **options)
        for damaged in flipped(path.read_bytes()):
            path.write_bytes(damaged)
            # Any other exception fails the test, and a crash all of them.
            with contextlib.suppress(UserError):
                assert np.isfinite(draw(resolve(path))).all()


@pytest.mark.parametrize(
    "metadata",
    [
        # jpeglib 1.0.2 alone dies on the first and refuses the second.
        pytest.param([b"", *[b"x" * 65000] * 20], id="empty comment first"),
        pytest.param([b"ab"] * 60, id="sixty comments"),
    ],
)
def test_comments_of_any_size_and_number_change_nothing(tmp_path, metadata):
    path = save(tmp_path / "a.jpg", sampling="4:2:0")
    before = draw(resolve(path))
    comments = b"".join(segment(COMMENT, content) for content in metadata)
    content = path.read_bytes()
    # 0xFF may stand before any marker.
    path.write_bytes(content[:2] + b"\xff\xff" + comments + b"\xff\xff" + content[2:])
    assert np.array_equal(draw(resolve(path)), before)


@pytest.mark.parametrize("content", [b"", b"x" * 65000])
@pytest.mark.parametrize("restarts", [0, 1])
def test_a_comment_between_two_scans_changes_nothing(tmp_path, content, restarts):
    options = {"progressive": True, "restart_marker_blocks": restarts}
    path = save(tmp_path / "a.jpg", 200, 200, "4:2:0", **options)
    before = draw(resolve(path))
    plain = path.read_bytes()
    # The tables of the second scan.
    at = plain.index(b"\xff\xc4", plain.index(b"\xff\xda"))
    comment = segment(COMMENT, content)
    path.write_bytes(plain[:at] + comment + plain[at:])
    assert kinds.jpeg._bare(path.read_bytes()) == kinds.jpeg._bare(plain)
    assert np.array_equal(draw(resolve(path)), before)


def test_a_path_of_any_letters_is_read_and_nothing_left_behind(tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    folder = tmp_path / "Ångström 光"
    folder.mkdir()
    save(folder / "Öl.JPG")
    assert_decodes_as_in_pillow(folder / "Öl.JPG")
    assert resolve(folder).available == {8: 35}
    assert not list(scratch.iterdir())


def test_the_identity_is_the_contents_and_not_the_place(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "a.jpg", seed=1)
    same = [resolve(tmp_path / folder).identity for folder in ("one", "two")]
    assert same[0] == same[1]
    save(tmp_path / "two" / "a.jpg", seed=2)
    assert resolve(tmp_path / "two").identity != same[0]


def test_a_file_that_changes_after_planning_is_an_error(tmp_path):
    path = save(tmp_path / "a.jpg", seed=1)
    source = resolve(path)
    kinds.jpeg._quantised.cache_clear()
    save(path, seed=2)
    with pytest.raises(ValueError, match=r"a\.jpg has changed since the sweep was planned"):
        draw(source)


def test_jpeglib_that_is_not_installed_is_asked_for_first(tmp_path, monkeypatch):
    original = importlib.import_module

    def without(name, *rest):
        if name == "jpeglib":
            raise ModuleNotFoundError("No module named 'jpeglib'")
        return original(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(UserError, match=r"source jpeg needs jpeglib: pip install jpeglib"):
        resolve(tmp_path / "a.jpg")
