"""One machine, or all of them one after the other, by one command.

PYTHONPATH=tests .venv/bin/python -m reliability [NAME ...] [--seconds S] [--seed N] [--keep]
"""

import argparse
import importlib
import os
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from reliability import interposer
from reliability.tally import Tally

# Of each machine what it does; modules of the same names.
MACHINES = {
    "verbs": "verbs in any order, kills and moves among them, against a model",
    "calls": "the n-th call of each kind fails or kills, in every kind of command",
    "damage": "bytes flipped, zeroed, cut off; files deleted, emptied, exchanged",
    "pictures": "images and arrays that packages ship, against a second reader",
    "together": "readers beside a writer that grows and packs; six sweeps at once",
    "clock": "a clock that jumps, before and during sweeps",
    "hosts": "two machines on one shared folder, also where locks do not work",
    "bucket": "four processes on S3, killed one by one, while requests fail and the store grows",
}


def main() -> int:
    """Run machines; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="reliability", epilog="; ".join(f"{k}: {v}" for k, v in MACHINES.items())
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MACHINES))
    parser.add_argument("--seconds", type=float, default=60.0, help="for each; inf for all of it")
    parser.add_argument("--seed", type=int, help="of the run that is to be repeated")
    parser.add_argument("--keep", action="store_true", help="the folder with all stores")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - MACHINES.keys():
        parser.error(f"unknown machine {unknown.pop()}: known are {', '.join(MACHINES)}")
    interposer.load("reliability", sys.argv[1:])
    seed = secrets.randbelow(2**32) if chosen.seed is None else chosen.seed
    code = 0
    for name in chosen.names or MACHINES:
        machine = importlib.import_module(f"reliability.{name}")
        folder = Path(tempfile.mkdtemp(prefix=f"asm-sweep-{name}-"))
        os.environ["ASM_SWEEP_CACHE_DIR"] = str(folder / "cache")
        print(f"{name} --seed {seed}: {MACHINES[name]}", flush=True)
        began, tally = time.monotonic(), Tally(chosen.seconds)
        machine.run(folder, seed, tally)
        code |= tally.print()
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        if chosen.keep:
            print(f"Stores: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
