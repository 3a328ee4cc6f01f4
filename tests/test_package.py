"""The built wheel, as it is installed elsewhere."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the contents of the wheel, in front of everything that is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation",
         "--disable-pip-version-check", "--wheel-dir", folder, ROOT],
        check=True, capture_output=True,
    )  # fmt: skip
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_conf_travels_with_the_wheel_and_tests_stay(installed):
    assert (installed / "pipeline" / "conf" / "source" / "uniform.yaml").is_file()
    tops = {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")}
    assert tops == {"asm_core", "pipeline"}


def test_the_console_script_is_declared(installed):
    entry = next(installed.glob("*.dist-info")) / "entry_points.txt"
    assert "asm-sweep = pipeline.__main__:main" in entry.read_text()


def test_a_sweep_runs_from_the_wheel_in_any_folder(installed, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    code = (
        "import pipeline, asm_core, pipeline.config.compose as c;"
        "print(pipeline.__file__, asm_core.__file__, c.CONF);"
        "print(pipeline.sweep(['trials=10']).sizes['trial'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    places, trials = done.stdout.splitlines()
    assert all(place.startswith(str(installed)) for place in places.split())
    assert trials == "10"
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
