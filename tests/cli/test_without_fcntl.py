"""A system without locks of files, as Windows: stores are read, and what writes says so at once."""

import json
import subprocess
import sys

import pytest
from helpers.unreadable import tree

from pipeline.cli.main import main

# Without what Python has on Unix alone; arguments: command lines in JSON.
ELSEWHERE = """
import contextlib, io, json, os, signal, sys
# psutil for Linux, which has a Windows of its own.
import psutil
sys.modules |= dict.fromkeys(["fcntl", "resource", "termios", "grp"])
for module, names in ((os, ["pwrite", "pread", "getuid", "geteuid", "killpg"]),
                      (signal, ["SIGHUP", "SIGKILL", "SIGQUIT", "SIGUSR1", "setitimer"])):
    for name in names:
        delattr(module, name)
from pipeline.cli.main import main

def run(words):
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        code = main(words)
    return code, printed.getvalue(), said.getvalue()

print(json.dumps([run(words) for words in json.loads(sys.argv[1])]))
"""
SWEEP = ["trials=40", "freqs=0..2", "unit_trials=20"]


def elsewhere(folder, *commands):
    words = [[str(word) for word in words] for words in commands]
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, json.dumps(words)],
        capture_output=True, text=True, timeout=240, check=False, cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def path(tmp_path):
    assert main(["sweep", *SWEEP, f"out={tmp_path}/s.zarr"]) == 0
    return tmp_path / "s.zarr"


def test_verbs_that_read_work(tmp_path, path):
    away = tmp_path / "away"
    away.mkdir()
    before = tree(path)
    done = elsewhere(
        away, ["status", path], ["summary", path], ["plot", path, f"to={away}/curve"],
        ["verify", path, "sample=all"], ["verify", path, f"against={path}"], ["plan", *SWEEP],
        ["check", *SWEEP], ["example", f"to={away}/x"], ["sweep", *SWEEP, f"out={path}"],
    )  # fmt: skip
    assert [(code, said) for code, _, said in done if code] == []
    assert "Complete." in done[0][1]
    assert "2 computed again.\nNo damage found." in done[3][1]
    assert tree(path) == before


def test_verbs_that_write_are_refused_in_a_line_before_anything_is_written(tmp_path, path):
    (chunk, *_) = sorted(file for file in (path / "error" / "c").rglob("*") if file.is_file())
    chunk.write_bytes(chunk.read_bytes()[:-1])
    away = tmp_path / "away"
    away.mkdir()
    before = tree(tmp_path)
    done = elsewhere(
        away, ["sweep", *SWEEP], ["sweep", *SWEEP, "cluster=processes"],
        ["sweep", "trials=80", *SWEEP[1:], f"out={path}"], ["rerun", path, "out=again.zarr"],
        ["claims", "trials=100"], ["verify", path, "repair=true", "sample=0"],
    )  # fmt: skip
    for code, _, said in done:
        assert code == 2, said
        (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
        assert "which has no locks of files (fcntl), as Windows: run the program in WSL" in line
        assert "Traceback" not in said
        assert "Compiling" not in said
    assert tree(tmp_path) == before


def test_who_holds_a_lock_is_told_as_far_as_it_can_be(tmp_path, path):
    lock = path.with_name("s.zarr.lock")
    lock.write_text(json.dumps({"host": "another", "pid": 1, "started": "then", "session": "1"}))
    (status, verify) = elsewhere(tmp_path, ["status", path], ["verify", path])
    assert "Running: process 1 on another since then" in status[1]
    assert verify[0] == 2
    assert f"or, if it is dead, remove {lock}" in verify[2]
