"""A small store of two cells, three units each, and ways to damage its files."""

import shutil

from helpers.sweeps import open_store
from pipeline.audit.verify import verify

SWEEP = ["block_size=4,8", "freqs=0..5", "algorithm=asm,apx", "trials=250", "unit_trials=100"]
# The second unit of the second cell: a chunk of it, and its name.
CHUNK = "error/c/0/1/0/0/0/0/1"
NAMED = "source=uniform block_size=8 trials 100..199"
# The third and last, which has half as many trials.
LAST_CHUNK = "error/c/0/1/0/0/0/0/2"
LAST_NAMED = "source=uniform block_size=8 trials 200..249"


def problems(path, sample=0.0):
    """What is wrong with a store."""
    return verify(open_store(path), sample).problems


def words(path, sample=0.0):
    """What is wrong with a store, in words."""
    return [problem.words for problem in problems(path, sample)]


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


def empty(file):
    file.write_bytes(b"")


def from_elsewhere(file):
    # A whole chunk with its checksum, of another unit.
    shutil.copy(file.with_name("0"), file)
