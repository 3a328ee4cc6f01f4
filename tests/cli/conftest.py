"""A folder in which the program has swept."""

import pytest
from helpers.program import run


@pytest.fixture(scope="session")
def swept(tmp_path_factory):
    """A folder in which one sweep was run, with what it printed."""
    folder = tmp_path_factory.mktemp("swept")
    return folder, *run(["sweep", "freqs=0..14", "trials=100,1000"], folder)
