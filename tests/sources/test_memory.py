"""The memory that there is, and images that take more of it or more than their readers like."""

import struct
import zlib
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers import pngs, tiffs
from PIL import Image, PngImagePlugin

from pipeline.errors import UserError
from pipeline.sources import files, images, jpeg, memory
from pipeline.sources.files import Kept

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8 GiB whose control groups are in a folder; write(file, text) fills it."""
    monkeypatch.setattr(
        memory, "_GROUPS", {"memory": f"{tmp_path}/v1", "": f"{tmp_path}/v2"}, raising=True
    )
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 8 << 30}))
    membership = tmp_path / "cgroup"
    original = Path.read_text

    def read_text(path, *arguments, **options):
        real = membership if str(path) == "/proc/self/cgroup" else path
        return original(real, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", read_text)

    def write(file, text):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
        memory.limit.cache_clear()

    memory.limit.cache_clear()
    yield write
    memory.limit.cache_clear()


def test_memory_is_that_of_the_machine_where_no_group_limits_it(machine):
    assert memory.limit() == 8 << 30
    machine("cgroup", "0::/user.slice\n")
    machine("v2/user.slice/memory.max", "max\n")
    assert memory.limit() == 8 << 30
    # Of version 1 "no limit" is a huge number.
    machine("cgroup", "4:memory:/job\n0::/\n")
    machine("v1/job/memory.limit_in_bytes", "9223372036854771712\n")
    assert (memory.limit(), memory.kills()) == (8 << 30, 0)


@pytest.mark.parametrize("path", ["/job/step", "/", "/docker/of-the-machine"])
@pytest.mark.parametrize("version", [1, 2])
def test_memory_is_that_of_the_group_or_of_any_above_it(machine, path, version):
    place = "" if path.startswith("/docker") else "/job" * (path != "/")
    if version == 1:
        machine("cgroup", f"9:name=systemd:/x\n4:memory:{path}\n")
        machine(f"v1{place}/memory.limit_in_bytes", f"{512 * MIB}\n")
        machine(f"v1{place}/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n")
    else:
        machine("cgroup", f"0::{path}\n")
        machine(f"v2{place}/memory.max", f"{512 * MIB}\n")
        machine(f"v2{place}/memory.events", "low 0\nhigh 0\nmax 9\noom 3\noom_kill 3\n")
    assert (memory.limit(), memory.kills()) == (512 * MIB, 3)


@pytest.fixture
def of_40_mib(monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 40 * MIB)


def image_of(side, file, mode="L"):
    """An image whose samples are all 128."""
    if file.suffix == ".tif":
        return tiffs.write(file, np.full((side, side, 1), 128), 8)
    Image.new(mode, (side, side), (128,) * len(mode) if len(mode) > 1 else 128).save(file)
    return file


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_an_image_that_takes_more_memory_than_there_is_is_refused_with_the_limit(
    tmp_path, of_40_mib, name
):
    fits, small = image_of(2800, tmp_path / name), tmp_path / f"b{name}"
    assert len(images.inspect(path=str(fits))) == 1
    image_of(3000, small)
    for act in (images.READER.head, images.READER.decode):
        with pytest.raises(UserError, match=(
            rf"{name} is 3000 x 3000 samples, which take up to 42\.92 MiB of memory to decode, and "
            r"40\.00 MiB may be used: cut it into pieces, or allow more memory"
        )):  # fmt: skip
            act(small, small.read_bytes())


def test_coefficients_too_are_refused_with_the_limit(tmp_path, of_40_mib):
    pytest.importorskip("jpeglib")
    file = image_of(1800, tmp_path / "a.jpg", "RGB")
    for act in (jpeg.READER.head, jpeg.READER.decode):
        with pytest.raises(UserError, match=r"is 1800 x 1800 samples, which take up to 46\.35 MiB"):
            act(file, file.read_bytes())


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif"])
def test_pillow_s_own_limits_are_neither_used_nor_changed(tmp_path, monkeypatch, name):
    file = image_of(64, tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    samples, white = images.READER.decode(file, file.read_bytes())
    assert np.allclose(samples, 128, atol=1)
    assert (samples.shape, white, Image.MAX_IMAGE_PIXELS) == ((64, 64), 255, 100)


@pytest.mark.parametrize("shape", [(1, 1_000_001), (1_000_001, 1)])
def test_the_limit_of_libpng_is_named_where_it_is_met(tmp_path, capfd, shape):
    height, width = shape
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    named = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(height * (1 + 6 * width)))),
             (b"IEND", b"")]  # fmt: skip
    content = b"\x89PNG\r\n\x1a\n" + b"".join(pngs.chunk(*each) for each in named)
    message = rf"a\.png is {height} x {width} samples, .* at most 1,000,000 either way: cut it"
    with pytest.raises(UserError, match=message):
        images.READER.head(tmp_path / "a.png", content)
    assert capfd.readouterr().err == ""


WORDS = b"k\0" + b"a" * (2 * MIB)


@pytest.mark.parametrize(
    "chunk",
    [
        (b"tEXt", WORDS),
        (b"zTXt", b"k\0\0" + zlib.compress(WORDS)),
        (b"iTXt", b"k\0\1\0\0\0" + zlib.compress(WORDS)),
        (b"iCCP", b"k\0\0" + zlib.compress(WORDS)),
        (b"eXIf", WORDS),
    ],
)  # fmt: skip
@pytest.mark.parametrize("bits", [8, 16])
def test_words_of_any_length_in_a_png_are_passed_over(tmp_path, chunk, bits):
    stored = np.arange(256).reshape(16, 16, 1)
    bare = pngs.write(tmp_path / "a.png", stored, bits, pngs.GREY).read_bytes()
    # More than Pillow takes of all together, too.
    file = pngs.write(tmp_path / "b.png", stored, bits, pngs.GREY, chunks=[chunk] * 40)
    content = file.read_bytes()
    assert images.READER.head(file, content)[:2] == (16, 16)
    samples, _ = images.READER.decode(file, content)
    assert np.array_equal(samples, images.READER.decode(file, bare)[0])
    assert PngImagePlugin.MAX_TEXT_CHUNK == MIB
    # What is passed over must be whole all the same.
    damaged = bytearray(content)
    damaged[content.index(chunk[0]) + 20] ^= 1
    with pytest.raises(UserError, match=f"is a broken image: the checksum of {chunk[0]!r}"):
        images.READER.head(file, bytes(damaged))


def test_what_is_kept_of_decoded_files_takes_no_more_than_its_share(monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 80 * MIB)
    decoded = []

    def decode(number):
        decoded.append(number)
        return np.empty(4 * MIB, np.uint8), 255.0

    kept = Kept(decode, files=64)
    for number in (1, 2, 1, 3, 1, 2):
        kept(number)
    # Two fit into 10 MiB; the one that was used longest ago makes room.
    assert decoded == [1, 2, 3, 2]
    assert files._SHARE_KEPT * 80 == 10
