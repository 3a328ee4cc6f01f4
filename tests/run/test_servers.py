"""Clusters as people have them, run for real on this machine: the bits are those of a local run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path

import psutil
import pytest
from helpers.servers import Slurm, Sshd, certificates, free_ports, processes_of, until
from helpers.sweeps import LONG, SWEEP, assert_same_bits, command, rows_of, sweep

import pipeline
from pipeline.config import compose
from pipeline.run import target

pytestmark = pytest.mark.slow

# A node that is this machine: its workers are reached by loopback.
HERE = ["cluster.interface=lo", "cluster.scheduler_options.dashboard_address=127.0.0.1:0"]
JOBS = ["cluster=slurm", "cluster.memory=400MB", *HERE]
# Some seconds on two cores, of units that take 20 ms.
LONGER = [*LONG[:-1], "trials=3e5"]
STARTED = []


@pytest.fixture
def scratch():
    """A folder with a short name: that of a socket may have 107 bytes."""
    folder = tempfile.mkdtemp(prefix="asm-")
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def slurm():
    folder = tempfile.mkdtemp(prefix="asm-")
    made = Slurm(folder)
    yield made
    made.close()
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Sweeps are started in a folder in which they must leave nothing."""
    folder = tmp_path / "started here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    # In whose own folder the program lies is another one's question.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    yield folder
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    """The store of the sweep LONGER that nothing disturbed."""
    path = tmp_path_factory.mktemp("longer") / "s.zarr"
    assert sweep(*LONGER, f"out={path}")[0] == 0
    return path


def started(*words, variables):
    process = subprocess.Popen(
        command("sweep", *words), env=variables, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    STARTED.append(process)
    return process


def computing(process, path):
    """Wait until a sweep has stored some units."""
    until(lambda: rows_of(path) > 20 or process.poll() is not None)
    assert process.poll() is None, process.communicate()[1]


def ended(process, seconds=120):
    said = process.communicate(timeout=seconds)[1]
    assert "Traceback" not in said, said
    return process.returncode, said


def test_jobs_of_slurm_give_the_same_bits_and_leave_nothing(slurm, path, undisturbed):
    process = started(*LONG, *JOBS, f"out={path}", variables=slurm.variables)
    code, said = ended(process)
    assert code == 0, said
    assert_same_bits(path, undisturbed)
    until(lambda: slurm.jobs() == [], 10)
    assert sorted(os.listdir(path.parent)) == ["s.zarr", "started here"]


def test_a_job_that_is_cancelled_is_replaced_and_counts_as_no_failure(slurm, path, longer):
    process = started(*LONGER, *JOBS, f"out={path}", variables=slurm.variables)
    computing(process, path)
    first, second = slurm.jobs()
    slurm.cancel(first)
    until(lambda: len(set(slurm.jobs()) - {first, second}) == 1, 30)
    code, said = ended(process)
    assert code == 0, said
    assert "does not answer" not in said
    assert "failed" not in said
    assert_same_bits(path, longer)
    until(lambda: slurm.jobs() == [], 10)


def test_workers_whose_lifetime_is_over_are_replaced(slurm, path, longer):
    words = ['cluster.worker_extra_args=["--lifetime", "6s"]', f"out={path}"]
    process = started(*LONGER, *JOBS, *words, variables=slurm.variables)
    seen = set()
    while process.poll() is None:
        seen |= set(slurm.jobs())
        time.sleep(0.2)
    code, said = ended(process)
    assert code == 0, said
    assert len(seen) > 2
    assert "failed" not in said
    assert_same_bits(path, longer)


def test_a_cluster_that_grows_with_its_work_goes_from_none_to_three_and_back(
    slurm, path, monkeypatch
):
    # Units of 80 ms: of those that wait for one job there are more than for two.
    words = [*SWEEP[:-1], "unit_trials=2000", "trials=4e5"]
    alone = path.with_name("alone.zarr")
    assert sweep(*words, f"out={alone}")[0] == 0
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, slurm.variables[name])
    counts = []

    def count():
        while not over.wait(0.2):
            counts.append(len(slurm.jobs()))

    over = threading.Event()
    settings = compose.load([*JOBS, "cluster.workers=0..3"]).cluster
    logs = path.with_name("logs")
    with target.started(settings, logs) as connection, ThreadPoolExecutor() as pool:
        counting = pool.submit(count)
        try:
            for other in ([f"out={path}"], ["seed=2", f"results={path.parent}"]):
                until(lambda: counts[-1:] == [0], 30)
                pipeline.sweep([*words, *other], client=connection.client, progress=False)
            until(lambda: counts[-1] == 0, 30)
        finally:
            over.set()
        counting.result()
    assert [each for each, _ in groupby(each for each in counts if each in (0, 3))] == [
        0, 3, 0, 3, 0
    ]  # fmt: skip
    assert_same_bits(path, alone)


