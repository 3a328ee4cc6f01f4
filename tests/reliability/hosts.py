"""Two machines on one shared folder: each has a host name of its own.

Locks of the operating system work between them as on a shared file system that has such locks; are
refused (ENOLCK, EOPNOTSUPP), as by one that has none; or are granted to both, as by a network file
system that keeps them to each machine (`local_lock`, `nolock`).
"""

import ctypes
import errno
import os
import random
import signal
import time
from pathlib import Path

from helpers.sweeps import rows_of

from reliability import forked, interposer
from reliability.forked import Ended
from reliability.interposer import Fault
from reliability.promises import check_said, check_same, check_sound, sweep
from reliability.tally import Tally

SWEEP = ("block_size=4", "freqs=0..2", "unit_trials=10", "trials=1000")
_CLONE_NEWUTS, _CLONE_NEWUSER = 0x04000000, 0x10000000


def run(folder: Path, seed: int, tally: Tally) -> None:
    """Each kind of lock in turn, until the time is over."""
    rnd = random.Random(seed)
    forked.warm(SWEEP)
    whole = folder / "whole.zarr"
    check_said(sweep(whole, *SWEEP), 0)
    number = 0
    while not tally.is_over:
        number += 1
        place = folder / f"run{number}"
        place.mkdir()
        _locks_that_work(place / "s.zarr", whole, rnd, tally)
        for refusal in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
            _no_locks(place / f"{errno.errorcode[refusal]}.zarr", refusal, tally)
        _locks_of_each(place / "each.zarr", whole, rnd, tally)


def _two(path: Path, rnd: random.Random, fault: Fault | None = None) -> list[Ended]:
    """Two hosts, the second of which begins once the first has stored some units, or before."""
    words = ["sweep", *SWEEP, f"out={path}"]
    children = [
        forked.start(_on, "one", words, fault),
        forked.start(_on, "two", words, fault, path, rnd.choice([0, 1, 5, 20])),
    ]
    return [child.wait() for child in children]


def _on(
    host: str,
    words: list[str],
    fault: Fault | None = None,
    path: Path | None = None,
    units: int = 0,
) -> object:
    """The program on a host of this name, once so many units of a store wait in its journal."""
    while units and path and rows_of(path) < units and not (path / "ledger/error/c").exists():
        time.sleep(0.001)
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(_CLONE_NEWUTS | (_CLONE_NEWUSER if os.geteuid() else 0)):
        raise OSError(ctypes.get_errno(), "this system gives no host name of one's own")
    name = host.encode()
    library.sethostname(name, len(name))
    if fault:
        interposer.arm(fault)
    return forked._program(words)


def _locks_that_work(path: Path, whole: Path, rnd: random.Random, tally: Tally) -> None:
    with tally.trial("two hosts, locks that work", str(path)):
        ended = _two(path, rnd)
        for one in ended:
            check_said(one, 0, 2)
            assert one.code == 0 or any(f"on {host}," in one.err for host in ("one", "two")), one
        assert any(one.code == 0 for one in ended), ended
        check_sound(forked.program("verify", path, "sample=all"))
        check_same(path, whole)
    with tally.trial("a host that died with the lock", str(path)):
        again = path.with_name("died.zarr")
        kill = Fault("write", rnd.randrange(20, 120), -signal.SIGKILL)
        forked.start(_on, "one", ["sweep", *SWEEP, f"out={again}"], kill).wait()
        check_said(forked.start(_on, "two", ["sweep", *SWEEP, f"out={again}"]).wait(), 0)
        check_same(again, whole)


def _no_locks(path: Path, refusal: int, tally: Tally) -> None:
    with tally.trial(f"a folder without locks: {errno.errorcode[refusal]}", str(path)):
        ended = forked.start(
            _on, "one", ["sweep", *SWEEP, f"out={path}"], Fault("flock", 0, refusal)
        ).wait()
        check_said(ended, 2)
        assert os.strerror(refusal) in ended.err, ended
        assert not path.exists()
        assert not any(p.name.startswith(path.name) for p in path.parent.iterdir())


def _locks_of_each(path: Path, whole: Path, rnd: random.Random, tally: Tally) -> None:
    """Both get the lock, which is not promised to be noticed: repaired, the bits are right."""
    with tally.trial("two hosts, locks granted to both", str(path)):
        ended = _two(path, rnd, Fault("flock", 0, 0))
        for one in ended:
            check_said(one, 0, 1, 2)
        said = {line for one in ended for line in one.err.splitlines() if "error: " in line}
        tally.note(f"both had the lock: exit codes {sorted(one.code for one in ended)}")
        for line in said:
            tally.note(line.replace(str(path), "STORE")[:160])
        # What the one wrote after the other had ended is a leftover.
        check_said(forked.program("verify", path, "repair=true"), 0)
        check_said(sweep(path, *SWEEP), 0)
        check_sound(forked.program("verify", path, "sample=all"))
        check_same(path, whole)
