"""Damaged image files: read or refused in one line, and nothing else is printed."""

import numpy as np
import pytest
from helpers import pngs, tiffs
from helpers.images import draw, resolve
from helpers.program import run
from PIL import Image

from pipeline import UserError

HEIGHT, WIDTH = 17, 19


def samples(bits, count=1):
    return np.random.default_rng(0).integers(0, 1 << bits, (HEIGHT, WIDTH, count))


def tiff(bits, count=1, **options):
    return lambda path: tiffs.write(path, samples(bits, count), bits, **options)


def png(bits, kind, count, **options):
    return lambda path: pngs.write(path, samples(bits, count), bits, kind, **options)


def pillow(count=3, **options):
    array = samples(8, count).astype(np.uint8).squeeze()
    return lambda path: Image.fromarray(array).save(path, **options)


COLOURS = [(320, tiffs.SHORT, range(0, 48000, 1000))]
OPAQUE = [(b"PLTE", bytes(range(256)) * 3), (b"tRNS", b"\xff")]
WRITERS = {
    "planes.tif": tiff(16, 3, order=">", planar=True, rows=5),
    "tiles.tif": tiff(12, tile=(16, 16), compression=tiffs.DEFLATE),
    "big.tif": tiff(8, 3, big=True, rows=4, compression=tiffs.PACKBITS),
    "palette.tif": tiff(4, photometric=tiffs.PALETTE, tags=COLOURS),
    "lzw.tif": pillow(compression="tiff_lzw", tiffinfo={317: 2}),
    "jpeg.tif": pillow(compression="jpeg"),
    "zstd.tif": pillow(1, compression="zstd"),
    "deep.png": png(16, pngs.RGB, 3, interlaced=True),
    "deep_grey.png": png(16, pngs.GREY, 1),
    "grey.png": png(4, pngs.GREY, 1),
    "palette.png": png(8, pngs.PALETTE, 1, chunks=OPAQUE),
    "a.jpg": pillow(),
    "progressive.jpg": pillow(progressive=True),
}  # fmt: skip


@pytest.fixture
def content(tmp_path, request):
    path = tmp_path / request.param
    WRITERS[request.param](path)
    assert resolve(path, 2).available == {2: 72}
    return path, path.read_bytes()


def check(path, damaged):
    """Read in [0, 1] and in the size that Pillow sees, or refused in one line."""
    path.write_bytes(damaged)
    refusal = None
    try:
        source = resolve(path, 2)
        # By its head, a damaged file may be of any size.
        blocks = draw(source, 2)
    except UserError as error:
        refusal = str(error)
    if refusal is not None:
        assert "\n" not in refusal
        assert str(path) in refusal
        return False
    assert ((blocks >= 0) & (blocks <= 1)).all()
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Exception:
        # Pillow knows fewer forms.
        return True
    assert (source.content.heights[0], source.content.widths[0]) == (height, width)
    return True


@pytest.mark.parametrize("content", WRITERS, indirect=True)
def test_a_truncated_file_is_refused(content, capfd):
    path, whole = content
    # The last bytes of a TIFF may be an entry of its directory that is not needed, or padding; of a
    # PNG they are the check of an empty chunk.
    for size in [*range(0, len(whole) - 32, 1 + len(whole) // 60), len(whole) - 32]:
        assert not check(path, whole[:size]), size
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", WRITERS, indirect=True)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_flipped_bits_are_read_or_refused_without_a_word(content, capfd, flipped):
    path, whole = content
    for damaged in flipped(whole):
        check(path, damaged)
    # The directory of a TIFF, or the head of another file, where damage goes furthest.
    start = max(len(whole) - 220, 0) if path.suffix == ".tif" else 0
    for damaged in flipped(whole[start : start + 220]):
        check(path, whole[:start] + damaged + whole[start + 220 :])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("a strip beyond the end", {"tags": [(273, tiffs.LONG, [10**6])]}, "beyond the end of the"),
        ("a strip that is empty", {"tags": [(279, tiffs.LONG, [0])]}, "or empty"),
        ("a broken LZW stream", {"tags": [(259, tiffs.SHORT, [5])]}, "is a broken image: "),
        ("a broken JPEG stream", {"tags": [(259, tiffs.SHORT, [7])]}, "is a broken image: "),
        ("an unknown compression", {"tags": [(259, tiffs.SHORT, [4711])]}, "compressed with 4711"),
        ("a tag of a wrong type", {"tags": [(256, 99, [WIDTH])]}, "is a broken image: "),
        ("tags without a size", {"without": [256, 257]}, "is a broken image: "),
        ("signed samples", {"tags": [(339, tiffs.SHORT, [2])]}, "signed integers"),
    ],
)
def test_a_refusal_is_one_line_of_the_program(tmp_path, monkeypatch, name, options, said):
    monkeypatch.setitem(tiffs._LETTERS, 99, "I")
    tiffs.write(tmp_path / "odd.tif", samples(8), 8, **options)
    words = ["source=images", "source.images.path=odd.tif"]
    code, out, err = run(["check", *words, "block_size=2"], tmp_path)
    assert (code, out) == (2, ""), name
    bad, count = err.splitlines()
    assert bad.startswith(f"bad: source.images: {tmp_path}/odd.tif ")
    assert said in bad
    assert count.startswith("error: 1 of 1 file cannot be measured: ")
    if "stream" not in name:
        # Whatever the head says is said before anything starts.
        code, out, err = run(["plan", *words, "block_size=2"], tmp_path)
        assert (code, out, err) == (2, "", bad.replace("bad:", "error:") + "\n")


def test_libtiff_that_writes_to_standard_error_itself_is_not_asked(tmp_path):
    # Pillow's libtiff says of this file what it thinks of it, in lines of its own.
    Image.fromarray(samples(8)[..., 0].astype(np.uint8)).save(
        tmp_path / "a.tif", compression="tiff_lzw"
    )
    whole = (tmp_path / "a.tif").read_bytes()
    for cut in (len(whole) - 40, len(whole) // 2, 9):
        (tmp_path / "a.tif").write_bytes(whole[:cut])
        code, out, err = run(["plan", "source=images", "source.images.path=a.tif"], tmp_path)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert "a.tif is a broken image: " in err
