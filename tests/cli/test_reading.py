"""What the verbs say of results: lists of stores, thresholds, and the same number everywhere."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
import uuid

import pytest
from helpers.stores import prepare, write

import pipeline
from pipeline.analysis import curves, opening
from pipeline.cli.main import main
from pipeline.errors import Stopped
from pipeline.show import page, plots


def lines_of(capsys):
    return [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]


@pytest.fixture
def stores(elsewhere):
    """A complete store, one that is unfinished, one that is damaged, and what is no store."""
    pipeline.sweep(
        source=["uniform", "gaussian"], block_size=[4, 8], operation="relu", trials=120,
        algorithm=["asm", "apx"], freqs=range(3), out="results/b.zarr",
    )  # fmt: skip
    store, plan = prepare(elsewhere / "results/a.zarr", "trials=50", "unit_trials=20", "freqs=0,2")
    write(store, plan, 0)
    pipeline.sweep(trials=10, freqs=1, out="results/c.zarr")
    (elsewhere / "results/c.zarr/zarr.json").write_bytes(b"{}")
    pipeline.sweep(trials=10, freqs=1, out="results/d.zarr")
    file = elsewhere / "results/d.zarr/zarr.json"
    file.write_text(file.read_text().replace('"seed": 0', '"seed": 7'))
    (elsewhere / "results/folder").mkdir()
    (elsewhere / "results/file").write_text("text")
    return elsewhere / "results"


def test_ls_shows_what_each_store_has_and_how_far_it_is(stores, capsys):
    assert main(["ls"]) == 0
    first = capsys.readouterr().out
    assert main(["ls", "results"]) == 0
    assert main(["ls", "results=results"]) == 0
    assert capsys.readouterr().out == 2 * first
    _, heading, _, a, b, *others = first.splitlines()
    assert heading.split() == [
        "name", "source", "block_size", "operation", "selection", "algorithm", "n", "trials",
        "size", "state", "when", "(UTC)",
    ]  # fmt: skip
    one = (
        r"a.zarr +uniform +8 +max_pool +triangle +asm +0, 2 +20 +[\d.]+ kiB +40 % +\d{4}-\d\d-\d\d"
    )
    assert re.match(f" *{one}", a)
    size = sum(file.stat().st_size for file in (stores / "b.zarr").rglob("*") if file.is_file())
    two = (
        r"b.zarr +gaussian,uniform +4,8 +relu +triangle +apx,asm +0..2 +120 +([\d.]+) kiB +complete"
    )
    assert float(re.match(f" *{two}", b)[1]) == pytest.approx(size / 1024, abs=0.01)
    named = [line.partition(":") for line in others if line.strip()]
    assert [name for name, _, _ in named] == ["c.zarr", "d.zarr"]
    assert all("is damaged" in why for _, _, why in named)


def test_ls_of_a_store_shows_that_store(stores, capsys):
    assert main(["ls", "results/b.zarr"]) == 0
    assert [row[0] for row in lines_of(capsys)[2:]] == ["b.zarr"]
    assert main(["ls", "results/c.zarr"]) == 0
    assert "c.zarr: " in capsys.readouterr().out


def test_ls_takes_one_folder(stores, capsys):
    assert main(["ls", "results", "results=elsewhere"]) == 2
    assert capsys.readouterr().err == (
        "error: ls lists one folder: give results or results=, not both\n"
    )


def test_ls_of_a_folder_without_stores_says_so(elsewhere, capsys):
    (elsewhere / "empty").mkdir()
    assert main(["ls", "empty"]) == 0
    assert capsys.readouterr().out == f"No stores in {elsewhere}/empty.\n"


def test_ls_of_no_folder_is_refused(elsewhere, capsys):
    assert main(["ls", "nowhere"]) == 2
    assert capsys.readouterr().err == (
        f"error: there is no folder {elsewhere}/nowhere: give one that has stores\n"
    )


def test_ls_of_a_url(capsys):
    url = f"memory://{uuid.uuid4().hex}"
    store = pipeline.sweep(trials=30, freqs=[1, 2], results=url).attrs["store"]
    assert main(["ls", url]) == 0
    (row,) = (line for line in lines_of(capsys) if line[0].endswith(".zarr"))
    assert store.endswith(f"/{row[0]}")
    assert row[1:8] == ["uniform", "8", "max_pool", "triangle", "asm", "1..2", "30"]
    assert float(row[8]) > 1


def test_summary_says_from_which_n_on_an_error_is_small(elsewhere, capsys):
    dataset = pipeline.sweep(
        freqs=range(15), block_size=[4, 8], algorithm=["asm", "apx"], trials=2000, unit_trials=700
    )
    assert main(["summary", "below=0.05"]) == 0
    printed = capsys.readouterr().out
    _, errors, overtaking = printed.split("The smallest n from which on ")
    assert errors.startswith("the mean error is below 0.05:\n")
    ends = pipeline.crossing(dataset, below=0.05).squeeze()
    rows = [line.split() for line in errors.splitlines() if re.match(r" +\d", line)]
    assert [(int(row[0]), row[1]) for row in rows] == [
        (size, name) for size in (4, 8) for name in ("apx", "asm")
    ]
    for size, algorithm, *found in rows:
        at = ends.sel(block_size=int(size), algorithm=algorithm)
        names = ("crossing", "ci_low", "ci_high")
        assert [int(number) for number in found if number != ".."] == [
            int(at[name]) for name in names
        ]
    assert overtaking.startswith(
        "asm has a smaller mean error than apx, trial by trial on 2,000 blocks:\n"
    )
    rows = [line.split()[:2] for line in overtaking.splitlines() if re.match(r" +\d", line)]
    difference = pipeline.compare(dataset, "algorithm", "asm", "apx")
    expected = pipeline.crossing(difference, below=0).crossing.squeeze()
    assert [[int(word) for word in row] for row in rows] == [
        [size, int(expected.sel(block_size=size))] for size in (4, 8)
    ]


def test_an_error_that_is_never_below_is_shown_as_such(elsewhere, capsys):
    pipeline.sweep(freqs=[0, 1], trials=100)
    assert main(["summary", "below=0.05"]) == 0
    assert ["uniform", "-", "-"] in lines_of(capsys)


@pytest.mark.parametrize("value", ["0", "-1", "x", "inf", "nan"])
def test_a_threshold_is_a_number_above_0(elsewhere, capsys, value):
    pipeline.sweep(freqs=[0, 1], trials=10)
    assert main(["summary", f"below={value}"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: below must be")
    assert value in line


def test_a_number_is_the_same_wherever_it_is_shown(elsewhere, capsys):
    dataset = pipeline.sweep(freqs=range(15), trials=1500, unit_trials=400, out="s.zarr")
    summary = pipeline.summarize(dataset).squeeze()
    by_ledger = pipeline.summarize("s.zarr").squeeze()
    pipeline.export("s.zarr", "s.csv")
    pipeline.report("s.zarr", to="s.html")
    assert main(["summary", "s.zarr"]) == 0
    table = [row for row in lines_of(capsys) if row[0].isdigit() and len(row) == 8]
    assert main(["summary", "s.zarr", "--json"]) == 0
    points = json.loads(capsys.readouterr().out)["points"]
    with open("s.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    text = (elsewhere / "s.html").read_text()
    (data,) = re.findall(r'id="data">(.*?)</script>', text)
    (curve,) = json.loads(data)["curves"]
    drawn = curves.of_store(opening.store_at("s.zarr"), 1500)
    (axes,) = plots.plot_curves(drawn).axes
    assert len(table) == len(points) == len(rows) == len(curve["n"]) == 15
    for n in range(15):
        for k, name in enumerate(("mean_error", "ci_low", "ci_high")):
            number = float(summary[name].sel(freq=n))
            assert float(by_ledger[name].sel(freq=n)) == number
            assert points[n][name] == float(rows[n][name]) == curve[name][n] == number
            shown = table[n][(2, 3, 5)[k]]
            assert float(shown) == pytest.approx(number, abs=5.1e-6, rel=5e-4)
        assert axes.lines[0].get_ydata()[n] == summary.mean_error.sel(freq=n)
        for name in ("mask_accuracy", "regret"):
            assert points[n][name] == float(rows[n][name]) == curve[name][n]
            assert curve[name][n] == float(summary[name].sel(freq=n))


@pytest.mark.parametrize(
    "verb", [["summary"], ["ls"], ["status"], ["verify"], ["compare", "s.zarr"]]
)
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_takes_nothing_and_fails_nothing(elsewhere, verb, closed):
    pipeline.sweep(freqs=[0, 1], trials=30, out="s.zarr")
    words = shlex.join([sys.executable, "-m", "pipeline", *verb, "s.zarr"])
    done = subprocess.run(
        f"{words} {closed}", shell=True, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_ctrl_c_in_a_verb_that_begins_again_promises_nothing(elsewhere, capsys, monkeypatch):
    pipeline.sweep(freqs=[0, 1], trials=30, out="s.zarr")

    def stopped(*_):
        raise Stopped(2)

    monkeypatch.setattr(page, "page_of", stopped)
    assert main(["report", "s.zarr", "to=p.html"]) == 130
    assert capsys.readouterr().err == "Stopped.\n"
    assert not (elsewhere / "p.html").exists()


@pytest.mark.parametrize("verb", ["plot", "report", "export", "example"])
@pytest.mark.parametrize("place", ["file/below", "locked"])
def test_a_place_that_cannot_be_written_is_refused_before_anything_is_done(
    elsewhere, capsys, monkeypatch, verb, place
):
    pipeline.sweep(freqs=[0, 1], trials=30, out="s.zarr")
    (elsewhere / "file").write_text("")
    (elsewhere / "locked").mkdir()
    # Whoever runs the tests as root may write everywhere.
    access = os.access
    monkeypatch.setattr(
        "os.access", lambda path, mode: not str(path).endswith("locked") and access(path, mode)
    )
    to = f"{place}/a.{'csv' if verb == 'export' else 'html' if verb == 'report' else 'png'}"
    assert main([verb, *([] if verb == "example" else ["s.zarr"]), f"to={to}"]) == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    assert said.startswith(f"error: cannot write {to}: ")
    assert said.endswith(": choose another to=...\n")