def test_a_sweep_whose_cluster_grows_with_its_work(slurm, path, longer):
    words = [*LONGER, *JOBS, "cluster.workers=0..3", f"out={path}"]
    process = started(*words, variables=slurm.variables)
    most = 0
    while process.poll() is None:
        most = max(most, len(slurm.jobs()))
        time.sleep(0.2)
    code, said = ended(process)
    assert code == 0, said
    assert most == 3
    assert "failed" not in said
    assert_same_bits(path, longer)
    until(lambda: slurm.jobs() == [], 10)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_jobs_end_with_the_sweep_whatever_ends_it(slurm, path, undisturbed, number):
    # What Dask gives a worker that its scheduler has left.
    words = [*LONG, *JOBS, "cluster.death_timeout=5", f"out={path}"]
    process = started(*words, variables=slurm.variables)
    computing(process, path)
    os.kill(process.pid, number)
    code, _ = ended(process)
    assert code == (-number if number == signal.SIGKILL else 128 + number)
    until(lambda: slurm.jobs() == [], 60)
    code, said = ended(started(*LONG, f"out={path}", variables=slurm.variables))
    assert code == 0, said
    assert_same_bits(path, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_jobs_end_where_the_sweep_is_stopped_while_it_waits_for_them(slurm, path, number):
    words = ["cluster.job_extra_directives=[--begin=now+1hour]", f"out={path}"]
    process = started(*LONG, *JOBS, *words, variables=slurm.variables)
    until(lambda: len(slurm.jobs()) == 2)
    process.send_signal(number)
    code, said = ended(process, 30)
    assert code == 128 + number, said
    until(lambda: slurm.jobs() == [], 10)
    assert os.listdir(path.parent) == ["started here"]


REFUSED = {
    "a queue that is not there": (
        ["cluster.queue=nope"],
        "starts no worker (sbatch: error: Batch job submission failed: Invalid partition name",
    ),
    "jobs that wait": (
        ["cluster.job_extra_directives=[--begin=now+1hour]", "cluster.wait=3"],
        "is PENDING, BeginTime",
    ),
    "jobs that end at once": (
        ["cluster.python=/nowhere/python", "cluster.wait=4"],
        "its log ends: ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_jobs_that_give_no_worker_are_refused_with_the_reason_and_the_script(slurm, path, case):
    words, reason = REFUSED[case]
    process = started(*LONG, *JOBS, *words, f"out={path}", variables=slurm.variables)
    code, said = ended(process)
    assert code == 4, said
    *before, last = said.splitlines()
    assert reason in last
    assert "#SBATCH -t 01:00:00" in before
    assert os.listdir(path.parent) == ["started here"]
    until(lambda: slurm.jobs() == [], 10)


def test_hosts_by_ssh_give_the_same_bits_and_leave_nothing(scratch, path, undisturbed):
    sshd = Sshd(scratch)
    try:
        code, said = sweep(*LONG, *sshd.keys(), f"out={path}")
        assert code == 0, said
        assert_same_bits(path, undisturbed)
        until(lambda: processes_of("dask_spec") == [], 20)
        words = [word.replace(sys.executable, "/nope") for word in sshd.keys()]
        code, said = sweep(*LONG, *words, f"out={path}2")
        assert code == 4
        assert "'/nope': No such file or directory" in said
    finally:
        sshd.close()


def test_hosts_by_ssh_end_when_the_sweep_was_killed(scratch, path, undisturbed):
    sshd = Sshd(scratch)
    words = [*LONG, *sshd.keys(), "cluster.scheduler_options.idle_timeout=5s", f"out={path}"]
    try:
        process = started(*words, variables=os.environ)
        computing(process, path)
        assert processes_of("dask_spec") != []
        process.kill()
        process.communicate()
        until(lambda: processes_of("dask_spec") == [], 60)
        code, said = sweep(*LONG, f"out={path}")
        assert code == 0, said
        assert_same_bits(path, undisturbed)
    finally:
        sshd.close()


class Running:
    """A scheduler and two workers, started by their commands."""

    def __init__(self, folder, variables, *options):
        self.file, self.variables = folder / "scheduler.json", variables
        self._log = (folder / "log").open("w")
        self._started = [
            self._run(
                "scheduler", *options, "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                "--scheduler-file", self.file,
            )
        ]  # fmt: skip
        until(lambda: self.file.exists() and self.file.read_text().endswith("}"))
        self.address = json.loads(self.file.read_text())["address"]
        for _ in range(2):
            self._started.append(
                self._run("worker", self.address, "--nthreads", "1", "--no-dashboard")
            )

    def _run(self, name, *options):
        return subprocess.Popen(
            [sys.executable, "-m", f"distributed.cli.dask_{name}", *map(str, options)],
            env=self.variables, stdout=self._log, stderr=self._log,
        )  # fmt: skip

    def close(self):
        for process in reversed(self._started):
            process.terminate()
            process.wait(30)
        self._log.close()


def test_a_scheduler_is_found_by_file_by_variable_and_without_its_protocol(
    scratch, path, undisturbed
):
    running = Running(scratch, os.environ)
    try:
        bare = running.address.removeprefix("tcp://")
        ways = [
            (["cluster=scheduler", f"cluster.scheduler_file={running.file}"], {}),
            (["cluster=scheduler"], {"DASK_SCHEDULER_ADDRESS": running.address}),
            (["cluster=scheduler", f"cluster.address={bare}"], {}),
        ]
        for k, (words, variables) in enumerate(ways):
            # More trials each time, the last of which are all of them.
            words = [*SWEEP, f"trials={(1000, 2000, 100_000)[k]}", *words, f"out={path}"]
            code, said = ended(started(*words, variables={**os.environ, **variables}))
            assert code == 0, said
        assert_same_bits(path, undisturbed)
    finally:
        running.close()


def test_a_scheduler_with_tls_by_dask_s_own_keys(scratch, path, undisturbed):
    variables = certificates(scratch)
    running = Running(scratch, {**os.environ, **variables}, "--protocol", "tls")
    try:
        words = [*LONG, "cluster=scheduler", f"cluster.address={running.address}", f"out={path}"]
        began = time.monotonic()
        code, said = ended(started(*words, variables=os.environ))
        assert code == 4
        assert "wants TLS, and no certificates are configured: set distributed.comm.tls.ca" in said
        plain = [word.replace("tls://", "tcp://") for word in words]
        code, said = ended(started(*plain, variables=os.environ))
        assert code == 4
        assert "of one with TLS the address begins with tls://" in said
        assert time.monotonic() - began < 40
        assert not path.exists()
        code, said = ended(started(*words, variables={**os.environ, **variables}))
        assert code == 0, said
        assert_same_bits(path, undisturbed)
    finally:
        running.close()


GATEWAY = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.SimpleAuthenticator.password = "swordfish"
c.DaskGateway.address = "127.0.0.1:{ports[0]}"
c.Proxy.address = "127.0.0.1:{ports[1]}"
c.UnsafeLocalBackend.clusters_directory = "{folder}/clusters"
c.UnsafeLocalBackend.sigint_timeout = 2
c.ClusterConfig.worker_cmd = ["{python}", "-m", "distributed.cli.dask_worker"]
c.ClusterConfig.scheduler_cmd = ["{python}", "-m", "distributed.cli.dask_scheduler"]
c.ClusterConfig.worker_memory = "1 G"
"""


def test_a_gateway(scratch, path, undisturbed):
    ports = free_ports(2)
    configuration = scratch / "gateway.py"
    configuration.write_text(GATEWAY.format(ports=ports, folder=scratch, python=sys.executable))
    log = (scratch / "log").open("w")
    server = subprocess.Popen(
        [str(Path(sys.executable).with_name("dask-gateway-server")), "-f", str(configuration)],
        stdout=log, stderr=log, cwd=scratch,
    )  # fmt: skip
    try:
        until(lambda: listening(ports[1]))
        entry = {
            "_target_": "dask_gateway.GatewayCluster", "address": f"http://127.0.0.1:{ports[1]}",
            "auth": {"_target_": "dask_gateway.BasicAuth", "username": "me",
                     "password": "swordfish"},
            "workers": 2, "wait": 60,
        }  # fmt: skip
        code, said = sweep(*LONG, f"cluster={json.dumps(entry)}", f"out={path}")
        assert code == 0, said
        assert_same_bits(path, undisturbed)
        until(lambda: processes_of("dask_gateway.scheduler_preload") == [], 20)
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def listening(port):
    return any(
        each.laddr.port == port and each.status == psutil.CONN_LISTEN
        for each in psutil.net_connections("tcp")
    )
