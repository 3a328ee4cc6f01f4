"""The settings of whoever calls the program from Python: as before when it has ended."""

import subprocess
import sys

import pytest

# What a process has set of Dask, zarr, Pillow, NumPy, logging and signals, before and after.
CALLER = """
import copy, logging, os, signal, sys
import dask, distributed, numpy, zarr
from PIL import Image, PngImagePlugin

def settings():
    levels = {name: logging.getLogger(name).level for name in (None, "distributed", "bokeh")}
    signals = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    return copy.deepcopy((
        dask.config.config, zarr.config.config, Image.MAX_IMAGE_PIXELS, numpy.geterr(), levels,
        PngImagePlugin.MAX_TEXT_CHUNK, signals, os.getcwd(),
        dict(os.environ),
    ))

before = settings()
import pipeline
from pipeline import open_results, summarize, sweep
kinds = sys.argv[1:]
if __name__ == "__main__":
    for kind in kinds:
        sweep(trials=100, freqs=[3], cluster=kind, out=f"{kind}.zarr", progress=False)
        assert settings() == before, kind
    assert open_results(f"{kinds[0]}.zarr").error.size == 100
    assert summarize(f"{kinds[0]}.zarr").mean_error.size == 1
    assert settings() == before
    assert not distributed.client._global_clients
"""


@pytest.mark.parametrize("kind", ["local", pytest.param("processes", marks=pytest.mark.slow)])
def test_what_a_caller_has_set_is_as_before(tmp_path, kind):
    (tmp_path / "caller.py").write_text(CALLER)
    done = subprocess.run(
        [sys.executable, "caller.py", kind],
        capture_output=True, text=True, timeout=200, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_threads_of_zarr_are_those_of_the_cores_in_processes_of_our_own_alone():
    code = (
        "import zarr; from dask.system import CPU_COUNT; from pipeline.store import layout; "
        "assert zarr.config.get('threading.max_workers') is None; "
        "layout.use_a_thread_per_core(); "
        "assert zarr.config.get('threading.max_workers') == CPU_COUNT; "
        "zarr.config.set({'threading.max_workers': 77}); layout.use_a_thread_per_core(); "
        "assert zarr.config.get('threading.max_workers') == 77"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)
