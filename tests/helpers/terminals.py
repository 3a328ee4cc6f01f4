"""The program in a terminal of some width, and the numbers that it shows."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

# Colours, and cursors that move.
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_NUMBER = re.compile(r"\d[\d,.]*(?:e[+-]?\d+)?")


def shown(arguments, cwd, columns):
    """What the program writes to a terminal that is so many columns wide; its exit code first."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: text for key, text in os.environ.items() if key not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", *arguments],
        stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, cwd=cwd,
        env={**environment, "TERM": "xterm-256color"},
    ) as process:  # fmt: skip
        os.close(theirs)
        content = b""
        try:
            while part := os.read(ours, 65536):
                content += part
        except OSError:
            # What Linux gives in place of the end of a terminal.
            pass
        finally:
            os.close(ours)
        code = process.wait(timeout=60)
    return code, _SEQUENCE.sub("", content.decode()).replace("\r", "\n")


def numbers(text):
    """Every number in a text, once."""
    return {number.rstrip(".,") for number in _NUMBER.findall(text)}
