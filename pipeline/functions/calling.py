"""Calls of functions of the user's own: what goes wrong in one is said with its file and line."""

import inspect
import sysconfig
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import UserError, did_you_mean

# Folders of Python's own library, of what is installed, and of this program.
_LIBRARIES = tuple(
    f"{Path(place).resolve()}/"
    for place in (
        *(sysconfig.get_paths()[n] for n in ("stdlib", "platstdlib", "purelib", "platlib")),
        str(Path(__file__).parents[1]),
        str(Path(__file__).parents[2] / "asm_core"),
    )
)


class OwnCodeError(UserError):
    """A function of the user's own that raises, or gives what it must not."""


def call(what: str, function: Callable[..., Any], /, *arguments: Any, **parameters: Any) -> Any:
    """What a function gives; `what` names it where it raises.

    Raises
    ------
    OwnCodeError
        With the file and the line where the function raised.
    """
    try:
        return function(*arguments, **parameters)
    except (OwnCodeError, KeyboardInterrupt):
        raise
    # Also sys.exit(): a sweep ends by what it has done, and not where a function says so.
    except BaseException as error:
        words = f"{what}: {in_words(error)}"
        if isinstance(error, TypeError):
            # As a value on the command line that was meant to be a number.
            texts = [f"{k} is the text {v!r}" for k, v in parameters.items() if isinstance(v, str)]
            words = "; ".join([words, *texts])
        raise OwnCodeError(f"{words}{place_of(error) or _beginning(function)}") from error


def in_words(error: BaseException) -> str:
    """Kind and text of an error of code that is not ours, in one line that a terminal can show."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = ""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return f"{type(error).__name__}: {shown}".removesuffix(": ")


def is_library(file: str) -> bool:
    """Whether a file of Python code is not the user's own: of a library, or of this program."""
    return file.startswith("<frozen") or str(Path(file).resolve()).startswith(_LIBRARIES)


def place_of(error: BaseException) -> str:
    """The last place in the user's own code on the way to an error, as words; else nothing."""
    if isinstance(error, SyntaxError) and error.filename:
        return f" ({error.filename}, line {error.lineno})"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not is_library(f.filename)]
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def _beginning(function: Callable[..., Any]) -> str:
    """Where a function begins: compiled code does not say in which line it raised."""
    code = getattr(inspect.unwrap(python_of(function)), "__code__", None)
    return f" ({code.co_filename}, line {code.co_firstlineno})" if code else ""


def python_of(function: Any) -> Any:
    """The Python function of one that numba compiles; any other is returned as it is."""
    return getattr(function, "py_func", function)


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a parameter of this name."""
    try:
        return name in inspect.signature(python_of(function)).parameters
    except (TypeError, ValueError):
        return False


def check_parameters(
    key: str, function: Callable[..., Any], given: Sequence[str], parameters: dict[str, Any]
) -> None:
    """Refuse parameters that a function does not take, or lacks; `given` come before them."""
    try:
        signature = inspect.signature(python_of(function))
    except (TypeError, ValueError):
        # Of a compiled extension: it says itself what it lacks.
        return
    known = list(signature.parameters.values())
    by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    named = [each.name for each in known[len(given) :] if each.kind in by_name]
    named += [each.name for each in known[: len(given)] if each.kind == each.KEYWORD_ONLY]
    takes_any = any(each.kind == inspect.Parameter.VAR_KEYWORD for each in known)
    for name in parameters:
        if name not in named and not takes_any:
            hint = did_you_mean(name, named) if named else "it has none"
            raise UserError(f"{key}.{name} is not a parameter of the function: {hint}")
    for each in known[len(given) :]:
        if each.kind in by_name and each.default is each.empty and each.name not in parameters:
            raise UserError(f"{key}: the function needs {each.name}: give {key}.{each.name}=...")
    try:
        signature.bind(*given, **parameters)
    except TypeError as error:
        words = ", ".join([*given, *(f"{name}=..." for name in parameters)])
        raise UserError(f"{key}: the function is called with ({words}): {error}") from error
