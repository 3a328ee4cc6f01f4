"""The figures of tables, and matrices."""

import dataclasses

import numpy as np
from helpers.sweeps import open_store

import pipeline
from pipeline import summarize, sweep
from pipeline.analysis import curves
from pipeline.cli.main import main
from pipeline.show import tables


def test_a_matrix_has_three_decimals_and_one_line_a_row(capsys):
    tables.print_matrix("name", np.array([[1.0, -0.5], [0.0, 12.3456]]))
    assert capsys.readouterr().out == "\nname\n   1.000  -0.500\n   0.000  12.346\n"


def test_the_place_of_a_plan_is_shown_as_it_is(capsys):
    place = "/tmp/[bold]/[/x]/s.zarr"
    tables.print_plan(dataclasses.replace(pipeline.plan(trials=1000), store=place))
    assert place in capsys.readouterr().out


def test_a_screenful_of_curves_is_shown_whole_and_more_of_them_a_line_each(tmp_path, capsys):
    few = ["trials=50", "block_size=4,8", f"out={tmp_path}/few.zarr"]
    many = [*few[:1], "block_size=4,8,16", "selection=triangle,square", "algorithm=asm,apx",
            f"out={tmp_path}/many.zarr"]  # fmt: skip
    for words, whole in ((few, True), (many, False)):
        assert main(["sweep", *words]) == 0
        table = capsys.readouterr().out
        assert main(["summary", words[-1].removeprefix("out=")]) == 0
        full = capsys.readouterr().out
        assert (full in table) == whole
        assert ("pipeline summary" in table) != whole
    # Six rows, one for both algorithms.
    rows = [line for line in table.splitlines() if line.split()[1:2] in (["square"], ["triangle"])]
    assert len(rows) == 6


def test_a_line_says_where_the_error_falls_below_a_half_a_tenth_and_a_hundredth(tmp_path, capsys):
    words = ["trials=200", "block_size=8", "operation=max_pool,relu", "algorithm=asm,apx",
             "selection=triangle", "freqs=0..14", f"out={tmp_path}/s.zarr"]  # fmt: skip
    means = summarize(sweep(words)).mean_error.squeeze()
    capsys.readouterr()
    tables.print_overview(curves.of_store(open_store(tmp_path / "s.zarr"), 200))
    lines = capsys.readouterr().out.splitlines()
    for operation in ("max_pool", "relu"):
        (row,) = [line.split() for line in lines if line.strip().startswith(operation)]
        expected = ["200"]
        for algorithm in ("apx", "asm"):
            curve = means.sel(operation=operation, algorithm=algorithm).to_series()
            for share in (2, 10, 100):
                below = [n for n, error in curve.items() if error < curve[0] / share]
                expected.append(str(below[0]) if below else "-")
        assert row[1:] == expected


def test_the_overview_says_how_many_curves_have_reached_a_precision(tmp_path, capsys):
    sweep(["trials=200", "block_size=4,16", "freqs=3", f"out={tmp_path}/s.zarr"])
    capsys.readouterr()
    found = curves.of_store(open_store(tmp_path / "s.zarr"), 200)
    half = (found.values["ci_high"] - found.values["ci_low"]).ravel() / 2
    tables.print_overview(found, precision=float(half.mean()))
    assert "is reached by 1 of 2 curves" in capsys.readouterr().out
    tables.print_overview(found, precision=1.0)
    assert "is reached by 2 of 2 curves" in capsys.readouterr().out
