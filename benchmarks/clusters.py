"""How far a cluster goes: bytes a unit, units a second, and whether 1,024 workers are kept busy.

    .venv/bin/python benchmarks/clusters.py

Prints three tables, in about nine minutes.  It is no part of `make bench`: it says where the loop
of a sweep ends, and not how fast a kernel is.
"""

import asyncio
import logging
import multiprocessing
import sys
import tempfile
import threading
import time
from contextlib import AsyncExitStack, contextmanager

import dask
from distributed import Client, LocalCluster, Worker

from pipeline.config import compose
from pipeline.planning.grid import Missing
from pipeline.planning.plan import make_plan
from pipeline.run import here, rounds
from pipeline.run.tasks import map_units
from pipeline.sources import kinds

PROCESSES = 8
# Of the last table: 1,024 workers of a thread each, and units that each of them sleeps through.
WORKERS, SECONDS, ROUNDS = 1024, 10.0, 30
# What a worker looks at for its dashboard: 50 times a second how late its loop is, 100 times what
# its threads do, 1,000 times who holds the lock of the interpreter.  A core of its own bears one
# worker that does; two cores do not bear 1,024.
UNWATCHED = {
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.worker.profile.enabled": False,
}


def nothing(missing):
    """A unit that does nothing."""


def sleeping(missing):
    """A unit that takes as long as a real one, and no processor."""
    time.sleep(SECONDS)


class Counted:
    """Passes on what a client and a scheduler say to each other, and counts the bytes."""

    def __init__(self, address):
        self.to_client = self.to_scheduler = 0
        self._host, self._port = address.removeprefix("tcp://").split(":")
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        made = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        self.address = f"tcp://127.0.0.1:{made.result().sockets[0].getsockname()[1]}"

    async def _serve(self):
        return await asyncio.start_server(self._connect, "127.0.0.1", 0)

    async def _connect(self, reader, writer):
        there, back = await asyncio.open_connection(self._host, self._port)
        await asyncio.gather(
            self._pass_on(reader, back, "to_scheduler"), self._pass_on(there, writer, "to_client")
        )

    async def _pass_on(self, reader, writer, name):
        while data := await reader.read(1 << 16):
            setattr(self, name, getattr(self, name) + len(data))
            writer.write(data)
            await writer.drain()
        writer.close()


@contextmanager
def local_cluster(**options):
    """A cluster of this machine, without a dashboard or a log."""
    with LocalCluster(
        dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL, memory_limit=0,
        scheduler_kwargs={"dashboard": False}, **{"threads_per_worker": 1, **options},
    ) as made:  # fmt: skip
        yield made


def swept(words, client):
    """Seconds of the units of a sweep, and how many there are."""
    settings = compose.load(words)
    plan = make_plan(settings, kinds.resolve)
    outcome = rounds.execute(settings, plan, rounds.SilentObserver(), client)
    assert not outcome.failures
    return outcome.seconds, plan.grid.unit_count


def mapped(client, task, count):
    """Seconds of so many units that a task stands for."""
    settings = compose.load([f"trials={count}", "unit_trials=1"])
    plan = make_plan(settings, kinds.resolve)
    units = [Missing(unit) for unit in plan.grid.units()]
    began = time.perf_counter()
    for _, failure in map_units(here.connection(client, 60.0), task, units, print):
        assert failure is None
    return time.perf_counter() - began


def bytes_of_a_unit():
    """What a client receives and sends for a unit."""
    print("| units of | bytes received a unit | sent a unit |\n|--:|--:|--:|", flush=True)
    for trials in (1000, 100_000):
        with local_cluster(n_workers=2) as made, tempfile.TemporaryDirectory() as folder:
            counted = Counted(made.scheduler_address)
            with Client(counted.address, set_as_default=False) as client:
                words = [f"trials={500 * trials}", f"unit_trials={trials}", f"out={folder}/s.zarr"]
                _, count = swept([*words, "store_trials=none"], client)
            received, sent = counted.to_client / count, counted.to_scheduler / count
            print(f"| {trials:,} | {received:,.0f} | {sent:,.0f} |", flush=True)


def units_a_second():
    """The ceiling of client and scheduler, with eight worker processes."""
    print(f"\n| {PROCESSES} worker processes | units/s |\n|---|--:|", flush=True)
    with local_cluster(n_workers=PROCESSES) as made:
        with Client(made, set_as_default=False) as client:
            client.gather(client.map(abs, range(1000), pure=False))
            for name, measure in {
                "Dask alone: `client.map` of as many calls of `abs`, gathered": _dask_alone,
                "the loop of a sweep, units that do nothing": lambda c: mapped(c, nothing, 5000),
                "units of 1,000 trials, their moments stored": _real,
            }.items():
                rates = sorted(5000 / measure(client) for _ in range(3))
                print(f"| {name} | {rates[1]:,.0f} |", flush=True)


def _dask_alone(client):
    began = time.perf_counter()
    client.gather(client.map(abs, range(5000), pure=False))
    return time.perf_counter() - began


def _real(client):
    with tempfile.TemporaryDirectory() as folder:
        words = ["trials=5e6", "unit_trials=1000", "store_trials=none", f"out={folder}/s.zarr"]
        return swept(words, client)[0]


def work(address, count):
    """So many workers of a thread each, in this process, until it is ended."""

    async def workers():
        async with AsyncExitStack() as stack:
            for _ in range(count):
                worker = Worker(address, nthreads=1, memory_limit=0, dashboard=False)
                await stack.enter_async_context(worker)
            await asyncio.Event().wait()

    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(UNWATCHED):
        asyncio.run(workers())


def many_workers():
    """Whether the loop keeps 1,024 workers busy, with units that sleep."""
    print("\n| workers | units of | units | busy |\n|--:|--:|--:|--:|", flush=True)
    with local_cluster(n_workers=0) as made, Client(made, set_as_default=False) as client:
        arguments = (made.scheduler_address, WORKERS // PROCESSES)
        spawned = multiprocessing.get_context("spawn")
        processes = [spawned.Process(target=work, args=arguments) for _ in range(PROCESSES)]
        for process in processes:
            process.start()
        client.wait_for_workers(WORKERS, timeout=300)
        count = ROUNDS * WORKERS
        busy = count * SECONDS / (WORKERS * mapped(client, sleeping, count))
        print(f"| {WORKERS:,} | {SECONDS:g} s | {count:,} | {busy:.1%} |", flush=True)
        for process in processes:
            process.kill()
            process.join()


if __name__ == "__main__":
    parts = {"bytes": bytes_of_a_unit, "units": units_a_second, "workers": many_workers}
    for name in sys.argv[1:] or parts:
        parts[name]()
