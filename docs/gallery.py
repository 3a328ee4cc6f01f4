"""Runs the commands of docs/gallery.md, which make its figures: make gallery."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def commands():
    """The command lines of the page, in their order."""
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for block in blocks for line in block.splitlines()]


if __name__ == "__main__":
    for _, *words in commands():
        print(shlex.join(words), flush=True)
        subprocess.run([sys.executable, *words], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
