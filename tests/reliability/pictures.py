"""Every image and array that packages ship: read right, against a second reader, or refused.

PNG and JPEG are read by Pillow, and here by libpng and libjpeg in imagecodecs; TIFF by tifffile,
and here by Pillow or libtiff; a .npy file is mapped, and here loaded.  A run of five minutes or
more also fetches Pillow's source distribution, which has 600 files made to be hard, and the
pictures of scikit-image.
"""

import os
import random
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image

from pipeline.sources import kinds
from reliability import forked
from reliability.tally import Tally

LONG_SECONDS = 300.0
SUFFIXES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy"}
FETCHED = (["--no-binary", ":all:", "pillow"], ["scikit-image"])
# Samples of larger ones are not compared: it takes longer than a thousand small ones.
_MOST_SAMPLES = 20_000_000
_BITS_PER_SAMPLE = 258
# Of ITU-R BT.601, in units of 2^-16.
_WEIGHTS = np.array([19595, 38470, 7471], np.int64)


def run(folder: Path, seed: int, tally: Tally) -> None:
    """Each file once, in a random order, until the time is over."""
    forked.warm()
    places = [Path(sysconfig.get_path("purelib"))]
    if tally.seconds >= LONG_SECONDS:
        places.append(_fetched(folder / "fetched"))
    files = sorted(
        file for place in places for file in place.rglob("*")
        if file.suffix.lower() in SUFFIXES and file.is_file()
    )  # fmt: skip
    print(f"{len(files):,} files", flush=True)
    random.Random(seed).shuffle(files)
    for file in files:
        if tally.is_over:
            break
        with tally.trial(file.suffix.lower(), str(file)):
            _check(file, tally)


def _fetched(folder: Path) -> Path:
    """Packages, downloaded and unpacked."""
    for words in FETCHED:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, *words]
        if subprocess.run(command, check=False, capture_output=True).returncode:
            print(f"not fetched: {' '.join(words)}", flush=True)
    for archive in folder.glob("*.tar.gz"):
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
    for archive in folder.glob("*.whl"):
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(folder)
    return folder


def _check(file: Path, tally: Tally) -> None:
    ended = forked.start(_compared, file, words=str(file)).wait()
    assert not ended.hung, ended
    assert ended.code == 0, ended
    assert not ended.err, ended
    tally.note(ended.result)


def _compared(file: Path) -> str:
    """What became of a file: read right, or refused, and whether the second reader reads it."""
    kind = "array" if file.suffix == ".npy" else "images"
    try:
        [source] = kinds.resolve(kind, {"kind": kind, "path": str(file)}, (2,))
        blocks = kinds.draw(source, 0, 2, 0, source.available[2])
    except ValueError as refusal:
        said = str(refusal)
        assert said
        assert "\n" not in said, said
        return f"{file.suffix.lower()} refused"
    # The second reader's libraries say there what they please; that ours did is a failure.
    sys.stderr.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        second = _second(file)
    except Exception:
        # What it cannot read at all.
        return f"{file.suffix.lower()} read, and not by the second reader"
    assert second is not None, "it is transparent, and was read"
    if second.size > _MOST_SAMPLES:
        return f"{file.suffix.lower()} read, too large to be compared"
    height, width = (length // 2 for length in second.shape[-2:])
    cut = second.reshape(-1, *second.shape[-2:])[:, : 2 * height, : 2 * width]
    tiles = cut.reshape(-1, height, 2, width, 2).swapaxes(2, 3).reshape(-1, 2, 2)
    assert tiles.shape == blocks.shape, (tiles.shape, blocks.shape)
    differing = int((tiles != blocks).sum())
    assert not differing, f"{differing} of {tiles.size} samples differ, by {_most(tiles, blocks)}"
    return f"{file.suffix.lower()} read right"


def _most(one: np.ndarray, two: np.ndarray) -> float:
    return float(np.abs(one - two).max())


def _second(file: Path) -> np.ndarray | None:
    """Luma in [0, 1] by another reader, or an array's values; None for a transparent image."""
    if file.suffix == ".npy":
        return np.load(file).astype(np.float64)
    content = file.read_bytes()
    if content.startswith(b"\x89PNG"):
        samples = imagecodecs.png_decode(content)
    elif content.startswith(b"\xff\xd8"):
        samples = imagecodecs.jpeg8_decode(content)
    else:
        return _of_tiff(Image.open(file), content)
    return _luma(samples, float(np.iinfo(samples.dtype).max))


def _of_tiff(image: Any, content: bytes) -> np.ndarray | None:
    bits = max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,)))
    if image.mode == "RGB" and bits == 16:
        # Of these Pillow keeps 8 bits.
        samples = imagecodecs.tiff_decode(content)
        samples = np.moveaxis(samples, 0, -1) if samples.shape[-1] != 3 else samples
        return _luma(samples, 65535.0)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")
    samples = np.asarray(image)
    if samples.dtype == bool:
        return samples.astype(np.float64)
    if samples.dtype not in (np.uint8, np.uint16, np.dtype(">u2")):
        raise ValueError(f"samples of {samples.dtype}")
    return _luma(samples, 255.0 if samples.dtype == np.uint8 else 2.0**bits - 1)


def _luma(samples: np.ndarray, white: float) -> np.ndarray | None:
    samples = samples.astype(np.int64).reshape(*samples.shape[:2], -1)
    channels = samples.shape[-1]
    if channels in (2, 4) and (samples[..., -1] != white).any():
        return None
    if channels < 3:
        return samples[..., 0] / white
    return ((samples[..., :3] @ _WEIGHTS + (1 << 15)) >> 16) / white
