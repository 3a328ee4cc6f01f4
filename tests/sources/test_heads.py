"""What planning says of image files by their heads, and what is said once they are decoded."""

import io
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest
from helpers import images as image_files
from helpers import jpegs, pngs, tiffs
from PIL import Image

from pipeline import UserError
from pipeline.config import compose
from pipeline.errors import BadFileError
from pipeline.planning.grid import Unit
from pipeline.planning.plan import make_plan
from pipeline.run import worker
from pipeline.sources import files, images, jpeg, kinds, tiff

FORMS = {
    "colour": {"sampling": "4:2:0"},
    "grey": {},
    "progressive": {"sampling": "4:4:4", "progressive": True},
    "restarts": {"sampling": "4:2:0", "restart_marker_blocks": 2},
}
READERS = [image_files.READER_OF["images"], image_files.READER_OF["jpeg"]]


def refuses(reader, path, content):
    """Whether planning or a unit refuses a file."""
    try:
        reader.head(path, content)
        reader.decode(path, content)
    except ValueError as error:
        return str(path) in str(error)
    return False


def pillow_refuses(content):
    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            image.load()
    except Exception:
        return True
    return False


@pytest.mark.parametrize("form", FORMS)
def test_every_jpeg_that_pillow_does_not_decode_whole_is_refused(tmp_path, form, flipped):
    path = jpegs.save(tmp_path / "a.jpg", 24, 40, **FORMS[form])
    whole = path.read_bytes()
    cuts = [whole[:size] + tail for size in range(len(whole)) for tail in (b"", bytes(50))]
    flips = [bytes(copy) for _ in range(8) for copy in flipped(whole)]
    flips += [bytes(copy) + whole[400:] for copy in flipped(whole[:400])]
    with warnings.catch_warnings(action="ignore"):
        for damaged in [*cuts, *flips]:
            if pillow_refuses(damaged):
                assert all(refuses(reader, path, damaged) for reader in READERS)
        assert not any(refuses(reader, path, whole) for reader in READERS)
        assert all(refuses(reader, path, cut) for reader in READERS for cut in cuts)


def test_the_end_of_a_thumbnail_is_not_that_of_a_file(tmp_path):
    path = jpegs.save(tmp_path / "a.jpg", sampling="4:2:0")
    content = path.read_bytes()
    inner = jpegs.segment(0xE1, b"Exif\0\0" + content)
    for each, refused in ((content, False), (content[:-2], True)):
        path.write_bytes(each[:2] + inner + each[2:])
        for resolve in (jpegs.resolve, image_files.resolve):
            if refused:
                with pytest.raises(BadFileError, match=r"a\.jpg is a broken image: it is trunc"):
                    resolve(path)
            else:
                assert resolve(path).available == {8: 35}


def grey(path, **options):
    samples = np.random.default_rng(0).integers(0, 256, (16, 24)).astype(np.uint8)
    Image.fromarray(samples).save(path, **options)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_planning_decodes_no_image_of_8_bits(tmp_path, monkeypatch, name):
    grey(tmp_path / name)

    def never(*arguments, **options):
        raise AssertionError("decoded")

    for module, function in ((images, "_decode"), (jpeg, "_decode"), (tiff, "decode")):
        monkeypatch.setattr(module, function, never)
    monkeypatch.setattr(Image.Image, "load", never)
    content = (tmp_path / name).read_bytes()
    assert image_files.READER_OF["images"].head(tmp_path / name, content)[:2] == (16, 24)
    assert image_files.resolve(tmp_path).available == {8: 6}
    if name == "a.jpg":
        assert jpegs.resolve(tmp_path).available == {8: 6}


def test_what_only_samples_tell_is_said_before_a_sweep(tmp_path):
    dark = np.full((8, 8, 1), 4095)
    pngs.write(tmp_path / "a.png", dark, 16, pngs.GREY)
    tiffs.write(tmp_path / "b.tif", dark, 16)
    [note] = image_files.resolve(tmp_path).content.notes
    assert "no sample of 2 images of 16 bits is above 0.062 of white" in note
    alpha = np.full((8, 8, 2), 255)
    pngs.write(tmp_path / "c.png", alpha, 8, pngs.GREY_ALPHA)
    assert image_files.resolve(tmp_path).available == {8: 3}
    alpha[3, 4, 1] = 254
    pngs.write(tmp_path / "c.png", alpha, 8, pngs.GREY_ALPHA)
    with pytest.raises(UserError, match=r"c\.png is transparent at row 3, column 4"):
        image_files.resolve(tmp_path)


def broken(path):
    """A JPEG whose head is as it was, and whose Huffman table is not."""
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xc4") + 5] ^= 0x40
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["images", "jpeg"])
def test_what_is_found_broken_later_is_a_unit_that_names_the_file(tmp_path, kind):
    for name in ("a.jpg", "b.jpg"):
        jpegs.save(tmp_path / name, 32, 32)
    broken(tmp_path / "b.jpg")
    [source] = kinds.resolve(kind, {"kind": kind, "path": str(tmp_path)}, (8,))
    assert kinds.draw(source, 0, 8, 0, 16).shape == (16, 8, 8)
    with pytest.raises(BadFileError, match=r"b\.jpg is a broken image: "):
        kinds.draw(source, 0, 8, 10, 10)


def test_a_file_is_decoded_once_by_a_unit_however_many_others_threads_decode(tmp_path):
    count, decoded = 80, []

    def decode(file):
        decoded.append(file)
        # Other threads decode theirs meanwhile.
        time.sleep(0.001)
        return np.zeros((2, 2)), 1.0

    kept = files.Kept(decode, files=4)
    listed = files.Files.of(
        [f"{k}.png" for k in range(count)], [8] * count, [8] * count, bytes(32 * count)
    )

    def walk(start):
        for k in range(start, start + count // 8):
            for _ in range(5):
                kept(listed[k])
                time.sleep(0.001)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(walk, range(0, count, count // 8)))
    assert len(decoded) == count


def test_a_unit_over_a_hundred_files_decodes_each_once(tmp_path, monkeypatch):
    for k in range(100):
        Image.fromarray(np.full((16, 16), k, np.uint8)).save(tmp_path / f"{k:03}.png")
    words = ["source=images", f"source.images.path={tmp_path}", "trials=200"]
    plan = make_plan(compose.load(words), kinds.resolve)
    monkeypatch.setattr(worker, "_SAMPLES_PER_BATCH", 1)
    monkeypatch.setattr(worker, "_FEWEST_PER_BATCH", 3)
    decoded = []

    def count(reader, file):
        decoded.append(file.path)
        return original(reader, file)

    original = files.decoded
    monkeypatch.setattr(images, "decoded", count)
    units = [Unit("images", 8, k, 50 * k, 50 * (k + 1)) for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(partial(worker.measure_unit, plan), units))
    # A spread sample: each unit has blocks of half of the files or more.
    assert len(decoded) <= 4 * 50
    wanted = plan.source("images").tiles[8].of_trials(0, 200) // 4
    assert len(set(decoded)) == len(set(wanted.tolist()))
