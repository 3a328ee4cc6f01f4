"""Exit codes, refusals, and what the process does beside its verbs."""

import os
import subprocess
import sys

import pytest
from helpers.program import run
from helpers.stores import plan_of

from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.errors import ClusterLostError, Stopped
from pipeline.run.worker import load_kernels


def test_help_and_refusals_import_neither_dask_nor_numba():
    code = (
        "import sys; from pipeline.cli.main import main; main(['sweep', '--help']);"
        "main(['--help']); main(['--version']); main(['sweep', '--force']); main(['plot', 'x=1']);"
        "main(['sweep', 'frq=1']); main(['sweep', 'block_size=7']);"
        "main(['sweep', 'source=images', 'source.images.path=no']);"
        "main(['sweep', 'source.uniform.quality=0']);"
        "main(['sweep', 'source.uniform.quality=9', 'block_size=16']);"
        "print([m for m in ('dask', 'distributed', 'numba', 'xarray', 'zarr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


REFUSED = [
    ([], "no verb given: choose one of sweep, plan, check, summary, plot, status, verify"),
    (["swep"], "unknown verb 'swep': did you mean sweep?"),
    (["sweep", "--force"], "unknown option --force: settings are written key=value; see --help"),
    (["--force"], "unknown option --force: settings are written key=value; see --help"),
    (["-x", "sweep"], "unknown option -x"),
    (["sweep", "--config-dr=x"], "unknown option --config-dr: did you mean --config-dir?"),
    (["sweep", "--config-dir"], "option '--config-dir' requires an argument: see python -m pipel"),
    (["--cfg=yes", "sweep"], "option '--cfg' does not take a value: see python -m pipeline --help"),
    (["sweep", "--version"], "unknown option --version"),
    (["sweep", "freqs"], "'freqs' is not KEY=VALUE"),
    (["sweep", "freq=0..4"], "unknown key 'freq': did you mean freqs?"),
    (["sweep", "freqs=0", "freqs=1"], "freqs is given twice"),
    (["sweep", "freqs="], "freqs is empty"),
    (["sweep", "freqs=4..0"], "freqs=4..0 is empty"),
    (["sweep", "freqs=-1"], "freqs must be at least 0, got -1"),
    (["sweep", "freqs=nan"], "freqs must be an integer"),
    (["sweep", "trials=x"], "trials must be an integer"),
    (["sweep", "trials=Auto"], "got 'Auto'; or auto or all, alone"),
    (["sweep", "trials=1e3,all"], "got 'all'; or auto or all, alone"),
    (["sweep", "seed=1.5"], "seed must be an integer, got 1.5"),
    (["sweep", "block_size=7"], "block_size must be even and within 2..256, got 7"),
    (
        ["sweep", "operation.max_pool.window=3"],
        "operation.max_pool.window=3 does not divide block_size=8",
    ),
    (["sweep", "source.uniform.low=5"], "source.uniform: low must be less than high"),
    (["sweep", "source.uniform.low=nan"], "source.uniform.low must be finite"),
    (["sweep", "source=images", "source.images.path=nowhere"], "nowhere matches no file"),
    (["sweep", "source=images", "source.images.path=."], "holds no image"),
    (["sweep", "source=images", "source.images.path=../cut.png"], "cut.png is "),
    (["sweep", "results=../file"], "cannot write into "),
    (["sweep", "results=/proc/nowhere"], "cannot write "),
    (["sweep", "out=../file"], "is not a store of this program"),
    (["sweep", "results=nowhere://x"], "cannot open nowhere://x"),
    (["sweep", "cluster=scheduler", "cluster.address=nonsense"], "is no address of a scheduler"),
    (["plan", "trials=all"], "trials=all needs a source with an end"),
    (["summary"], "no store in results"),
    (["summary", "nowhere"], "nowhere is not a store"),
    (["summary", "a", "b"], "one store at a time, got 2"),
    (["summary", "colour=red"], "unknown key 'colour'"),
    (["plot", "."], "is not a store"),
    (["plot", "to=x", "logs=true"], "unknown key 'logs': did you mean log?"),
    (["plot", "log=1"], "log must be true or false, got '1'"),
    (["plot", "freqs=0..4"], "unknown key 'freqs': known are columns, lines, log, results, to, x"),
    (["rerun", "x", "seed=1"], "unknown key 'seed': known are cluster, out, results"),
    (["rerun", "x"], "rerun needs a new store: give out=STORE"),
    (["claims", "freqs=3"], "leave freqs=3 out; it takes to, trials, seed, unit_trials, results, "),
    (["claims", "trials=1"], "trials must be at least 2 for an interval, got 1: use trials=1e4"),
    (["example", "freqs=1,2"], "freqs must be an integer"),
    (["example", "trial=-1"], "trial must be at least 0"),
    (["example", "block_size=4,8"], "choose one block_size, 2 are given"),
    (["example", "to=/proc/nowhere/x"], "cannot write /proc/nowhere/x.png"),
]


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    """The kernels: /proc is refused only after a sweep may have said that it compiles them."""
    load_kernels(plan_of())


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_a_mistake_is_one_line_exit_code_2_and_nothing_written(
    tmp_path, monkeypatch, capsys, arguments, message
):
    (tmp_path / "file").write_text("")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert list((tmp_path / "here").iterdir()) == []


def test_a_mistake_in_a_process_of_its_own_has_no_traceback(tmp_path):
    code, printed, said = run(["sweep", "block_size=7"], tmp_path)
    assert (code, printed) == (2, "")
    assert said == "error: block_size must be even and within 2..256, got 7: use 6\n"


# What takes most of the seconds in which a sweep starts, by the room that it is for.
SLOW = ["dask", "distributed", "hydra", "matplotlib", "numba", "numpy", "pandas", "scipy", "xarray",
        "zarr"]  # fmt: skip
LOADED = f"""
import sys
from pipeline.cli.main import main
code = main(sys.argv[1:])
print("loaded", code, *[name for name in {SLOW} if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("words", "code", "loaded"),
    [
        (["--help"], 0, []),
        (["sweep", "--help"], 0, []),
        (["--version"], 0, []),
        (["swep"], 2, []),
        (["sweep", "frq=1"], 2, ["hydra"]),
        (["sweep", "block_size=7"], 2, ["hydra", "numpy"]),
    ],
)
def test_help_and_refusals_load_no_more_than_they_need(words, code, loaded, tmp_path):
    # A time would be that of the machine; benchmarks/sweeps.py takes it.
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *words],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1].split() == ["loaded", str(code), *loaded]


def raising(error):
    def load(words, config_dirs):
        raise error

    return load


def test_ctrl_c_is_exit_code_130(monkeypatch, capsys):
    monkeypatch.setattr(compose, "load", raising(Stopped()))
    assert main(["sweep"]) == 130
    assert capsys.readouterr().err == (
        "Stopped. The same command goes on where this one stopped.\n"
    )


def test_a_second_ctrl_c_ends_the_process_at_once(monkeypatch):
    codes = []
    monkeypatch.setattr(compose, "load", raising(KeyboardInterrupt()))
    monkeypatch.setattr("os._exit", codes.append)
    main(["sweep"])
    assert codes == [130]


def test_a_lost_cluster_is_exit_code_1(monkeypatch, capsys):
    monkeypatch.setattr(compose, "load", raising(ClusterLostError("no worker is left")))
    assert main(["sweep"]) == 1
    assert capsys.readouterr().err == (
        "error: no worker is left: what was stored is safe, and the same command goes on from "
        "there\n"
    )


def test_a_reader_who_has_seen_enough_is_no_error(swept):
    folder, *_ = swept
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m pipeline summary | head -1"],
        capture_output=True, text=True, cwd=folder, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("source=uniform")
    assert done.stderr == ""


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_who_is_gone_neither_stops_a_sweep_nor_changes_its_exit_code(tmp_path, unbuffered):
    words = "freqs=0..2 trials=20 unit_trials=10 out=s.zarr"
    program = f"{sys.executable} -m pipeline"
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    for command, code in (
        (f"{program} sweep {words} 2>&1 | true", 0),
        (f"{program} status s.zarr | true", 0),
        (f"{program} status s.zarr | grep -q Complete", 0),
        (f"{program} status nothing.zarr 2>&1 | true", 2),
        (f"rm s.zarr/error/c/0/0/0/0/0/0/1 && {program} verify s.zarr 2>&1 | true", 1),
    ):
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {command}"], cwd=tmp_path, env=environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (code, ""), command
