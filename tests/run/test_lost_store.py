"""A disk that fails in the middle of a sweep: what was stored is kept, and the sweep goes on."""

import errno

import pytest
from helpers.sweeps import assert_same_bits, open_store
from helpers.unreadable import assert_refused, failing

from pipeline import sweep
from pipeline.cli.main import main
from pipeline.errors import StoreLostError

SWEEP = ["freqs=0..2", "trials=400", "unit_trials=100"]


@pytest.mark.parametrize("goal", [[], ["precision=0.5"]], ids=["at its end", "between rounds"])
def test_rows_that_the_client_cannot_read_any_more_end_the_sweep_with_1(
    path, tmp_path, monkeypatch, capsys, goal
):
    arguments = [*SWEEP, *goal, f"out={path}"]
    broken = OSError(errno.EIO, "Input/output error", "/some/file")
    with monkeypatch.context() as patch:
        failing(patch, "ledger/error/c/0/0/0/0/0/0/0/0", broken)
        assert main(["sweep", *arguments]) == 1
        assert_refused(capsys.readouterr().err, "the same command goes on", "/some/file")
    assert open_store(path).counts().sum() > 0
    with monkeypatch.context() as patch:
        # Before anything is begun it is a refusal.
        failing(patch, "ledger/error/c/0/0/0/0/0/0/0/0", broken)
        assert main(["sweep", *arguments]) == 2
        assert_refused(capsys.readouterr().err, "cannot read /some/file: Input/output error")
    assert main(["sweep", *arguments]) == 0
    sweep([*SWEEP, *goal, f"out={tmp_path}/whole.zarr"])
    assert_same_bits(path, tmp_path / "whole.zarr")


def test_a_call_is_told_that_the_store_was_lost(path, monkeypatch):
    failing(
        monkeypatch, "ledger/error/c/0/0/0/0/0/0/0/0", OSError(errno.ESTALE, "Stale file handle")
    )
    with pytest.raises(StoreLostError, match=r"s\.zarr: Stale file handle: mount the network file"):
        sweep([*SWEEP, f"out={path}"])
