"""A Dask scheduler that runs already, and that others may be using too."""

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import dask

from pipeline.errors import ClusterUnfitError, UserError, cannot
from pipeline.run import calls
from pipeline.run.connection import Connection

if TYPE_CHECKING:
    from distributed import Client

_POLL_SECONDS = 0.1


@contextmanager
def reached(settings: dict[str, Any]) -> Iterator[Connection]:
    """A client of the scheduler that an entry of conf/cluster names; it is closed at the end.

    Raises
    ------
    UserError
        Where none is named, or by what is no address.
    ClusterUnfitError
        Where it does not answer, or wants TLS.
    """
    from distributed.utils import silence_logging_cmgr

    said, address = _address(settings)
    # Silence Dask's log: whoever catches an error reports it in one line.
    with silence_logging_cmgr(logging.CRITICAL):
        client = _reach(said, address, settings["timeout"])
        with calls.left(client):
            yield connection(client, address, settings["wait"])


def connection(client: "Client", address: str, wait: float) -> Connection:
    """A client of a scheduler whose workers others start."""
    remedy = f"start one with dask worker {address}, or wait for longer: cluster.wait=..."
    return Connection(client, f"the scheduler at {address}", remedy, wait)


def _address(settings: dict[str, Any]) -> tuple[str, str]:
    """Where the scheduler is, as it was said, and as an address."""
    address, file = settings["address"], settings["scheduler_file"]
    if address is not None and file is not None:
        raise UserError(
            "cluster.address and cluster.scheduler_file are two ways to say it: give one"
        )
    if address is not None:
        said = f"cluster.address={address}"
    elif file is not None or (file := dask.config.get("scheduler-file", None)):
        said = f"cluster.scheduler_file={file}"
        address = _read(said, os.path.expanduser(str(file)), settings["timeout"])
    elif address := dask.config.get("scheduler-address", None):
        said = f"scheduler-address={address}, of Dask's configuration,"
    else:
        raise UserError(
            "cluster=scheduler needs to know where it is: give cluster.address=tcp://HOST:8786, "
            "cluster.scheduler_file=FILE, or DASK_SCHEDULER_ADDRESS"
        )
    if not re.fullmatch(r"([a-z]+://)?[^\s/]+:[0-9]+", str(address)):
        raise UserError(f"{said} is no address of a scheduler: write for example tcp://host:8786")
    return said, str(address) if "://" in str(address) else f"tcp://{address}"


def _read(said: str, file: str, seconds: float) -> str:
    """The address in a file that a scheduler writes once it has started."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with open(file, encoding="utf-8") as opened:
                return str(json.load(opened)["address"])
        except FileNotFoundError as error:
            if time.monotonic() > deadline:
                raise ClusterUnfitError(
                    f"{said} has not been written within {seconds:g} s: start dask scheduler "
                    f"--scheduler-file {file}"
                ) from error
        except OSError as error:
            raise ClusterUnfitError(cannot("read", file, error)) from error
        except (ValueError, KeyError, TypeError) as error:
            # It may be being written.
            if time.monotonic() > deadline:
                raise ClusterUnfitError(
                    f"{said} is not what dask scheduler --scheduler-file writes"
                ) from error
        time.sleep(_POLL_SECONDS)


def _reach(said: str, address: str, timeout: float) -> "Client":
    from distributed import Client

    try:
        # Not as the default client: it would stay the default even if connecting fails, and the
        # caller's own Dask computations would then wait for a scheduler that is not there.
        # Dask's own timeout is for each of several steps, and a frozen scheduler outlasts it.
        make = partial(Client, address, timeout=timeout, set_as_default=False)
        return calls.in_time(timeout, make, calls.leave)
    except (OSError, ValueError, TypeError, RuntimeError, ImportError) as error:
        if address.startswith("tls") and not dask.config.get("distributed.comm.tls.ca-file", None):
            raise ClusterUnfitError(
                f"{said} wants TLS, and no certificates are configured: set "
                "distributed.comm.tls.ca-file, .client.cert and .client.key in Dask's "
                "configuration, or DASK_DISTRIBUTED__COMM__TLS__CA_FILE and so on"
            ) from error
        text = " ".join(str(error).split())
        raise ClusterUnfitError(
            f"{said} does not answer as a Dask scheduler within {timeout:g} s "
            f"({type(error).__name__}: {text[:200]}): start one with dask scheduler (of one with "
            "TLS the address begins with tls://), or use cluster=local"
        ) from error
