"""Timers of tornado and Dask that a change of the system's clock does not stop.

They wait for a time of day.  When the clock is set back by an hour, heartbeats come again after an
hour, and what a batched stream has to send waits as long; the scheduler gives every worker up.
"""

import time
from typing import Any

# A time of day that runs on evenly, whatever is done to the clock: timers that were started before
# `steady_timers` go on as they were.
_AHEAD = time.time() - time.monotonic()


def steady_time() -> float:
    """Seconds since 1970 by the clock as it was when this process began, never set since."""
    return time.monotonic() + _AHEAD


def steady_timers() -> None:
    """Have all timers of this process's event loops, and the ages of workers, run evenly."""
    import distributed.batched
    import distributed.scheduler
    from tornado.ioloop import IOLoop

    def loop_time(self: Any) -> float:
        return steady_time()

    # Deadlines of a batched stream are compared with the loop's time: both, or neither.
    IOLoop.time = loop_time  # type: ignore[method-assign]
    distributed.batched.time = distributed.scheduler.time = steady_time  # type: ignore[attr-defined]
