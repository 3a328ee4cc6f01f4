"""A store that version 1.0 has written is opened, summed up, verified and extended by this one."""

import zipfile
from pathlib import Path

import helpers.layout_4
import numpy as np
import pytest
import xarray as xr
from helpers import oracles
from helpers.layout_4 import AFTER, NAME
from helpers.sweeps import open_store

from asm_core.sources import autoregressive, uniform
from pipeline import open_results, summarize
from pipeline.audit.difference import compare_stores
from pipeline.cli.main import main

KEPT = 24


@pytest.fixture
def kept(elsewhere) -> Path:
    """The store, in the working directory as it was where it was made."""
    with zipfile.ZipFile(Path(helpers.layout_4.__file__).with_name("layout_4.zip")) as packed:
        packed.extractall(elsewhere)
    return elsewhere / NAME


def test_it_is_opened_and_has_the_errors_of_nested_loops(kept):
    opened = open_results(kept)
    assert dict(opened.error.sizes) == {
        "source": 3, "block_size": 2, "operation": 3, "selection": 1, "algorithm": 2, "freq": 6,
        "trial": KEPT,
    }  # fmt: skip
    assert not opened.error.isnull().any()
    drawn = {"uniform": uniform(7, 4, 20, 2), "autoregressive": autoregressive(7, 4, 20, 2)}
    for source, blocks in drawn.items():
        for trial, block in zip((20, 21), blocks, strict=True):
            for n in range(6):
                approximate = oracles.approximate(oracles.dct(block), n)
                at = {"source": source, "block_size": 4, "freq": n, "trial": trial}
                stored = opened.error.sel(**at, selection="triangle")
                for operation in ("max_pool", "min_pool", "relu"):
                    for algorithm in ("asm", "apx"):
                        expected = oracles.error(block, approximate, operation, algorithm)
                        found = float(stored.sel(operation=operation, algorithm=algorithm))
                        assert found == pytest.approx(expected, rel=2e-7, abs=1e-12)


def test_its_ledger_sums_up_what_is_kept_and_what_is_not(kept):
    summed = summarize(kept)
    measured = summed.measured.sel(source="autoregressive", block_size=8)
    assert (measured == 48).all()
    assert (summed.measured.sel(source=["uniform", "photograph"]) == 64).all()
    first = summarize(open_results(kept))
    errors = xr.open_zarr(kept).error.astype(np.float64)
    expected = errors.mean("trial").sortby(["source", "operation", "algorithm", "freq"])
    found = first.mean_error.transpose(*expected.dims)
    assert all((found[axis] == expected[axis]).all() for axis in expected.dims)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_every_unit_is_verified_and_the_one_in_quarantine_is_named(kept, capsys):
    assert main(["verify", NAME, "sample=all"]) == 0
    said = capsys.readouterr().out
    assert "No damage found." in said
    assert "16 trials are missing" in said
    assert main(["status", NAME]) == 0
    said = capsys.readouterr().out
    assert "source=autoregressive block_size=8 trials 32..47: [Errno 5]" in said


def test_its_own_command_completes_it_and_it_is_extended_to_what_a_new_one_has(kept, capsys):
    (bad,) = open_store(kept).record.quarantined
    assert main(bad.retry.split()[3:]) == 0
    assert open_store(kept).record.quarantined == ()
    grown = [
        {"trials=64": "trials=90", "freqs=0..5": "freqs=0..6"}.get(word, word) for word in AFTER
    ]
    assert main(["sweep", *grown, f"out={NAME}"]) == 0
    fresh = [word for word in grown if word != "extend=true"]
    assert main(["sweep", *fresh, "out=fresh.zarr"]) == 0
    compared, differences = compare_stores(open_store(kept), open_store("fresh.zarr"))
    assert differences == []
    # Of each of six cells the ledger, and the two units of which trials are kept.
    assert compared == 6 * (1 + 2)
    xr.testing.assert_identical(summarize(kept).mean_error, summarize("fresh.zarr").mean_error)
    assert main(["verify", NAME, "sample=all"]) == 0
    capsys.readouterr()
