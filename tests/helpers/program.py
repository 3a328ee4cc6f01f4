"""The program in a process of its own."""

import os
import subprocess
import sys


def run(arguments, cwd, seconds=120, **environment):
    """A process of its own: exit code, what it printed, what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True, text=True, cwd=cwd, timeout=seconds, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def run_console_script(arguments, cwd, **environment):
    """The same, called as `asm-sweep`: what it printed."""
    code = (
        "import sys; from pipeline.__main__ import main; "
        "sys.argv[0] = '/somewhere/bin/asm-sweep'; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True, text=True, cwd=cwd, timeout=60, check=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    return done.stdout
