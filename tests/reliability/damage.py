"""Bytes of a store's files flipped, zeroed, cut off; files deleted, emptied, exchanged.

Whatever is damaged: no traceback and no hang, no reader gets another number, `verify` says so, and
`repair` and the same sweep give the same bits again.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from reliability import forked
from reliability.promises import (
    GROWN,
    SMALL,
    check_no_other_number,
    check_part_of,
    check_said,
    check_same,
    check_sound,
    sweep,
    values,
    values_of_xarray,
)
from reliability.tally import Tally, say

_GROUPS = ("zarr.json", "ledger/zarr.json")
_EXCHANGED = "another one's content"


def _flip(content: bytearray, at: int, rnd: random.Random) -> None:
    content[at] ^= 1 << rnd.randrange(8)


def _zero(content: bytearray, at: int, rnd: random.Random) -> None:
    content[at : at + 512] = bytes(len(content[at : at + 512]))


def _cut(content: bytearray, at: int, rnd: random.Random) -> None:
    del content[at:]


def _insert(content: bytearray, at: int, rnd: random.Random) -> None:
    content[at:at] = rnd.randbytes(16)


WAYS: dict[str, Callable[[bytearray, int, random.Random], None]] = {
    "a bit flipped": _flip, "512 bytes zeroed": _zero, "cut off": _cut, "16 bytes more": _insert,
}  # fmt: skip


def run(folder: Path, seed: int, tally: Tally) -> None:
    """Damage to one file after the other, each in a copy of one store."""
    forked.warm(SMALL, GROWN)
    whole, path = folder / "whole.zarr", folder / "run" / "s.zarr"
    check_said(sweep(whole, *SMALL), 0)
    check_said(sweep(whole, *GROWN, "extend=true"), 0)
    right = forked.call(values, whole)
    table = forked.program("summary", whole).out.replace(str(whole), "STORE")
    rnd = random.Random(seed)
    files = sorted(file.relative_to(whole) for file in whole.rglob("*") if file.is_file())
    ways = [*WAYS, "deleted", _EXCHANGED]
    print(f"{len(files)} files", flush=True)
    number = 0
    while not tally.is_over:
        file, way = rnd.choice(files), rnd.choice(ways)
        shutil.rmtree(path.parent, ignore_errors=True)
        shutil.copytree(whole, path)
        said = _strike(path / file, way, files, path, rnd)
        if (path / file).exists() and (path / file).read_bytes() == (whole / file).read_bytes():
            continue
        where = "zarr.json of the store" if str(file) == "zarr.json" else (
            "other zarr.json" if file.name == "zarr.json" else
            "ledger" if file.parts[0] == "ledger" else
            "trials" if file.parts[0] in ("error", "mask_accuracy", "regret") else "coordinates"
        )  # fmt: skip
        # Names are checked by `open_results`, and xarray alone takes them as it finds them.
        readers = [values_of_xarray] * (where in ("trials", "ledger")) + [values]
        # A whole file of another place has its checksum: `verify` alone tells.
        readers = readers * (way != _EXCHANGED)
        with tally.trial(f"{where}: {way}", f"{file}, {said}"):
            _check(path, path / file, whole, right, table, readers)
        number += 1
        say(number)


def _strike(file: Path, way: str, files: list[Path], path: Path, rnd: random.Random) -> str:
    """Damage a file; returns where."""
    content = bytearray(file.read_bytes())
    if way == "deleted":
        file.unlink()
        return ""
    if way in WAYS:
        at = rnd.randrange(max(len(content), 1))
        if content:
            WAYS[way](content, at, rnd)
        file.write_bytes(content)
        return f"at byte {at}"
    other = path / rnd.choice(files)
    file.write_bytes(other.read_bytes())
    return f"that of {other.relative_to(path)}"


def _check(path: Path, file: Path, whole: Path, right, table: str, readers: list) -> None:
    # What zarr and xarray raise for damage is theirs; numbers that they give must be right.
    for reader in readers:
        read = forked.start(reader, path).wait()
        assert not read.hung, read
        if read.result is not None:
            check_no_other_number(read.result, right)
    words = ("sweep", *GROWN, f"out={path}")
    summary, status, found, repaired, left, again, sound = forked.programs(
        ("summary", path), ("status", path), ("verify", path, "sample=0"),
        ("verify", path, "repair=true"), ("verify", path, "sample=0"), words,
        ("verify", path, "sample=all"),
    )  # fmt: skip
    if "and its copy in the store's zarr.json differ in" in found.out:
        # Which of both is right is for a person to say; until then nothing is touched.
        check_said(found, 1)
        check_said(repaired, 1)
        file.unlink()
        repaired, left, again, sound = forked.programs(
            ("verify", path, "repair=true"), ("verify", path, "sample=0"), words,
            ("verify", path, "sample=all"),
        )  # fmt: skip
        found.code = 1
    for ended in (summary, status):
        check_said(ended, 0, 2)
    if readers and summary.code == 0 and "Unfinished" not in summary.err:
        shown = summary.out.replace(str(path), "STORE").split()
        assert len(shown) == len(table.split()), summary
        # What the ledger does not have is not shown.
        assert all(a in (b, "-") for a, b in zip(shown, table.split(), strict=True)), summary
    check_said(found, 0, 1, 2)
    # Of a row that is not there nobody knows that it ever was: its unit counts as missing.  A bit
    # of a title, or of the copy of a copy, changes no number, as the readers have just shown.
    is_of_group = str(file.relative_to(path)) in _GROUPS
    assert found.code or "Unfinished" in found.out or is_of_group, found
    for ended in (repaired, left, again):
        check_said(ended, 0)
    check_sound(sound)
    # An array that is said to be longer than it was is no damage: a growth makes it so.
    (check_part_of if file.name == "zarr.json" else check_same)(path, whole)
