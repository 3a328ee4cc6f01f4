"""Blocks from image files."""

import contextlib
import pickle

import numpy as np
import pytest
from helpers.images import draw, resolve
from PIL import Image

from pipeline import UserError
from pipeline.sources import files, kinds


def save(path, height, width, mode="L", seed=0):
    random = np.random.default_rng(seed)
    depth = {"RGB": 3, "RGBA": 4}.get(mode)
    shape = (height, width, depth) if depth else (height, width)
    if mode == "I;16":
        array = random.integers(0, 65536, shape).astype(np.uint16)
    else:
        array = random.integers(0, 256, shape).astype(np.uint8)
    Image.fromarray(array).save(path)
    return array


def luma(path):
    return np.asarray(Image.open(path).convert("L")) / 255


def test_tiles_of_a_photograph_are_its_luma_in_row_major_order(photograph):
    source = resolve(photograph, 8, 20)
    assert source.available == {8: 75 * 64, 20: 30 * 25}
    expected = luma(photograph)
    for size, across in ((8, 64), (20, 25)):
        blocks = kinds.draw(source, 0, size, 0, source.available[size])
        assert blocks.min() >= 0
        assert blocks.max() <= 1
        for t in (0, 1, across - 1, across, 5 * across + 3, source.available[size] - 1):
            i, j = t // across * size, t % across * size
            assert np.array_equal(blocks[t], expected[i : i + size, j : j + size])


def test_a_file_counts_once_however_many_links_lead_to_it(tmp_path):
    save(tmp_path / "a.png", 16, 16)
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    (tmp_path / "again").symlink_to(tmp_path)
    assert resolve(tmp_path).available == {8: 4}
    assert resolve(tmp_path / "**" / "*.png").available == {8: 4}


def test_a_tile_is_the_same_in_every_batch_and_across_files(tmp_path):
    for k, shape in enumerate([(16, 24), (8, 8), (40, 17), (9, 100)]):
        save(tmp_path / f"{k}.png", *shape, seed=k)
    source = resolve(tmp_path)
    assert source.available == {8: 6 + 1 + 10 + 12}
    whole = kinds.draw(source, 0, 8, 0, 29)
    for first, count in [(0, 1), (5, 3), (6, 1), (3, 20), (28, 1), (29, 0)]:
        assert np.array_equal(kinds.draw(source, 0, 8, first, count), whole[first : first + count])
    assert np.array_equal(whole[6], luma(tmp_path / "1.png"))
    assert np.array_equal(whole[17], luma(tmp_path / "3.png")[:8, :8])


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".tif", ".tiff", ".jpg", ".jpeg"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_every_format_is_read(tmp_path, suffix, mode):
    path = tmp_path / f"image{suffix}"
    save(path, 8, 16, mode)
    blocks = kinds.draw(resolve(tmp_path), 0, 8, 0, 2)
    assert np.array_equal(np.hstack(list(blocks)), luma(path))


def test_sixteen_bit_grey_keeps_its_depth(tmp_path):
    array = save(tmp_path / "deep.png", 8, 8, "I;16")
    assert np.array_equal(kinds.draw(resolve(tmp_path), 0, 8, 0, 1)[0], array / 65535)


