"""What was tried, what survived, and what did not."""

import collections
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager


class Tally:
    """Counts trials by kind until its time is over; one that fails is printed at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds
        self.tried = collections.Counter[str]()
        self.failed = collections.Counter[str]()
        self.notes = collections.Counter[str]()

    @property
    def is_over(self) -> bool:
        """Whether the time is over; not before something was tried."""
        return bool(self.tried) and time.monotonic() > self._end

    @contextmanager
    def trial(self, kind: str, what: str) -> Iterator[None]:
        """One trial, which fails by an AssertionError."""
        self.tried[kind] += 1
        try:
            yield
        except AssertionError as error:
            self.failed[kind] += 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            said = "".join(f"\n  {line}" for line in str(error).splitlines())
            print(f"FAILED {kind}: {what} ({place.name}:{place.lineno}){said}", flush=True)

    def note(self, what: str) -> None:
        """Something that is no failure, to be counted."""
        self.notes[what] += 1

    def print(self) -> int:
        """The table of all kinds; returns the exit code."""
        for kind in sorted(self.tried):
            survived = self.tried[kind] - self.failed[kind]
            print(f"| {kind} | {self.tried[kind]:,} | {survived:,} |")
        for what, times in sorted(self.notes.items()):
            print(f"  {times:,} x {what}")
        print(f"{self.tried.total():,} tried, {self.failed.total():,} failed", flush=True)
        return int(self.failed.total() > 0 or not self.tried)


def say(*words: object) -> None:
    """Print how far it is, where a person looks on."""
    if sys.stderr.isatty():
        print(*words, file=sys.stderr, flush=True)
