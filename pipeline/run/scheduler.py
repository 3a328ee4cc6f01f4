"""A Dask scheduler that runs already, and that others may be using too."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.errors import UserError
from pipeline.run import calls, preflight

if TYPE_CHECKING:
    from distributed import Client


@contextmanager
def reached(settings: dict[str, Any]) -> Iterator["Client"]:
    """A client of the scheduler that an entry of conf/cluster names."""
    from distributed.utils import silence_logging_cmgr

    # Silence Dask's log: whoever catches an error reports it in one line.
    with silence_logging_cmgr(logging.CRITICAL):
        client = _reach(settings["address"], settings["timeout"])
        try:
            preflight.await_worker(client, settings["address"], settings["timeout"])
            yield client
        finally:
            calls.leave(client)


def _reach(address: str, timeout: float) -> "Client":
    from distributed import Client

    if not re.fullmatch(r"(tcp|tls|ws|wss|ucx)://.+:[0-9]+", address):
        raise UserError(
            f"cluster.address={address} is no address of a scheduler: write for example "
            "tcp://host:8786"
        )
    if timeout <= 0:
        raise UserError(f"cluster.timeout must be more than 0 seconds, got {timeout:g}")
    try:
        # Not as the default client: it would stay the default even if connecting fails, and the
        # caller's own Dask computations would then wait for a scheduler that is not there.
        # Dask's own timeout is for each of several steps, and a frozen scheduler outlasts it.
        make = partial(Client, address, timeout=timeout, set_as_default=False)
        return calls.in_time(timeout, make, calls.leave)
    except (OSError, ValueError, TypeError) as error:
        # TypeError is what a TLS scheduler gives a client without certificates.
        raise UserError(
            f"cluster.address={address} does not answer as a Dask scheduler within {timeout:g} s "
            f"({type(error).__name__}): start one with dask scheduler, or use cluster=local"
        ) from error
