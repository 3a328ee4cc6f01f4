"""Damaged metadata and files that are none of a store: named, and repaired where that can be."""

import json
import re

import pytest
from helpers.damage import SWEEP, flip, problems, words
from helpers.sweeps import assert_same_bits, open_store

from pipeline.audit.repair import repair
from pipeline.cli.main import main

GROUP = b'{"attributes": {}, "zarr_format": 3, "node_type": "group"}'


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"zarr_format": 3}', GROUP])
@pytest.mark.parametrize("array", ["error", "ledger/regret", "freq"])
def test_a_damaged_zarr_json_of_an_array_is_named_and_written_again(path, whole, array, content):
    (path / array / "zarr.json").write_bytes(content)
    (problem,) = problems(path)
    assert problem.words.startswith(f"{array}/zarr.json: damaged")
    repair(open_store(path), [problem])
    assert words(path) == []
    assert_same_bits(path, whole)


def change(path, array, keys, value):
    """Other metadata of an array, which its copy in the root does not have."""
    file = path / array / "zarr.json"
    metadata = json.loads(file.read_text())
    inner = metadata
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    file.write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("array", "keys", "value"),
    [
        ("error", ["shape", 5], 7),
        ("mask_accuracy", ["shape", -1], 100),
        ("ledger/regret", ["shape", -1], 2),
        ("ledger/error", ["shape", 2], 1),
    ],
)
def test_a_shape_that_is_wrong_is_made_of_its_copy_and_nothing_else_is_touched(
    path, whole, capsys, array, keys, value
):
    change(path, array, keys, value)
    (problem,) = problems(path)
    assert problem.words.startswith(f"{array} ")
    assert main(["summary", str(path)]) in (0, 2)
    assert main(["verify", str(path), "repair=true"]) == 0
    assert "nothing is missing" in capsys.readouterr().out
    assert words(path) == []
    assert_same_bits(path, whole)


def test_an_array_with_the_metadata_of_another_one_loses_no_trial_by_repair(path, whole, capsys):
    (path / "error" / "zarr.json").write_bytes((path / "ledger/moment/zarr.json").read_bytes())
    assert words(path) == ["error has the shape (12,), and not that of the identity"]
    assert main(["verify", str(path), "repair=true"]) == 0
    assert "nothing is missing" in capsys.readouterr().out
    assert_same_bits(path, whole)


@pytest.mark.parametrize(
    ("array", "keys", "value"),
    [
        ("error", ["chunk_grid", "configuration", "chunk_shape", -1], 30),
        ("ledger/error", ["fill_value"], "Infinity"),
        ("freq", ["dimension_names"], ["n"]),
        ("regret", ["codecs", 0, "configuration", "endian"], "big"),
    ],
)
def test_where_metadata_and_their_copy_differ_nothing_is_mended_by_either(
    path, whole, capsys, array, keys, value
):
    change(path, array, keys, value)
    changed = (path / array / "zarr.json").read_bytes()
    assert main(["verify", str(path), "repair=true"]) == 1
    said = capsys.readouterr().out
    assert f"{array}/zarr.json and its copy in the store's zarr.json differ in {keys[0]}" in said
    assert (path / array / "zarr.json").read_bytes() == changed
    # As the message says.
    (path / array / "zarr.json").unlink()
    assert main(["verify", str(path), "repair=true"]) == 0
    assert_same_bits(path, whole)


@pytest.mark.parametrize("verb", ["verify", "status", "sweep", "summary"])
def test_a_damaged_root_is_named_with_the_remedy(path, capsys, verb):
    (path / "zarr.json").write_text("{")
    arguments = [*SWEEP, f"out={path}"] if verb == "sweep" else [str(path)]
    assert main([verb, *arguments]) == 2
    said = capsys.readouterr().err
    assert f"{path}/zarr.json is damaged or missing" in said
    assert f"verify {path} repair=true writes it again from its copy" in said
    (path / "ledger" / "zarr.json").unlink()
    assert main([verb, *arguments]) == 2
    assert "restore it from a copy, or delete the store" in capsys.readouterr().err


