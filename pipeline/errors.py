"""Errors that are not bugs of the program, each reported in one line, and wording they share."""

import difflib
import errno
import os
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from traceback import walk_tb

CONSOLE_SCRIPT = "asm-sweep"
# What these say is an answer: there is no such file.  zarr takes them for that, too.
NOT_THERE = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
# Whatever is raised inside of these was raised before there was a byte that could be wrong, also
# the errors of clients of object stores, which are of any class.
_FETCHING = ("fsspec", "zarr.storage", "threading")
# What a user can do: first where this machine has run out of something, whatever the place.
_EXHAUSTED = {
    errno.EMFILE: "raise the limit of open files (ulimit -n), and try again",
    errno.ENFILE: "close other programs on this machine, and try again",
    errno.ENOMEM: "free memory, and try again",
}
_REMEDIES = {
    errno.EACCES: "ask its owner for access",
    errno.EPERM: "ask its owner for access",
    errno.EIO: "look at the disk and its log before anything is written or removed there",
    errno.ESTALE: "mount the network file system again",
    errno.ELOOP: "mend the symbolic link, which leads to itself",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EROFS: "make the disk writable",
}


class UserError(ValueError):
    """A mistake that a user can mend: one line that names the value, the limit and the remedy."""


class UnreadableError(UserError):
    """The system does not let something be read: whether it is damaged is not known."""


class BadFileError(UserError):
    """A file whose content cannot be measured: who tries again meets the same."""


class ClusterUnfitError(UserError):
    """A cluster that a sweep cannot be run on, found before its first unit."""


class ClusterLostError(RuntimeError):
    """The Dask scheduler went away; what was stored is safe."""


class StoreLostError(RuntimeError):
    """Nothing more can be written to the store; what was stored is safe."""


class MisfitError(RuntimeError):
    """A worker does not compute as its sweep does, or does not see what it needs.

    `reason` says what it does, or lacks; `remedy` is what helps.
    """

    def __init__(self, worker: str, reason: str, remedy: str) -> None:
        super().__init__(worker, reason, remedy)
        self.worker, self.reason, self.remedy = worker, reason, remedy

    def __str__(self) -> str:
        """Which worker, why, and what to do."""
        return f"worker {self.worker} {self.reason}: {self.remedy}"


class UnitError(RuntimeError):
    """A unit could not be measured or stored; the message says which unit."""


class UnstoredError(UnitError):
    """A unit whose store could not be read or written; `reason` says so of the store alone."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message, reason)
        self.reason = reason

    def __str__(self) -> str:
        """Which unit, and why."""
        return str(self.args[0])


class BadUnitError(UnitError):
    """A unit that fails whoever tries it again, because of a file; the message names both."""


class Stopped(KeyboardInterrupt):
    """A signal that asks to end, after everything in flight was stored; its number comes first."""


def system_error(error: BaseException) -> BaseException | None:
    """The error of the system or of a network that an exception is, or was raised from.

    None where it says that something is not there, or that what was read is wrong.  This decides,
    everywhere, between "cannot be read" and "damaged".
    """
    if isinstance(error, NOT_THERE):
        return None
    if isinstance(error, OSError | MemoryError) or _was_raised_while_fetching(error):
        return error
    # Not __context__, which may be an error that a caller was handling when it came here.
    inner = [error.__cause__] if error.__cause__ else []
    if isinstance(error, BaseExceptionGroup):
        inner += error.exceptions
    return next((found for each in inner if (found := system_error(each))), None)


def _was_raised_while_fetching(error: BaseException) -> bool:
    modules = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(module.startswith(_FETCHING) for module in modules)


def cannot(do: str, place: object, error: BaseException, remedy: str = "") -> str:
    """`cannot DO PLACE: REASON: REMEDY`, of an error of the system.

    The file that the error names, if it names one, takes the place of `place`; `remedy` is what
    helps where the machine has run out of nothing.
    """
    name = getattr(error, "filename", None)
    named = isinstance(name, str | os.PathLike) and os.fspath(name)
    number = errno.ENOMEM if isinstance(error, MemoryError) else getattr(error, "errno", None)
    # An object store knows what helps, and a machine that has run out of something.
    known = getattr(error, "remedy", "") or _EXHAUSTED.get(number or 0)
    remedy = known or remedy or _REMEDIES.get(number or 0, "")
    text = " ".join(str(error).split())
    reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {text}".rstrip(": ")
    return f"cannot {do} {named or place}: {reason}: {remedy or 'see that it can be reached'}"


def refuse_unreadable(place: object, error: BaseException) -> None:
    """Raise an UnreadableError if an exception came from the system; else return."""
    if found := system_error(error):
        raise UnreadableError(cannot("read", place, found)) from error


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to a refusal: the nearest known word, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(names)}"


def count_of(number: int, noun: str) -> str:
    """How many things there are: 1 trial, 1,000 trials, 15 frequencies."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else many}"


def all_of(number: int, noun: str) -> str:
    """All of some things, as the beginning of a clause: all 48 tiles, the only tile."""
    return f"the only {noun}" if number == 1 else f"all {count_of(number, noun)}"


def are(number: int) -> str:
    """The verb that goes with a number of things."""
    return "is" if number == 1 else "are"


def runs_of(numbers: Iterable[int]) -> str:
    """0, 1, 2, 5 as 0..2, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs)


def program() -> str:
    """The program's name as it was called, for help and for commands that messages suggest."""
    return CONSOLE_SCRIPT if Path(sys.argv[0]).stem == CONSOLE_SCRIPT else "python -m pipeline"


def command(verb: str, *words: str, config_dirs: Iterable[str] = ()) -> str:
    """A command line that a user can paste into a shell; `words` are quoted where needed."""
    options = [f"--config-dir={folder}" for folder in config_dirs]
    return " ".join([program(), verb, *map(shlex.quote, [*options, *words])])
