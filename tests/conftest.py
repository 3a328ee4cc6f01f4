"""Settings and fixtures of all tests."""

from pathlib import Path

import matplotlib.cbook
import pytest
from hypothesis import settings

# The first example of a test compiles a kernel, and the machines of continuous integration are
# noisy: a deadline would test them and not the code.
settings.register_profile("asm", deadline=None)
settings.load_profile("asm")


@pytest.fixture(scope="session")
def photograph() -> Path:
    """The photograph that matplotlib ships: 600 x 512 samples, real input on every machine."""
    return Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty folder as the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
