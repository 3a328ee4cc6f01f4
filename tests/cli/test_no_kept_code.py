"""Where compiled code cannot be kept: all verbs do without, and the store is not to blame."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import asm_core

# Each process compiles, for seconds.
pytestmark = pytest.mark.slow

# Run where this process alone sees asm_core as read-only; arguments: a folder, whether code is to
# be kept on a disk that is full, and command lines, each a list of words.
WITHOUT_A_PLACE = """
import json, os, pathlib, subprocess, sys
folder, code, is_full, *commands = map(json.loads, sys.argv[1:])
subprocess.run(["mount", "--bind", code, code], check=True)
subprocess.run(["mount", "-o", "remount,bind,ro", code], check=True)
os.environ |= {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "MPLCONFIGDIR": folder,
               "NUMBA_CACHE_DIR": "/proc/none", "PYTHONDONTWRITEBYTECODE": "1"}
if is_full:
    small = pathlib.Path(folder, "small")
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", small], check=True)
    os.environ["NUMBA_CACHE_DIR"] = str(small)
ended = [subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=folder)
         for words in commands]
print(json.dumps([(done.returncode, done.stdout, done.stderr) for done in ended]))
"""
# The verbs that only read, in a process in which nothing can be compiled.
READING = """
import sys
from numba.core.dispatcher import Dispatcher
from pipeline.cli.main import main

def compile(*arguments):
    raise AssertionError("a kernel is needed")

Dispatcher.compile = compile
for verb in ("status", "summary", "plot"):
    assert main([verb, "s.zarr"]) == 0, verb
from pipeline import open_results, summarize
assert summarize("s.zarr").mean_error.size == 15
assert open_results("s.zarr").error.size == 1500
"""


def without_a_place(folder, commands, *, is_full):
    folder.mkdir(exist_ok=True)
    words = [str(folder), str(Path(asm_core.__file__).parent), is_full, *commands]
    done = subprocess.run(
        ["unshare", "-Urm", sys.executable, "-c", WITHOUT_A_PLACE, *map(json.dumps, words)],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


SWEEP = ["-m", "pipeline", "sweep", "trials=100", "unit_trials=50"]


@pytest.mark.parametrize("is_full", [False, True])
def test_all_verbs_do_without_and_say_so_in_one_line(tmp_path, is_full):
    commands = [
        [*SWEEP, "out=s.zarr"],
        ["-m", "pipeline", "verify", "s.zarr"],
        ["-m", "pipeline", "example"],
        ["-c", READING],
    ]
    *compiling, reading = without_a_place(tmp_path / "f", commands, is_full=is_full)
    for code, _, said in compiling:
        assert code == 0, said
        (note,) = [line for line in said.splitlines() if line.startswith("note: ")]
        assert note.startswith("note: compiled code is not kept, ")
        assert ("No space left on device" if is_full else "can be written") in note
        assert "Traceback" not in said
        assert "Warning" not in said
    assert "No damage found." in compiling[1][1]
    assert (reading[0], reading[2]) == (0, ""), reading[2]


def test_worker_processes_compile_for_themselves_and_the_client_says_so_once(tmp_path):
    words = [*SWEEP, "out=s.zarr", "cluster=processes", "cluster.workers=2"]
    ((code, _, said),) = without_a_place(tmp_path / "f", [words], is_full=True)
    assert code == 0, said
    assert said.count("not kept") == 1, said
    assert "Traceback" not in said
