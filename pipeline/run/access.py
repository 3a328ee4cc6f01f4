"""What workers of a cluster are given: access to object stores, and functions of the user's."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from pipeline.functions import resolving
from pipeline.functions.resolving import Function
from pipeline.run import calls
from pipeline.store import services

if TYPE_CHECKING:
    from distributed import Client


class Access(WorkerPlugin):
    """Options of clients, and variables of the environment where a worker has none of its own.

    They are sent as everything else is, between processes that run each other's code, and written
    nowhere.
    """

    name = "asm-sweep-access"

    def __init__(self, options: dict[str, Any], variables: dict[str, str]) -> None:
        self._options, self._variables = options, variables
        self._added: list[str] = []

    def setup(self, worker: Any) -> None:
        """Set them."""
        services.configure(self._options)
        self._added = [name for name in self._variables if name not in os.environ]
        for name in self._added:
            os.environ[name] = self._variables[name]

    def teardown(self, worker: Any) -> None:
        """Take them back."""
        for name in self._added:
            os.environ.pop(name, None)


@contextmanager
def shared(client: "Client") -> Iterator[None]:
    """Meanwhile workers, also those that join later, reach what this process reaches."""
    options, variables = services.access()
    if not options and not variables:
        yield
        return
    with _registered(client, Access(options, variables)):
        yield


class Functions(WorkerPlugin):
    """Functions that were given in Python, and that no module has: their code goes with them."""

    name = "asm-sweep-functions"

    def __init__(self, functions: resolving.Given) -> None:
        self._functions = functions

    def setup(self, worker: Any) -> None:
        """Know them by their names."""
        resolving.give(self._functions)


@contextmanager
def given(client: "Client", functions: Iterable[Function]) -> Iterator[None]:
    """Meanwhile workers, also those that join later, have the functions that were given here."""
    sent = resolving.given(functions)
    with _registered(client, Functions(sent)) if sent else nullcontext():
        yield


@contextmanager
def _registered(client: "Client", plugin: Access | Functions) -> Iterator[None]:
    # One that does not answer is waited for no longer, and those that do have it by then; of one
    # that has not this program the preflight speaks.
    with suppress(Exception):
        calls.in_time(calls.WORKER_SECONDS, lambda: client.register_plugin(plugin))
    try:
        yield
    finally:
        # A scheduler that is gone has no plugins.
        with suppress(Exception):
            calls.in_time(
                calls.WORKER_SECONDS, lambda: client.unregister_worker_plugin(plugin.name)
            )
