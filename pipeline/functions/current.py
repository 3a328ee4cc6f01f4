"""Whether a function is still what its file says: text is read of the file, and code was before."""

import inspect
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from pipeline.errors import UserError
from pipeline.functions.calling import python_of


def check_current(key: str, function: Any) -> None:
    """Refuse a function whose file was changed since it was imported: its text is of another."""
    function = inspect.unwrap(python_of(function)) if function is not None else None
    code = getattr(function, "__code__", None)
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    # Not what was compiled of other text, as pytest does with its assertions.
    loader = getattr(getattr(module, "__spec__", None), "loader", None)
    if code is None or type(loader) is not SourceFileLoader:
        return
    try:
        same = _likeness(code) in _likenesses(code.co_filename, Path(code.co_filename).read_bytes())
    except (OSError, SyntaxError, ValueError):
        same = False
    if not same:
        raise UserError(
            f"{key}: {code.co_filename} has changed since it was imported: start Python again, or "
            f"importlib.reload({function.__module__})"
        )


@lru_cache(maxsize=64)
def _likenesses(file: str, source: bytes) -> list[Any]:
    """Of all code that a file is compiled to: once, for all of its functions."""
    return [_likeness(each) for each in within(compile(source, file, "exec", dont_inherit=True))]


def within(code: CodeType) -> Iterator[CodeType]:
    """All code within some code."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from within(constant)


def _likeness(code: CodeType) -> tuple[Any, ...]:
    constants = [
        _likeness(each)
        if isinstance(each, CodeType)
        # In no order, which differs from process to process.
        else sorted(map(repr, each))
        if isinstance(each, frozenset)
        else repr(each)
        for each in code.co_consts
    ]
    return code.co_name, code.co_firstlineno, code.co_code, code.co_names, constants
