"""Stores that keep only some trials one by one, or whose trials do not fit on the disk."""

import shutil

import pytest
import xarray as xr
from helpers.sweeps import bits, open_store

from pipeline import UserError, summarize, sweep
from pipeline.audit.verify import verify
from pipeline.cli.main import main
from pipeline.store import location


@pytest.mark.parametrize("keep", ["none", "0", "1", "150", "1000"])
def test_what_is_not_kept_is_still_in_the_ledger(tmp_path, keep):
    path = tmp_path / "s.zarr"
    arguments = ["freqs=0..3", "operation=max_pool,relu", "trials=430", "unit_trials=100"]
    whole = sweep([*arguments, f"out={tmp_path}/whole.zarr"])
    some = sweep([*arguments, f"store_trials={keep}", f"out={path}"])
    kept = min(430, 0 if keep == "none" else int(keep))
    assert xr.open_zarr(str(path)).sizes["trial"] == kept
    assert bits(some) == bits(whole.isel(trial=slice(0, kept)))
    one, two = summarize(whole), summarize(path)
    for name in one.data_vars:
        assert one[name].to_numpy().tobytes() == two[name].to_numpy().tobytes(), name
    # What is selected of the ledger has the moments of all, a dataset those of the trials it has.
    assert int(two.sel(freq=[2], operation="relu")["measured"].min()) == 430
    assert int(summarize(some)["measured"].max()) == kept
    if 2 < kept < 430:
        assert int(summarize(some.isel(trial=slice(0, 2)))["measured"].max()) == 2
        assert int(summarize(some[["error"]] * 2)["measured"].max()) == kept
        assert int(summarize(some, trials=kept)["measured"].max()) == kept
        assert int(summarize(path, trials=kept)["measured"].max()) == kept
    assert verify(open_store(path), 1.0).problems == []
    sweep([*arguments[:2], "trials=520", f"store_trials={keep}", f"out={path}"])
    assert int(summarize(path)["measured"].max()) == 520


def test_a_store_keeps_what_it_was_made_to_keep(tmp_path):
    out = f"out={tmp_path}/s.zarr"
    sweep(["trials=50", "store_trials=none", out])
    with pytest.raises(UserError, match="was made with store_trials=none, which does not change"):
        sweep(["trials=100", out])


def test_an_estimate_within_a_unit_that_is_not_kept_is_refused(tmp_path, capsys):
    out = f"out={tmp_path}/s.zarr"
    common = ["unit_trials=100", "store_trials=none", out]
    with pytest.raises(UserError, match="trials=150 ends within a unit of 100 trials"):
        sweep(["trials=[150,300]", *common])
    assert main(["sweep", "trials=[100,300]", *common]) == 0
    assert ": 100 trials" in capsys.readouterr().out
    assert main(["sweep", "trials=150", *common]) == 2
    assert "keeps 0 trials one by one, and the first 150 end within" in capsys.readouterr().err


def test_fewer_trials_than_stored_are_summed_up_as_asked(tmp_path, capsys):
    out = f"out={tmp_path}/s.zarr"
    main(["sweep", "trials=300", "unit_trials=100", out])
    capsys.readouterr()
    assert main(["sweep", "trials=120", out]) == 0
    printed, said = capsys.readouterr()
    assert ": 120 trials" in printed
    assert "The store has 300 trials; the table is of the first 120." in said


@pytest.mark.parametrize("value", ["some", "-1", "1.5"])
def test_a_mistaken_number_of_kept_trials_is_refused(value):
    with pytest.raises(UserError, match="store_trials must be all, none or a number"):
        sweep([f"store_trials={value}"])


def test_a_sweep_that_does_not_fit_on_the_disk_is_refused_with_three_ways_out(
    tmp_path, monkeypatch, capsys
):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(location.shutil, "disk_usage", lambda folder: usage._replace(free=50_000))
    out = f"out={tmp_path}/s.zarr"
    assert main(["sweep", "trials=1e4", out]) == 2
    said = capsys.readouterr().err
    for words in ("about 0.96 MiB", "48.83 kiB free", "store_trials=none", "lower trials",
                  "another disk with results="):  # fmt: skip
        assert words in said
    assert list(tmp_path.iterdir()) == []
    assert main(["sweep", "trials=1e4", "store_trials=100", out]) == 0
    assert main(["sweep", "trials=400", f"out={tmp_path}/t.zarr"]) == 0
