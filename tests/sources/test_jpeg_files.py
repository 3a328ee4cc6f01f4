"""Which JPEG files are read, and which are refused: other forms, damage, metadata, change."""

import contextlib
import importlib
import tempfile

import jpeglib
import numpy as np
import pytest
from helpers.jpegs import (
    APP0,
    APP14,
    COMMENT,
    JFIF,
    assert_decodes_as_in_pillow,
    draw,
    edit,
    picture,
    resolve,
    save,
    segment,
)
from PIL import Image

from pipeline import UserError
from pipeline.errors import UnreadableError
from pipeline.sources import jpeg
from pipeline.sources.files import decoded


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
    with pytest.raises(UserError, match=r"a\.jpg is a JPEG of CMYK, which has no luma: .* as RGB"):
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
        draw(resolve(path))


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
    assert jpeg._without_metadata(path.read_bytes()) == jpeg._without_metadata(plain)
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


def test_a_place_for_temporary_files_that_cannot_be_written_is_not_the_file_s_fault(
    tmp_path, monkeypatch, photograph
):
    files = jpeg.inspect(path=str(photograph))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(UnreadableError, match=rf"^cannot write {tmp_path}/gone/.*or set TMPDIR"):
        decoded(jpeg.READER, files[0])


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
    jpeg._quantised.cache_clear()
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
