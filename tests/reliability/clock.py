"""A clock that jumps: between sweeps by years, during one forwards by hours, or backwards."""

import random
import signal
import threading
import time
from pathlib import Path

from reliability import forked, interposer
from reliability.interposer import Fault
from reliability.promises import (
    check_nothing_lost,
    check_said,
    check_same,
    check_sound,
    sweep,
)
from reliability.tally import Tally

SWEEP = ("block_size=4", "freqs=0..2", "unit_trials=10")
YEAR = 365 * 86_400.0


def run(folder: Path, seed: int, tally: Tally) -> None:
    """Stores that are begun, killed, grown and finished, each by another clock."""
    rnd = random.Random(seed)
    forked.warm((*SWEEP, "trials=300"))
    whole = folder / "whole.zarr"
    check_said(sweep(whole, *SWEEP, "trials=300"), 0)
    number = 0
    while not tally.is_over:
        number += 1
        path = folder / f"run{number}" / "s.zarr"
        path.parent.mkdir()
        with tally.trial("a clock that jumps between commands and during each", str(path)):
            _by_other_clocks(path, whole, rnd)
        with tally.trial("a clock that is set back again and again during a sweep", str(path)):
            _set_back(path.with_name("back.zarr"), whole, rnd)


def _set_back(path: Path, whole: Path, rnd: random.Random) -> None:
    words = ["sweep", *SWEEP, "trials=300", f"out={path}"]
    ended = forked.start(_at, 0.0, rnd.random(), words, None, -1800.0).wait()
    check_said(ended, 0)
    check_sound(forked.program("verify", path, "sample=all"))
    check_same(path, whole)


def _by_other_clocks(path: Path, whole: Path, rnd: random.Random) -> None:
    for trials in (100, 200, 300):
        words = ["sweep", *SWEEP, f"trials={trials}", f"out={path}"]
        kill = Fault(rnd.choice(["write", "rename"]), rnd.randrange(1, 120), -signal.SIGKILL)
        ended = forked.start(_at, rnd.uniform(-9, 9) * YEAR, rnd.random(), words, kill).wait()
        assert ended.code == -signal.SIGKILL or ended.result == 0, ended
        if path.exists():
            check_nothing_lost(forked.program("verify", path, "sample=0"))
    for words in (["sweep", *SWEEP, "trials=300", f"out={path}"], ["status", str(path)]):
        ended = forked.start(_at, rnd.uniform(-9, 9) * YEAR, rnd.random(), words).wait()
        check_said(ended, 0)
    check_sound(forked.program("verify", path, "sample=all"))
    check_same(path, whole)


def _at(
    offset: float, seed: float, words: list[str], fault: Fault | None = None, backwards: float = 0.0
) -> object:
    """The program by a clock that is wrong by so many seconds, and jumps by hours meanwhile."""
    interposer.set_clock(offset)
    if fault:
        interposer.arm(fault)

    def jump() -> None:
        rnd, now = random.Random(seed), offset
        while True:
            time.sleep(rnd.uniform(0.0, 0.3))
            now += backwards or rnd.uniform(0.0, 7200.0)
            interposer.set_clock(now)

    threading.Thread(target=jump, daemon=True).start()
    code = forked._program(words)
    interposer.counted()
    return code
