"""Writes of chunks that a worker's thread does by itself, without zarr's threads.

zarr hands every write to an event loop in a thread of its own, and that hands compressing and each
file to a pool of threads: some twenty handovers for the four chunks of a unit.  On two cores they
took 3.5 ms of processor time, and twice that in a sweep, whose threads all wait for Python's lock;
done by the thread that has measured the unit, the same calls take 2.2 ms.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from zarr.core.sync import sync
from zarr.storage import LocalStore

_own = threading.local()


def write(array: Any, region: tuple[Any, ...], values: Any) -> None:
    """Set a region of a zarr array, of numbers and slices, as `array[region] = values` does."""
    writing = array.async_array.setitem(region, values)
    if isinstance(array.store, LocalStore):
        _loop().run_until_complete(writing)
    else:
        # Clients of object stores belong to the loop in which they were made, zarr's.
        sync(writing)


class _InlineLoop(asyncio.SelectorEventLoop):
    """An event loop that calls at once what it is told to have called in another thread."""

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Call a function; the future is done."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def __del__(self) -> None:
        """Close it with its thread."""
        self.close()


def _loop() -> _InlineLoop:
    if not hasattr(_own, "loop"):
        _own.loop = _InlineLoop()
    loop: _InlineLoop = _own.loop
    return loop
