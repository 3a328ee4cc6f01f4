"""Fixtures of the tests of stored sources."""

import pytest

from pipeline.sources import slabs


@pytest.fixture
def tiny_slabs(monkeypatch):
    """Slabs of a few images or rows, so that small arrays have many."""
    return lambda size: monkeypatch.setattr(slabs, "_SLAB_BYTES", size)
