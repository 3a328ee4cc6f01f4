"""What verbs print for a program, and how quiet they can be."""

import json
import math

import numpy as np
import pytest

import pipeline
from pipeline.cli.main import main
from pipeline.cli.verbs import VERBS
from pipeline.planning.axes import CURVE_NAMES
from pipeline.sources import kinds


@pytest.fixture
def stores(elsewhere):
    keys = {"freqs": range(8), "algorithm": ["asm", "apx"], "block_size": [4, 8], "trials": 400}
    pipeline.sweep(**keys, out="results/a.zarr")
    pipeline.sweep(**keys, seed=1, out="results/b.zarr")
    return elsewhere


def said(capsys, *words, code=0):
    """What a verb prints with --json: each line an object, the last one the result."""
    assert main([*words, "--json"]) == code
    printed, errors = capsys.readouterr()
    events = [json.loads(line) for line in printed.splitlines()]
    assert [each["event"] for each in events].count("result") == 1
    assert events[-1].pop("event") == "result"
    assert "Traceback" not in errors
    return events[-1], events[:-1]


def assert_points_of(points, dataset):
    """Points are those of `summarize`, up to the first n that keeps everything."""
    summary = pipeline.summarize(dataset)
    assert len(points) == sum(min(8, 2 * size - 1) for size in (4, 8)) * 2
    for point in points:
        at = summary.sel({axis: point[axis] for axis in (*CURVE_NAMES, "freq")})
        assert point["coefficients_kept"] == int(at.coefficients_kept)
        for name in at.data_vars:
            expected = float(at[name])
            assert point[name] == (None if math.isnan(expected) else expected), name


def test_a_sweep_tells_how_it_goes_and_its_result(elsewhere, capsys):
    words = ["freqs=0..7", "algorithm=asm,apx", "block_size=4,8", "trials=400", "unit_trials=100"]
    result, events = said(capsys, "sweep", *words, "out=s.zarr")
    kinds = [each["event"] for each in events]
    assert kinds[0] == "begin"
    assert set(kinds) <= {"begin", "progress", "note"}
    assert events[0]["trials_to_do"] == 800
    assert events[0]["labels"]["block_size"] == [4, 8]
    last = [each for each in events if each["event"] == "progress"][-1]
    assert (last["trials_done"], last["trials_to_do"], last["seconds_left"]) == (800, 800, 0)
    assert (result["trials"], result["trials_computed"]) == (400, 800)
    assert_points_of(result["points"], pipeline.open_results(result["store"]))
    again, _ = said(capsys, "sweep", *words, "out=s.zarr")
    assert again["trials_computed"] == 0
    assert again["points"] == result["points"]


def test_units_that_fail_are_told_too(elsewhere, capsys, monkeypatch):
    def draw(source, seed, size, first, count):
        if first == 20:
            raise ValueError("no such luck")
        return original(source, seed, size, first, count)

    original = kinds.draw_pair
    monkeypatch.setattr(kinds, "draw_pair", draw)
    result, _ = said(capsys, "sweep", "trials=50", "unit_trials=20", "out=s.zarr", code=3)
    (failure,) = result["failures"]
    assert failure == "source=uniform block_size=8 trials 20..39: ValueError: no such luck"


def test_summary_is_what_summarize_and_crossing_give(stores, capsys):
    result, _ = said(capsys, "summary", "results/a.zarr", "below=0.3")
    dataset = pipeline.open_results("results/a.zarr")
    assert_points_of(result["points"], dataset)
    assert (result["trials"], result["trials_left"], result["below"]) == (400, 0, 0.3)
    ends = pipeline.crossing(dataset, below=0.3)
    for each in result["crossings"]:
        at = ends.sel({axis: each[axis] for axis in CURVE_NAMES})
        found = [each[name] for name in ("n", "ci_low", "ci_high")]
        expected = [float(at[name]) for name in ("crossing", "ci_low", "ci_high")]
        assert found == [None if math.isnan(number) else number for number in expected]
    assert len(result["crossings"]) == 4
    assert [each["block_size"] for each in result["asm below apx"]] == [4, 8]


