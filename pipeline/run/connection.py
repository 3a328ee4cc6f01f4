"""A cluster as a sweep uses it: a client, and what whoever started the workers can do."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.run import calls

if TYPE_CHECKING:
    from distributed import Client


def no_words() -> str:
    """Nothing is known."""
    return ""


def nothing(count: int) -> None:
    """Whoever started the workers sees to them."""


def refilling(cluster: Any, workers: int | None = None) -> Callable[[int], None]:
    """What has a cluster start workers again, given how many there are.

    Dask replaces one that was cancelled, or whose time is over, only when it is asked again; and of
    this machine none that has died twice within fifteen seconds.  To ask for as many as there
    should be changes nothing where they are on their way.  `workers` is how many, None for those
    that the cluster was made with.
    """

    def refill(count: int) -> None:
        wanted = workers or len(getattr(cluster, "plan", ()))
        if count < wanted:
            # It may be a request over a network; it is made again in a few seconds.
            with suppress(Exception):
                calls.in_time(calls.SCHEDULER_SECONDS, partial(cluster.scale, wanted))

    return refill


@dataclass(frozen=True)
class Connection:
    """A client of a cluster, and what is known of its workers beside it.

    `place` is the cluster in a message, and `remedy` how it gets a worker; `wait` is for how many
    seconds it may have none, at the beginning and later; `most` is how many may come while units
    wait for them, 0 where that is not known.  `refill`, given how many there are, asks for those
    that are missing; `reason` says what is known of why none comes, and `failure` is anything but
    empty once none can come any more; `script` is what a batch system is given.
    """

    client: "Client"
    place: str
    remedy: str
    wait: float
    most: int = 0
    refill: Callable[[int], None] = nothing
    reason: Callable[[], str] = no_words
    failure: Callable[[], str] = no_words
    script: Callable[[], str] = no_words

    def without_worker(self) -> str:
        """A line for the user: it has had none for so long."""
        reason = self.reason()
        known = f" ({reason})" if reason else ""
        return f"{self.place} has had no worker for {self.wait:g} s{known}: {self.remedy}"
