"""What decides the numbers of a function: its source text, and what else of the user's it uses.

Followed are functions, classes and values that the function names: those of its own module, and of
other modules of the user's.  What is installed is not: its versions are in the store's provenance,
and a worker's are compared by what it computes.  Comments, docstrings and empty lines do not count.

A module may state a version instead, ``ASM_SWEEP_VERSION = 3``, which is then all that decides: for
code that reads files, or keeps what cannot be told apart.
"""

import ast
import dis
import functools
import hashlib
import importlib
import inspect
import io
import logging
import sys
import textwrap
import tokenize
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import UserError
from pipeline.functions.calling import is_library, python_of

VERSION = "ASM_SWEEP_VERSION"
_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
# Known by their names, though they are no functions.
# Attributes of a class that decide numbers; the rest of what it is, is its text.
_OF_CLASSES = (*_PLAIN, np.ndarray, list, tuple, dict, set, frozenset)
# By these code reaches what it does not name.
_REACHING = ("globals", "eval", "exec", "vars", "locals", "__import__")
# And by these the content of files, when it is called.
_READING = (
    "open", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "read_text", "read_bytes",
    "read_csv", "imread", "open_zarr", "open_dataset", "environ", "getenv",
)  # fmt: skip
_OF_NO_EFFECT = (np.ufunc, logging.Logger)


class Code(NamedTuple):
    """What decides the numbers of a function."""

    name: str
    """`version 3` as its module states it, or a hash."""
    text: str
    """The source text of all that counts."""
    folder: str
    """Where its module, or the package of it, lies; empty where there is no file."""


def code_of(key: str, function: Callable[..., Any]) -> Code:
    """What decides the numbers of a function.

    Raises
    ------
    UserError
        `key` names it: for a value that cannot be told apart from another one, or a function whose
        source text is not known.
    """
    found = _Search(key)
    module = inspect.getmodule(python_of(function))
    if not hasattr(python_of(function), "__name__"):
        raise UserError(f"{key} is a {type(function).__name__}: give a function, def f(...)")
    stated = getattr(module, VERSION, None)
    if stated is not None and not isinstance(stated, str | int | float):
        raise UserError(f"{key}: {VERSION} must be a number or text, got {stated!r}")
    try:
        found.add(getattr(python_of(function), "__name__", "function"), function, own=True)
    except UserError:
        if stated is None:
            raise
    text = "\n".join(found.texts)
    name = f"version {stated}" if stated is not None else _hash(text)
    return Code(name, text, _folder(module))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _folder(module: ModuleType | None) -> str:
    """The folder from which a module is imported."""
    file = getattr(module, "__file__", None)
    if module is None or not file or module.__name__ == "__main__":
        return ""
    path = Path(file).resolve()
    levels = module.__name__.count(".") + (path.name == "__init__.py")
    return str(path.parents[levels])


class _Search:
    """Collects, in order, the text of whatever a function uses."""

    def __init__(self, key: str) -> None:
        self.key, self.texts = key, list[str]()
        self._seen: set[int] = set()
        # Whatever is seen must stay, so that no other gets its number.
        self._kept: list[Any] = []

    def add(self, name: str, value: Any, *, own: bool = False) -> None:
        """Add a value that the code calls by this name; `own` is of the user's in any case."""
        if isinstance(value, _PLAIN):
            self.texts.append(f"{name} = {value!r}")
            return
        if id(value) in self._seen:
            return
        self._seen.add(id(value))
        self._kept.append(value)
        self._add(name, value, own)

    def _add(self, name: str, value: Any, own: bool) -> None:
        function = python_of(value)
        if hasattr(function, "cache_info") and hasattr(function, "__wrapped__"):
            # What a cache keeps follows from the function.
            function = function.__wrapped__
        if isinstance(value, ModuleType):
            self.texts.append(f"{name} = module {value.__name__}")
        elif isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject:
            content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()[:16]
            self.texts.append(f"{name} = array {value.dtype.str} {value.shape} {content}")
        elif isinstance(value, list | tuple | dict | set | frozenset):
            self._add_items(name, value)
        elif inspect.ismethod(value):
            # What it is a method of decides, too.
            self.add(f"{name}.__self__", value.__self__)
            self.add(name, value.__func__, own=own)
        elif hasattr(function, "__code__"):
            self._add_function(name, function, own)
        elif isinstance(value, type):
            self._add_class(name, value, own)
        elif isinstance(value, functools.partial):
            for part in ("func", "args", "keywords"):
                self.add(f"{name}.{part}", getattr(value, part))
        elif isinstance(value, _OF_NO_EFFECT) or (
            callable(value) and hasattr(value, "__qualname__")
        ):
            self.texts.append(f"{name} = {_named(value)}")
        else:
            raise UserError(
                f"{self.key} uses {name}, a {type(value).__name__}, whose content cannot be told "
                f"apart from another's: make it a number, text or an array, or state a version of "
                f"the module that is raised when its numbers change, {VERSION} = 1"
            )

    def _add_items(self, name: str, value: Any) -> None:
        if isinstance(value, dict):
            items: Iterator[tuple[Any, Any]] = iter(value.items())
        elif isinstance(value, set | frozenset):
            items = enumerate(sorted(value, key=repr))
        else:
            items = enumerate(value)
        self.texts.append(f"{name} = {type(value).__name__} of {len(value)}")
        for place, item in items:
            if not isinstance(place, _PLAIN):
                self.add(f"a key of {name}", place)
            self.add(f"{name}[{place!r}]", item)

    def _add_function(self, name: str, function: Any, own: bool) -> None:
        code = function.__code__
        if not own and is_library(code.co_filename):
            self.texts.append(f"{name} = {_named(function)}")
            return
        self.texts.append(_text(self.key, name, code))
        for default in (function.__defaults__, function.__kwdefaults__):
            if default:
                self.add(f"defaults of {name}", default)
        _check_current(self.key, function)
        cells = {}
        for each, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            # Empty where a function that calls itself is made.
            with suppress(ValueError):
                cells[each] = cell.cell_contents
        self._add_names(code, {**function.__globals__, **cells})

    def _add_class(self, name: str, value: type, own: bool) -> None:
        if not own and _is_of_library(value):
            self.texts.append(f"{name} = {_named(value)}")
            return
        self.texts.append(_text(self.key, name, value))
        for base in value.__bases__:
            self.add(f"base of {name}", base)
        for word, member in vars(value).items():
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if code := getattr(function, "__code__", None):
                self._add_names(code, function.__globals__)
            elif isinstance(member, _OF_CLASSES) and not word.startswith("__"):
                # Which may have been set after the class was made.
                self.add(f"{name}.{word}", member)

    def _add_names(self, code: CodeType, known: dict[str, Any]) -> None:
        read, attributes, imported = _names(code)
        for word in sorted(read - known.keys() | attributes):
            if (word in _REACHING and word in read) or word in _READING:
                raise UserError(
                    f"{self.key} uses {word}, by which its numbers depend on what is not in its "
                    "code: read it where the module is imported, into an array, or state a version "
                    f"of the module that is raised when its numbers change, {VERSION} = 1"
                )
        for each in sorted(read & known.keys()):
            self._add_module(known[each], attributes)
            self.add(each, known[each])
        for each in sorted(imported):
            # In the body of the function; what is not there fails when it is called.
            with suppress(ImportError, ValueError):
                module = importlib.import_module(each, known.get("__package__"))
                self._add_module(module, attributes)

    def _add_module(self, value: Any, attributes: set[str]) -> None:
        """Of a module of the user's what is named anywhere in the code."""
        if isinstance(value, ModuleType) and not _is_of_library(value):
            for word in sorted(attributes):
                if hasattr(value, word):
                    self.add(f"{value.__name__}.{word}", getattr(value, word))


