"""A caller's own Hydra is his: settings are composed beside it."""

import subprocess
import sys

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from pipeline.config import compose


@pytest.fixture
def application(tmp_path):
    """The configuration of another program that uses Hydra."""
    (tmp_path / "config.yaml").write_text("depth: 3\n")
    return tmp_path


def test_hydra_that_was_not_initialised_stays_so():
    assert not GlobalHydra.instance().is_initialized()
    compose.load(["freqs=3"])
    assert not GlobalHydra.instance().is_initialized()


def test_a_caller_goes_on_with_his_own_hydra(application):
    with initialize_config_dir(config_dir=str(application), version_base="1.3"):
        his = GlobalHydra.instance().hydra
        assert compose.load(["seed=5"]).seed == 5
        assert GlobalHydra.instance().hydra is his
        assert hydra_compose("config", overrides=["depth=4"]).depth == 4


# In a process of its own, since Hydra finds its plugins once, at first use.
THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from hydra import compose as hydra_compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from pipeline.config import compose

def his(k):
    return hydra_compose("config", overrides=[f"depth={k}"]).depth

def ours(k):
    return compose.load([f"seed={k}", "source=uniform,gaussian"]).seed

folder = sys.argv[1]
with initialize_config_dir(folder, version_base="1.3"), ThreadPoolExecutor(7) as pool:
    caller = [pool.submit(his, k) for k in range(30)]
    sweeps = [pool.submit(ours, k) for k in range(30)]
    assert [future.result() for future in caller] == list(range(30))
    assert [future.result() for future in sweeps] == list(range(30))
    assert GlobalHydra.instance().is_initialized()
assert not GlobalHydra.instance().is_initialized()

with ThreadPoolExecutor(7) as pool:
    sweeps = [pool.submit(ours, k) for k in range(12)]
    for k in range(12):
        with initialize_config_dir(folder, version_base="1.3"):
            assert his(k) == k
    assert [future.result() for future in sweeps] == list(range(12))
"""


def test_threads_compose_at_once_while_the_caller_uses_his_own_hydra(application):
    done = subprocess.run(
        [sys.executable, "-c", THREADS, str(application)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
