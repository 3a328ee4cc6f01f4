"""A module of functions as a user has one, in a folder of the user's own."""

import importlib
import sys
from contextlib import contextmanager

TEXT = """
import numpy as np


def own_asm(batch):
    return batch.masked(batch.mask(batch.approximate()))


def shifted(batch, by=0.25):
    return batch.operation.exact(batch.approximate()) + by * (~batch.kept).any()


def mean(batch, weight: float = 1.0):
    k = batch.operation.window
    count, size, _ = batch.blocks.shape
    windows = batch.approximate().reshape(count, size // k, k, size // k, k)
    return weight * windows.mean(axis=(2, 4))


mean.exact = False


def fails(batch, above=0.98):
    if batch.blocks[:, 0, 0].max() > above:
        raise RuntimeError("too large")
    return own_asm(batch)


def ramp(first, count, block_size, *, words, high=1.0):
    return high * np.sqrt(words(block_size, block_size))


def numbered(first, count, block_size):
    trials = np.arange(first, first + count, dtype=float)
    samples = np.arange(block_size * block_size).reshape(block_size, block_size)
    return np.sin(trials[:, None, None] + samples)


def diagonals(block_size, shift=0):
    u, v = np.indices((block_size, block_size))
    return u + v + shift * (u + v > 0)
"""


def entry(group, function, name="mine", /, **parameters):
    """The words of a command line by which an entry is a function of the module."""
    words = [f"{group}={name}", f"{group}.{name}._target_=own_masks.{function}"]
    return [*words, *(f"{group}.{name}.{key}={value}" for key, value in parameters.items())]


def local_function(strength):
    """An algorithm that no module has."""

    def mine(batch, by=1.0):
        return batch.operation.exact(batch.approximate()) + by * strength * (~batch.kept).any()

    return mine


@contextmanager
def module(folder, text=TEXT, name="own_masks"):
    """The name of a module that lies in a folder, imported anew, while the context lasts."""
    (folder / f"{name}.py").write_text(text)
    sys.modules.pop(name, None)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        yield name
    finally:
        sys.dont_write_bytecode = before
        sys.path.remove(str(folder))
        sys.modules.pop(name, None)
