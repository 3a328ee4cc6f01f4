"""Whole chunks that the calling thread writes and reads by itself, without zarr's event loop.

zarr hands every chunk to a loop in a thread of its own, which calls some 27 functions for it, and
hands compressing and the file to a pool of threads.  A unit of few trials writes four chunks, and
takes little else: with its chunks encoded and put in place by the thread that has measured it, by
zarr's codecs all the same, it takes half of the time; and so does reading a thousand rows.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.storage import LocalStore

from pipeline.store.bucket import Objects
from pipeline.store.services import REQUESTS_AT_ONCE
from pipeline.store.together import in_threads

# Where a write lies along an axis: positions in the array, and the chunks that hold them.
_Spans = list[tuple[slice, range]]
# The codecs of an array, each with what it takes to encode.
_Steps = list[tuple[Any, Any]]


def write(array: Any, region: Sequence[int | slice], values: Any) -> None:
    """Set a region of a zarr array as `array[region] = values` does.

    `region` is a number or a slice, with both ends and of step 1, for each axis.
    """
    spans = _spans_of_chunks(array, region)
    if spans is None or not _is_inline(array):
        array[tuple(region)] = values
        return
    whole = np.broadcast_to(
        values, [span.stop - span.start for (span, _), place in zip(spans, region, strict=True)
                 if isinstance(place, slice)],
    ).reshape([span.stop - span.start for span, _ in spans])  # fmt: skip
    steps = _steps(array)
    for chunk, content in _chunks(array, spans, whole):
        array.store.set_sync(_key(array, chunk), _encoded(steps, content))


def read(array: Any, chunks: Iterable[tuple[int, ...]]) -> NDArray[Any] | None:
    """Whole chunks of a zarr array by their places in its grid, (chunks, ...); one at least.

    None where they can only be read by zarr.
    """
    if not _is_inline(array):
        return None
    steps = _steps(array)
    return np.stack(
        [
            np.full(array.chunks, array.fill_value, array.dtype)
            if content is None
            else _decoded(steps, content)
            for content in _contents(array.store, [_key(array, chunk) for chunk in chunks])
        ]
    )


def _contents(store: Any, keys: Sequence[str]) -> Iterator[Any]:
    """What is stored at some keys, None where nothing is."""
    get = partial(store.get_sync, prototype=default_buffer_prototype())
    if not isinstance(store, Objects):
        yield from map(get, keys)
        return
    yield from in_threads(get, keys, REQUESTS_AT_ONCE)


def _is_inline(array: Any) -> bool:
    codecs = array.async_array.codec_pipeline
    direct = isinstance(array.store, LocalStore | Objects)
    return direct and all(hasattr(codec, "_encode_sync") for codec in codecs)


def _key(array: Any, chunk: tuple[int, ...]) -> str:
    return f"{array.path}/{array.metadata.encode_chunk_key(chunk)}".lstrip("/")


def _spans_of_chunks(array: Any, region: Sequence[int | slice]) -> _Spans | None:
    """Where a region lies; None where it covers a chunk, as far as the array has it, in part."""
    spans = []
    for place, size, length in zip(region, array.chunks, array.shape, strict=True):
        span = place if isinstance(place, slice) else slice(place, place + 1)
        if span.start % size or (span.stop % size and span.stop != length):
            return None
        spans.append((span, range(span.start // size, -(-span.stop // size))))
    return spans


def _chunks(
    array: Any, spans: _Spans, values: NDArray[Any]
) -> Iterator[tuple[tuple[int, ...], NDArray[Any]]]:
    """The place and the content of each chunk; beyond the end of the array, the fill value."""
    for chunk in itertools.product(*(chunks for _, chunks in spans)):
        inside = tuple(
            slice(k * size - span.start, (k + 1) * size - span.start)
            for k, size, (span, _) in zip(chunk, array.chunks, spans, strict=True)
        )
        # Not copied where it is a whole chunk as it is: new memory comes slowly.
        part = np.ascontiguousarray(values[inside], array.dtype)
        if part.shape != array.chunks:
            content = np.full(array.chunks, array.fill_value, array.dtype)
            content[tuple(map(slice, part.shape))] = part
            part = content
        yield chunk, part


def _encoded(steps: _Steps, content: NDArray[Any]) -> Any:
    encoded: Any = default_buffer_prototype().nd_buffer.from_numpy_array(content)
    for codec, spec in steps:
        encoded = codec._encode_sync(encoded, spec)
    return encoded


def _decoded(steps: _Steps, content: Any) -> NDArray[Any]:
    for codec, spec in reversed(steps):
        content = codec._decode_sync(content, spec)
    values: NDArray[Any] = content.as_numpy_array()
    return values


def _steps(array: Any) -> _Steps:
    spec = array.metadata.get_chunk_spec((), array.async_array.config, default_buffer_prototype())
    steps = []
    for codec in array.async_array.codec_pipeline:
        steps.append((codec, spec))
        spec = codec.resolve_metadata(spec)
    return steps
