"""What decides the numbers of a function: its source text, and what else of the user's it uses.

Of a module that is a file, statements are followed by the names in them: a function, whatever it
names at the top of its module, whatever changes that, and so on, also into other modules of the
user's.  A name too many is taken for one that is used.  Of a function that no file has, as of a
notebook, values are followed in place of names.  What is installed is not followed: its versions
are in the store's provenance, and a worker's are compared by what it computes.  Comments,
docstrings and empty lines do not count.

A module may state a version instead, ``ASM_SWEEP_VERSION = 3``, which is then all that decides: for
code that reads files, or keeps what cannot be told apart.
"""

import dis
import functools
import hashlib
import importlib.util
import inspect
import logging
import sys
import textwrap
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from pipeline.errors import UserError
from pipeline.functions.calling import is_library, python_of
from pipeline.functions.content import Content
from pipeline.functions.current import check_current, within
from pipeline.functions.statements import Import, Module, Statement, without_comments

VERSION = "ASM_SWEEP_VERSION"
_OURS = ("asm_core", "pipeline")
# Known by their names, though they are no functions.
_OF_NO_EFFECT = (np.ufunc, logging.Logger)
_EVERYTHING = "*"
# Their state changes with every draw.
_RANDOM = ("Generator", "RandomState", "Random")
_REMEDY = (
    f"read it where the module is imported, into an array, or state a version of the module that "
    f"is raised when its numbers change, {VERSION} = 1"
)


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
    module = inspect.getmodule(python_of(function))
    found = _Search(key, getattr(module, "__name__", ""))
    if not hasattr(python_of(function), "__name__"):
        raise UserError(f"{key} is a {type(function).__name__}: give a function, def f(...)")
    stated = getattr(module, VERSION, None)
    if stated is not None and not isinstance(stated, str | int | float):
        raise UserError(f"{key}: {VERSION} must be a number or text, got {stated!r}")
    try:
        found.add(getattr(python_of(function), "__name__", "function"), function, own=True)
        text = found.text()
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

    def __init__(self, key: str, module: str) -> None:
        self.key, self.texts = key, list[str]()
        # Also where it is installed, the package of the function itself is the user's.
        package = module.partition(".")[0]
        self._package = "" if package in (*sys.stdlib_module_names, *_OURS) else package
        self.modules: dict[str, Module] = {}
        self._words: set[str] = set()
        # How many of the statements that count name each name, and each word.
        self._named: list[Counter[str]] = []
        self._seen: dict[int, str] = {}
        # Whatever is seen must stay, so that no other gets its number.
        self._kept: list[Any] = []

    def text(self) -> str:
        """All that counts."""
        self._follow()
        counted = [each for module in self.modules.values() for each in module.counted.values()]
        self._named = [
            Counter(name for each in counted for name in each.names),
            Counter(word for each in counted for word in each.words),
        ]
        parts = list(self.texts)
        for name in sorted(self.modules):
            module = self.modules[name]
            parts += [module.counted[k].text for k in sorted(module.counted)]
            # Once more: what the statements have made of it, where text alone does not say.
            for k in sorted(module.counted):
                self._add_made(module, module.counted[k], parts)
        return "\n".join(parts)

    def _follow(self) -> None:
        """Count statements until no further one is needed."""
        grows = True
        while grows:
            grows = False
            for module in list(self.modules.values()):
                needed = module.needed | (self._words if module.by_any_word else set())
                for k, each in enumerate(module.statements):
                    is_needed = (each.binds | each.changes) & needed or _EVERYTHING in each.binds
                    if k not in module.counted and needed and is_needed:
                        self._count(module, k, each)
                        grows = True

    def _count(self, module: Module, k: int, statement: Statement) -> None:
        if statement.reaches and statement.is_definition:
            raise UserError(
                f"{self.key} uses {statement.reaches}, by which its numbers depend on what is not "
                f"in its code: {_REMEDY}"
            )
        module.counted[k] = statement
        module.needed |= statement.names | statement.binds
        self._words |= statement.words
        for each in statement.imports:
            self._reach(module, each)

    def _reach(self, module: Module, each: Import) -> None:
        """A module that a statement imports, if it is the user's."""
        try:
            name = importlib.util.resolve_name("." * each.level + each.module, module.package)
        except (ImportError, ValueError):
            return
        if each.name is None:
            # All of a.b.c may be used by its dotted name.
            parts = name.split(".")
            for count in range(1, len(parts) + 1):
                if found := self.reached(".".join(parts[:count])):
                    found.by_any_word = True
            return
        if inner := self.reached(f"{name}.{each.name}"):
            inner.by_any_word = True
        if found := self.reached(name):
            found.by_any_word |= each.name == _EVERYTHING
            found.needed.add(each.name)

    def reached(self, name: str) -> Module | None:
        """A module of the user's by its name; None where it is not, or there is none."""
        if name not in self.modules:
            file = self._file_of(name)
            if not file:
                return None
            self.modules[name] = Module(
                self.key, name, file, lambda module: bool(self._file_of(module))
            )
        return self.modules[name]

    def _file_of(self, name: str) -> str:
        """The file of a module of the user's; empty where it is a library's, or none."""
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if module is None:
            try:
                spec = importlib.util.find_spec(name)
            except (ImportError, ValueError, AttributeError):
                spec = None
            file = spec.origin if spec and spec.has_location else None
        is_source = bool(file) and str(file).endswith(".py")
        return str(file) if is_source and not self._is_library(name, str(file)) else ""

    def _is_library(self, module: str, file: str) -> bool:
        own = self._package and module.partition(".")[0] == self._package
        return is_library(file) and not own

    def _add_made(self, module: Module, statement: Statement, parts: list[str]) -> None:
        """The content of arrays and containers that a statement has bound, and random states."""
        if statement.is_definition:
            for name in statement.binds:
                check_current(self.key, module.values.get(name))
            return
        named = statement.words if module.by_any_word else statement.names
        for name in sorted(statement.binds):
            # Named by another statement, and not in this one alone.
            if self._named[module.by_any_word][name] <= (name in named):
                continue
            value = module.values.get(name)
            found = Content()
            known = found.add(name, value)
            if known and not statement.is_empty:
                parts += found.texts
            elif not known and statement.reaches:
                raise UserError(
                    f"{self.key} uses {name}, a {type(value).__name__} that {statement.reaches} "
                    f"has made of what is not in its code: {_REMEDY}"
                )
            elif type(value).__name__ in _RANDOM:
                raise UserError(_untold(self.key, name, value))

    def add(self, name: str, value: Any, *, own: bool = False) -> None:
        """Add a value that the code calls by this name; `own` is of the user's in any case."""
        content = Content()
        if content.add(name, value):
            self.texts += content.texts
            return
        if id(value) in self._seen:
            self.texts.append(f"{name} is {self._seen[id(value)]}")
            return
        self._seen[id(value)] = name
        self._kept.append(value)
        self._add(name, value, own)

    def _add(self, name: str, value: Any, own: bool) -> None:
        function = python_of(value)
        if inspect.ismethod(value):
            # What it is a method of decides, too.
            self.add(f"{name}.__self__", value.__self__)
            self.add(f"{name}.__func__", value.__func__, own=own)
        elif isinstance(value, ModuleType):
            self.texts.append(f"{name} = module {value.__name__}")
            if found := self.reached(value.__name__):
                found.by_any_word = True
        elif hasattr(function, "__code__"):
            self._add_function(name, function, own)
        elif hasattr(function, "__wrapped__"):
            # As of functools.cache: what it keeps follows from the function.
            self.add(f"{name}.__wrapped__", function.__wrapped__, own=own)
        elif isinstance(value, type):
            self._add_class(name, value, own)
        elif isinstance(value, functools.partial):
            for part in ("func", "args", "keywords"):
                self.add(f"{name}.{part}", getattr(value, part))
        elif isinstance(value, list | tuple | dict | set | frozenset):
            self._add_items(name, value)
        elif isinstance(value, _OF_NO_EFFECT) or (inspect.isroutine(value) and _of_module(value)):
            self.texts.append(f"{name} = {_named(value)}")
        else:
            raise UserError(_untold(self.key, name, value))

    def _add_items(self, name: str, value: Any) -> None:
        """Items of a container, some of which have no content of their own."""
        items = value.items() if isinstance(value, dict) else enumerate(value)
        self.texts.append(f"{name} = {type(value).__name__} of {len(value)}")
        for k, (place, item) in enumerate(items):
            self.add(f"key {k} of {name}", place)
            self.add(f"{name}[{k}]", item)

    def _add_function(self, name: str, function: Any, own: bool) -> None:
        code = function.__code__
        # A decorator takes the name of what it decorates, and not its globals.
        if self._is_library(function.__globals__.get("__name__", ""), code.co_filename):
            self.texts.append(f"{name} = {_named(function)}")
            # A decorator of a library's around what is the user's.
            wrapped = getattr(function, "__wrapped__", None)
            if wrapped is not None:
                self.add(f"{name}.__wrapped__", wrapped, own=own)
            elif own:
                raise UserError(f"{self.key} is a function of a library: give one of your own")
            return
        module = self.reached(function.__module__ or "")
        root = function.__qualname__.partition(".")[0]
        in_file = module is not None and code.co_filename == getattr(
            sys.modules.get(module.name), "__file__", None
        )
        if module is not None and in_file and any(root in s.binds for s in module.statements):
            module.needed.add(root)
            check_current(self.key, function)
            inside = {**dict.fromkeys(code.co_freevars), **_cells(function)}
            known: dict[str, Any] = {}
        else:
            self.texts.append(_text(self.key, name, code))
            inside, known = _cells(function), function.__globals__
        for default in (function.__defaults__, function.__kwdefaults__):
            if default and (known or "<locals>" in function.__qualname__):
                self.add(f"defaults of {name}", default)
        for each, value in sorted(inside.items()):
            self.add(f"{name}: {each}", value)
        if known:
            self._add_names(code, known, inside)

    def _add_class(self, name: str, value: type, own: bool) -> None:
        if not own and _is_of_library(value):
            self.texts.append(f"{name} = {_named(value)}")
            return
        module = self.reached(value.__module__ or "")
        root = value.__qualname__.partition(".")[0]
        if module is not None and any(root in s.binds for s in module.statements):
            module.needed.add(root)
        else:
            self.texts.append(_text(self.key, name, value))
        for base in value.__bases__:
            self.add(f"base of {name}", base)
        for word, member in sorted(vars(value).items()):
            content = Content()
            if not word.startswith("__") and content.add(f"{name}.{word}", member):
                # Which may have been set after the class was made.
                self.texts += content.texts
                continue
            function = getattr(member, "__func__", getattr(member, "fget", member))
            if module is None and (code := getattr(function, "__code__", None)):
                self._add_names(code, function.__globals__, {})

    def _add_names(self, code: CodeType, known: dict[str, Any], inside: dict[str, Any]) -> None:
        """What the code of a notebook names."""
        read, attributes = _names(code)
        self._words |= attributes
        for word in sorted(read - known.keys()):
            if word in ("globals", "eval", "exec", "vars", "locals", "open", "__import__"):
                raise UserError(
                    f"{self.key} uses {word}, by which its numbers depend on what is not in its "
                    f"code: {_REMEDY}"
                )
        for each in sorted(read & known.keys() - inside.keys()):
            self.add(each, known[each])


