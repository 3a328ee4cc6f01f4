"""Compiled loops: kept while all that they are made of is the same, and never longer."""

import gc
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from numba import njit
from numba.core.caching import FunctionCache

import asm_core
from asm_core import compiled as compiling
from asm_core import transforms
from asm_core.compiled import NotKeptWarning, compiled

# Two loops that take a second to compile: `forward` of transforms.py, and the one of moments.py.
RUN = """
import json, pathlib, sys
import numpy as np
from asm_core import dct, moments, transforms
if len(sys.argv) > 1:
    path = pathlib.Path(transforms.__file__).with_name("tracing.py")
    path.write_text(path.read_text().replace(*sys.argv[1:]))
blocks = np.arange(128.0).reshape(2, 8, 8) ** 2
values = dct.block_dct(blocks), moments.moments_of(blocks.ravel().astype(np.float32))
stats = [loop.stats for loop in (transforms.forward, moments._accumulate)]
print(json.dumps({
    "bits": [value.tobytes().hex() for value in values],
    "hits": sum(sum(each.cache_hits.values()) for each in stats),
    "misses": sum(sum(each.cache_misses.values()) for each in stats),
    "folder": stats[0].cache_path,
}))
"""
SUBTRACT = ('(other, "fsub", "sub")', '(other, "fdiv", "sub")')
ADD = ('(other, "fadd", "add")', '(other, "fsub", "add")')


@pytest.fixture
def checkout(tmp_path):
    """A copy of asm_core, without what was compiled before."""
    return copied(tmp_path / "checkout")


def copied(folder):
    source = Path(asm_core.__file__).parent
    shutil.copytree(source, folder / "asm_core", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def run(checkout, *change, **environment):
    """What the loops give in a process of its own, and whether they were compiled there."""
    # Python's own cache of bytecode tells sources apart by second and size alone.
    variables = {"PYTHONPATH": str(checkout), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *change],
        capture_output=True, text=True, check=True, cwd=checkout,
        env={**os.environ, "NUMBA_CACHE_DIR": "", **variables},
    )  # fmt: skip
    return json.loads(done.stdout)


def change(checkout, old, new, file="tracing.py"):
    path = checkout / "asm_core" / file
    assert path.read_text().count(old) == 1
    path.write_text(path.read_text().replace(old, new))


def kept(folder):
    return [name for name in os.listdir(folder) if name.endswith((".nbi", ".nbc"))]


def test_after_a_change_of_tracing_alone_everything_is_compiled_again(checkout):
    first = run(checkout)
    assert (first["hits"], first["misses"]) == (0, 2)
    assert Path(first["folder"]) == checkout / "asm_core" / "__pycache__"
    again = run(checkout)
    assert (again["hits"], again["misses"]) == (2, 0)
    assert again["bits"] == first["bits"]
    change(checkout, *ADD)
    changed = run(checkout)
    assert (changed["hits"], changed["misses"]) == (0, 2)
    assert all(a != b for a, b in zip(changed["bits"], first["bits"], strict=True))
    # The former content again, as after a checkout of another branch and back.
    change(checkout, *reversed(ADD))
    back = run(checkout)
    assert (back["hits"], back["misses"]) == (2, 0)
    assert back["bits"] == first["bits"]


def test_checkouts_that_share_a_folder_keep_their_own(tmp_path, checkout):
    other = copied(tmp_path / "other")
    change(other, *SUBTRACT)
    shared = {"NUMBA_CACHE_DIR": str(tmp_path / "shared")}
    first, second = (run(each, **shared)["bits"] for each in (checkout, other))
    assert first != second
    # As in containers, where each checkout has the same path.
    checkout.rename(tmp_path / "away")
    other.rename(checkout)
    moved = run(checkout, **shared)
    assert (moved["misses"], moved["bits"]) == (2, second)
    checkout.rename(other)
    (tmp_path / "away").rename(checkout)
    back = run(checkout, **shared)
    assert (back["hits"], back["bits"]) == (2, first)


def test_a_process_whose_sources_change_while_it_runs_keeps_nothing(checkout):
    # It has read the old ones; the new ones are there before anything is compiled.
    run(checkout, *SUBTRACT)
    assert kept(checkout / "asm_core" / "__pycache__") == []
    now = run(checkout)
    assert now["misses"] == 2
    # Nor does it take what the new ones have left.
    change(checkout, *reversed(SUBTRACT))
    former = run(checkout)
    assert former["bits"] != now["bits"]
    late = run(checkout, *SUBTRACT)
    assert (late["misses"], late["bits"]) == (2, former["bits"])


def test_where_the_program_cannot_write_the_user_s_own_folder_is_used(tmp_path, checkout):
    # A file in its place, since nothing is read-only for root.
    (checkout / "asm_core" / "__pycache__").write_text("")
    own = {"XDG_CACHE_HOME": str(tmp_path / "own"), "HOME": str(tmp_path / "home")}
    first, again = run(checkout, **own), run(checkout, **own)
    assert Path(first["folder"]).is_relative_to(tmp_path)
    assert (first["misses"], again["hits"]) == (2, 2)
    assert first["bits"] == again["bits"]


