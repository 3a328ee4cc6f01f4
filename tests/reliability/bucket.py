"""A sweep on S3 by four processes, of which one is killed every 20 s, while requests fail.

One in a hundred is answered badly, the store is grown by trials and by an algorithm, and the client
itself is killed now and then: the same command goes on, and in the end every number is there, with
the bits of a folder.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from helpers.faulty import Faults
from helpers.objects import buckets

from pipeline import open_results, summarize
from reliability.tally import Tally, say

KINDS = (503, 500, 429, "reset", "torn", "lost")
UNIT = 500
# What a request takes, as far away: most of a unit's time, so that two cores are enough.
LATENCY = 0.15
# About so many units are stored a second then.  The trials grow until half of the time is over; the
# other half is for the algorithm that is added to them.
UNITS_A_SECOND, STEPS = 8, 4
BASE = ("block_size=4", "freqs=0..2", f"unit_trials={UNIT}", "cluster=processes",
        "cluster.workers=4", "cluster.threads=1")  # fmt: skip


def run(folder: Path, seed: int, tally: Tally) -> None:
    """Once, for as long as is asked for."""
    rnd = random.Random(seed)
    step = UNIT * max(20, int(tally.seconds * UNITS_A_SECOND / 2 / STEPS))
    with buckets() as make:
        bucket = make()
        os.environ.update(bucket.environment)
        url = f"{bucket.url}/a.zarr"
        bucket.proxy.faults, bucket.proxy.latency = Faults(0.01, KINDS), LATENCY
        began, trials = time.monotonic(), 0
        while trials < 2 * step or time.monotonic() - began < tally.seconds / 2:
            trials += step
            with tally.trial("sweep on S3, the trials grow", url):
                _sweep_and_kill(folder, url, (f"trials={trials}",), rnd, tally)
        whole = (f"trials={trials}", "algorithm=asm,apx", "extend=true")
        with tally.trial("sweep on S3, an algorithm is added", url):
            _sweep_and_kill(folder, url, whole, rnd, tally)
        tally.notes["second of sweeping"] += round(time.monotonic() - began)
        tally.notes["unit"] += 2 * trials // UNIT
        bad = sum(isinstance(said, str) or said >= 429 for _, _, said in bucket.proxy.requests)
        for what, times in (
            ("request", len(bucket.proxy.requests)), ("request answered badly", bad),
        ):  # fmt: skip
            tally.notes[what] += times
        bucket.proxy.faults, bucket.proxy.latency = Faults(), 0.0
        with tally.trial("verify sample=all", url):
            code, said = _program(folder, "verify", url, "sample=all")
            assert code == 0, said
            assert "No damage found." in said, said
        with tally.trial("the bits of a folder, and nothing left", url):
            code, said = _program(
                folder, "sweep", *BASE, *whole, f"out={folder}/a.zarr", "cluster=local"
            )
            assert code == 0, said
            one, other = open_results(url), open_results(folder / "a.zarr")
            for name in ("error", "mask_accuracy", "regret"):
                assert bool((one[name].isnull() == other[name].isnull()).all()), name
                assert bool((one[name] == other[name]).where(other[name].notnull(), True).all())
            assert summarize(url).equals(summarize(folder / "a.zarr"))
            left = [key for key in bucket.keys() if "journal" in key or ".lock" in key]
            assert not left, left


def _program(folder: Path, *words: str) -> tuple[int, str]:
    words = tuple(w for w in words if not w.startswith("cluster") or "cluster=local" not in words)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def _sweep_and_kill(folder: Path, url: str, words, rnd, tally: Tally) -> None:
    """Run a sweep until it ends, killing a worker every 20 s, and its client every fifth time."""
    command = [sys.executable, "-m", "pipeline", "sweep", *BASE, *words, f"out={url}", "--quiet"]
    # Workers take some seconds to begin, and must come to something in between.
    pause = min(20.0, max(10.0, tally.seconds / 10))
    kills = 0
    while True:
        log = folder / "sweep.log"
        with log.open("w") as said:
            client = subprocess.Popen(
                command, cwd=folder, stdout=said, stderr=said, start_new_session=True
            )
            while True:
                try:
                    code = client.wait(timeout=pause)
                    break
                except subprocess.TimeoutExpired:
                    kills += 1
                    if kills % 5 == 0:
                        tally.note("client killed with its workers")
                        os.killpg(client.pid, signal.SIGKILL)
                    elif _kill_a_worker(client.pid, rnd):
                        tally.note("worker killed")
        if code == 0:
            return
        say(f"exit code {code}: again")
        # A client that was killed; or workers that were, over and over, took units with them, or
        # could not even begin.
        assert code in (-signal.SIGKILL, 1, 3, 4), (code, log.read_text())
        if code != -signal.SIGKILL:
            tally.note(f"exit code {code}, and the same command went on")
        time.sleep(0.5)


def _kill_a_worker(client: int, rnd) -> bool:
    """Kill one of the processes that measure: they are nannies' children."""
    found = []
    for process in psutil.Process(client).children(recursive=True):
        try:
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    if not found:
        return False
    rnd.choice(found).kill()
    return True