@pytest.mark.parametrize("content", [None, b"", bytes(400), b'{"zarr_format": 3, "attri'])
def test_a_root_that_a_power_cut_left_is_written_again_from_its_copy(path, whole, content, capsys):
    file = path / "zarr.json"
    before = file.read_text()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    assert main(["verify", str(path), "sample=0", "repair=true"]) == 0
    assert f"Written again from its copy: {file}" in capsys.readouterr().out
    assert json.loads(file.read_text())["attributes"] == json.loads(before)["attributes"]
    assert words(path) == []
    assert_same_bits(path, whole)
    assert main(["sweep", *SWEEP, f"out={path}"]) == 0
    assert "Nothing to compute" in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new"), [('\\"seed\\": 0', '\\"seed\\": 1'), ("{", "[")])
def test_a_root_that_says_something_else_is_written_again_from_its_copy(
    path, whole, capsys, old, new
):
    file = path / "zarr.json"
    before = file.read_text()
    # In the text of the identity.
    start = before.index('"identity"')
    file.write_text(before[:start] + before[start:].replace(old, new, 1))
    assert main(["verify", str(path)]) == 2
    assert f"verify {path} repair=true writes it again" in capsys.readouterr().err
    assert main(["verify", str(path), "repair=true"]) == 0
    assert json.loads(file.read_text())["attributes"] == json.loads(before)["attributes"]
    assert words(path) == []
    assert_same_bits(path, whole)


@pytest.mark.parametrize("other", ["", "{", "freq"])
def test_a_group_that_is_none_is_written_again(path, whole, other):
    file = path / "ledger" / "zarr.json"
    before = json.loads(file.read_text())["attributes"]
    array = path / other / "zarr.json"
    file.write_bytes(array.read_bytes() if other == "freq" else other.encode())
    (problem,) = problems(path)
    assert problem.words.startswith("ledger/zarr.json: damaged")
    repair(open_store(path), [problem])
    assert json.loads(file.read_text())["attributes"] == before
    assert words(path) == []
    assert_same_bits(path, whole)


def test_a_copy_that_says_something_else_is_never_used_and_written_again(path, whole, capsys):
    file = path / "ledger" / "zarr.json"
    before = json.loads(file.read_text())["attributes"]
    file.write_text(file.read_text().replace('\\"seed\\": 0', '\\"seed\\": 1'))
    assert words(path) == ["ledger/zarr.json: its copy of what the store says of itself is damaged"]
    root = (path / "zarr.json").read_bytes()
    (path / "zarr.json").unlink()
    assert main(["verify", str(path), "repair=true"]) == 2
    assert "restore it from a copy, or delete the store" in capsys.readouterr().err
    (path / "zarr.json").write_bytes(root)
    assert main(["verify", str(path), "repair=true"]) == 0
    assert json.loads(file.read_text())["attributes"] == before
    assert words(path) == []
    assert_same_bits(path, whole)


def test_repair_mends_what_damaged_metadata_hid_and_returns_what_is_left(path):
    (path / "error" / "zarr.json").write_text("{")
    flip(next(file for file in (path / "error" / "c").rglob("*") if file.is_file()))
    foreign = path / "error" / "c" / "notes.txt"
    foreign.write_text("mine")
    (problem,) = problems(path)
    (left,) = repair(open_store(path), [problem])
    assert left.words.startswith(str(foreign))
    assert left.harmless


def test_a_damaged_coordinate_is_named_and_written_again(path, whole):
    flip(next((path / "freq" / "c").iterdir()))
    (problem,) = problems(path)
    assert problem.words.startswith("freq: damaged")
    repair(open_store(path), [problem])
    assert words(path) == []
    assert_same_bits(path, whole)


@pytest.mark.parametrize("how", [flip, lambda file: file.unlink()])
@pytest.mark.parametrize("name", ["freq", "algorithm", "coefficients_kept", "ledger/moment"])
def test_a_coordinate_that_is_missing_or_damaged_is_written_again(path, whole, name, how):
    (file,) = (file for file in (path / name / "c").rglob("*") if file.is_file())
    before = file.read_bytes()
    how(file)
    (problem,) = problems(path)
    assert problem.words.startswith(f"{name}")
    repair(open_store(path), [problem])
    assert words(path) == []
    assert file.read_bytes() == before


def test_leftovers_and_foreign_files_are_named_and_only_leftovers_removed(path):
    half = path / "error" / "c" / "0.2f1a.partial"
    half.write_bytes(b"half")
    foreign = path / "error" / "c" / "notes.txt"
    foreign.write_text("mine")
    found = problems(path)
    assert [problem.words.split()[0] for problem in found] == [str(half), str(foreign)]
    assert all(problem.harmless for problem in found)
    repair(open_store(path), found)
    assert not half.exists()
    assert foreign.read_text() == "mine"


@pytest.mark.parametrize(
    "name", [".DS_Store", "error/.nfs0000000000a1b2c3", "ledger/zarr.json~", "c/0.partial", "x/y"]
)
def test_files_that_do_no_harm_are_notes_and_no_damage(path, capsys, name):
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_bytes(b"x")
    assert main(["verify", str(path), "sample=0"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"note: {path / name} ")
    assert "No damage found." in said.out
    assert said.err == ""


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
    # Nobody opens foo://, and at the port of the other nobody answers.
    assert re.match(f"error: cannot (open|read) {url}.*: ", capsys.readouterr().err)
