"""What the workers of a cluster need to reach an object store as their client does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin

from pipeline.run import calls
from pipeline.store import services

if TYPE_CHECKING:
    from distributed import Client

_NAME = "asm-sweep-access"


class Access(WorkerPlugin):
    """Options of clients, and variables of the environment where a worker has none of its own.

    They are sent as everything else is, between processes that run each other's code, and written
    nowhere.
    """

    name = _NAME

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
    # One that does not answer is waited for no longer, and those that do have it by then; of one
    # that has not this program the preflight speaks.
    with suppress(Exception):
        plugin = Access(options, variables)
        calls.in_time(calls.WORKER_SECONDS, lambda: client.register_plugin(plugin))
    try:
        yield
    finally:
        # A scheduler that is gone has no plugins.
        with suppress(Exception):
            calls.in_time(calls.WORKER_SECONDS, lambda: client.unregister_worker_plugin(_NAME))
