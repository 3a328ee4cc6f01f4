"""Corruption: whatever is not as it was written is named, and repaired by the next sweep."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from helpers.sweeps import assert_same_bits, bits
from PIL import Image

from pipeline import UserError, open_results, sweep
from pipeline.audit import difference, status, verify
from pipeline.cli.main import main
from pipeline.store import lock, store

SWEEP = ["block_size=4,8", "freqs=0..5", "algorithm=asm,apx", "trials=250", "unit_trials=100"]
CHUNK = "error/c/0/1/0/0/0/0/1"
NAMED = "source=uniform block_size=8 trials 100..199"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "s.zarr"
    sweep([*SWEEP, f"out={path}"])
    return path


@pytest.fixture
def path(whole, tmp_path):
    place = tmp_path / "s.zarr"
    shutil.copytree(whole, place)
    return place


def words(path, sample=0.0):
    return [finding.words for finding in verify.verify(str(path), sample).findings]


def flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 4
    file.write_bytes(content)


def truncate(file):
    file.write_bytes(file.read_bytes()[:-7])


def empty(file):
    file.write_bytes(b"")


def from_elsewhere(file):
    # A whole chunk with its checksum, of another unit.
    shutil.copy(file.with_name("0"), file)


def test_a_whole_store_is_found_whole_and_computed_again_to_the_same_bits(path):
    report = verify.verify(str(path), 1.0)
    assert (report.units, report.recomputed, report.findings) == (6, 6, [])
    assert verify.verify(str(path), 0.3).recomputed == 2
    assert verify.verify(str(path), 0.01).recomputed == 1


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
    verify.repair(str(path), verify.verify(str(path), 0.0).findings)
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


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"zarr_format": 3}'])
@pytest.mark.parametrize("array", ["error", "ledger/regret", "freq"])
def test_a_damaged_zarr_json_of_an_array_is_named_and_written_again(path, whole, array, content):
    (path / array / "zarr.json").write_bytes(content)
    (finding,) = verify.verify(str(path), 0.0).findings
    assert finding.words.startswith(f"{array}/zarr.json is damaged")
    verify.repair(str(path), [finding])
    assert words(path) == []
    assert_same_bits(path, whole)


@pytest.mark.parametrize("verb", ["verify", "status", "sweep", "summary"])
def test_a_damaged_root_is_named_with_the_remedy(path, capsys, verb):
    (path / "zarr.json").write_text("{")
    arguments = [*SWEEP, f"out={path}"] if verb == "sweep" else [str(path)]
    assert main([verb, *arguments]) == 2
    said = capsys.readouterr().err
    assert f"{path}/zarr.json is damaged or missing" in said
    assert "restore it from a copy, or delete the store" in said


def test_a_damaged_coordinate_is_named_and_written_again(path, whole):
    flip(next((path / "freq" / "c").iterdir()))
    (finding,) = verify.verify(str(path), 0.0).findings
    assert finding.words.startswith("freq cannot be read")
    verify.repair(str(path), [finding])
    assert words(path) == []
    assert_same_bits(path, whole)


def test_leftovers_and_foreign_files_are_named_and_only_leftovers_removed(path):
    half = path / "error" / "c" / "0.2f1a.partial"
    half.write_bytes(b"half")
    foreign = path / "error" / "c" / "notes.txt"
    foreign.write_text("mine")
    found = verify.verify(str(path), 0.0).findings
    assert [finding.words.split()[0] for finding in found] == [str(half), str(foreign)]
    verify.repair(str(path), found)
    assert not half.exists()
    assert foreign.read_text() == "mine"


def test_the_verb_says_what_is_bad_and_how_to_mend_it(path, capsys):
    assert main(["verify", str(path)]) == 0
    assert "Everything that is there is as it was written, to the bit." in capsys.readouterr().out
    flip(path / CHUNK)
    assert main(["verify", str(path), "sample=0"]) == 1
    printed, said = capsys.readouterr()
    assert f"bad: {NAMED}: cannot be read (ValueError: Stored and computed checksum" in printed
    assert f"verify {path} repair=true queues them for the next sweep" in said
    assert main(["verify", str(path), "repair=true"]) == 0
    printed = capsys.readouterr().out
    assert f"python -m pipeline sweep {' '.join(SWEEP)}" in printed
    assert main(["status", str(path)]) == 0
    assert "150 of 250" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argument", ["sample=2", "sample=-0.1", "sample=some", "smple=1", "repair=1"]
)
def test_a_mistaken_key_of_verify_is_refused(path, capsys, argument):
    assert main(["verify", str(path), argument]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_store_that_is_being_written_is_not_verified(path):
    with lock.held(str(path)), pytest.raises(UserError, match=r"is being written by process \d+"):
        verify.verify(str(path), 0.0)


def test_reading_a_flipped_bit_in_a_unit_that_a_summary_needs_names_the_store(path, capsys):
    flip(path / CHUNK)
    assert main(["sweep", *SWEEP[:3], "trials=150", f"out={path}"]) == 2
    said = capsys.readouterr().err
    assert f"{path} is damaged" in said
    assert "checksum" in said
    with pytest.raises(ValueError, match="checksum"):
        xr.open_zarr(path).error.load()


def test_two_stores_are_compared_by_bits_whatever_their_units(path, tmp_path):
    other = tmp_path / "other.zarr"
    sweep([*SWEEP[:3], "trials=250", "unit_trials=64", f"out={other}"])
    assert difference.differing(str(path), str(other)) == (6 + 2, [])
    sweep([*SWEEP[:3], "trials=250", "seed=1", f"out={tmp_path}/seed.zarr"])
    assert difference.differing(str(path), f"{tmp_path}/seed.zarr") == (0, ["seed is 0 and 1"])
    group = zarr.open_group(other, mode="r+", use_consolidated=False)
    group["regret"][0, 0, 0, 0, 2, 249] = 1.0
    assert difference.differing(str(path), str(other))[1] == [
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


def test_the_provenance_says_what_decided_the_bits(path):
    sweep([*SWEEP[:3], "trials=300", f"out={path}"])
    attributes = store.provenance_of(str(path))
    for name in ("python", "numpy", "numba", "zarr", "kernel", "stream", "layout"):
        assert f"{name}=" in attributes["versions"]
    root, head = Path(__file__).parents[2], ""
    if shutil.which("git") and (root / ".git").exists():
        head = subprocess.run(
            ["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        ).stdout.strip()
    assert attributes["commit"] == (head or "unknown")
    assert attributes["dirty"] in ("true", "false", "unknown")
    assert attributes["processor"]
    assert (attributes["seed"], attributes["resumes"]) == (0, 0)
    assert attributes["created"] <= attributes["last_run"] <= attributes["ended"]
    runs = json.loads(attributes["runs"])
    assert [run["overrides"].split()[3] for run in runs] == ["trials=250", "trials=300"]
    assert all(run["ended"] for run in runs)


def test_the_same_command_on_an_unfinished_store_counts_as_a_resume(path):
    verify.repair(str(path), [verify.Finding("", units=((0, 0, 1),))])
    sweep([*SWEEP, f"out={path}"])
    attributes = store.provenance_of(str(path))
    assert attributes["resumes"] == 1
    assert [run["resumes"] for run in json.loads(attributes["runs"])] == [1]


def test_a_checkout_without_git_is_of_an_unknown_commit(tmp_path):
    for name in ("asm_core", "pipeline", "conf"):
        shutil.copytree(Path(__file__).parents[2] / name, tmp_path / name)
    code = "from pipeline.store import provenance; print(provenance._commit())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout == "{'commit': 'unknown', 'dirty': 'unknown'}\n"


def test_files_that_have_changed_since_are_no_reason_to_compute_anything_again(tmp_path):
    picture = tmp_path / "picture.png"
    samples = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    Image.fromarray(samples[0]).save(picture)
    path = tmp_path / "s.zarr"
    given = ["source=images", f"source.images.path={picture}", "trials=all", f"out={path}"]
    sweep(given)
    assert words(path, 1.0) == []
    Image.fromarray(samples[1]).save(picture)
    (finding,) = verify.verify(str(path), 1.0).findings
    assert finding.words.startswith("cannot compute again what")
    assert "source is" in finding.words
    assert not finding.mendable
    picture.unlink()
    (finding,) = verify.verify(str(path), 1.0).findings
    assert not finding.mendable


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
        assert status.look(str(path)).trials_left == 100
        assert main(command) == 0
    assert status.look(str(path)).trials_left == 0
    assert bits(open_results(str(path))) == before
    assert words(path, 1.0) == []


@pytest.mark.parametrize("metric", ["mask_accuracy", "regret"])
def test_lost_rows_of_a_metric_are_found_though_no_chunk_is_bad(path, whole, metric):
    shutil.rmtree(path / "ledger" / metric / "c")
    found = verify.verify(str(path), 0.0).findings
    assert len(found) == 6
    assert all(f"the ledger's row of {metric} is not" in finding.words for finding in found)
    verify.repair(str(path), found)
    sweep([*SWEEP, f"out={path}"])
    assert_same_bits(path, whole)


@pytest.mark.parametrize("copy", [None, {}, {"error": {"shape": [1]}}])
def test_consolidated_metadata_that_is_not_that_of_the_arrays_is_written_again(path, whole, copy):
    root = json.loads((path / "zarr.json").read_text())
    root["consolidated_metadata"] = copy and {**root["consolidated_metadata"], "metadata": copy}
    (path / "zarr.json").write_text(json.dumps(root))
    (finding,) = verify.verify(str(path), 0.0).findings
    assert finding.words == "the consolidated metadata in zarr.json is not that of the arrays"
    verify.repair(str(path), [finding])
    assert words(path) == []
    assert_same_bits(path, whole)


@pytest.mark.parametrize("damage", ["metadata", "row", "stray"])
def test_damage_to_the_journal_of_a_killed_sweep_is_mended(path, whole, monkeypatch, damage):
    shutil.rmtree(path)
    with monkeypatch.context() as patch:
        patch.setattr(store, "finish", lambda path, attributes: None)
        sweep([*SWEEP, f"out={path}"])
    rows = path / "journal" / "rows"
    if damage == "metadata":
        (rows / "zarr.json").write_text("{")
    elif damage == "row":
        flip(rows / "c.0.1.1.0")
    else:
        (rows / "c.0.0.1.0~").write_text("x")
    found = verify.verify(str(path), 0.0).findings
    assert found
    verify.repair(str(path), found)
    (rows / "c.0.0.1.0~").unlink(missing_ok=True)
    sweep([*SWEEP, f"out={path}"])
    assert_same_bits(path, whole)


@pytest.mark.parametrize("name", ["runs", "wanted", "quarantined", "identity"])
@pytest.mark.parametrize("verb", ["verify", "status", "sweep", "rerun"])
def test_a_damaged_attribute_is_one_line(path, capsys, name, verb):
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"][name] = "["
    (path / "zarr.json").write_text(json.dumps(root))
    given = {"sweep": [*SWEEP[:3], "trials=400", f"out={path}"],
             "rerun": [str(path), f"out={path}2"]}.get(verb, [str(path)])  # fmt: skip
    assert main([verb, *given]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert str(path) in said[0]


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
    (run,) = json.loads(store.provenance_of(str(again))["runs"])
    assert f"out={again}" in run["overrides"]


@pytest.mark.parametrize("url", ["http://localhost:1/x.zarr", "foo://x"])
@pytest.mark.parametrize("verb", ["verify", "status", "summary"])
def test_a_url_that_nothing_opens_is_one_line(capsys, verb, url):
    assert main([verb, url]) == 2
    assert f"cannot open {url}" in capsys.readouterr().err
