"""A disk that fails in the middle of a sweep: what was stored is kept, and the sweep goes on."""

import errno
import os

import pytest
from helpers.sweeps import assert_same_bits, open_store
from helpers.unreadable import assert_refused, failing

from pipeline import sweep
from pipeline.cli.main import main
from pipeline.errors import StoreLostError
from pipeline.store.location import Location
from pipeline.store.writer import UnitWriter

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


def test_rows_that_are_not_found_between_rounds_are_no_answer(path, tmp_path, monkeypatch, capsys):
    """A network file system may say for a moment that a folder which is there is not."""

    def names(location):
        if location.url.endswith("journal/rows"):
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return original(location)

    arguments = ["freqs=0..2", "precision=0.002", "trials=1e6", f"out={path}"]
    original = Location.names
    with monkeypatch.context() as patch:
        patch.setattr(Location, "names", names)
        assert main(["sweep", *arguments]) == 1
    assert_refused(capsys.readouterr().err, "rows of units that were stored are not found", path)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_store_of_which_no_unit_can_be_written_is_lost_whatever_the_reason(
    path, tmp_path, monkeypatch, capsys, number
):
    def write(*arguments):
        raise OSError(number, os.strerror(number), "/some/file")

    with monkeypatch.context() as patch:
        patch.setattr(UnitWriter, "write", write)
        assert main(["sweep", *SWEEP, f"out={path}"]) == 1
    assert_refused(
        capsys.readouterr().err, f"cannot read or write /some/file: {os.strerror(number)}"
    )
    assert open_store(path).record.quarantined == ()
    assert main(["sweep", *SWEEP, f"out={path}"]) == 0
    sweep([*SWEEP, f"out={tmp_path}/whole.zarr"])
    assert_same_bits(path, tmp_path / "whole.zarr")


def test_one_unit_that_cannot_be_written_is_set_aside_and_the_store_is_not_lost(
    path, monkeypatch, capsys
):
    def write(writer, unit, parts):
        if unit.number == 1:
            raise OSError(errno.EIO, "Input/output error", "/some/file")
        original(writer, unit, parts)

    original = UnitWriter.write
    monkeypatch.setattr(UnitWriter, "write", write)
    assert main(["sweep", *SWEEP, f"out={path}"]) == 3
    assert "trials 100..199: cannot read or write /some/file" in capsys.readouterr().err
    assert [bad.unit.number for bad in open_store(path).record.quarantined] == [1]
