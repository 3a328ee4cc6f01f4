"""PNG files of any form, written byte by byte: what reads them shares no code with this."""

import struct
import zlib

import numpy as np

GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
# Columns and rows of the seven passes: (first, step).
_PASSES = [((0, 8), (0, 8)), ((4, 8), (0, 8)), ((0, 4), (4, 8)), ((2, 4), (0, 4)),
           ((0, 2), (2, 4)), ((1, 2), (0, 2)), ((0, 1), (1, 2))]  # fmt: skip


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write(path, samples, bits, kind, *, chunks=(), interlaced=False, beyond=b"", after=b""):
    """Write whole numbers (height, width, samples a pixel), each row with another filter.

    `chunks` are (name, data), written before the samples; `beyond` are further bytes in the
    compressed samples, `after` such that follow them.
    """
    height, width, _ = samples.shape
    if interlaced:
        parts = [samples[i::di, j::dj] for (j, dj), (i, di) in _PASSES]
        content = b"".join(_filtered(part, bits) for part in parts if part.size)
    else:
        content = _filtered(samples, bits)
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, int(interlaced))
    named = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(content + beyond) + after)]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in named) + chunk(b"IEND", b"")
    )
    return path


def _filtered(samples, bits):
    rows = samples.reshape(len(samples), -1)
    if bits == 16:
        packed = np.frombuffer(rows.astype(">u2").tobytes(), np.uint8).reshape(len(rows), -1)
    else:
        each = (rows[..., None] >> np.arange(bits)[::-1]) & 1
        packed = np.packbits(each.astype(np.uint8).reshape(len(rows), -1), axis=1)
    step = max(samples.shape[2] * bits // 8, 1)
    content = b""
    for k, row in enumerate(packed):
        above = packed[k - 1] if k else np.zeros_like(row)
        content += bytes([k % 5, *_filter(k % 5, row.tolist(), above.tolist(), step)])
    return content


def _filter(kind, row, above, step):
    for k, value in enumerate(row):
        a, b, c = (row[k - step], above[k], above[k - step]) if k >= step else (0, above[k], 0)
        paeth = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]
        yield (value - (0, a, b, (a + b) // 2, paeth)[kind]) % 256
