"""Errors that are not bugs of the program, each reported in one line, and wording they share."""

import difflib
import shlex
import sys
from collections.abc import Iterable
from pathlib import Path

CONSOLE_SCRIPT = "asm-sweep"


class UserError(ValueError):
    """A mistake that a user can mend: one line that names the value, the limit and the remedy."""


class ClusterLostError(RuntimeError):
    """The Dask scheduler went away; what was stored is safe."""


class StoreLostError(RuntimeError):
    """Nothing more can be written to the store; what was stored is safe."""


class UnitError(RuntimeError):
    """A unit could not be measured or stored; the message says which unit."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C, after everything in flight was stored."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to a refusal: the nearest known word, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(names)}"


def program() -> str:
    """The program's name as it was called, for help and for commands that messages suggest."""
    return CONSOLE_SCRIPT if Path(sys.argv[0]).stem == CONSOLE_SCRIPT else "python -m pipeline"


def command(verb: str, *words: str, config_dirs: Iterable[str] = ()) -> str:
    """A command line that a user can paste into a shell; `words` are quoted where needed."""
    options = [f"--config-dir={folder}" for folder in config_dirs]
    return " ".join([program(), verb, *map(shlex.quote, [*options, *words])])
