"""Two stores are compared by bits, also one that was made again from what the other says."""

import shutil

import xarray as xr
import zarr
from helpers.damage import CHUNK, NAMED, SWEEP, flip
from helpers.sweeps import open_store

from pipeline import sweep
from pipeline.audit.difference import compare_stores
from pipeline.cli.main import main


def test_two_stores_are_compared_by_bits_whatever_their_units(path, tmp_path):
    other = tmp_path / "other.zarr"
    sweep([*SWEEP[:3], "trials=250", "unit_trials=64", f"out={other}"])
    assert compare_stores(open_store(path), open_store(other)) == (6 + 2, [])
    sweep([*SWEEP[:3], "trials=250", "seed=1", f"out={tmp_path}/seed.zarr"])
    assert compare_stores(open_store(path), open_store(f"{tmp_path}/seed.zarr")) == (
        0,
        ["seed is 0 and 1"],
    )
    group = zarr.open_group(other, mode="r+", use_consolidated=False)
    group["regret"][0, 0, 0, 0, 2, 249] = 1.0
    assert compare_stores(open_store(path), open_store(other))[1] == [
        "source=uniform block_size=4 trials 200..249: regret"
    ]


def test_rerun_makes_the_same_store_again_and_verify_says_so(path, tmp_path, capsys):
    # With a history: more trials, and then more frequencies.
    sweep([*SWEEP[:3], "trials=300", f"out={path}"])
    sweep(
        [*SWEEP[:1], "freqs=0..7", "algorithm=asm,apx", "trials=280", "extend=true", f"out={path}"]
    )
    again = tmp_path / "again.zarr"
    assert main(["rerun", str(path), f"out={again}"]) == 0
    assert f"The same to the bit as {path}" in capsys.readouterr().out
    assert main(["verify", str(again)]) == 0
    assert f"The same to the bit as {path}" in capsys.readouterr().out
    one, two = (xr.open_zarr(p).load() for p in (path, again))
    assert one.error.to_numpy().tobytes() == two.error.to_numpy().tobytes()
    flip(again / CHUNK)
    assert main(["verify", str(path), f"against={again}"]) == 1
    assert f"differs: {NAMED}: cannot be read" in capsys.readouterr().out


def test_rerun_needs_a_new_store(path, capsys):
    assert main(["rerun", str(path)]) == 2
    assert "give out=STORE" in capsys.readouterr().err


def test_what_cannot_be_compared_is_said(path, tmp_path, capsys):
    other = tmp_path / "other.zarr"
    sweep(["block_size=16", "freqs=9", "trials=10", f"out={other}"])
    assert main(["verify", str(path), f"against={other}"]) == 1
    assert "Nothing to compare" in capsys.readouterr().out
    low = tmp_path / "low.zarr"
    sweep([*SWEEP[:3], "source.uniform.low=-1", "trials=10", "store_trials=none", f"out={low}"])
    assert main(["verify", str(path), f"against={low}"]) == 1
    assert "differs: source uniform is" in capsys.readouterr().out
    for against in ("", f"{tmp_path}/nowhere", str(tmp_path)):
        assert main(["verify", str(path), f"against={against}"]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_rerun_into_the_store_itself_is_refused_and_a_vanished_original_is_a_note(
    path, tmp_path, capsys
):
    assert main(["rerun", str(path), f"out={path}"]) == 2
    assert "is the store itself" in capsys.readouterr().err
    again = tmp_path / "again.zarr"
    assert main(["rerun", str(path), f"out={again}"]) == 0
    shutil.rmtree(path)
    capsys.readouterr()
    assert main(["verify", str(again)]) == 0
    assert "is no longer there to compare with" in capsys.readouterr().out
    # Its commands are those of the new store.
    (run,) = open_store(again).record.runs
    assert run.given["out"] == str(again)
    assert open_store(again).record.commands(str(again))[0].endswith(f"out={again}")
