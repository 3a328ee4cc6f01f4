"""`compiled`: what numba compiles is kept for as long as everything that it is made of is the same.

numba's own cache looks at the file of a function alone.  What the function calls or inlines from
other files is compiled in too, and after a change there the old code would run on, with wrong
numbers.  Here the name of what is kept has a digest of every source of asm_core, and of the
versions of numba and LLVM, whose code no two of them may share.  (The processor, Python's version
and the types of the arguments are in numba's key already.)

What is kept is a help and never needed: what is not as it was written is compiled and written
again, and where there is no folder, or no space, every process compiles for itself and says so.

Sources that are put back find what was compiled of them before; nothing old is removed.
"""

import hashlib
import os
import pickle
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import config
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    NullCache,
)
from numba.extending import is_jitted


class NotKeptWarning(RuntimeWarning):
    """What was compiled cannot be kept, or not where the user wants it."""


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function without the GIL, and keep the result in numba's cache."""
    dispatcher = numba.njit(nogil=True)(function)
    # With NUMBA_DISABLE_JIT=1 it is the function itself.
    if is_jitted(dispatcher):
        # What `cache=True` does, with a cache of our own: no other user of numba is affected.
        dispatcher._cache = _Cache(function)  # type: ignore[attr-defined, unused-ignore]
    return dispatcher


def _digest() -> str:
    """Of what compiled code is made of, as it is on the disk now; takes half a millisecond."""
    content = hashlib.sha256(f"{numba.__version__} {llvmlite.__version__}".encode())
    sources = (path for path in files(__package__).iterdir() if path.name.endswith(".py"))
    for path in sorted(sources, key=lambda path: path.name):
        content.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:24]


# When this module is imported, the others with loops have not been read yet.
_SOURCES = _digest()


class _Names(CompileResultCacheImpl):
    """numba's choice of folder, and file names with our digest."""

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-{_SOURCES}"


class _Files(IndexDataCacheFile):
    """numba's two files, each with a checksum in front: one flipped bit may be another instruction.

    One that is empty, cut or garbled is as good as none, and is written anew.
    """

    def _load_index(self) -> dict[Any, str]:
        found = _unpacked(self._index_path)
        stamp, names = found if found is not None else (None, {})
        return names if stamp == self._source_stamp else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, (self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return _unpacked(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, data: Any) -> None:
        packed = self._dump(data)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(packed).digest() + packed)


def _unpacked(path: str) -> Any:
    """What was packed into a file; None for one that is not there or not as it was written."""
    try:
        content = Path(path).read_bytes()
    except OSError:
        return None
    checksum, packed = content[:32], content[32:]
    return pickle.loads(packed) if hashlib.sha256(packed).digest() == checksum else None


class _Opened(FunctionCache):
    """numba's cache of a function, with files and names of ours."""

    _impl_class = _Names

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file = _Files(
            self._cache_path, self._impl.filename_base, self._impl.locator.get_source_stamp()
        )


class _Cache(NullCache):
    """A cache that is looked for when something is compiled, and whose failures are no errors.

    It is left alone once sources have changed: which of them run here is not known.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    @cached_property
    def _opened(self) -> _Opened | None:
        chosen = getattr(config, "CACHE_DIR", "")
        wanted = os.path.abspath(chosen) if chosen else None
        try:
            opened = _Opened(self._function)
        except (RuntimeError, OSError):
            # numba has tried all folders that it knows.
            tried = f"neither {wanted} (NUMBA_CACHE_DIR) nor" if wanted else "neither"
            own = os.path.join(os.path.dirname(self._function.__code__.co_filename), "__pycache__")
            _warn(f"{tried} {own} nor a folder of the user's can be written", kept=None)
            return None
        if wanted and not Path(opened.cache_path).absolute().is_relative_to(wanted):
            _warn(f"{wanted} (NUMBA_CACHE_DIR) cannot be written", kept=opened.cache_path)
        return opened

    @property
    def cache_path(self) -> str | None:
        return self._opened.cache_path if self._opened else None

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if self._opened is None or _digest() != _SOURCES:
            return None
        # Whatever numba meets in what was kept: it compiles then, as if there were nothing.
        with suppress(Exception):
            found = self._opened.load_overload(sig, target_context)
            # Processes that compile for different types at a time may choose the same name of a
            # file, and what the index then leads to may be the other's.
            if found is not None and found.signature.args == tuple(sig):
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        if self._opened is None or _digest() != _SOURCES:
            return
        try:
            self._opened.save_overload(sig, data)
        except Exception as error:
            reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            _warn(f"{self._opened.cache_path}: {reason}", kept=None)


_warning = threading.Lock()
_has_warned: set[str | None] = set()


def _warn(reason: str, kept: str | None) -> None:
    """Say, once in a process, that compiled code is not kept, or where it is instead."""
    with _warning:
        if kept in _has_warned:
            return
        _has_warned.add(kept)
    words = (
        f"compiled code is kept in {kept}"
        if kept
        else "compiled code is not kept, and every process compiles for some seconds again"
    )
    warnings.warn(
        f"{words}: {reason}; set NUMBA_CACHE_DIR to a folder that can be written",
        NotKeptWarning,
        stacklevel=2,
    )
