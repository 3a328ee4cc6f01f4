"""The gallery: every figure has its command, and the commands make them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "gallery.md").read_text()
LINKED = re.findall(r"!\[[^\]]+\]\(\.\./(\S+)\)", PAGE)


def test_every_figure_is_there_and_is_made_by_a_command_of_the_page():
    assert len(LINKED) == 8
    assert re.findall(r"to=(\S+\.png)", PAGE) == LINKED
    for figure in LINKED:
        with Image.open(ROOT / figure) as picture:
            assert picture.width > 1000


@pytest.mark.slow
def test_the_commands_make_the_figures(tmp_path):
    for name in ("asm_core", "pipeline", "conf", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)
    # Where the program looks for the page, and from where it runs its commands.
    (tmp_path / "docs").unlink()
    (tmp_path / "docs").mkdir()
    for name in ("gallery.md", "gallery.py"):
        (tmp_path / "docs" / name).write_text((ROOT / "docs" / name).read_text())
    done = subprocess.run(
        [sys.executable, "docs/gallery.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Traceback" not in done.stderr
    for figure in LINKED:
        with Image.open(tmp_path / figure) as made, Image.open(ROOT / figure) as kept:
            assert made.size == kept.size, figure