def test_luma_is_the_weighted_sum_of_bt601(tmp_path):
    array = save(tmp_path / "colour.png", 8, 8, "RGB")
    expected = array @ np.array([0.299, 0.587, 0.114]) / 255
    block = kinds.draw(resolve(tmp_path), 0, 8, 0, 1)[0]
    np.testing.assert_allclose(block, expected, atol=0.51 / 255)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_samples_are_not_turned(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    random = np.random.default_rng(0).integers(0, 256, (8, 16), np.uint8)
    Image.fromarray(random).save(tmp_path / f"plain{suffix}")
    Image.fromarray(random).save(tmp_path / f"turned{suffix}", exif=exif)
    plain, turned = (resolve(tmp_path / f"{name}{suffix}") for name in ("plain", "turned"))
    assert np.array_equal(kinds.draw(turned, 0, 8, 0, 2), kinds.draw(plain, 0, 8, 0, 2))


def test_cmyk_has_no_luma(tmp_path):
    Image.new("CMYK", (8, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg has samples of CMYK: save it as grey or RGB"):
        resolve(tmp_path)


def test_a_folder_takes_images_only_and_a_glob_what_it_matches(tmp_path):
    for name in ("b.png", "a.png", "c.jpg"):
        save(tmp_path / name, 8, 8, seed=ord(name[0]))
    (tmp_path / "notes.txt").write_text("not an image")
    assert resolve(tmp_path).available == {8: 3}
    source = resolve(tmp_path / "*.png")
    assert [path[-5:] for path in source.content.paths] == ["a.png", "b.png"]
    (tmp_path / "deep").mkdir()
    save(tmp_path / "deep" / "d.png", 8, 8)
    assert resolve(tmp_path / "**" / "*.png").available == {8: 3}


def test_a_file_of_an_installed_package_is_found(photograph):
    source = resolve("pkg://matplotlib/mpl-data/sample_data/grace_hopper.jpg")
    assert source.identity == resolve(photograph).identity
    assert np.array_equal(
        kinds.draw(source, 0, 8, 0, 9), kinds.draw(resolve(photograph), 0, 8, 0, 9)
    )
    assert resolve("pkg://matplotlib/mpl-data/sample_data/grace_*.jpg").identity == source.identity


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("pkg://no_such_package/a.png", "package 'no_such_package', which is not installed"),
        ("pkg://", "package '', which is not installed"),
        ("pkg:///a.png", "package '', which is not installed"),
        ("pkg://.relative/a.png", "package '.relative', which is not installed"),
        ("pkg://matplotlib/no/such.png", "pkg://matplotlib/no/such.png matches no file"),
        ("pkg://zlib/a.png", "package 'zlib', which is not installed"),
    ],
)
def test_a_package_or_a_file_of_it_that_is_missing_is_named(path, message):
    with pytest.raises(UserError, match=message):
        resolve(path)


def test_a_tile_far_into_many_files_asks_none_before_it_for_its_size(monkeypatch):
    paths, heights = [f"{k}.png" for k in range(600)], [8 * (1 + k % 3) for k in range(600)]
    found = files.Files.of(paths, heights, [8] * 600, bytes(600 * 32))
    assert [(f.path, w.tolist(), p) for f, w, p in files.walk(found, 8, np.arange(596, 603))] == [
        ("298.png", [1], slice(0, 1)),
        ("299.png", [0, 1, 2], slice(1, 4)),
        ("300.png", [0], slice(4, 5)),
        ("301.png", [0, 1], slice(5, 7)),
    ]
    numbers = np.array([0, 597, 599, 1199])
    assert [(f.path, w.tolist(), p) for f, w, p in files.walk(found, 8, numbers)] == [
        ("0.png", [0], slice(0, 1)),
        ("299.png", [0, 2], slice(1, 3)),
        ("599.png", [2], slice(3, 4)),
    ]
    monkeypatch.setattr(files.Files, "tiles", None)
    # As another task may have read them: equal, and another object.
    again = pickle.loads(pickle.dumps(found))
    assert [f.path for f, _, _ in files.walk(again, 8, np.array([1199]))] == ["599.png"]


def test_the_identity_is_the_contents_and_not_the_place(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "a.png", 8, 8, seed=1)
    same = [resolve(tmp_path / folder).identity for folder in ("one", "two")]
    assert same[0] == same[1]
    save(tmp_path / "two" / "a.png", 8, 8, seed=2)
    assert resolve(tmp_path / "two").identity != same[0]


def test_a_file_that_changes_after_planning_is_an_error(tmp_path):
    path = tmp_path / "a.png"
    save(path, 8, 8, seed=1)
    source = resolve(path)
    save(path, 8, 8, seed=2)
    with pytest.raises(ValueError, match=r"a\.png has changed since the sweep was planned"):
        kinds.draw(source, 0, 8, 0, 1)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_named_before_anything_starts(tmp_path, suffix, share):
    path = tmp_path / f"cut{suffix}"
    save(path, 64, 64, "RGB")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=rf"source.images: .*cut\{suffix} is ") as refusal:
        resolve(tmp_path)
    assert "\n" not in str(refusal.value)


def test_flipped_bytes_are_read_or_refused_but_never_a_crash(tmp_path, flipped):
    for suffix in (".png", ".jpg", ".tif"):
        path = tmp_path / f"flip{suffix}"
        save(path, 32, 32, "RGB")
        for damaged in flipped(path.read_bytes()):
            path.write_bytes(damaged)
            # Any other exception fails the test.
            with contextlib.suppress(UserError):
                assert np.isfinite(draw(resolve(path))).all()
        path.unlink()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: folder / "nowhere", "matches no file"),
        (lambda folder: folder / "*.png", "matches no file"),
        (lambda folder: folder, "holds no image"),
    ],
)
def test_no_files_at_all_are_refused(tmp_path, make, message):
    with pytest.raises(UserError, match=message):
        resolve(make(tmp_path))


def test_what_is_not_an_image_is_named(tmp_path):
    (tmp_path / "fake.png").write_text("hello")
    with pytest.raises(UserError, match=r"fake\.png is not a PNG, JPEG, TIFF image"):
        resolve(tmp_path)


def test_an_image_smaller_than_a_block_is_named(tmp_path):
    save(tmp_path / "small.png", 20, 6)
    with pytest.raises(
        UserError, match=r"small\.png is 20 x 6 samples, smaller than a block of 8 x 8"
    ):
        resolve(tmp_path)
    assert resolve(tmp_path, 4).available == {4: 5}


def test_a_file_of_several_pages_or_of_unknown_range_is_refused(tmp_path):
    pages = [Image.new("L", (8, 8), k) for k in range(2)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match="has 2 pages"):
        resolve(tmp_path / "pages.tif")
    Image.fromarray(np.zeros((8, 8), np.float32)).save(tmp_path / "real.tif")
    with pytest.raises(UserError, match="samples of floats, whose range is unknown"):
        resolve(tmp_path / "real.tif")
