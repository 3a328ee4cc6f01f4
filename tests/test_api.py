"""`sweep` for Python: values in place of words, what it prints, and how it is stopped."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from helpers.stores import listed
from helpers.sweeps import LONG, assert_same, counted, open_store

import pipeline
from pipeline import UserError, sweep
from pipeline.config import compose
from pipeline.show import progress
from pipeline.sources import kinds

WORDS = ["freqs=0..3", "algorithm=asm,apx", "trials=100"]


@pytest.fixture(scope="module")
def spelled_out(tmp_path_factory):
    return sweep([*WORDS, f"out={tmp_path_factory.mktemp('words')}/s.zarr"]).load()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], {"freqs": range(4), "algorithm": ["asm", "apx"], "trials": 100}),
        ([], {"freqs": np.arange(4), "algorithm": ("apx", "asm"), "trials": np.int64(100)}),
        ([], {"freqs": "0..3", "algorithm": "asm,apx", "trials": "1e2"}),
        (" ".join(WORDS), {}),
        ("freqs=0..3 algorithm=asm,apx", {"trials": 100}),
    ],
)
def test_values_and_words_ask_for_the_same(tmp_path, spelled_out, words, values):
    path = tmp_path / "s.zarr"
    dataset = sweep(words, out=path, **values)
    assert_same(spelled_out, dataset)
    assert dataset.attrs["store"] == str(path)
    # The store can be swept on from the command line, which finds it complete.
    assert counted([*WORDS, f"out={path}"]).advanced == 0
    given = open_store(path).record.runs[0].given
    assert compose.load([f"{key}={text}" for key, text in given.items()]) == compose.load(
        [*WORDS, f"out={path}"]
    )


def test_entries_are_dictionaries(tmp_path):
    wide = {"kind": "uniform", "low": -1}
    values = sweep(
        source={"uniform": {}, "wide": wide}, operation={"max_pool": {"window": 4}}, trials=50,
        out=tmp_path / "a.zarr",
    )  # fmt: skip
    words = sweep(
        "source=uniform,wide source.wide.kind=uniform source.wide.low=-1 "
        f"operation.max_pool.window=4 trials=50 out={tmp_path}/b.zarr"
    )
    assert_same(words, values)


def test_a_key_given_as_word_and_value_is_refused(tmp_path):
    with pytest.raises(UserError, match="trials"):
        sweep("trials=10", trials=20, out=tmp_path / "s.zarr")
    assert list(tmp_path.iterdir()) == []


def test_the_home_folder_and_paths_are_places(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for out in ("~/a.zarr", tmp_path / "b.zarr", f"{tmp_path}/c.zarr"):
        dataset = sweep(trials=10, out=out)
        assert dataset.attrs["store"] == str(tmp_path / os.path.basename(out))
    for results in ("~/here", tmp_path / "there"):
        dataset = sweep(trials=10, results=results)
        folder, name = os.path.split(dataset.attrs["store"])
        assert folder == str(tmp_path / os.path.basename(results))
        assert name.startswith("sweep-")
    assert sorted(os.listdir(tmp_path)) == ["a.zarr", "b.zarr", "c.zarr", "here", "there"]


@pytest.mark.parametrize(
    ("watched", "wanted", "printed"),
    [
        (False, None, False),
        (True, None, True),
        (False, True, True),
        (True, False, False),
    ],
)
def test_progress_is_shown_where_somebody_looks_on_or_wants_it(
    tmp_path, monkeypatch, capsys, watched, wanted, printed
):
    if watched:
        monkeypatch.setattr(progress, "is_watched", lambda: True)
    sweep(trials=100, out=tmp_path / "s.zarr", progress=wanted)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert any(line.startswith("Measuring 100 trials at 15 freq") for line in lines) == printed
    assert bool(lines) == printed
    sweep(trials=100, out=tmp_path / "s.zarr", progress=wanted)
    again = "Nothing to compute: all 100 trials are in the store.\n"
    assert capsys.readouterr().err == (again if printed else "")


def test_ctrl_c_says_what_to_do_next_and_the_same_call_goes_on(tmp_path, monkeypatch, capsys):
    path, draws = tmp_path / "s.zarr", []

    def draw(*arguments):
        draws.append(arguments)
        if len(draws) == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return original(*arguments)

    original = kinds.draw_pair
    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(kinds, "draw_pair", draw)
        with pytest.raises(KeyboardInterrupt):
            sweep(LONG, out=path, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("Stopped. What was measured is in ")
    assert lines[-1].endswith(".zarr: the same call goes on from there.")
    assert lines[-2].startswith("Stopping after Ctrl-C: storing the units in flight")
    assert signal.getsignal(signal.SIGINT) is handler
    stored = int(listed(open_store(path)).sum())
    assert 0 < stored < 100_000
    assert not path.with_name("s.zarr.lock").exists()
    assert counted([*LONG, f"out={path}"]).done == stored
    assert_same(sweep(LONG, out=path), sweep(LONG, out=tmp_path / "whole.zarr"))


def test_units_that_fail_are_an_error_that_names_the_first(tmp_path, monkeypatch):
    def draw(source, seed, size, first, count):
        if first >= 100:
            raise ValueError("no such luck")
        return original(source, seed, size, first, count)

    original = kinds.draw_pair
    monkeypatch.setattr(kinds, "draw_pair", draw)
    with pytest.raises(
        RuntimeError,
        match=r"^2 units failed; the first: source=uniform block_size=8 trials [12]00\.\.\d99: Val",
    ):
        sweep(trials=300, unit_trials=100, out=tmp_path / "s.zarr")
    assert listed(open_store(tmp_path / "s.zarr")).ravel().tolist() == [100, 0, 0]


def test_of_a_store_that_grew_only_what_was_asked_for_is_returned(tmp_path):
    path = tmp_path / "s.zarr"
    sweep(freqs=range(4), trials=50, out=path)
    part = sweep(freqs=[6, 2], algorithm=["apx"], trials=40, out=path, extend=True)
    assert part.sizes["trial"] == 40
    assert part.freq.values.tolist() == [2, 6]
    assert part.algorithm.values.tolist() == ["apx"]
    assert not np.isnan(part.error.to_numpy()).any()


def test_a_plan_says_what_a_sweep_would_take_and_writes_nothing(elsewhere):
    found = pipeline.plan(freqs=range(15), block_size=[4, 8], trials=300, unit_trials=100)
    assert (found.units, found.missing, found.trials, found.unit_trials) == (6, 6, 300, 100)
    # error, mask accuracy and regret of 15 n, float32.
    assert found.stored_bytes == 2 * 300 * 15 * 3 * 4
    assert found.labels["block_size"] == [4, 8]
    assert list(elsewhere.iterdir()) == []
    sweep(freqs=range(15), block_size=[4, 8], trials=100, unit_trials=100)
    again = pipeline.plan("freqs=0..14 block_size=4,8 trials=300 unit_trials=100")
    assert (again.units, again.missing, again.store) == (6, 4, found.store)
    with pytest.raises(UserError, match="unknown key"):
        pipeline.plan(frequencies=3)


def test_status_and_verify_are_what_the_verbs_print(elsewhere):
    path = sweep(freqs=[1, 2], trials=300, unit_trials=100).attrs["store"]
    status = pipeline.status(path)
    assert (status.trials, status.trials_left, status.holder) == (300, 0, None)
    report = pipeline.verify(path, sample=1.0)
    assert (report.units, report.recomputed, report.problems) == (3, 3, [])
    (chunk,) = (file for file in Path(path).glob("error/c/0/0/0/0/0/0/1") if file.is_file())
    chunk.write_bytes(b"noise")
    (problem,) = pipeline.verify(path, sample=0).problems
    assert "trials 100..199" in problem.words
    assert not problem.harmless
    with pytest.raises(ValueError, match=r"sample must be within 0..1, got 2"):
        pipeline.verify(path, sample=2)
    for call in (pipeline.status, pipeline.verify):
        with pytest.raises(UserError, match="is not a store of this program"):
            call(elsewhere / "nowhere.zarr")


@pytest.mark.parametrize(
    "call",
    [
        lambda path, dataset: pipeline.open_results(None),
        lambda path, dataset: pipeline.open_results([path, 3]),
        lambda path, dataset: pipeline.open_results(dataset),
        lambda path, dataset: pipeline.status([path]),
        lambda path, dataset: pipeline.status(dataset),
        lambda path, dataset: pipeline.verify(7),
        lambda path, dataset: pipeline.compare_results(dataset, path),
        lambda path, dataset: pipeline.compare_results(path, None),
        lambda path, dataset: pipeline.report(dataset, "page.html"),
        lambda path, dataset: pipeline.report(path, None),
        lambda path, dataset: pipeline.export(path, None),
        lambda path, dataset: pipeline.export(None, "file.csv"),
        lambda path, dataset: pipeline.summarize(None),
        lambda path, dataset: pipeline.sweep(out=dataset),
    ],
)
def test_what_is_no_path_is_refused_in_one_line(elsewhere, call):
    dataset = pipeline.sweep(freqs=[0, 1], trials=20, out="s.zarr")
    with pytest.raises(pipeline.UserError) as refused:
        call("s.zarr", dataset)
    (line,) = str(refused.value).splitlines()
    assert "Dataset" in line or "NoneType" in line or "int" in line or "list" in line
    assert sorted(path.name for path in elsewhere.iterdir()) == ["s.zarr"]


@pytest.mark.parametrize("sample", ["x", None, 2, float("nan")])
def test_a_share_that_is_none_is_refused(elsewhere, sample):
    pipeline.sweep(freqs=[0, 1], trials=20, out="s.zarr")
    with pytest.raises(ValueError, match=r"sample must be within 0..1, got "):
        pipeline.verify("s.zarr", sample)


@pytest.mark.parametrize("chunks", ["large", {"trial": "x"}, -5, object()])
def test_chunks_that_are_none_are_not_called_damage(elsewhere, chunks):
    pipeline.sweep(freqs=[0, 1], trials=20, out="s.zarr")
    with pytest.raises(pipeline.UserError, match="are none as xarray takes them"):
        pipeline.open_results("s.zarr", chunks=chunks)