def _names(code: CodeType) -> tuple[set[str], set[str], set[str]]:
    """What code reads, also in functions within it: names, attributes, and modules."""
    read, attributes, imported = set(code.co_freevars), set[str](), set[str]()
    for each in (code, *_within(code)):
        for step in dis.get_instructions(each):
            if not isinstance(step.argval, str):
                continue
            if step.opname == "IMPORT_NAME":
                imported.add(step.argval)
            elif "GLOBAL" in step.opname or "NAME" in step.opname:
                read.add(step.argval)
            elif "ATTR" in step.opname or "METHOD" in step.opname or "FROM" in step.opname:
                attributes.add(step.argval)
    return read, attributes, imported


def _is_of_library(value: Any) -> bool:
    module = value if isinstance(value, ModuleType) else inspect.getmodule(type(value))
    if isinstance(value, type) or (callable(value) and hasattr(value, "__module__")):
        module = inspect.getmodule(value) or module
    file = getattr(module, "__file__", None)
    # What is built into Python has no file; nor has the module of a notebook.
    return is_library(file) if file else getattr(module, "__name__", "") != "__main__"


def _named(value: Any) -> str:
    name = getattr(value, "__qualname__", getattr(value, "__name__", type(value).__name__))
    return f"{getattr(value, '__module__', None) or 'builtins'}.{name}"


def _check_current(key: str, function: Any) -> None:
    """Refuse a function whose file was changed since it was imported: its text is of another."""
    module = sys.modules.get(function.__module__)
    # Not what was compiled of other text, as pytest does with its assertions.
    if type(getattr(getattr(module, "__spec__", None), "loader", None)) is not SourceFileLoader:
        return
    file = function.__code__.co_filename
    try:
        now = compile(Path(file).read_bytes(), file, "exec", dont_inherit=True)
        same = any(_likeness(each) == _likeness(function.__code__) for each in _within(now))
    except (OSError, SyntaxError, ValueError):
        same = False
    if not same:
        raise UserError(
            f"{key}: {file} has changed since it was imported: start Python again, or "
            f"importlib.reload({function.__module__})"
        )


def _within(code: CodeType) -> Iterator[CodeType]:
    """All code within some code."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from _within(constant)


def _likeness(code: CodeType) -> tuple[Any, ...]:
    constants = [
        _likeness(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts
    ]
    return code.co_name, code.co_firstlineno, code.co_code, code.co_names, constants


def _text(key: str, name: str, what: Any) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(what))
    except (OSError, TypeError) as error:
        raise UserError(
            f"{key}: the source text of {name} is not known, so that a change of it would not be "
            f"noticed: put it into a file, or state a version of its module, {VERSION} = 1"
        ) from error
    return _without_comments(source)


def _without_comments(source: str) -> str:
    """Source text without comments, docstrings and empty lines."""
    lines = source.splitlines()
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
        tree = ast.parse(source)
    except (tokenize.TokenError, SyntaxError, IndentationError):
        # As a lambda in the middle of a call.
        return source
    for token in tokens:
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            first = node.body[0]
            is_docstring = (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            )
            # One that stands alone: a body of a docstring only is still a body.
            if is_docstring and len(node.body) > 1 and first.lineno > node.lineno:
                for row in range(first.lineno - 1, first.end_lineno or first.lineno):
                    lines[row] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())
