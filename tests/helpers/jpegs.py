"""JPEG files of many forms, the source of one, and what Pillow decodes."""

import jpeglib
import numpy as np
from PIL import Image

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
