"""Servers of the clusters that people have, on this machine alone: Slurm, sshd, certificates.

Each keeps all of its state in a folder of its own and listens on loopback.  What is missing is
installed, which takes a Debian machine and root.
"""

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil

# Of the daemons; a cluster of one node, which is this machine.
SLURM = """
ClusterName=local
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_min_interval=0,sched_interval=2
KillWait=5
MinJobAge=30
SlurmdParameters=config_overrides
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=4000 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""
SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/id.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
MaxStartups 100
"""


def install(program, *packages):
    """Install Debian packages where a program is missing."""
    # One test at a time: apt-get gives up where another one is running.
    with open(__file__) as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            quiet = {"check": True, "stdout": subprocess.DEVNULL}
            subprocess.run(["apt-get", "update", "-qq"], **quiet)
            command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages]
            subprocess.run(
                command, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}, **quiet
            )


def run(*command, **options):
    done = subprocess.run(
        [*map(str, command)], check=True, capture_output=True, text=True, **options
    )
    return done.stdout


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def until(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


class Slurm:
    """A Slurm of one node with eight processors, whoever's they are."""

    def __init__(self, folder):
        install("slurmctld", "slurm-wlm", "munge")
        self.folder = Path(folder)
        munge = self.folder / "munge"
        for name in ("state", "spool", "munge"):
            (self.folder / name).mkdir()
        # munged refuses a folder that others may write, or may not search.
        munge.chmod(0o755)
        (munge / "key").write_bytes(os.urandom(64))
        (munge / "key").chmod(0o400)
        self.configuration = self.folder / "slurm.conf"
        host = socket.gethostname().partition(".")[0]
        text = SLURM.format(folder=self.folder, host=host, ports=free_ports(2))
        self.configuration.write_text(text)
        path = {"PATH": f"{os.environ['PATH']}:/usr/sbin"}
        self.variables = {**os.environ, **path, "SLURM_CONF": str(self.configuration)}
        self._call(
            "munged", f"--key-file={munge}/key", f"--socket={munge}/socket", "--force",
            f"--pid-file={munge}/munged.pid", f"--log-file={munge}/log",
            f"--seed-file={munge}/seed",
        )  # fmt: skip
        self._call("slurmctld", "-f", self.configuration)
        self._call("slurmd", "-f", self.configuration)
        until(lambda: self._call("sinfo", "-h", "-o", "%T").strip() == "idle")

    def _call(self, *command):
        return run(*command, env=self.variables)

    def jobs(self):
        """The numbers of the jobs that wait or run."""
        return self._call("squeue", "-h", "-o", "%i", "-t", "PENDING,RUNNING").split()

    def cancel(self, *jobs):
        self._call("scancel", *jobs)

    def close(self):
        if jobs := self.jobs():
            self.cancel(*jobs)
        for name in ("slurmd.pid", "slurmctld.pid", "munge/munged.pid"):
            end(int((self.folder / name).read_text()))


class Sshd:
    """An sshd that lets the user of the tests in, with a key of its own."""

    def __init__(self, folder):
        install("sshd", "openssh-server", "openssh-client")
        self.folder, (self.port,) = Path(folder), free_ports(1)
        for name in ("host", "id"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name)
        kind, key, *_ = (self.folder / "host.pub").read_text().split()
        (self.folder / "known").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        (self.folder / "config").write_text(SSHD.format(folder=self.folder, port=self.port))
        # sshd wants its folder of privileges, whatever else is set.
        Path("/run/sshd").mkdir(exist_ok=True)
        run("/usr/sbin/sshd", "-f", self.folder / "config", "-E", self.folder / "log")
        until((self.folder / "sshd.pid").exists)

    def keys(self, hosts=3):
        """The words of a sweep on so many hosts, each of which is this one."""
        options = (
            f'{{"port": {self.port}, "username": "root", "config": null, '
            f'"client_keys": ["{self.folder}/id"], "known_hosts": "{self.folder}/known"}}'
        )
        return [
            "cluster=ssh", f"cluster.hosts=[{','.join(['127.0.0.1'] * hosts)}]",
            f"cluster.connect_options={options}", f"cluster.remote_python={sys.executable}",
            'cluster.worker_options={"nthreads": 1, "interface": "lo"}',
        ]  # fmt: skip

    def close(self):
        end(int((self.folder / "sshd.pid").read_text()))


def certificates(folder):
    """A certificate for loopback, and Dask's own variables that name it for every role."""
    install("openssl", "openssl")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    ca, key, request, cert = (
        folder / name for name in ("ca.pem", "key.pem", "csr.pem", "cert.pem")
    )
    run("openssl", "req", "-x509", *curve, "-days", "2", "-subj", "/CN=ca", "-keyout",
        folder / "ca-key.pem", "-out", ca)  # fmt: skip
    run("openssl", "req", *curve, "-subj", "/CN=localhost", "-keyout", key, "-out", request)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    run("openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", folder / "ca-key.pem",
        "-CAcreateserial", "-days", "2", "-out", cert, "-extfile", folder / "names")  # fmt: skip
    prefix = "DASK_DISTRIBUTED__COMM__TLS__"
    variables = {f"{prefix}CA_FILE": str(ca)}
    for role in ("CLIENT", "WORKER", "SCHEDULER"):
        variables |= {f"{prefix}{role}__CERT": str(cert), f"{prefix}{role}__KEY": str(key)}
    return variables


def end(pid):
    process = psutil.Process(pid)
    process.terminate()
    process.wait(10)


def processes_of(word):
    """Processes of Dask's whose command line has a word, as an address of a scheduler."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(word in each for each in words) and any("distributed.cli" in each for each in words):
            found.append(process)
    return found
