"""Several processes on one store: readers beside a writer that grows and packs; six sweeps at once.

A reader gets right numbers or a line that says what is wrong; of six sweeps one writes and the
others are refused with its name, and whoever goes on ends with the bits of one alone.
"""

import random
import time
from pathlib import Path

from pipeline.run import rounds
from reliability import forked
from reliability.forked import Child, Ended
from reliability.promises import (
    check_no_other_number,
    check_said,
    check_same,
    check_sound,
    sweep,
    values,
    values_of_xarray,
)
from reliability.tally import Tally

BASE = ("block_size=4", "unit_trials=10")
# Each needs more than the one before.
GROWTHS = (
    ("freqs=0..1", "trials=100"), ("freqs=0..1", "trials=300"), ("freqs=0..3", "trials=300"),
    ("freqs=0..3", "trials=400", "algorithm=asm,apx"),
)  # fmt: skip
SAME = (*BASE, "freqs=0..2", "trials=200")
READERS = (values, values_of_xarray, "summary", "status", "verify")


def run(folder: Path, seed: int, tally: Tally) -> None:
    """Both in turn, until the time is over."""
    rnd = random.Random(seed)
    forked.warm((*BASE, *GROWTHS[-1]), SAME)
    grown, same = folder / "grown.zarr", folder / "same.zarr"
    for words in GROWTHS:
        check_said(sweep(grown, *BASE, *words, "extend=true"), 0)
    check_said(sweep(same, *SAME), 0)
    right = forked.call(values, grown)
    number = 0
    while not tally.is_over:
        number += 1
        place = folder / f"run{number}"
        place.mkdir()
        _read_beside_a_writer(place / "s.zarr", grown, right, rnd, tally)
        _six_at_once(place / "six.zarr", same, rnd, tally)


def _read_beside_a_writer(path: Path, whole: Path, right, rnd, tally: Tally) -> None:
    check_said(sweep(path, *BASE, *GROWTHS[0]), 0)
    writer = forked.start(_grow, path)
    while not writer.ended():
        reader = rnd.choice(READERS)
        name = reader if isinstance(reader, str) else reader.__name__
        with tally.trial(f"read beside a writer: {name}", str(path)):
            if isinstance(reader, str):
                words = (reader, path, *(["sample=0"] if reader == "verify" else []))
                # `verify` wants a store that nobody writes.
                _check_read(forked.program(*words), (0, 1, 2) if reader == "verify" else (0,))
            else:
                ended = forked.start(reader, path).wait()
                assert not ended.hung, ended
                if ended.code:
                    # xarray alone may open a store in the moment in which it grows.
                    assert reader is values_of_xarray, ended
                    tally.note("xarray met a store that was just being grown")
                else:
                    check_no_other_number(ended.result, right)
    with tally.trial("a writer that is read", str(path)):
        ended = writer.wait()
        assert ended.result == [0] * len(GROWTHS[1:]), ended
        check_sound(forked.program("verify", path, "sample=all"))
        check_same(path, whole)


def _check_read(ended: Ended, codes: tuple[int, ...]) -> None:
    check_said(ended, *codes)
    if ended.code == 1:
        # What a writer that has just begun or ended has half done, is no damage.
        bad = [line for line in ended.out.splitlines() if line.startswith("bad:")]
        assert not bad, ended


def _grow(path: Path) -> list[int]:
    rounds._ROWS_BETWEEN_PACKING = 3
    codes = []
    for words in GROWTHS[1:]:
        code = forked._program(["sweep", *BASE, *words, "extend=true", f"out={path}"])
        codes.append(int(code))
    return codes


def _six_at_once(path: Path, whole: Path, rnd: random.Random, tally: Tally) -> None:
    with tally.trial("six sweeps at once", str(path)):
        children = list[Child]()
        for _ in range(6):
            children.append(forked.starting("sweep", *SAME, f"out={path}"))
            time.sleep(rnd.choice([0.0, 0.0, 0.05, 0.3]))
        ended = [child.wait() for child in children]
        for one in ended:
            check_said(one, 0, 2)
            assert one.code == 0 or "is being written by process" in one.err, one
        assert any(one.code == 0 for one in ended), ended
        tally.note(f"of six, {sum(one.code == 0 for one in ended)} ended with 0")
        check_said(sweep(path, *SAME), 0)
        check_sound(forked.program("verify", path, "sample=all"))
        check_same(path, whole)
