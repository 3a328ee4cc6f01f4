"""The program where the system does not let it read: no permission, too few files, a bad disk."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import zarr

# Without these two capabilities (to override and to search) root is bound by modes as others are;
# who is not root has none to give away, and prctl does nothing.
BOUND_BY_MODES = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
# Arguments: command lines, and how many files may be opened while they run, each in JSON.
COMMANDS = """
import contextlib, io, json, os, resource, sys
from pipeline.cli.main import main

def run(words):
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        code = main(words)
    return code, printed.getvalue(), said.getvalue()

commands, left = map(json.loads, sys.argv[1:])
# Once without a limit, so that everything is imported.
done = [run(words) for words in commands]
if left is not None:
    opened = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 8, opened + 8))
    taken = []
    with contextlib.suppress(OSError):
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    for descriptor in taken[:left]:
        os.close(descriptor)
    done = [run(words) for words in commands]
    for descriptor in taken[left:]:
        os.close(descriptor)
print(json.dumps(done))
"""


def run(*commands, files=None):
    """Command lines in a process that is bound by modes: of each, exit code, output and errors.

    `files` is how many files it may open at a time, None for as many as it likes.
    """
    done = subprocess.run(
        [sys.executable, "-c", BOUND_BY_MODES, "-c", COMMANDS,
         json.dumps([[str(word) for word in words] for words in commands]), json.dumps(files)],
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def forbidden(path, mode=0):
    """A file or folder that may not be read, or not all of it."""
    before = path.stat().st_mode
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)


def tree(folder):
    """The content of every file, and when it was written."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


def failing(monkeypatch, file, error):
    """Have reading a file of a store fail."""

    async def get(store, key, *arguments, **options):
        if key == file:
            raise error
        return await original(store, key, *arguments, **options)

    def get_sync(store, key, **options):
        if key == file:
            raise error
        return original_sync(store, key, **options)

    original, original_sync = zarr.storage.LocalStore.get, zarr.storage.LocalStore.get_sync
    monkeypatch.setattr(zarr.storage.LocalStore, "get", get)
    monkeypatch.setattr(zarr.storage.LocalStore, "get_sync", get_sync)


def assert_refused(said, reason, place=""):
    """One line that has the reason and the place, and no word of damage."""
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "Traceback" not in said
    assert reason in line, said
    assert os.fspath(place) in line, said
    for word in ("damage", "delete", "repair", "not a store", "no store"):
        assert word not in said, said
