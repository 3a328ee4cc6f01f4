"""Narrow terminals: every number of a wide one is there, and no line is wider than it has to be."""

import dataclasses
import functools
import io

import pytest
from helpers.stores import plan_of
from helpers.terminals import numbers, shown
from rich.console import Console

import pipeline
from pipeline import sweep
from pipeline.cli.main import main
from pipeline.show import fitting, progress, tables
from pipeline.store.location import Location

WIDTHS = (40, 50, 60, 80, 120)
FEW = ["block_size=4,8", "algorithm=asm,apx", "freqs=0..14", "trials=12345"]
MANY = ["source=autoregressive,a_name_that_takes_all_of_a_line", "trials=1234", "freqs=0..30",
        "source.a_name_that_takes_all_of_a_line.kind=uniform", "block_size=4,8",
        "operation=max_pool,relu", "algorithm=asm,apx"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a store of four curves, and one of many whose names are long."""
    folder = tmp_path_factory.mktemp("narrow")
    sweep([*FEW, f"out={folder}/few.zarr"])
    sweep([*MANY, f"out={folder}/many.zarr"])
    return folder


COMMANDS = [
    ["summary", "few.zarr"],
    ["summary", "many.zarr"],
    ["status", "many.zarr"],
    ["verify", "few.zarr", "sample=0"],
    ["plan", "block_size=4,8,16", "trials=1e9", "source=uniform,gaussian", "freqs=0..30"],
    ["sweep", "out=few.zarr", *FEW],
    ["sweep", "out=many.zarr", *MANY],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda arguments: " ".join(arguments[:2]))
def test_every_number_of_a_wide_output_is_in_a_narrow_one(folder, arguments, monkeypatch, capsys):
    def printed(width):
        monkeypatch.setenv("COLUMNS", str(width))
        assert main(arguments) == 0
        return capsys.readouterr().out

    monkeypatch.chdir(folder)
    # What a disk has free changes from one command to the next.
    monkeypatch.setattr(Location, "free_bytes", lambda place: 10**15)
    expected = numbers(printed(400))
    assert len(expected) > 1
    for width in WIDTHS:
        narrow = printed(width)
        assert expected - numbers(narrow) == set()
        assert "…" not in narrow


@pytest.mark.parametrize("verb", ["summary", "status", "verify"])
def test_in_a_terminal_lines_are_broken_between_words(folder, verb):
    expected = numbers(shown([verb, "few.zarr"], folder, 400)[1])
    code, narrow = shown([verb, "few.zarr"], folder, 40)
    assert code == 0
    assert expected - numbers(narrow) == set()
    # Paths are left whole, to be copied.
    lines = [line for line in narrow.splitlines() if str(folder) not in line]
    assert max(map(len, lines)) <= 40


def test_columns_is_the_width_of_a_pipe_too(folder, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    fitting.print_table(fitting.console(), ["n", "first", "second"], [["1", "2" * 20, "3" * 20]], 1)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 40
    assert "2" * 20 in out
    assert "3" * 20 in out
    monkeypatch.delenv("COLUMNS")
    fitting.print_table(fitting.console(), ["n", "first", "second"], [["1", "2" * 20, "3" * 20]], 1)
    assert f"{'2' * 20}   {'3' * 20}" in capsys.readouterr().out


def rows(count):
    return [[f"key{k}", *(f"{10**column + k:,}" for column in range(8))] for k in range(count)]


@pytest.mark.parametrize("width", range(20, 130, 7))
def test_a_table_of_any_width_has_every_value_and_its_key(width, capsys):
    out = fitting.Output(width=width, highlight=False)
    headings = ["key", *(f"column {k}" for k in range(8))]
    fitting.print_table(out, headings, rows(3), 1)
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= max(width, 21)
    for row in rows(3):
        assert all(cell in text.split() for cell in row)
    assert all(heading in text for heading in headings)


def terminal(monkeypatch, width):
    written = io.StringIO()
    console = functools.partial(
        Console, file=written, force_terminal=True, force_jupyter=False, width=width,
        color_system=None,
    )  # fmt: skip
    monkeypatch.setattr(progress, "Output", lambda stderr=False: console())
    monkeypatch.setattr(tables, "console", console)
    return written


@pytest.mark.parametrize("width", WIDTHS)
def test_progress_keeps_its_numbers(monkeypatch, width):
    written = terminal(monkeypatch, width)
    with progress.SweepProgress() as observer:
        observer.begin(plan_of(), todo=2_000_000_000, done=0)
        observer.advance(1_234_567_890)
    last = written.getvalue()[written.getvalue().rindex("62 %") :]
    assert "1,234,567,890 of 2,000,000,000" in last
    assert "trials/s, " in last
    with progress.CheckProgress() as check:
        check.observe("ledger against trials", 12_345, 1_234_567)
    assert "12,345 of 1,234,567" in written.getvalue()
    assert "…" not in written.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_a_plan_and_a_matrix_keep_their_numbers(monkeypatch, width):
    written = terminal(monkeypatch, width)
    place = "/a/path/that/is/longer than/any/narrow/terminal/results/sweep-0123456789.zarr"
    forecast = pipeline.plan(freqs=range(15), trials=123456789)
    tables.print_plan(dataclasses.replace(forecast, store=place))
    assert place in written.getvalue()
    assert {"123,456,788", "131,072", *map(str, range(15))} <= numbers(written.getvalue())
    before = len(written.getvalue())
    tables.print_matrix("name", [[k + 0.125 for k in range(16)]])
    lines = written.getvalue()[before:].splitlines()
    assert max(map(len, lines)) <= width
    assert {f"{k + 0.125:.3f}" for k in range(16)} <= numbers("\n".join(lines))
