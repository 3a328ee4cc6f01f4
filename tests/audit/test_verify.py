"""Damaged numbers: whatever is not as it was written is named, and repaired by the next sweep."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from helpers.damage import (
    CHUNK,
    NAMED,
    SWEEP,
    empty,
    flip,
    from_elsewhere,
    problems,
    truncate,
    words,
)
from helpers.stores import plan_of
from helpers.sweeps import Counting, assert_same_bits, bits, execute, open_store
from PIL import Image

from pipeline import UserError, open_results, sweep
from pipeline.audit.repair import repair
from pipeline.audit.status import status_of
from pipeline.audit.verify import verify
from pipeline.cli.main import main
from pipeline.planning.identity import joined
from pipeline.store import layout, lock
from pipeline.store.location import Location
from pipeline.store.store import Store


def test_a_whole_store_is_found_whole_and_computed_again_to_the_same_bits(path):
    report = verify(open_store(path), 1.0)
    assert (report.units, report.recomputed, report.problems) == (6, 6, [])
    assert verify(open_store(path), 0.3).recomputed == 2
    assert verify(open_store(path), 0.01).recomputed == 1


@pytest.mark.parametrize("metric", ["error", "mask_accuracy", "regret"])
@pytest.mark.parametrize("damage", [flip, truncate, empty, from_elsewhere, Path.unlink])
def test_a_damaged_chunk_names_its_unit_and_is_computed_again(path, whole, metric, damage):
    chunk = (
        CHUNK if metric == "error" else CHUNK.replace("error", metric).replace("0/0/0/0", "0/0/0")
    )
    damage(path / chunk)
    # Both algorithms share a chunk, or have one each.
    found = words(path)
    assert found
    assert all(word.startswith(NAMED) for word in found)
    repair(open_store(path), problems(path))
    assert words(path) == []
    repaired = sweep([*SWEEP, f"out={path}"])
    assert not np.isnan(repaired.error).any()
    assert_same_bits(path, whole)


@pytest.mark.parametrize("damage", [flip, truncate, empty])
def test_a_damaged_chunk_of_the_ledger_is_named_and_its_units_are_computed_again(
    path, whole, damage, capsys
):
    damage(path / "ledger/error/c/0/1/0/0/0/0/0/0")
    assert any("ledger/error, source=uniform block_size=8 trials 0..99" in w for w in words(path))
    assert main(["sweep", *SWEEP, f"out={path}"]) == 2
    said = capsys.readouterr().err
    assert f"python -m pipeline verify {path} names what is bad" in said
    assert main(["verify", str(path), "repair=true"]) == 0
    assert main(["sweep", *SWEEP, f"out={path}"]) == 0
    assert_same_bits(path, whole)


def test_a_number_that_was_changed_with_its_checksum_is_found(path):
    # What no checksum tells: somebody wrote another number where one was.
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    group["error"][0, 1, 0, 0, 0, 2, 130] = 0.125
    assert words(path) == [f"{NAMED}: the ledger's row of error is not that of its trials"]


def test_numbers_and_row_that_agree_and_are_wrong_are_found_by_computing_again(path):
    root = zarr.open_group(path, mode="r+", use_consolidated=False)
    for name in ("error", "ledger/error"):
        values = root[name][0, 0]
        root[name][0, 1] = values
    assert words(path) == []
    bad = words(path, 1.0)
    assert len(bad) == 3
    assert all("computed again, error has other bits" in word for word in bad)


def test_the_verb_says_what_is_bad_and_how_to_mend_it(path, capsys):
    assert main(["verify", str(path)]) == 0
    assert "No damage found." in capsys.readouterr().out
    flip(path / CHUNK)
    assert main(["verify", str(path), "sample=0"]) == 1
    printed, said = capsys.readouterr()
    assert f"bad: {NAMED}: damaged (ValueError: Stored and computed checksum" in printed
    assert f"verify {path} repair=true queues them for the next sweep" in said
    assert main(["verify", str(path), "repair=true"]) == 0
    printed = capsys.readouterr().out
    # As it is recorded, algorithms in the order of a store.
    asked = " ".join(SWEEP).replace("asm,apx", "apx,asm")
    assert f"python -m pipeline sweep {asked} out={path}" in printed
    assert main(["status", str(path)]) == 0
    assert "150 of 250" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argument", ["sample=2", "sample=-0.1", "sample=some", "smple=1", "repair=1"]
)
def test_a_mistaken_key_of_verify_is_refused(path, capsys, argument):
    assert main(["verify", str(path), argument]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_store_that_is_being_written_is_not_verified(path):
    with (
        lock.held(Location.of(path)),
        pytest.raises(UserError, match=r"is being written by process \d+"),
    ):
        verify(open_store(path), 0.0)


def test_reading_a_flipped_bit_in_a_unit_that_a_summary_needs_names_the_store(path, capsys):
    flip(path / CHUNK)
    assert main(["sweep", *SWEEP[:3], "trials=150", f"out={path}"]) == 2
    said = capsys.readouterr().err
    assert f"{path} is damaged" in said
    assert "checksum" in said
    with pytest.raises(ValueError, match="checksum"):
        xr.open_zarr(path).error.load()


def test_files_that_have_changed_since_are_no_reason_to_compute_anything_again(tmp_path):
    picture = tmp_path / "picture.png"
    samples = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    Image.fromarray(samples[0]).save(picture)
    path = tmp_path / "s.zarr"
    given = ["source=images", f"source.images.path={picture}", "trials=all", f"out={path}"]
    sweep(given)
    assert words(path, 1.0) == []
    Image.fromarray(samples[1]).save(picture)
    (problem,) = problems(path, 1.0)
    assert problem.words.startswith("cannot compute again what")
    assert "source is" in problem.words
    assert not problem.mendable
    picture.unlink()
    (problem,) = problems(path, 1.0)
    assert not problem.mendable


def test_after_an_extension_repair_names_every_command_that_is_needed(path, capsys):
    sweep(
        [*SWEEP[:1], "freqs=6..7", "algorithm=asm,apx", "trials=250", "extend=true", f"out={path}"]
    )
    before = bits(open_results(str(path)))
    flip(path / CHUNK)
    assert main(["verify", str(path), "repair=true"]) == 0
    commands = [
        line.split()[3:]
        for line in capsys.readouterr().out.splitlines()
        if "pipeline sweep" in line
    ]
    assert len(commands) == 2
    for command in commands:
        assert status_of(open_store(path), None).trials_left == 100
        assert main(command) == 0
    assert status_of(open_store(path), None).trials_left == 0
    assert bits(open_results(str(path))) == before
    assert words(path, 1.0) == []


@pytest.mark.parametrize("metric", ["mask_accuracy", "regret"])
def test_lost_rows_of_a_metric_are_found_though_no_chunk_is_bad(path, whole, metric):
    shutil.rmtree(path / "ledger" / metric / "c")
    found = problems(path)
    assert len(found) == 6
    assert all(f"the ledger's row of {metric} is not" in problem.words for problem in found)
    repair(open_store(path), found)
    sweep([*SWEEP, f"out={path}"])
    assert_same_bits(path, whole)


@pytest.mark.parametrize("name", ["journal/zarr.json", "journal/rows/zarr.json"])
@pytest.mark.parametrize("content", [b"", bytes(200), b'{"zarr_format": 3, "no'])
def test_a_journal_that_a_power_cut_left_is_closed_by_the_next_sweep_with_all_its_rows(
    path, whole, monkeypatch, name, content
):
    shutil.rmtree(path)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", lambda store, record: None)
        sweep([*SWEEP, f"out={path}"])
    (path / name).write_bytes(content)
    counter = Counting()
    execute([*SWEEP, f"out={path}"], counter)
    assert counter.todo == 0
    assert_same_bits(path, whole)


@pytest.mark.parametrize("damage", ["metadata", "row", "both", "stray"])
def test_damage_to_the_journal_of_a_killed_sweep_is_mended(path, whole, monkeypatch, damage):
    shutil.rmtree(path)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "finish", lambda store, record: None)
        sweep([*SWEEP, f"out={path}"])
    rows = path / "journal" / "rows"
    if damage in ("metadata", "both"):
        (rows / "zarr.json").write_text("{")
    if damage in ("row", "both"):
        flip(rows / "c.0.1.1.0")
    if damage == "stray":
        (rows / "c.0.0.1.0~").write_text("x")
    found = problems(path)
    assert found
    # Metadata first, and then what lies behind them.
    while found:
        repair(open_store(path), found)
        (rows / "c.0.0.1.0~").unlink(missing_ok=True)
        found = problems(path)
    sweep([*SWEEP, f"out={path}"])
    assert_same_bits(path, whole)


def test_damage_beside_a_growth_that_was_cut_short_is_named_and_mended(path, whole):
    store = open_store(path)
    plan = plan_of("block_size=8,16", "freqs=3..9", "algorithm=asm,apx", "trials=300")
    both = joined(store.record.identity, plan.identity)
    store.update(dataclasses.replace(store.record, growing=both))
    layout.lengthen(
        layout.open_root(store.location, "r+"), both, trials=300, units=3, batched=False
    )
    flip(path / "ledger/error/c/0/1/0/0/0/0/0/0")
    cut, *damaged = problems(path, 1.0)
    assert "a growth was cut short" in cut.words
    named = "ledger/error, source=uniform block_size=8 trials 0..99 and up to 2 units after it"
    assert damaged[0].words.startswith(named)
    repair(open_store(path), damaged)
    assert words(path) == [cut.words]
    dataset = sweep([*SWEEP, f"out={path}"])
    assert words(path, 1.0) == []
    first = dataset.sel(open_store(whole).labels).isel(trial=slice(0, 250))
    assert bits(first) == bits(open_results(whole))


def test_what_several_runs_have_measured_is_computed_again_once(tmp_path):
    out = f"out={tmp_path}/s.zarr"
    for asked in (["trials=300"], ["trials=500"], ["trials=500", "algorithm=asm,apx"]):
        sweep([*asked, "freqs=0,3", "unit_trials=100", "extend=true", out])
    report = verify(open_store(tmp_path / "s.zarr"), 1.0)
    assert (report.units, report.recomputed, report.problems) == (5, 5, [])


def test_a_store_at_a_url_has_no_foreign_files(tmp_path):
    url = "memory://of-verify/s.zarr"
    sweep(["trials=300", "freqs=0,3", "unit_trials=100", f"out={url}"])
    assert verify(Store.open(Location.of(url)), 1.0).problems == []
