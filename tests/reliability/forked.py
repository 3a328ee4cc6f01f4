"""The program in children that are forked from a process which has imported everything.

A process of its own takes 0.7 s to start, a fork 0.02 s, so that thousands of runs are possible.
The parent has no threads: it imports, compiles, and never opens a store.
"""

import atexit
import copy
import faulthandler
import gc
import importlib
import io
import os
import pickle
import pkgutil
import select
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba  # noqa: F401
import xarray  # noqa: F401

import pipeline
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.planning.plan import make_plan
from pipeline.run.worker import load_kernels
from pipeline.sources import kinds
from reliability import interposer
from reliability.interposer import Fault


@dataclass
class Ended:
    """How a child ended: exit code (-signal), what it printed, what its function gave."""

    words: str
    code: int
    out: str
    err: str
    result: Any = None
    hung: bool = False

    def __str__(self) -> str:
        """For a person who looks for the fault."""
        said = "".join(f"\n    {line}" for line in (self.out + self.err).splitlines()[-25:])
        return f"`{self.words}` {'hung' if self.hung else f'ended with {self.code}'}{said}"


def warm(*commands: Sequence[str]) -> None:
    """Import and compile what the sweeps of some command lines need."""
    for module in pkgutil.walk_packages(pipeline.__path__, "pipeline."):
        importlib.import_module(module.name)
    importlib.import_module("distributed.deploy.local")
    importlib.import_module("pandas")
    # Composing takes a third of a small sweep; here it is done once for equal words.
    composed, original = dict[Any, Any](), compose._hydra

    def once(overrides, config_dirs):
        key = (*overrides, *map(str, config_dirs))
        if key not in composed:
            composed[key] = original(overrides, config_dirs)
        return copy.deepcopy(composed[key])

    compose._hydra = once
    for words in commands:
        load_kernels(make_plan(compose.load(words), kinds.resolve))
    gc.collect()
    # Otherwise each child copies the pages of a million objects when it collects.
    gc.freeze()


@dataclass
class Child:
    """A child that is running."""

    words: str
    pid: int
    folder: Path

    def ended(self) -> bool:
        """Whether it has ended by now; `wait` must still be called."""
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, seconds: float = 120.0) -> Ended:
        """How it ended; one that takes longer hangs, and is killed."""
        watched = os.pidfd_open(self.pid)
        hung = not select.select([watched], [], [], seconds)[0]
        if hung:
            # faulthandler writes where each thread is.
            os.kill(self.pid, signal.SIGCONT)
            os.kill(self.pid, signal.SIGABRT)
            if not select.select([watched], [], [], 10.0)[0]:
                os.kill(self.pid, signal.SIGKILL)
        os.close(watched)
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        out, err, result = (self.folder / name for name in ("out", "err", "result"))
        content = result.read_bytes() if result.exists() else b""
        ended = Ended(
            self.words, code, out.read_text(errors="replace"), err.read_text(errors="replace"),
            pickle.loads(content) if content else None, hung,
        )  # fmt: skip
        shutil.rmtree(self.folder)
        return ended


def start(
    function: Callable[..., Any], *arguments: Any, fault: Fault | None = None, words: str = ""
) -> Child:
    """Call a function in a child; its exit code is 0, or 70 after an exception."""
    folder = Path(tempfile.mkdtemp(prefix="asm-sweep-child-"))
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return Child(words or function.__name__, pid, folder)
    code = 70
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, "out"), (2, "err")):
            file = os.open(folder / name, os.O_CREAT | os.O_WRONLY)
            os.dup2(file, descriptor)
        faulthandler.enable()
        if fault:
            interposer.arm(fault)
        result = function(*arguments)
        code = result if isinstance(result, _Code) else 0
        if fault:
            interposer.counted()
        (folder / "result").write_bytes(pickle.dumps(result))
        # As at the end of an ordinary process.
        threading._shutdown()
        atexit._run_exitfuncs()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


class _Code(int):
    """An exit code."""


def _program(words: Sequence[str]) -> _Code:
    return _Code(main(words))


def starting(*words: object, fault: Fault | None = None) -> Child:
    """The program, begun."""
    line = [str(word) for word in words]
    return start(_program, line, fault=fault, words=" ".join(line))


def program(*words: object, fault: Fault | None = None, seconds: float = 120.0) -> Ended:
    """The program, ended."""
    return starting(*words, fault=fault).wait(seconds)


def programs(*lines: Sequence[object], seconds: float = 240.0) -> list[Ended]:
    """The program, several times one after the other in one child, which is faster."""
    ended: list[Ended] = call(_in_turn, [[str(w) for w in line] for line in lines], seconds=seconds)
    return ended


def _in_turn(lines: list[list[str]]) -> list[Ended]:
    done = []
    for words in lines:
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code = int(_program(words))
            except BaseException:
                code = 70
                traceback.print_exc()
        done.append(Ended(" ".join(words), code, out.getvalue(), err.getvalue()))
    return done


def call(function: Callable[..., Any], *arguments: Any, seconds: float = 120.0) -> Any:
    """What a function gives in a child; its exception is an AssertionError here."""
    ended = start(function, *arguments).wait(seconds)
    if ended.code or ended.hung:
        raise AssertionError(str(ended))
    return ended.result
