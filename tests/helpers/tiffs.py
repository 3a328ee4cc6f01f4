"""TIFF files of any form, written tag by tag: what reads them shares no code with this."""

import struct
import zlib

import numpy as np

GREY, INVERTED, RGB, PALETTE = 1, 0, 2, 3
NONE, DEFLATE, PACKBITS = 1, 8, 32773
BYTE, ASCII, SHORT, LONG, LONG8 = 1, 2, 3, 4, 16
_LETTERS = {BYTE: "B", ASCII: "B", SHORT: "H", LONG: "I", LONG8: "Q"}


def write(
    path, samples, bits, *, order="<", planar=False, photometric=None, compression=NONE,
    predictor=False, rows=None, tile=None, reverse=False, big=False, tags=(), without=(),
):  # fmt: skip
    """Write whole numbers (height, width, samples a pixel), each of so many bits.

    `rows` are those of a strip; `tile` is (length, width) instead; `reverse` turns round the bits
    of each byte (FillOrder 2); `tags` are further (number, type, values), which take the place of
    those that there are, and `without` those that are left out.
    """
    height, width, count = samples.shape
    planes = [samples[..., [k]] for k in range(count)] if planar else [samples]
    if tile:
        pieces = [piece for plane in planes for piece in _tiles(plane, tile)]
    else:
        rows = rows or height
        pieces = [plane[i : i + rows] for plane in planes for i in range(0, height, rows)]
    encoded = [_encode(piece, bits, order, predictor, compression, reverse) for piece in pieces]
    start = 16 if big else 8
    offsets = list(np.cumsum([start, *map(len, encoded)])[:-1].tolist())
    data = b"".join(encoded)
    data += b"\0" * (-len(data) % 8)
    if photometric is None:
        photometric = GREY if count < 3 else RGB
    place, size = (324, 325) if tile else (273, 279)
    entries = {
        256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [bits] * count),
        259: (SHORT, [compression]), 262: (SHORT, [photometric]), 277: (SHORT, [count]),
        284: (SHORT, [2 if planar else 1]), place: (LONG, offsets),
        size: (LONG, list(map(len, encoded))),
    }  # fmt: skip
    if tile:
        entries |= {322: (LONG, [tile[1]]), 323: (LONG, [tile[0]])}
    else:
        entries[278] = (LONG, [rows])
    if predictor:
        entries[317] = (SHORT, [2])
    if reverse:
        entries[266] = (SHORT, [2])
    entries |= {number: (kind, list(values)) for number, kind, values in tags}
    entries = {number: entry for number, entry in entries.items() if number not in without}
    mark = b"II" if order == "<" else b"MM"
    where = start + len(data)
    head = struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0) if big else (42,)), where)
    path.write_bytes(mark + head + data + _directory(entries, where, order, big))
    return path


def _tiles(plane, tile):
    length, width = tile
    for i in range(0, plane.shape[0], length):
        for j in range(0, plane.shape[1], width):
            whole = np.zeros((length, width, plane.shape[2]), plane.dtype)
            part = plane[i : i + length, j : j + width]
            whole[: part.shape[0], : part.shape[1]] = part
            yield whole


def _encode(piece, bits, order, predictor, compression, reverse):
    if predictor:
        piece = np.concatenate([piece[:, :1], np.diff(piece.astype(np.int64), axis=1)], axis=1)
        piece = piece % (1 << bits)
    rows = piece.reshape(piece.shape[0], -1)
    if bits in (8, 16, 32):
        content = rows.astype(f"{order}u{bits // 8}").tobytes()
    else:
        # The highest bit first, whatever the order of bytes; each row begins with a byte.
        each = (rows[..., None] >> np.arange(bits)[::-1]) & 1
        content = np.packbits(each.astype(np.uint8).reshape(len(rows), -1), axis=1).tobytes()
    if compression == DEFLATE:
        content = zlib.compress(content)
    elif compression == PACKBITS:
        parts = [content[k : k + 128] for k in range(0, len(content), 128)]
        content = b"".join(bytes([len(part) - 1]) + part for part in parts)
    if reverse:
        content = np.packbits(
            np.unpackbits(np.frombuffer(content, np.uint8), bitorder="little")
        ).tobytes()
    return content


def _directory(entries, where, order, big):
    field = 8 if big else 4
    head, long = (8, "Q") if big else (2, "I")
    table, beyond = b"", b""
    end = where + head + len(entries) * (12 + 2 * (field - 4)) + field
    for number, (kind, values) in sorted(entries.items()):
        content = struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
        if len(content) > field:
            beyond += b"\0" * (-len(beyond) % 2)
            content, beyond = (
                struct.pack(order + long, end + len(beyond)), beyond + content,
            )  # fmt: skip
        table += struct.pack(f"{order}HH{long}", number, kind, len(values))
        table += content.ljust(field, b"\0")
    count = struct.pack(order + ("Q" if big else "H"), len(entries))
    return count + table + b"\0" * field + beyond


def ascii_tag(number, text):
    return number, ASCII, [*text.encode(), 0]