def test_every_verb_that_reads_has_a_result(stores, capsys):
    result, _ = said(capsys, "ls")
    assert [each["name"] for each in result["stores"]] == ["a.zarr", "b.zarr"]
    assert result["stores"][0]["labels"]["block_size"] == [4, 8]
    result, _ = said(capsys, "status", "results/a.zarr")
    assert (result["trials"], result["trials_left"], result["holder"]) == (800, 0, None)
    assert result["cells"][1]["block_size"] == 8
    result, _ = said(capsys, "verify", "results/a.zarr", "sample=all")
    assert (result["sound"], result["units"], result["recomputed"]) == (True, 2, 2)
    result, _ = said(capsys, "verify", "results/a.zarr", "against=results/b.zarr", code=1)
    assert result["differences"] == ["seed is 0 and 1"]
    result, _ = said(capsys, "plan", "freqs=0..14", "trials=1e6")
    assert (result["units"], result["missing"], result["fits"]) == (8, 8, True)
    result, _ = said(capsys, "compare", "results/a.zarr", "results/b.zarr")
    assert (result["paired"], result["significant"], result["bits_equal"]) == (0, 0, False)
    assert result["differences"] == ["seed: 0 -> 1"]
    compared = pipeline.compare_results("results/a.zarr", "results/b.zarr")
    for row in result["rows"]:
        point = compared.sel({axis: row[axis] for axis in (*CURVE_NAMES, "freq")})
        assert row["mean_error"] == float(point.mean_error)
        assert row["significant"] is False
    assert len(result["rows"]) == compared.mean_error.size
    result, _ = said(capsys, "diff", "results/a.zarr", "results/b.zarr", code=1)
    assert result["differences"] == ["seed: 0 -> 1"]
    result, _ = said(capsys, "plot", "results/a.zarr", "to=p.svg")
    assert result["paths"] == ["p.svg"]
    result, _ = said(capsys, "export", "results/a.zarr", "to=p.csv")
    assert result["paths"] == ["p.csv"]
    result, _ = said(capsys, "example", "results/a.zarr", "block_size=8", "trial=worst", "to=e.png")
    errors = pipeline.open_results("results/a.zarr").error
    errors = errors.sel(block_size=8, algorithm="asm", freq=6)
    assert result["trial"] == int(errors.to_numpy().argmax())
    assert np.float32(result["asm_error"]) == float(errors.max())
    result, _ = said(capsys, "check")
    assert (result["files"], result["bad"]) == (0, [])
    result, events = said(capsys, "rerun", "results/a.zarr", "out=c.zarr")
    assert result["differences"] == []
    assert events[0]["event"] == "note"


def test_damage_is_told_with_the_exit_code_of_a_person_s_output(stores, capsys):
    files = stores.glob("results/a.zarr/error/c/**/*")
    chunk = min(file for file in files if file.is_file())
    chunk.write_bytes(b"noise")
    result, _ = said(capsys, "verify", "results/a.zarr", code=1)
    assert result["sound"] is False
    assert [each["harmless"] for each in result["problems"]] == [False]


def test_quiet_prints_the_store_of_a_sweep_alone(elsewhere, capsys):
    assert main(["--quiet", "sweep", "freqs=0..3", "trials=50", "out=s.zarr"]) == 0
    assert capsys.readouterr() == (f"{elsewhere}/s.zarr\n", "")
    assert main(["sweep", "freqs=0..3", "trials=50", "out=s.zarr", "--quiet"]) == 0
    assert capsys.readouterr() == (f"{elsewhere}/s.zarr\n", "")


@pytest.mark.parametrize("verb", VERBS)
def test_json_and_quiet_exclude_each_other(elsewhere, capsys, verb):
    assert main([verb, "--json", "--quiet"]) == 2
    assert capsys.readouterr().err == (
        "error: --json and --quiet exclude each other: leave one out\n"
    )


def test_repair_is_for_a_person(stores, capsys):
    assert main(["verify", "results/a.zarr", "repair=true", "--json"]) == 2
    assert "leave --json out" in capsys.readouterr().err


def test_the_configuration_is_an_object(capsys):
    found, _ = said(capsys, "sweep", "freqs=0,3", "--cfg")
    assert found["config"]["freqs"] == [0, 3]


def test_a_block_of_a_store_comes_with_the_distribution_of_errors(stores, capsys):
    words = ["example", "results/a.zarr", "block_size=4", "freqs=2", "trial=worst"]
    found, _ = said(capsys, *words, "matrices=true", f"to={stores}/e")
    errors = pipeline.open_results("results/a.zarr").error.sel(
        block_size=4, freq=2, algorithm="asm"
    ).to_numpy().ravel()  # fmt: skip
    assert found["blocks"] == 400
    assert found["quantiles"]["0.5"] == np.quantile(errors.astype(float), 0.5)
    assert found["worst"][0] == {"trial": found["trial"], "error": float(errors.max())}
    matrices = found["matrices"]
    assert np.shape(matrices["exact block"]) == (4, 4)
    difference = np.subtract(matrices["approximate max_pool (ASM)"], matrices["true max_pool"])
    assert np.float32(np.sqrt(np.mean(difference**2))) == errors.max()
