"""The verbs that make a plan, as a user meets them."""

import subprocess
import sys

import pytest
import xarray as xr
import yaml
from helpers.program import run

from pipeline import open_results
from pipeline.cli.main import main
from pipeline.sources import kinds


def test_a_sweep_prints_its_table_and_says_how_to_open_the_store(swept):
    folder, code, printed, said = swept
    assert code == 0
    store = next((folder / "results").glob("*.zarr"))
    assert f"Store: {store}" in printed
    assert f'Open it: import xarray; xarray.open_zarr("{store}")' in printed
    assert ": 100 trials" in printed
    assert ": 1,000 trials" in printed
    rows = [line.split() for line in printed.splitlines() if line.strip()[:2].strip().isdigit()]
    assert [row[:2] for row in rows[-15:]] == [
        [str(n), str(kept)]
        for n, kept in enumerate([1, 3, 6, 10, 15, 21, 28, 36, 43, 49, 54, 58, 61, 63, 64])
    ]
    mean = open_results(str(store)).error.mean("trial", dtype="float64").values.squeeze()
    assert [float(row[2]) for row in rows[-15:]] == pytest.approx(mean, abs=6e-6)
    assert "Measuring 1,000 trials at 15 frequencies" in said
    assert "trials/s" in said


def test_piped_output_has_no_escape_sequences_and_no_bar(swept):
    _, _, printed, said = swept
    assert "\x1b" not in printed + said
    assert "\r" not in printed + said
    assert len(said.splitlines()) == 2


def test_the_printed_way_to_open_the_store_works_without_our_code(swept):
    folder, _, printed, _ = swept
    line = next(line for line in printed.splitlines() if line.startswith("Open it: "))
    code = (
        line.removeprefix("Open it: ").replace("xarray.open_zarr", "print(xarray.open_zarr") + ")"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    assert "freq: 15, trial: 1000" in done.stdout
    assert done.stderr == ""


def test_the_same_sweep_again_says_that_there_is_nothing_to_do(swept):
    folder, _, printed, _ = swept
    code, again, said = run(["sweep", "freqs=0..14", "trials=100,1000"], folder)
    assert (code, again) == (0, printed)
    assert said == "Nothing to compute: all 1,000 trials are in the store.\n"


def test_plan_shows_axes_units_bytes_and_time_and_writes_nothing(elsewhere, capsys):
    assert main(["plan", "block_size=4,8", "trials=1e6", "algorithm=asm,apx"]) == 0
    printed = capsys.readouterr().out
    for text in ("4, 8", "apx, asm", "0 .. 999,999", "16 of up to 131,072 trials, 2 cells",
                 "16 to compute",
                 "457.76 MiB uncompressed", "about ", "/results/sweep-"):  # fmt: skip
        assert text in printed
    assert list(elsewhere.iterdir()) == []


def test_frequencies_that_the_defaults_leave_out_are_said(elsewhere, capsys):
    assert main(["sweep", "trials=2", "block_size=4,16"]) == 0
    assert "the first of 31 frequencies: freqs=0..30 has all" in capsys.readouterr().err
    for arguments in (["block_size=4,16", "freqs=0..3"], ["block_size=8"]):
        assert main(["sweep", "trials=2", *arguments]) == 0
        assert "the first of" not in capsys.readouterr().err


def test_plan_counts_what_the_store_already_has(swept, monkeypatch, capsys):
    monkeypatch.chdir(swept[0])
    assert main(["plan", "freqs=0..14", "trials=1000"]) == 0
    assert "0 to compute" in capsys.readouterr().out


def test_options_may_stand_before_the_verb(capsys):
    assert main(["--cfg", "sweep", "freqs=3"]) == 0
    before = capsys.readouterr().out
    assert main(["sweep", "freqs=3", "--cfg"]) == 0
    assert capsys.readouterr().out == before


def test_cfg_of_claims_prints_each_of_their_experiments(elsewhere, capsys):
    assert main(["claims", "--cfg", "trials=300", "seed=4"]) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    # All tiles of the photograph are taken, whatever is asked for.
    assert [settings["trials"] for settings in printed] == [[300], [300], "all"]
    assert [settings["seed"] for settings in printed] == [4, 4, 4]


@pytest.mark.parametrize("verb", ["sweep", "plan", "example"])
def test_cfg_prints_the_composed_configuration(elsewhere, capsys, verb):
    assert main([verb, "--cfg", "block_size=4,8", "source.uniform.low=-1"]) == 0
    printed = capsys.readouterr().out
    assert "block_size: [4, 8]" in printed
    assert yaml.safe_load(printed)["source"]["uniform"]["low"] == -1.0
    assert list(elsewhere.iterdir()) == []


def test_units_that_fail_give_exit_code_3_and_are_named(elsewhere, monkeypatch, capsys):
    def draw(source, seed, size, first, count):
        if first == 20:
            raise ValueError("no such luck")
        return original(source, seed, size, first, count)

    original = kinds.draw_pair
    monkeypatch.setattr(kinds, "draw_pair", draw)
    assert main(["sweep", "trials=50", "unit_trials=20", "out=s.zarr"]) == 3
    said = capsys.readouterr().err
    assert "failed: source=uniform block_size=8 trials 20..39: ValueError: no such luck" in said
    assert "1 unit failed 3 times and is set aside, all others are stored" in said
    assert xr.open_zarr("s.zarr").error.notnull().sum() == 30 * 15


@pytest.mark.parametrize(
    "argument", ["trials=5", "algorithm=apx", "out=x.zarr", "cluster.threads=1"]
)
def test_what_an_example_has_no_use_for_is_refused(elsewhere, capsys, argument):
    assert main(["example", argument]) == 2
    assert f"leave {argument.partition('=')[0]} out" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []
