"""Several things at the same time, which are waited for in their order."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """What a function gives for each item, in their order, computed by so many threads."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield from pool.map(function, items)
    finally:
        # After Ctrl-C, and where one of them fails, the others are not waited for.
        pool.shutdown(wait=False, cancel_futures=True)
