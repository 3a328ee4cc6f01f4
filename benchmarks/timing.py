"""Medians of calls and of whole processes; rivals in turn, so that noise is the same to all."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

ROUNDS = 9
# A call shorter than this is repeated within a round.
_SHORTEST = 0.02


def seconds(function: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median time of a call, after one that compiles."""
    return in_turn({"": function}, rounds)[""]


def in_turn(
    functions: Mapping[str, Callable[[], object]], rounds: int = ROUNDS
) -> dict[str, float]:
    """Median time of a call of each, A B C A B C ..., after one round that compiles."""
    repeats = {}
    for name, function in functions.items():
        function()
        repeats[name] = max(1, min(1000, round(_SHORTEST / max(once(function), 1e-9))))
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            began = time.perf_counter()
            for _ in range(repeats[name]):
                function()
            times[name].append((time.perf_counter() - began) / repeats[name])
    return {name: statistics.median(values) for name, values in times.items()}


def once(function: Callable[[], object]) -> float:
    """Time of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


@contextmanager
def folder() -> Iterator[str]:
    """A folder for stores on the disk where results are, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bench-", dir=".") as path:
        yield path


def table(headings: Sequence[str], lines: Sequence[Sequence[object]]) -> str:
    """A table of Markdown, numbers to the right."""
    rule = ["--:" if k else "---" for k in range(len(headings))]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in [headings, rule, *lines])


def process(*arguments: str, **environment: str) -> tuple[float, str]:
    """Wall seconds and standard error of a Python process of its own."""
    began = time.perf_counter()
    child = subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wall = time.perf_counter() - began
    if child.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: exit {child.returncode}: {child.stderr}")
    return wall, child.stderr
