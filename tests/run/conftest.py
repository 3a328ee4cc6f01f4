"""Stores to compare with, functions of a user, and Dask schedulers as processes of their own."""

import importlib
import json
import os
import signal
import subprocess
import sys

import pytest
from helpers import own
from helpers.sweeps import LONG, sweep, wait_for


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory):
    """The store of the sweep LONG that nothing disturbed."""
    path = tmp_path_factory.mktemp("undisturbed") / "s.zarr"
    assert sweep(*LONG, f"out={path}")[0] == 0
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "s.zarr"


class Scheduler:
    """A Dask scheduler as a process, and workers that are processes without a nanny."""

    def __init__(self, folder):
        self._file = folder / "scheduler.json"
        self._log = (folder / "log").open("w")
        self.workers = []
        self.process = self._start(
            "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0",
            "--no-dashboard", "--scheduler-file", str(self._file),
        )  # fmt: skip
        wait_for(lambda: self._file.exists() and self._file.read_text().endswith("}"))
        self.address = json.loads(self._file.read_text())["address"]
        self.keys = ["cluster=scheduler", f"cluster.address={self.address}", "cluster.timeout=30"]

    def add_workers(self, count, *options, cwd=None, within=()):
        """Start workers; with `cwd`, of the program that lies there; by the command `within`."""
        for _ in range(count):
            self.workers.append(
                self._start(
                    "distributed.cli.dask_worker", self.address, "--no-dashboard", "--no-nanny",
                    "--nthreads", "1", *map(str, options), cwd=cwd, within=within,
                )
            )  # fmt: skip

    def _start(self, module, *arguments, cwd=None, within=()):
        variables = os.environ if cwd is None else {**os.environ, "PYTHONPATH": str(cwd)}
        return subprocess.Popen(
            [*within, sys.executable, "-m", module, *arguments],
            stdout=self._log, stderr=self._log, cwd=cwd, env=variables,
        )  # fmt: skip

    def close(self):
        for process in (*self.workers, self.process):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self._log.close()


@pytest.fixture
def scheduler(tmp_path_factory):
    """A scheduler without workers, for one test."""
    made = Scheduler(tmp_path_factory.mktemp("scheduler"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared_scheduler(tmp_path_factory):
    """A scheduler with two workers, for tests that leave them as they are."""
    made = Scheduler(tmp_path_factory.mktemp("scheduler"))
    made.add_workers(2)
    yield made
    made.close()


@pytest.fixture
def masks(tmp_path):
    """A module of functions of a user's own, imported."""
    with own.module(tmp_path) as name:
        yield importlib.import_module(name)