def _untold(key: str, name: str, value: Any) -> str:
    return (
        f"{key} uses {name}, a {type(value).__name__}, whose content cannot be told apart from "
        f"another's: make it a number, text or an array, or state a version of the module that is "
        f"raised when its numbers change, {VERSION} = 1"
    )


def _cells(function: Any) -> dict[str, Any]:
    """What a function was made with."""
    found = {}
    for each, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        # Empty where a function that calls itself is made.
        with suppress(ValueError):
            found[each] = cell.cell_contents
    return found


def _names(code: CodeType) -> tuple[set[str], set[str]]:
    """What code reads, also in functions within it: names, and attributes."""
    read, attributes = set(code.co_freevars), set[str]()
    for each in (code, *within(code)):
        for step in dis.get_instructions(each):
            if isinstance(step.argval, str):
                is_name = "GLOBAL" in step.opname or step.opname.endswith("NAME")
                (read if is_name else attributes).add(step.argval)
    return read, attributes


def _of_module(value: Any) -> bool:
    """Whether a routine that is built in is a module's, and not some object's."""
    owner = getattr(value, "__self__", None)
    return owner is None or isinstance(owner, ModuleType)


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


def _text(key: str, name: str, what: Any) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(what))
    except (OSError, TypeError) as error:
        raise UserError(
            f"{key}: the source text of {name} is not known, so that a change of it would not be "
            f"noticed: put it into a file, or state a version of its module, {VERSION} = 1"
        ) from error
    return without_comments(source)
