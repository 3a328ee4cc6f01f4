"""Damaged metadata and files that are none of a store: named, and repaired where that can be."""

import json

import pytest
from helpers.damage import SWEEP, flip, problems, words
from helpers.sweeps import assert_same_bits, open_store

from pipeline.audit.repair import repair
from pipeline.cli.main import main


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"zarr_format": 3}'])
@pytest.mark.parametrize("array", ["error", "ledger/regret", "freq"])
def test_a_damaged_zarr_json_of_an_array_is_named_and_written_again(path, whole, array, content):
    (path / array / "zarr.json").write_bytes(content)
    (problem,) = problems(path)
    assert problem.words.startswith(f"{array}/zarr.json: damaged")
    repair(open_store(path), [problem])
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
    (problem,) = problems(path)
    assert problem.words.startswith("freq: damaged")
    repair(open_store(path), [problem])
    assert words(path) == []
    assert_same_bits(path, whole)


def test_leftovers_and_foreign_files_are_named_and_only_leftovers_removed(path):
    half = path / "error" / "c" / "0.2f1a.partial"
    half.write_bytes(b"half")
    foreign = path / "error" / "c" / "notes.txt"
    foreign.write_text("mine")
    found = problems(path)
    assert [problem.words.split()[0] for problem in found] == [str(half), str(foreign)]
    repair(open_store(path), found)
    assert not half.exists()
    assert foreign.read_text() == "mine"


@pytest.mark.parametrize("copy", [None, {}, {"error": {"shape": [1]}}])
def test_consolidated_metadata_that_is_not_that_of_the_arrays_is_written_again(path, whole, copy):
    root = json.loads((path / "zarr.json").read_text())
    root["consolidated_metadata"] = copy and {**root["consolidated_metadata"], "metadata": copy}
    (path / "zarr.json").write_text(json.dumps(root))
    (problem,) = problems(path)
    assert problem.words == "the consolidated metadata in zarr.json is not that of the arrays"
    repair(open_store(path), [problem])
    assert words(path) == []
    assert_same_bits(path, whole)


@pytest.mark.parametrize("name", ["runs", "wanted", "quarantined", "identity", "growing"])
@pytest.mark.parametrize("verb", ["verify", "status", "sweep", "rerun"])
def test_a_damaged_attribute_is_one_line(path, capsys, name, verb):
    root = json.loads((path / "zarr.json").read_text())
    if name == "wanted":
        (run,) = json.loads(root["attributes"]["runs"])
        root["attributes"]["runs"] = json.dumps([{**run, "wanted": "["}])
    else:
        root["attributes"][name] = "["
    (path / "zarr.json").write_text(json.dumps(root))
    given = {"sweep": [*SWEEP[:3], "trials=400", f"out={path}"],
             "rerun": [str(path), f"out={path}2"]}.get(verb, [str(path)])  # fmt: skip
    assert main([verb, *given]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("error: ")
    assert str(path) in said[0]


@pytest.mark.parametrize("url", ["http://localhost:1/x.zarr", "foo://x"])
@pytest.mark.parametrize("verb", ["verify", "status", "summary"])
def test_a_url_that_nothing_opens_is_one_line(capsys, verb, url):
    assert main([verb, url]) == 2
    assert f"cannot open {url}" in capsys.readouterr().err
