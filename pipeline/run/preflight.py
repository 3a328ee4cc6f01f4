"""Whether the workers of a cluster are fit for a sweep, asked before its first unit."""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pipeline.errors import ClusterLostError, MisfitError, UserError
from pipeline.plan.plan import Plan
from pipeline.run import calls
from pipeline.run.worker import misfit, plan_to_text, unseen

if TYPE_CHECKING:
    from distributed import Client

# A worker that imports everything from a slow disk for the first time may take so many times
# `WORKER_SECONDS` to answer; where another has answered it is not waited for.
_ATTEMPTS = 6


def await_worker(client: "Client", address: str, timeout: float) -> None:
    """Refuse a scheduler that has no worker within some seconds."""
    try:
        # The limit of Dask's own is for the worker: a scheduler that is frozen it waits for.
        calls.within(client, timeout + calls.SCHEDULER_SECONDS, client.wait_for_workers, 1, timeout)
    except OSError as error:
        if not isinstance(error, _no_worker()):
            raise UserError(f"the scheduler at {address} does not answer: restart it") from error
        raise UserError(
            f"the scheduler at {address} has no worker: start one with dask worker {address}"
        ) from error


def check_workers(client: "Client", plan: Plan, notify: Callable[[str], None]) -> None:
    """Refuse a cluster with a worker that does not compute a plan as this process does.

    Workers that join later, or answer later, are checked by themselves, before their first unit of
    each round.

    Raises
    ------
    UserError
        It names the worker, and what differs.
    """
    # Stored sources are left out: the records of a hundred thousand files need not be sent.
    drawn = tuple(source for source in plan.sources if source.content is None)
    text = plan_to_text(dataclasses.replace(plan, sources=drawn))
    for worker, reason in answers(client, notify, misfit, text).items():
        if isinstance(reason, BaseException):
            # Whatever a worker of another installation raises.
            raise UserError(f"worker {worker} cannot load this program: {reason}") from reason
        if reason:
            raise UserError(str(MisfitError(worker, reason)))


def blind(client: "Client", store: str, notify: Callable[[str], None]) -> str | None:
    """Which worker does not find a store, and why; None if all that answer do."""
    for worker, reason in answers(client, notify, unseen, store).items():
        if reason is not None:
            return (
                f"worker {worker} does not see {store} ({reason}): results must be a folder that "
                "all share"
            )
    return None


def answers(
    client: "Client",
    notify: Callable[[str], None],
    function: Callable[..., Any],
    *arguments: Any,
) -> dict[str, Any]:
    """What a function gives, or raises, on each worker that answers.

    A worker that is frozen is named, and passed over: it gets units like any other, and loses them
    again while it is silent.

    Raises
    ------
    UserError
        Where none answers.
    ClusterLostError
        Where the scheduler does not.
    """
    for attempt in range(_ATTEMPTS):
        try:
            given, silent = calls.ask_workers(client, calls.WORKER_SECONDS, function, *arguments)
        except OSError as error:
            raise ClusterLostError("the Dask scheduler does not answer") from error
        if given or not silent:
            break
        if not attempt:
            notify(f"None of {len(silent)} workers answers: waiting for one; Ctrl-C stops.")
    else:
        seconds = _ATTEMPTS * calls.WORKER_SECONDS
        raise UserError(
            f"none of the {len(silent)} workers answers within {seconds:g} s, as {silent[0]}: "
            "restart them, or use cluster=local"
        )
    for worker in silent:
        notify(f"Worker {worker} does not answer: the sweep goes on without it.")
    return given


def _no_worker() -> type[Exception]:
    from distributed.exceptions import WorkerStartTimeoutError

    return WorkerStartTimeoutError
