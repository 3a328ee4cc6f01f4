"""Functions by their dotted names: imported, or as they were given in Python."""

import functools
import importlib.util
import inspect
import os
import pkgutil
import re
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.errors import UserError, did_you_mean
from pipeline.functions.calling import in_words, place_of, python_of

# The key of Hydra's convention for "call this": an entry that has it names a function, or a class.
TARGET = "_target_"
_DOTTED = r"[^\W\d]\w*(\.[^\W\d]\w*)+"
# Functions that no other process can import: of a notebook, of a script, made by another function.
_given: dict[str, Callable[..., Any]] = {}
# Two threads that import a module at the same time meet it half made.
_importing = threading.RLock()
# A module that takes longer is waiting for whoever waits for it.
_SECONDS_TO_IMPORT = 60.0
# The function for which this thread imports a module.
_wanted = threading.local()


def is_dotted(target: Any) -> bool:
    """Whether something is the dotted name of what lies in a module."""
    return isinstance(target, str) and re.fullmatch(_DOTTED, target) is not None


def search_in(folders: Iterable[str | Path]) -> None:
    """Look for modules in the current folder and in these, too, after all others."""
    for folder in (os.getcwd(), *folders):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def is_there(folder: str) -> bool:
    """Whether a folder can be searched."""
    return os.path.isdir(folder)


def entry_of(key: str, given: Any) -> tuple[str, dict[str, Any]]:
    """Name and entry of a function that is given in Python, also one with parameters (`partial`).

    Raises
    ------
    UserError
        For what has no name that another process, or a later one, could know it by.
    """
    function, parameters = given, {}
    if isinstance(given, functools.partial):
        if given.args:
            raise UserError(f"{key}: parameters must be given by name, as partial(f, strength=2)")
        function, parameters = given.func, dict(given.keywords)
    function_of = inspect.unwrap(python_of(function))
    name = getattr(function_of, "__name__", "")
    module = getattr(function_of, "__module__", None) or ""
    if not inspect.isroutine(function_of) or not name.isidentifier() or not module:
        raise UserError(f"{key} must be a function with a name, as def mine(...), got {given!r}")
    target = f"{module}.{function_of.__qualname__}".replace("<locals>.", "")
    if not _is_found(target, function):
        _given[target] = function
    else:
        _given.pop(target, None)
    return name, {TARGET: target, **parameters}


def refuse_same_names(key: str, given: Iterable[Any]) -> None:
    """Refuse two functions that go by one name, as two that one function has made."""
    known: dict[str, Any] = {}
    for each in filter(callable, given):
        function = each.func if isinstance(each, functools.partial) else each
        name = getattr(python_of(function), "__qualname__", "")
        module = getattr(python_of(function), "__module__", "")
        if known.setdefault(f"{module}.{name}", function) is not function:
            raise UserError(
                f"{key} has two functions that are both called {name}: give each a def of its own, "
                "or its parameters by functools.partial"
            )


def _is_found(target: str, function: Any) -> bool:
    """Whether any process that has the module finds this very function by its name."""
    if target.startswith("__main__."):
        return False
    try:
        return pkgutil.resolve_name(target) is function
    except (ImportError, AttributeError, ValueError):
        return False


def is_given(target: str) -> bool:
    """Whether a function was given in Python, and no other process can import it."""
    return target in _given


def find(key: str, target: str) -> Callable[..., Any]:
    """The function, or class, of this name.

    Raises
    ------
    UserError
        `key` names it: where there is no such module, or it cannot be imported, or has no such
        function.
    """
    if target in _given:
        return _given[target]
    refuse_while_importing()
    if not _importing.acquire(timeout=_SECONDS_TO_IMPORT):
        raise UserError(
            f"{key}={target}: another module has been imported for {_SECONDS_TO_IMPORT:g} s: if it "
            'sweeps in a thread, put that below if __name__ == "__main__":'
        )
    try:
        _wanted.target = target
        found = _imported(key, target)
    finally:
        _wanted.target = None
        _importing.release()
    if not callable(found):
        raise UserError(f"{key}={target} is no function")
    function: Callable[..., Any] = found
    return function


def refuse_while_importing() -> None:
    """Refuse to begin a sweep from a module that is imported for a function of it.

    Every process that imports it would sweep in turn.
    """
    if target := getattr(_wanted, "target", None):
        raise UserError(
            f"the module of {target} sweeps when it is imported: put what it runs below "
            'if __name__ == "__main__":'
        )


def _imported(key: str, target: str) -> Any:
    package = target.partition(".")[0]
    if package == "__main__":
        raise UserError(
            f"{key}={target} is a function of a script or notebook that has ended: put it into a "
            "module, a file of its own, and import it there"
        )
    try:
        there = package in sys.modules or importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        raise UserError(
            f"{key}={target}: there is no module {package} here: name the folder that it is in, "
            "with --config-dir FOLDER or in PYTHONPATH"
        )
    try:
        return pkgutil.resolve_name(target)
    except AttributeError as error:
        raise UserError(f"{key}={target}: {_not_in(target)}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise UserError(
            f"{key}={target}: its module cannot be imported: {in_words(error)}{place_of(error)}"
        ) from error


def _not_in(target: str) -> str:
    """Which part of a name is not there."""
    module, _, word = target.rpartition(".")
    found = sys.modules.get(module)
    if not isinstance(found, ModuleType):
        module, _, word = module.rpartition(".")
        found = sys.modules.get(module)
    known = [name for name, value in vars(found).items() if callable(value)] if found else []
    return f"there is no {word} in {module}: {did_you_mean(word, known)}"
