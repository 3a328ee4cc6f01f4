"""`compiled`: what numba compiles is kept for as long as everything that it is made of is the same.

numba's own cache looks at the file of a function alone.  What the function calls or inlines from
other files is compiled in too, and after a change there the old code would run on, with wrong
numbers.  Here the name of what is kept has a digest of every source of asm_core, and of the
versions of numba and LLVM, whose code no two of them may share.  (The processor, Python's version
and the types of the arguments are in numba's key already.)

Sources that are put back find what was compiled of them before; nothing old is removed.
"""

import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import llvmlite
import numba
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.extending import is_jitted


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


class _Files(CompileResultCacheImpl):
    """numba's choice of folder, and file names with our digest."""

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{super().get_filename_base(fullname, abiflags)}-{_SOURCES}"


class _Cache(FunctionCache):
    """numba's cache, left alone once sources have changed: which of them run here is not known."""

    _impl_class = _Files

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        if _digest() != _SOURCES:
            return None
        found = super().load_overload(sig, target_context)
        # Processes that compile for different types at a time may choose the same name of a file,
        # and what the index then leads to may be the other's.
        return found if found is not None and found.signature.args == tuple(sig) else None

    def save_overload(self, sig: Any, data: Any) -> None:
        if _digest() == _SOURCES:
            super().save_overload(sig, data)