def test_code_for_other_types_under_the_same_name_is_not_taken(checkout):
    module = checkout / "asm_core" / "twice.py"
    module.write_text("from asm_core.compiled import compiled\n\n\n@compiled\ndef twice(x):\n"
                      "    return 2 * x\n")  # fmt: skip
    code = "import sys; from asm_core.twice import twice; print(twice(eval(sys.argv[1])))"
    variables = {**os.environ, "PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": ""}

    def twice(number):
        done = subprocess.run([sys.executable, "-c", code, number], capture_output=True, text=True,
                              check=True, cwd=checkout, env=variables)  # fmt: skip
        return done.stdout.strip()

    assert [twice("3"), twice("1.5")] == ["6", "3.0"]
    data = sorted((checkout / "asm_core" / "__pycache__").glob("twice*.nbc"))
    assert len(data) == 2
    # What two processes can do that compile at the same moment.
    shutil.copy(data[0], data[1])
    assert [twice("3"), twice("1.5")] == ["6", "3.0"]


def test_other_functions_of_the_process_have_numba_s_own_cache():
    other = njit(cache=True)(copied)
    assert type(other._cache) is FunctionCache
    assert type(transforms.forward._cache) is not FunctionCache


@pytest.fixture
def twice(tmp_path, monkeypatch):
    """A function of a module whose compiled code is kept in a folder beside it."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "")
    monkeypatch.setattr(compiling, "_has_warned", set())
    source = tmp_path / "twice.py"
    source.write_text("def twice(x):\n    return 2 * x\n")
    spec = importlib.util.spec_from_file_location("twice", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # numba imports it by its name, when it reads what was kept.
    monkeypatch.setitem(sys.modules, "twice", module)
    return module.twice


def misses(function, number=3):
    """How often a function is compiled in a process that has not seen it before."""
    dispatcher = compiled(function)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dispatcher(number) == 2 * number
    count = sum(dispatcher.stats.cache_misses.values())
    # numba finds what it still has in memory by its name, and a new process has nothing there.
    del dispatcher
    gc.collect()
    return count


def flipped_at(place):
    def flip(content):
        damaged = bytearray(content)
        damaged[int(place * (len(content) - 1))] ^= 4
        return bytes(damaged)

    return flip


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize(
    "damage",
    [lambda content, left=left: content[:left] for left in (0, 1, 31, 32, 33, 64, -100, -1)]
    + [flipped_at(place) for place in (0.0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0)]
    + [lambda content: b"garbled", lambda content: bytes(len(content)),
       lambda content: b"x" * len(content), lambda content: content + b"x"],
)  # fmt: skip
def test_a_file_that_is_not_as_it_was_written_is_compiled_and_written_again(
    twice, tmp_path, ending, damage
):
    assert (misses(twice), misses(twice)) == (1, 0)
    (file,) = (tmp_path / "__pycache__").glob(f"twice*{ending}")
    file.write_bytes(damage(file.read_bytes()))
    assert misses(twice) == 1
    assert misses(twice) == 0


def test_files_of_another_format_or_that_cannot_be_read_are_replaced(twice, tmp_path):
    misses(twice)
    for file in (tmp_path / "__pycache__").iterdir():
        file.unlink()
        file.mkdir()
    # Folders in their places cannot be replaced either: it is compiled, and said once.
    with pytest.warns(NotKeptWarning, match=r"^compiled code is not kept, .*__pycache__") as said:
        assert [compiled(twice)(number) for number in (3, 4)] == [6, 8]
    assert len(said) == 1


def test_without_any_folder_it_is_compiled_and_said_in_one_line(twice, tmp_path, monkeypatch):
    (tmp_path / "__pycache__").write_text("")
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "/proc/none")
    for variable in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(variable, "/proc/none")
    one, two = compiled(twice), compiled(twice)
    with pytest.warns(NotKeptWarning, match=r"^compiled code is not kept") as said:
        assert (one(3), two(4)) == (6, 8)
    (line,) = [str(each.message) for each in said]
    assert "/proc/none (NUMBA_CACHE_DIR)" in line
    assert "set NUMBA_CACHE_DIR to a folder that can be written" in line
    assert "\n" not in line


def test_where_numba_cache_dir_cannot_be_written_it_is_said_what_is_used(
    twice, tmp_path, monkeypatch
):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", "/proc/none")
    with pytest.warns(NotKeptWarning, match=rf"is kept in {tmp_path}.*: /proc/none \("):
        assert compiled(twice)(3) == 6
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "own"))
    assert misses(twice) == 1
    assert kept(next((tmp_path / "own").iterdir()))


def test_no_folder_is_looked_for_before_something_is_compiled(twice, tmp_path):
    compiled(twice)
    assert not (tmp_path / "__pycache__").exists()
