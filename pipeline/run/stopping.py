"""Signals that ask a sweep to end: Ctrl-C, those of batch systems, of a terminal that is closed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SHOWN = {"SIGINT": "Ctrl-C", "SIGTERM": "SIGTERM", "SIGHUP": "SIGHUP"}
# Windows has no SIGHUP.
NAMES = {getattr(signal, name): shown for name, shown in _SHOWN.items() if hasattr(signal, name)}
# What follows these is SIGKILL: after 10 s where Docker sent them, 30 s where Slurm did.  Packing
# rows and ending the workers takes a second or two of that.
_SECONDS_TO_STORE = 6.0


def catch_signals() -> None:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does.

    One that is ignored, as SIGHUP is under `nohup`, stays ignored.
    """
    for number in NAMES:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def name_of(number: int) -> str:
    """A signal as people call it."""
    return NAMES[signal.Signals(number)]


def exit_code(interrupt: KeyboardInterrupt) -> int:
    """The exit code of a process that a signal has ended, as shells count them."""
    number = interrupt.args[0] if interrupt.args else signal.SIGINT
    return 128 + int(number)


def seconds_to_store(number: int) -> float:
    """How long units in flight are waited for after a signal."""
    return float("inf") if number == signal.SIGINT else _SECONDS_TO_STORE


@contextmanager
def counted_signals() -> Iterator[list[int]]:
    """Collect signals in a list that a loop looks at, in place of raising KeyboardInterrupt.

    An exception that a signal raises is lost if a destructor happens to run, as those of cancelled
    futures do.  From the second one on it is raised all the same, in case the loop is stuck.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    def receive(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if len(received) > 1:
            _interrupt(number, frame)

    # A handler that a caller has, or ignoring, stays.
    ours = [
        number
        for number in NAMES
        if number == signal.SIGINT or signal.getsignal(number) in (signal.SIG_DFL, _interrupt)
    ]
    before = {number: signal.signal(number, receive) for number in ours}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Put back the handlers of signals that something replaces meanwhile.

    As dask-jobqueue does when it is imported: with its own, Ctrl-C would end a process as if it had
    done what it was asked.
    """
    if threading.current_thread() is not threading.main_thread():
        # No other thread can set one.
        yield
        return
    before = {number: signal.getsignal(number) for number in NAMES}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt(number)
