"""Calls of the system that fail or kill: `faults.c`, loaded into this process before the C library.

`load` starts the process anew with the library in front; from then on `arm` in a child that was
forked strikes the calls of that child alone.
"""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).with_name("faults.c")
# In the order of faults.c.
KINDS = ("open to read", "open to write", "read", "write", "rename", "unlink", "mkdir", "rmdir",
         "truncate", "flock", "sync", "list", "stat")  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """The n-th call of a kind (0: every one) on a path with `word` in it.

    It fails with `error`, an errno; kills the process, for -SIGKILL; or does nothing, for 0.
    """

    kind: str
    n: int
    error: int
    word: str = ".zarr"


def build() -> Path:
    """The library, compiled if it is not there yet.

    Raises
    ------
    SystemExit
        Where there is no Linux, or no compiler for C.
    """
    if sys.platform != "linux" or not shutil.which("cc"):
        sys.exit("error: calls are made to fail by a small library: Linux and cc are needed")
    text = SOURCE.read_bytes()
    name = f"asm-sweep-faults-{os.getuid()}-{hashlib.sha256(text).hexdigest()[:16]}.so"
    library = Path(tempfile.gettempdir(), name)
    if not library.exists():
        made = library.with_suffix(f".{os.getpid()}")
        subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", made, SOURCE, "-ldl"], check=True)
        made.rename(library)
    return library


def load(module: str, arguments: list[str]) -> None:
    """Start `python -m module` anew with the library in front, unless this process has it."""
    if "ASM_SWEEP_FAULTS" in os.environ:
        return
    library = str(build())
    environment = {**os.environ, "ASM_SWEEP_FAULTS": library, "LD_PRELOAD": library}
    os.execve(sys.executable, [sys.executable, "-m", module, *arguments], environment)


@functools.cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(os.environ["ASM_SWEEP_FAULTS"])
    library.clock_set.argtypes = [ctypes.c_double]
    return library


def arm(fault: Fault) -> None:
    """From now on, in this process."""
    _library().fault_arm(KINDS.index(fault.kind), fault.n, fault.error, fault.word.encode())


def count(word: str = ".zarr") -> None:
    """Count the calls of each kind from now on, and let all of them pass."""
    _library().fault_arm(-1, 0, 0, word.encode())


def counted() -> dict[str, int]:
    """How many calls of each kind there were, which ends counting and faults."""
    _library().fault_disarm()
    return {kind: _library().fault_count(k) for k, kind in enumerate(KINDS)}


def set_clock(seconds: float) -> None:
    """Let the clock of this process be wrong by so much."""
    _library().clock_set(seconds)
