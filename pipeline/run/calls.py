"""Calls to a cluster, each with a time limit: whoever is asked may be frozen, or cut off."""

import asyncio
import multiprocessing
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from pipeline.errors import Stopped
from pipeline.run.stopping import NAMES

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
# How long a scheduler, which only looks something up, may take; and a worker, which may be busy.
SCHEDULER_SECONDS = 10.0
WORKER_SECONDS = 10.0


class Answers(NamedTuple):
    """What workers answered, or raised, by address; and the addresses of those that did not."""

    given: dict[str, Any]
    silent: list[str]


def within(client: "Client", seconds: float, call: Callable[..., Any], *arguments: Any) -> Any:
    """What a method of a client gives.

    Raises
    ------
    TimeoutError
        Where that takes longer.
    """

    async def body() -> Any:
        # In the client's own loop its methods give something to be awaited.
        return await call(*arguments)

    return client.sync(body, callback_timeout=seconds)


def ask_workers(
    client: "Client", seconds: float, function: Callable[..., Any], *arguments: Any
) -> Answers:
    """Call a function on every worker, and wait for each as long, all at once.

    `client.run` waits for the slowest, and for a frozen one for ever.

    Raises
    ------
    OSError
        Where the scheduler does not answer.
    """

    async def ask(address: str) -> Any:
        call = client.run(function, *arguments, workers=[address], on_error="return")
        given = await asyncio.wait_for(call, seconds)
        return given.get(address, ConnectionError("it has left the cluster"))

    async def ask_each() -> Answers:
        scheduler: Any = client.scheduler
        known = await asyncio.wait_for(scheduler.identity(n_workers=-1), SCHEDULER_SECONDS)
        workers = list(known["workers"])
        answers = await asyncio.gather(*map(ask, workers), return_exceptions=True)
        given = dict(zip(workers, answers, strict=True))
        silent = [address for address, answer in given.items() if _is_none(answer)]
        return Answers({key: given[key] for key in workers if key not in set(silent)}, silent)

    limit = seconds + 2 * SCHEDULER_SECONDS
    answers: Answers = client.sync(ask_each, callback_timeout=limit)
    return answers


def _is_none(answer: Any) -> bool:
    """Whether an answer is only the news that there is none: errors of connections have no number.

    Those of the system, which a function may raise on a worker, have one.
    """
    return isinstance(answer, OSError) and answer.errno is None


def in_time(seconds: float, call: Callable[[], T], undo: Callable[[T], object] = id) -> T:
    """What a call gives that has no time limit of its own; it is made in a thread.

    Processes and threads that it starts get no signal that asks to end: that is for this one.

    Parameters
    ----------
    undo
        Is given what comes when nobody waits for it any more.

    Raises
    ------
    TimeoutError
        Where it takes longer; the thread is left behind.
    """
    ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        # Windows has none.
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_BLOCK, NAMES)
        try:
            result = call()
        except BaseException as error:
            ended.put((None, error))
        else:
            if given_up.is_set():
                undo(result)
            ended.put((result, None))

    given_up = threading.Event()
    threading.Thread(target=run, daemon=True).start()
    try:
        result, error = ended.get(timeout=seconds)
    except queue.Empty:
        given_up.set()
        raise TimeoutError(f"no answer within {seconds:g} s") from None
    except KeyboardInterrupt:
        given_up.set()
        raise
    if error is not None:
        raise error
    return result  # type: ignore[return-value]


@contextmanager
def ending(end: Callable[..., object]) -> Iterator[None]:
    """Call `end(at_once=...)` at the end; at once after a second signal, when nobody waits."""
    at_once = False
    try:
        yield
    except KeyboardInterrupt as error:
        at_once = not isinstance(error, Stopped)
        raise
    finally:
        end(at_once=at_once)


@contextmanager
def left(client: "Client") -> Iterator[None]:
    """Close a client at the end."""
    try:
        yield
    finally:
        leave(client)


def leave(client: "Client") -> None:
    """Close a client: whoever does not answer any more need not hear that the sweep is over."""
    with suppress(Exception):
        client.close(timeout=SCHEDULER_SECONDS)


def kill_children(but: Iterable[int] = ()) -> None:
    """End the processes that this one has started through multiprocessing, but for some."""
    spared = set(but)
    for child in multiprocessing.active_children():
        if child.pid is not None and child.pid not in spared:
            child.kill()
