"""A store at a URL of S3, Google Cloud Storage or Azure, for zarr."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any, Self, TypeVar

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import ObjectStore

from pipeline.store import objects, services

Result = TypeVar("Result")
_requests = ThreadPoolExecutor(services.REQUESTS_AT_ONCE)


class Objects(ObjectStore[Any]):
    """The objects of a store, for zarr.

    `check` raises where this process may not write there any more.  It is asked whenever somebody
    else turns out to have written what is to be written here, and before anything is removed, for
    which there is no condition.  `once` is whether each object is written once at most, as by a
    worker: what it has written is then forgotten, which would grow with the units of a sweep.
    """

    def __init__(
        self,
        url: str,
        *,
        read_only: bool = False,
        check: Callable[[], None] | None = None,
        once: bool = False,
    ) -> None:
        super().__init__(services.client(url), read_only=read_only)
        self._url, self._check, self._once = url, check, once
        self._tags: dict[str, objects.Tag] = {}

    def __str__(self) -> str:
        """The URL; the client of Azure, asked for its own words, ends the program."""
        return self._url

    def __eq__(self, other: object) -> bool:
        """Whether both are of one place."""
        return isinstance(other, Objects) and self._url == other._url

    # It has what it has seen, and is no key of anything.
    __hash__ = None  # type: ignore[assignment]

    def __reduce__(self) -> tuple[Any, ...]:
        """To be read: in another process with a client, and with credentials, of its own."""
        return type(self), (self._url,)

    def with_read_only(self, read_only: bool = False) -> Self:
        """The same, of which nothing can be written, or can."""
        return type(self)(self._url, read_only=read_only, check=self._check, once=self._once)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: Any = None
    ) -> Buffer | None:
        """An object, or a part of it; None where there is none."""
        return await _in_thread(self.get_sync, key, prototype=prototype, byte_range=byte_range)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype, byte_range: Any = None
    ) -> Buffer | None:
        """An object, or a part of it; None where there is none."""
        services.check_process()
        options = _options(byte_range)

        def get_once() -> tuple[Buffer, objects.Tag]:
            answer = self.store.get(key, options=options)
            content = prototype.buffer.from_bytes(answer.bytes())
            return content, objects.tag_of(answer.meta)

        try:
            content, tag = services.trying(f"{self._url}/{key}", get_once)
        except FileNotFoundError:
            return None
        if byte_range is None and not self.read_only:
            self._tags[key] = tag
        return content

    async def set(self, key: str, value: Buffer) -> None:
        """Write an object."""
        await _in_thread(self.set_sync, key, value)

    def set_sync(self, key: str, value: Buffer) -> None:
        """Write an object.

        Raises
        ------
        StoreLostError
            Where another process has taken the store over.
        """
        self._check_writable()
        url, content = f"{self._url}/{key}", value.to_bytes()
        seen = self._tags.get(key)
        for _ in range(services.ATTEMPTS):
            tag = objects.swap(url, content, seen)
            if tag is not None:
                self._tags.pop(key, None) if self._once else self._tags.update({key: tag})
                return
            # Somebody else: a process before this one, whose writing of it was not seen here.
            self._ask()
            with suppress(FileNotFoundError):
                seen = None
                seen = objects.read_tag(url)
        raise objects.busy(url)

    def _ask(self) -> None:
        if self._check:
            self._check()

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Write an object if there is none."""
        self._check_writable()
        # As zarr does for each array of a group, whose file this process has just written.
        if key in self._tags:
            return
        await _in_thread(objects.create, f"{self._url}/{key}", value.to_bytes())

    async def exists(self, key: str) -> bool:
        """Whether there is an object."""
        try:
            await _in_thread(objects.read_tag, f"{self._url}/{key}")
        except FileNotFoundError:
            return False
        return True

    async def list(self) -> AsyncGenerator[str, None]:
        """Every key."""
        async for key in self.list_prefix(""):
            yield key

    async def list_prefix(self, prefix: str) -> AsyncGenerator[str, None]:
        """Every key below a prefix."""
        for url in await _in_thread(objects.below, f"{self._url}/{prefix}".rstrip("/")):
            yield url.removeprefix(f"{self._url}/")

    async def list_dir(self, prefix: str) -> AsyncGenerator[str, None]:
        """The names directly below a prefix."""
        with suppress(FileNotFoundError):
            place = f"{self._url}/{prefix}".rstrip("/")
            for name in await _in_thread(objects.children, place):
                yield name

    async def delete(self, key: str) -> None:
        """Remove an object."""
        self._check_writable()
        await _in_thread(self._ask)
        self._tags.pop(key, None)
        await _in_thread(objects.remove, f"{self._url}/{key}")

    async def delete_dir(self, prefix: str) -> None:
        """Remove every object below a prefix, a thousand a request."""
        self._check_writable()
        await _in_thread(self._ask)
        await _in_thread(objects.remove_below, f"{self._url}/{prefix.rstrip('/')}")
        for key in [key for key in self._tags if key.startswith(f"{prefix.rstrip('/')}/")]:
            del self._tags[key]


async def _in_thread(function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """What a function gives that waits for a request; it does not hold up zarr's loop.

    Not in a thread of zarr's own, of which there are as many as cores, to compress in: a request
    from far away takes a hundred times as long as a chunk.
    """
    services.check_process()
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_requests, partial(function, *arguments, **named))


def _options(byte_range: Any) -> Any:
    """What is asked for of a part of an object, as obstore has it."""
    match byte_range:
        case None:
            return None
        case RangeByteRequest(start=start, end=end):
            return {"range": (start, end)}
        case OffsetByteRequest(offset=offset):
            return {"range": {"offset": offset}}
        case SuffixByteRequest(suffix=suffix):
            return {"range": {"suffix": suffix}}
    raise TypeError(f"{byte_range!r} is no range of bytes")
