"""The built wheel, as it is installed elsewhere."""

import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
import zarr

import pipeline

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
        "import pipeline, asm_core, pipeline.config.entries as c;"
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


def test_the_package_lists_its_public_names_and_knows_its_version():
    assert dir(pipeline) == sorted(pipeline.__all__)
    for name in dir(pipeline):
        assert getattr(pipeline, name) is not None
    assert pipeline.__version__ == version("asm-sweep")
    with pytest.raises(AttributeError, match="has no attribute 'swep'"):
        _ = pipeline.swep


def test_the_wheel_says_that_it_is_typed(installed):
    assert (installed / "pipeline" / "py.typed").is_file()
    assert (installed / "asm_core" / "py.typed").is_file()


def test_a_folder_of_the_users_own_adds_entries_to_the_wheel(installed, tmp_path):
    (tmp_path / "mine" / "source").mkdir(parents=True)
    (tmp_path / "mine" / "source" / "wide.yaml").write_text("wide: {kind: uniform, low: -2}\n")
    command = [sys.executable, "-m", "pipeline", "sweep", "--config-dir", "mine", "source=wide",
               "trials=10", "out=s.zarr"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    attributes = zarr.open_group(tmp_path / "s.zarr", mode="r").attrs
    assert "low: -2.0" in attributes["config"]
    # No checkout is about: the version says what made the store.
    assert f"asm-sweep={version('asm-sweep')}" in attributes["versions"].split()
    assert attributes["commit"] == "unknown"


def test_the_wheel_takes_entries_of_a_folder_of_the_user_s(installed, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "mine.yaml").write_text("mine: {kind: uniform, low: 0.5}")
    environment = {
        **os.environ, "PYTHONPATH": str(installed), "ASM_SWEEP_CONFIG_DIR": str(tmp_path),
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "sweep", "source=mine", "--cfg"],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=True,
    )  # fmt: skip
    mine = yaml.safe_load(done.stdout)["source"]["mine"]
    assert mine == {"kind": "uniform", "low": 0.5, "high": 1.0, "quality": []}
