"""Processes that may not read a store: one line with file, reason and remedy, and nothing else."""

import pytest
from helpers.unreadable import assert_refused, forbidden, run, tree

from pipeline.cli.main import main

SWEEP = ["block_size=4,8", "freqs=0..2", "trials=40", "unit_trials=20"]


@pytest.fixture
def path(tmp_path):
    assert main(["sweep", *SWEEP, f"out={tmp_path}/results/s.zarr"]) == 0
    return tmp_path / "results" / "s.zarr"


def commands(path):
    """Every verb that opens a store; what they write lies elsewhere."""
    away = path.parent.parent / "away"
    return [
        ["status", path], ["summary", path], ["plot", path, f"to={away}/curve"],
        ["verify", path, "sample=0"], ["verify", path, "sample=0", "repair=true"],
        ["sweep", *SWEEP, f"out={path}"], ["plan", *SWEEP, f"out={path}"],
        ["sweep", *SWEEP[:2], "trials=90", SWEEP[3], f"out={path}"],
        ["rerun", path, f"out={away}/again.zarr"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("what", "mode"), [("", 0), ("zarr.json", 0), ("..", 0), ("", 0o600), ("..", 0o600)]
)
def test_a_store_that_may_not_be_opened_is_refused_by_every_verb(path, what, mode):
    before = tree(path.parent.parent)
    with forbidden(path / what, mode):
        done = run(*commands(path))
    for code, printed, said in done:
        assert (code, printed) == (2, "")
        assert_refused(said, "Permission denied: ask its owner for access", path)
    assert tree(path.parent.parent) == before


@pytest.mark.parametrize(
    "what", ["ledger/error/c/0/1/0/0/0/0/0/0", "ledger/error/c/0/1", "error/zarr.json"]
)
def test_a_part_that_may_not_be_read_is_named_and_kept(path, what):
    before = tree(path)
    # A sweep for more trials might do with what may be read.
    asked = [words for words in commands(path) if "trials=90" not in words]
    with forbidden(path / what):
        done = run(*asked)
    refused = 0
    for words, (code, printed, said) in zip(asked, done, strict=True):
        if words[0] == "verify":
            assert code == 1
            assert "not checked: " in printed
            assert f"cannot read {path / what}" in printed
            assert "bad: " not in printed
            assert_refused(said.replace("not touched", ""), "could not be checked", path)
        elif code:
            refused += 1
            assert code == 2
            assert_refused(said, "Permission denied: ask its owner for access", path / what)
    assert refused >= 3
    assert tree(path) == before


def test_a_folder_of_results_that_may_not_be_read_is_not_taken_for_an_empty_one(path):
    results = path.parent
    with forbidden(results):
        ((code, printed, said),) = run(["summary", f"results={results}"])
    assert (code, printed) == (2, "")
    assert_refused(said, "Permission denied: give the path of the store", results)


@pytest.mark.parametrize("files", [0, 1, 2])
def test_too_few_open_files_are_no_damage(path, files):
    before = tree(path)
    # What is more than these takes files for a cluster.
    asked = [words for words in commands(path) if words[0] in ("status", "summary", "verify")]
    done = run(*asked, files=files)
    for code, printed, said in done:
        if code:
            assert "bad: " not in printed
            reason = "Too many open files: raise the limit of open files (ulimit -n)"
            assert_refused(said.replace("not touched", ""), reason if code == 2 else "checked")
    assert files or all(code == 2 for code, *_ in done)
    assert tree(path) == before
