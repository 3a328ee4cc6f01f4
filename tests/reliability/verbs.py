"""A Hypothesis state machine: verbs in any order on one store, against a model of what it holds.

The model is a list of what commands that ended with 0 have asked for.  After every step: no
traceback and an exit code that is documented; all of that is there; every number that is there has
the bits of one larger sweep that nothing disturbed; nothing lies beside the store, unless its
writer was killed.
"""

import itertools
import shutil
import signal
from pathlib import Path

import hypothesis
import numpy as np
from helpers.damage import empty, flip, truncate
from helpers.sweeps import open_store
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pipeline.audit.difference import compare_stores
from pipeline.planning.axes import fewest
from pipeline.store.store import chosen_counts
from reliability import forked
from reliability.forked import Ended
from reliability.interposer import KINDS, Fault
from reliability.promises import check_nothing_lost, check_said, check_sound
from reliability.tally import Tally

# The largest store that any run can come to.
WHOLE = ("freqs=0..3", "block_size=4,8", "algorithm=asm,apx", "trials=120", "unit_trials=10")
TRIALS = (10, 15, 30, 40, 60)


def run(folder: Path, seed: int, tally: Tally) -> None:
    """Four stores of ten steps for each seed, until the time is over."""
    forked.warm(WHOLE)
    whole = folder / "whole.zarr"
    check_said(forked.program("sweep", *WHOLE, f"out={whole}"), 0)
    stores = itertools.count()

    class Machine(Verbs):
        def __init__(self) -> None:
            super().__init__(folder / f"run{next(stores)}", whole, tally)

    settings = hypothesis.settings(
        max_examples=4, stateful_step_count=10, deadline=None, database=None, print_blob=False,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    for number in itertools.count():
        hypothesis.seed(seed + number)(Machine)
        with tally.trial("a whole run", f"seed {seed + number}"):
            run_state_machine_as_test(Machine, settings=settings)
        if tally.is_over:
            return


class Verbs(RuleBasedStateMachine):
    """One store: where it is, and what it must hold."""

    def __init__(self, folder: Path, whole: Path, tally: Tally) -> None:
        super().__init__()
        self.folder, self.whole, self.tally = folder, whole, tally
        folder.mkdir()
        self.path, self.moves = folder / "s0.zarr", 0
        self.axes = {"freqs": 1, "block_size": "4", "algorithm": "asm"}
        # What was asked for and is there: (labels, trials).
        self.held: list[tuple[dict[str, list], int]] = []
        self.pending: tuple[str, ...] | None = None
        self.is_damaged = False

    def words(self, trials: int, **changes: object) -> tuple[str, ...]:
        axes = self.axes | changes
        return (
            f"freqs=0..{axes['freqs']}", f"block_size={axes['block_size']}",
            f"algorithm={axes['algorithm']}", f"trials={trials}", "unit_trials=10",
        )  # fmt: skip

    def hold(self, trials: int) -> None:
        labels = {
            "freq": list(range(self.axes["freqs"] + 1)),
            "block_size": [int(size) for size in self.axes["block_size"].split(",")],
            "algorithm": self.axes["algorithm"].split(","),
        }
        self.held.append((labels, trials))
        self.pending, self.is_damaged = None, False

    def program(self, kind: str, *words: object, fault: Fault | None = None) -> Ended:
        self.tally.tried[kind] += 1
        return forked.program(*words, fault=fault)

    def sweep(self, kind: str, trials: int, *more: str, **changes: object) -> None:
        words = (*self.words(trials, **changes), "extend=true", f"out={self.path}", *more)
        check_said(self.program(kind, "sweep", *words), 0)
        self.axes |= changes
        # Of few trials a precision measures all: it does not judge by fewer than some hundreds.
        self.hold(trials)

    @initialize(trials=st.sampled_from(TRIALS))
    def begin(self, trials: int) -> None:
        self.sweep("sweep", trials)

    @rule(trials=st.sampled_from(TRIALS))
    def more_or_fewer_trials(self, trials: int) -> None:
        self.sweep("more or fewer trials", trials)

    @rule(
        trials=st.sampled_from(TRIALS),
        change=st.sampled_from(
            [{"freqs": 2}, {"freqs": 3}, {"block_size": "4,8"}, {"algorithm": "asm,apx"}]
        ),
    )
    def extend(self, trials: int, change: dict[str, object]) -> None:
        if change.get("freqs", 9) > self.axes["freqs"]:
            self.sweep("extend", trials, **change)

    @rule(goal=st.sampled_from([0.02, 0.05, 0.2]))
    def precision(self, goal: float) -> None:
        self.sweep("precision", 120, f"precision={goal}")

    @rule(
        trials=st.sampled_from(TRIALS), kind=st.sampled_from(KINDS), n=st.integers(1, 120),
        freqs=st.sampled_from([1, 2, 3]),
    )  # fmt: skip
    def kill(self, trials: int, kind: str, n: int, freqs: int) -> None:
        freqs = max(freqs, self.axes["freqs"])
        words = (*self.words(trials, freqs=freqs), "extend=true", f"out={self.path}")
        ended = self.program(
            "kill", "sweep", *words, fault=Fault(kind, n, -signal.SIGKILL, self.path.name)
        )
        assert ended.code in (0, -signal.SIGKILL), ended
        self.axes["freqs"] = freqs
        if ended.code == 0:
            self.hold(trials)
        else:
            self.pending = words

    @rule()
    def verify(self) -> None:
        ended = self.program("verify", "verify", self.path, "sample=all")
        if self.is_damaged:
            check_said(ended, 1)
        elif self.pending:
            check_nothing_lost(ended)
        else:
            check_said(ended, 0)

    @rule()
    def status(self) -> None:
        ended = check_said(self.program("status", "status", self.path), *self.codes_of_reading)
        assert ended.code or f"Store: {self.path}" in ended.out, ended

    @rule()
    def summary(self) -> None:
        check_said(self.program("summary", "summary", self.path), *self.codes_of_reading)

    @property
    def codes_of_reading(self) -> tuple[int, ...]:
        """A chunk of the ledger may be damaged, which is then said."""
        return (0, 2) if self.is_damaged else (0,)

    @precondition(lambda self: not self.is_damaged)
    @rule(
        pick=st.integers(0, 10**6),
        how=st.sampled_from([flip, truncate, empty, lambda file: file.unlink()]),
    )
    def damage(self, pick: int, how) -> None:
        chunks = [
            file for name in ("error", "mask_accuracy", "regret", "ledger")
            for file in sorted(self.path.glob(f"{name}/**/c/**/*")) if file.is_file()
        ]  # fmt: skip
        # `ledger/moment` tells what the columns are, and is compared with the program.
        how(chunks[pick % len(chunks)])
        self.tally.tried["damage"] += 1
        self.is_damaged = True
        self.repair()

    def repair(self) -> None:
        ended = self.program("repair", "verify", self.path, "repair=true")
        check_said(ended, 0)
        words = self.pending or (*self.words(1), "extend=true", f"out={self.path}")
        # All that was ever asked for is asked for again.
        for labels, trials in self.held:
            asked = (
                f"freqs=0..{len(labels['freq']) - 1}",
                f"block_size={','.join(map(str, labels['block_size']))}",
                f"algorithm={','.join(labels['algorithm'])}", f"trials={trials}",
                "unit_trials=10", "extend=true", f"out={self.path}",
            )  # fmt: skip
            check_said(self.program("sweep again", "sweep", *asked), 0)
        if self.pending:
            check_said(self.program("sweep again", "sweep", *words), 0)
            self.pending = None
        self.is_damaged = False

    @precondition(lambda self: not self.pending)
    @rule()
    def rerun(self) -> None:
        again = self.folder / "again.zarr"
        ended = self.program("rerun", "rerun", self.path, f"out={again}")
        check_said(ended, 0)
        assert "The same to the bit" in ended.out, ended
        shutil.rmtree(again)

    @precondition(lambda self: not self.pending)
    @rule()
    def move(self) -> None:
        self.tally.tried["move"] += 1
        self.moves += 1
        moved = self.folder / f"s{self.moves}.zarr"
        self.path.rename(moved)
        self.path = moved

    @invariant()
    def promises(self) -> None:
        if not self.path.exists() or self.is_damaged:
            return
        forked.call(check_promised, self.path, self.whole, self.held)
        if not self.pending:
            beside = [p.name for p in self.folder.iterdir() if p != self.path]
            assert beside == [], beside

    def teardown(self) -> None:
        if self.pending:
            words = self.pending
            check_said(self.program("go on after a kill", "sweep", *words), 0)
            self.pending = None
        if self.path.exists():
            check_sound(self.program("verify", "verify", self.path, "sample=all"))
            self.promises()
        shutil.rmtree(self.folder)


def check_promised(path: Path, whole: Path, held: list[tuple[dict[str, list], int]]) -> None:
    """What a store has is that of a larger one, and its ledger lists all that was asked for."""
    store = open_store(path)
    compared, differences = compare_stores(store, open_store(whole))
    assert differences == []
    assert compared > 0
    counts, labels = store.counts(), store.labels
    for wanted, trials in held:
        chosen = fewest(chosen_counts(counts, labels, {**labels, **wanted}))
        lengths = np.minimum(10, np.maximum(0, trials - 10 * np.arange(chosen.shape[-1])))
        assert (chosen >= lengths).all(), (wanted, trials, chosen.tolist())
