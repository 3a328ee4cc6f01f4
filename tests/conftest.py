"""Settings and fixtures of all tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import matplotlib.cbook
import numpy as np
import pytest
from hypothesis import settings

# The first example of a test compiles a kernel, and the machines of continuous integration are
# noisy: a deadline would test them and not the code. There, where CI is set, the examples are the
# same in each run, so that a change is judged by what it changes; elsewhere they are new ones.
settings.register_profile("asm", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("asm")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory) -> Iterator[None]:
    """A cache of what was found of files that is not the user's, for processes of tests too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASM_SWEEP_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_terminal() -> Iterator[None]:
    """The width of what the tests print, which is not that of the terminal of who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COLUMNS", raising=False)
        yield


@pytest.fixture(scope="session")
def photograph() -> Path:
    """The photograph that matplotlib ships: 600 x 512 samples, real input on every machine."""
    return Path(matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))


@pytest.fixture
def flipped() -> Callable[[bytes], Iterator[bytearray]]:
    """Sixty damaged copies of a file's content, three flipped bits in each."""
    random = np.random.default_rng(0)

    def copies(content: bytes) -> Iterator[bytearray]:
        for _ in range(60):
            damaged = bytearray(content)
            for place in random.integers(0, len(content), 3):
                damaged[place] ^= 1 << random.integers(8)
            yield damaged

    return copies


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """An empty folder as the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
