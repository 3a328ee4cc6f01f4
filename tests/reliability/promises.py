"""What is promised of a store, whatever was done to it, and small sweeps to do it to."""

import warnings
from pathlib import Path

import numpy as np
import xarray as xr
from helpers.sweeps import assert_same_bits, open_store

from pipeline import open_results, summarize
from pipeline.audit.difference import compare_stores
from reliability import forked
from reliability.forked import Ended
from reliability.interposer import Fault

# Three units of a cell, and a growth of three axes.
SMALL = ("block_size=4", "freqs=0..2", "unit_trials=10", "trials=30")
GROWN = ("block_size=4", "freqs=0..3", "algorithm=asm,apx", "unit_trials=10", "trials=40")
# What `verify` may say of a store whose writer was killed or failed: nothing that was listed is
# lost.
_HARMLESS = ("half written by a process that died", "a growth was cut short")


def sweep(path: Path, *words: str, fault: Fault | None = None) -> Ended:
    """A sweep into a store."""
    return forked.program("sweep", *words, f"out={path}", fault=fault)


def check_said(ended: Ended, *codes: int) -> Ended:
    """It ended in time, with one of some exit codes, and one line where it was refused."""
    assert not ended.hung, ended
    assert ended.code in codes, ended
    assert "Traceback" not in ended.out + ended.err, ended
    errors = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == int(ended.code in (1, 2, 3) and "differs:" not in ended.out), ended
    return ended


def check_nothing_lost(ended: Ended) -> None:
    """What `verify` says of a store that was left: whatever the ledger lists is there."""
    check_said(ended, 0, 1)
    bad = [line for line in ended.out.splitlines() if line.startswith(("bad:", "not checked:"))]
    assert all(any(words in line for words in _HARMLESS) for line in bad), ended


def check_sound(ended: Ended) -> None:
    """`verify` has found nothing, and nothing is missing."""
    check_said(ended, 0)
    assert "No damage found." in ended.out, ended
    assert "Unfinished" not in ended.out, ended


def check_same(path: Path, other: Path) -> None:
    """A store has the bits of another one, and nothing was left in it or beside it."""
    forked.call(assert_same_bits, path, other)


def check_part_of(path: Path, whole: Path) -> None:
    """Whatever a store has measured has the bits of a larger one."""
    compared, differences = forked.call(_compared, path, whole)
    assert differences == []
    assert compared > 0, "nothing to compare"


def _compared(path: Path, whole: Path) -> tuple[int, list[str]]:
    return compare_stores(open_store(path), open_store(whole))


def values(path: Path) -> dict[str, xr.DataArray]:
    """Every number that a reader gets of a store, and every summary."""
    ours = open_results(path).load()
    summary = summarize(path)
    found = {name: ours[name] for name in ("error", "mask_accuracy", "regret")}
    return found | {name: summary[name] for name in ("mean_error", "measured")}


def values_of_xarray(path: Path) -> dict[str, xr.DataArray]:
    """The trials of a store, read by xarray with none of our code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trials = xr.open_zarr(str(path)).load()
    return {name: trials[name] for name in ("error", "mask_accuracy", "regret")}


def check_no_other_number(found: dict[str, xr.DataArray], whole: dict[str, xr.DataArray]) -> None:
    """Trials are those of a whole store or NaN; means too, where as many trials are summed up."""
    for name, array in found.items():
        if name == "measured":
            continue
        one, two = xr.align(array, whole[name], join="inner")
        assert one.size == array.size, f"{name} has other labels than the store"
        measured = ~np.isnan(one)
        if name == "mean_error":
            counts = xr.align(found["measured"], whole["measured"], join="inner")
            measured &= counts[0] == counts[1]
        wrong = measured & (one != two)
        assert not wrong.any(), f"{int(wrong.sum())} wrong numbers in {name}"
