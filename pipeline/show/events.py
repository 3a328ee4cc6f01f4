"""Results and progress for other programs: JSON, one object a line."""

import dataclasses
import json
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from pipeline.analysis.crossings import Crossing
from pipeline.analysis.curves import Curves, in_range
from pipeline.planning.plan import Plan

# Between two lines of progress.
_SECONDS_PER_EVENT = 1.0


def emit(event: str, **fields: Any) -> None:
    """Print an object as a line of standard output; numbers that are not finite are null."""
    print(json.dumps({"event": event, **_plain(fields)}, ensure_ascii=False), flush=True)


def _plain(value: Any) -> Any:
    """What JSON has for a value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name))
                for field in dataclasses.fields(value)}  # fmt: skip
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def points_of(curves: Curves) -> Iterator[dict[str, Any]]:
    """Each point of the curves that was measured: its axes, and the numbers of the table."""
    for place, curve in curves:
        if not curve["measured"].any():
            continue
        shown = in_range(curve, place["block_size"])
        for k in range(len(shown["freq"])):
            yield {**place, **{name: values[k] for name, values in shown.items()}}


def crossing_of(crossing: Crossing) -> dict[str, Any]:
    """A crossing as one object."""
    return {**crossing.place, "n": crossing.n, "ci_low": crossing.low, "ci_high": crossing.high}


class EventProgress:
    """Progress of a run as events: `begin`, `progress` once a second, and `note`."""

    def __init__(self) -> None:
        self._total = self._done = 0
        self._began = self._reported = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is open."""

    def begin(self, plan: Plan, todo: int, done: int) -> None:
        """Before the first unit of a round."""
        self._total, self._done = todo, 0
        self._began = self._reported = time.monotonic()
        emit("begin", trials_to_do=todo, trials_stored=done, labels=plan.labels)

    def advance(self, trials: int) -> None:
        """Count the trials of a unit."""
        self._done += trials
        now = time.monotonic()
        if now - self._reported < _SECONDS_PER_EVENT and self._done < self._total:
            return
        self._reported = now
        rate = self._done / max(now - self._began, 1e-9)
        left = (self._total - self._done) / rate
        emit(
            "progress", trials_done=self._done, trials_to_do=self._total,
            trials_per_second=rate, seconds_left=left,
        )  # fmt: skip

    def notify(self, line: str) -> None:
        """A line for the user."""
        emit("note", text=line)
