"""The n-th call of each kind, on any file of a store, fails or kills; then the same command again.

Whatever call it was: exit codes and lines as promised, nothing lost that the ledger lists, and in
the end the bits of a store that nothing disturbed, with nothing beside it.
"""

import errno
import itertools
import random
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.damage import flip, truncate

from pipeline.run import rounds
from pipeline.store.store import Store
from reliability import forked, interposer
from reliability.forked import Ended
from reliability.interposer import Fault
from reliability.promises import (
    GROWN,
    SMALL,
    check_nothing_lost,
    check_said,
    check_same,
    check_sound,
    sweep,
)
from reliability.tally import Tally, say

# What each kind of call fails with.
ERRORS = dict.fromkeys(("open to read", "read", "list", "stat", "flock", "sync"), errno.EIO)
ERRORS |= dict.fromkeys(("open to write", "write", "truncate", "mkdir"), errno.ENOSPC)
ERRORS |= {"rename": errno.EIO, "unlink": errno.EACCES, "rmdir": errno.EACCES}


@dataclass(frozen=True)
class Scenario:
    """A command, the store that it finds, and that which is there in the end.

    `path` is where a run has its store, with `before` copied there; `again` are the commands that
    follow a fault, the last of which must end with 0.
    """

    before: Path | None
    whole: Path
    words: tuple[str, ...]
    prepare: Callable[[], None] = lambda: None
    again: tuple[tuple[str, ...], ...] = ()


def run(folder: Path, seed: int, tally: Tally) -> None:
    """Every call of every scenario, in an order that is random, as far as the time goes."""
    forked.warm(SMALL, GROWN)
    path = folder / "run" / "s.zarr"
    scenarios = _scenarios(folder, path)
    random_ = random.Random(seed)
    groups = []
    for name, scenario in scenarios.items():
        for kind, calls in _calls_of(scenario, path).items():
            # To kill where something is only read is to kill at the next call that writes.
            reads = kind in ("stat", "list", "read", "open to read")
            for error in [ERRORS[kind], *([-signal.SIGKILL] * (not reads))]:
                faults = [Fault(kind, n, error) for n in range(1, calls + 1)]
                groups.append([(name, fault) for fault in random_.sample(faults, calls)])
    # One of each group in turn: some kinds of calls are a hundred times as frequent as others.
    random_.shuffle(groups)
    cases = [case for turn in itertools.zip_longest(*groups) for case in turn if case]
    print(f"{len(cases):,} calls to strike", flush=True)
    for done, (name, fault) in enumerate(cases):
        if tally.is_over:
            break
        how = "kills" if fault.error < 0 else errno.errorcode[fault.error]
        with tally.trial(f"{name}: {fault.kind} {how}", str(fault)):
            _strike(scenarios[name], path, fault)
        say(f"{done + 1} of {len(cases)}")


def _strike(scenario: Scenario, path: Path, fault: Fault) -> None:
    _lay(scenario, path)
    struck = forked.start(_command, scenario, fault, words=" ".join(scenario.words)).wait(120.0)
    if fault.error < 0:
        # A call may come later or not at all, as those of threads do.
        assert struck.code in (-signal.SIGKILL, 0), struck
    else:
        check_said(struck, 0, 1, 2, 3)
    # A verb that mends or runs again finds other things than a sweep leaves.
    checked = path.exists() and not scenario.again
    before, *_, last, sound = forked.programs(
        ("verify", path, "sample=0"), *(scenario.again or (scenario.words,)),
        ("verify", path, "sample=all"),
    )  # fmt: skip
    if checked:
        check_nothing_lost(before)
    check_said(last, 0)
    check_sound(sound)
    check_same(path, scenario.whole)


def _command(scenario: Scenario, fault: Fault | None) -> object:
    scenario.prepare()
    if fault:
        interposer.arm(fault)
    code = forked._program(scenario.words)
    interposer.counted()
    return code


def _calls_of(scenario: Scenario, path: Path) -> dict[str, int]:
    """How many calls of each kind there are where none is struck."""
    _lay(scenario, path)
    return forked.call(_counted, scenario)


def _counted(scenario: Scenario) -> dict[str, int]:
    scenario.prepare()
    interposer.count()
    assert forked._program(scenario.words) in (0, 1)
    return interposer.counted()


def _lay(scenario: Scenario, path: Path) -> None:
    shutil.rmtree(path.parent, ignore_errors=True)
    path.parent.mkdir()
    if scenario.before:
        shutil.copytree(scenario.before, path)


def _scenarios(folder: Path, path: Path) -> dict[str, Scenario]:
    """Each with its store before, and that of an undisturbed run."""
    small, grown = folder / "small.zarr", folder / "grown.zarr"
    check_said(sweep(small, *SMALL), 0)
    shutil.copytree(small, grown)
    check_said(sweep(grown, *GROWN, "extend=true"), 0)
    unfinished, damaged = folder / "unfinished.zarr", folder / "damaged.zarr"
    forked.call(_sweep_without_end, unfinished)
    shutil.copytree(small, damaged)
    flip(damaged / "error/c/0/0/0/0/0/0/1")
    truncate(damaged / "regret/c/0/0/0/0/0/2")
    flip(next(file for file in (damaged / "ledger/mask_accuracy/c").rglob("*") if file.is_file()))
    (damaged / "freq/zarr.json").unlink()
    into = f"out={path}"
    again = ("sweep", *SMALL, into)
    # Once for metadata, without which nothing else can be checked, and once for all else.
    repair = ("verify", str(path), "repair=true")
    return {
        "sweep": Scenario(None, small, again),
        "grow": Scenario(small, grown, ("sweep", *GROWN, "extend=true", into)),
        "pack": Scenario(None, small, again, _pack_often),
        "finish": Scenario(unfinished, small, again),
        "repair": Scenario(
            damaged, small, repair,
            again=(repair, repair, again),
        ),
        "rerun": Scenario(None, small, ("rerun", str(small), into)),
    }  # fmt: skip


def _pack_often() -> None:
    rounds._ROWS_BETWEEN_PACKING = 2


def _sweep_without_end(path: Path) -> Ended:
    """A store of which every unit is there, and whose sweep was then killed."""
    Store.finish = lambda store, record: None
    return forked._program(["sweep", *SMALL, f"out={path}"])
