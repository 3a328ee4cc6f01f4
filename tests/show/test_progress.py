"""What is shown of a sweep and of a check: in a terminal, in a pipe, in a notebook."""

import functools
import importlib.machinery
import io
import sys
import types

import pytest
import rich.console
from helpers.stores import plan_of, prepare, write
from rich.console import Console

from pipeline import summarize, sweep
from pipeline.audit.verify import verify
from pipeline.show import progress
from pipeline.store.location import Location


@pytest.fixture
def terminal(monkeypatch):
    """Standard error as a terminal, and what was written to it."""
    written = io.StringIO()
    console = functools.partial(
        Console, file=written, force_terminal=True, force_jupyter=False, width=100,
        color_system=None,
    )  # fmt: skip
    monkeypatch.setattr(progress, "Output", lambda stderr=False: console())
    return written


@pytest.fixture
def notebook(monkeypatch):
    """Rich in a notebook, and what it displays there."""
    displayed = []
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setattr("rich.jupyter.display", lambda segments, text: displayed.append(text))
    return displayed


@pytest.fixture
def clock(monkeypatch):
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


def test_without_a_terminal_progress_is_a_line_now_and_then(clock, capsys):
    with progress.SweepProgress() as observer:
        observer.notify("Dashboard: http://localhost:1/status")
        observer.begin(plan_of(), todo=4000, done=500)
        for _ in range(4):
            clock[0] += 4.0
            observer.advance(1000)
        # The next round of a sweep to a precision begins at nothing again.
        observer.begin(plan_of(), todo=1000, done=4500)
        for _ in range(3):
            clock[0] += 10.0
            observer.advance(250)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines() == [
        "Dashboard: http://localhost:1/status",
        "Measuring 4,000 trials at 15 frequencies, 500 are in the store",
        "3,000 of 4,000 trials, 250 trials/s, 4 s left",
        "Measuring 1,000 trials at 15 frequencies, 4,500 are in the store",
        "250 of 1,000 trials, 25 trials/s, 30 s left",
        "500 of 1,000 trials, 25 trials/s, 20 s left",
        "750 of 1,000 trials, 25 trials/s, 10 s left",
    ]


def test_in_a_terminal_progress_is_a_bar_with_the_lines_above_it(terminal, capsys):
    with progress.SweepProgress() as observer:
        observer.begin(plan_of(), todo=4000, done=0)
        observer.advance(1000)
        observer.notify("Something to know.")
        observer.begin(plan_of(), todo=1000, done=4000)
        observer.advance(250)
    shown = terminal.getvalue()
    assert "Measuring 4,000 trials at 15 frequencies\n" in shown
    assert "Something to know.\n" in shown
    # The last round has replaced the bar of the one before.
    last = next(line for line in reversed(shown.splitlines()) if "%" in line)
    assert "25 %" in last
    assert "250 of 1,000" in last
    assert "trials/s" in last
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_below_the_bar_are_the_first_curves_with_their_widest_interval(
    terminal, monkeypatch, tmp_path, encoding
):
    monkeypatch.setattr(progress, "_SECONDS_PER_SKETCH", 0.0)
    monkeypatch.setattr(Console, "encoding", encoding)
    words = ["freqs=0..14", "algorithm=asm,apx", "trials=300", "unit_trials=100"]
    dataset = sweep([*words, f"out={tmp_path}/s.zarr"])
    with progress.SweepProgress(Location.of(tmp_path / "s.zarr")) as observer:
        observer.begin(plan_of(*words), todo=4000, done=0)
        observer.advance(1000)
    summary = summarize(dataset).squeeze()
    lines = [line for line in terminal.getvalue().splitlines() if "95 % within" in line]
    for line, name in zip(lines[-2:], ("apx", "asm"), strict=True):
        curve = summary.sel(algorithm=name)
        first, last = (float(curve.mean_error.sel(freq=n)) for n in (0, 14))
        low, high = (curve.mean_error - curve.ci_low, curve.ci_high - curve.mean_error)
        widest = max(float(low.max()), float(high.max()))
        assert line.startswith(f"{name}  n = 0: {first:.4f} ")
        assert f"n = 14: {last:.4f}, 95 % within +-{widest:.2g}" in line
        picture = line.split(f"n = 0: {first:.4f} ")[1].split(" ")[0]
        levels = progress._LEVELS if encoding == "utf-8" else progress._LEVELS_OF_ASCII
        heights = [levels.index(letter) for letter in picture]
        assert len(heights) == 15
        assert heights[0] == len(levels) - 1
        assert heights[-1] == 0
        assert heights == sorted(heights, reverse=True)


def test_a_curve_that_cannot_be_read_costs_no_sweep(terminal, monkeypatch):
    monkeypatch.setattr(progress, "_SECONDS_PER_SKETCH", 0.0)
    with progress.SweepProgress(Location.of("nowhere.zarr")) as observer:
        observer.begin(plan_of(), todo=4000, done=0)
        observer.advance(1000)
    assert "25 %" in terminal.getvalue()


def test_nothing_to_do_is_said_without_a_bar(terminal):
    with progress.SweepProgress() as observer:
        observer.begin(plan_of(), todo=0, done=4000)
    assert terminal.getvalue() == "Nothing to compute: all 4,000 trials are in the store.\n"


def test_in_a_notebook_progress_is_output_of_the_cell_and_no_warning(notebook, clock, capsys):
    # Without the widgets that a bar would need, as lines.
    with progress.SweepProgress() as observer:
        observer.begin(plan_of(), todo=4000, done=0)
        clock[0] += 10.0
        observer.advance(1000)
    assert [text.strip() for text in notebook] == [
        "Measuring 4,000 trials at 15 frequencies",
        "1,000 of 4,000 trials, 100 trials/s, 30 s left",
    ]
    assert capsys.readouterr() == ("", "")


def test_a_notebook_with_widgets_gets_a_bar(notebook, monkeypatch):
    class Output:
        """As much of a widget as a bar uses."""

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def clear_output(self, wait):
            del notebook[:]

    modules = {"ipywidgets": {"Output": Output}, "IPython": {},
               "IPython.display": {"display": notebook.append}}  # fmt: skip
    for name, content in modules.items():
        module = types.ModuleType(name)
        module.__dict__.update(content)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        monkeypatch.setitem(sys.modules, name, module)
    with progress.SweepProgress() as observer:
        observer.begin(plan_of(), todo=4000, done=0)
        observer.advance(1000)
    assert "1,000 of 4,000" in "".join(notebook)
    assert "0 %" not in "".join(notebook).replace("25 %", "")


@pytest.mark.parametrize(
    "line", ["Removed /tmp/[bold]/s.zarr", "sweep block_size=[4,8] freqs=[0]", "/tmp/[/x] :smile:"]
)
def test_a_line_is_shown_as_it_is(line, capsys, terminal):
    progress.SweepProgress().notify(line)
    assert terminal.getvalue() == f"{line}\n"


def test_a_long_line_is_not_broken(capsys):
    line = " ".join(["word"] * 100)
    progress.SweepProgress().notify(line)
    assert capsys.readouterr().err == f"{line}\n"


def test_a_terminal_and_a_notebook_are_watched_and_a_pipe_is_not(request):
    assert not progress.is_watched()
    request.getfixturevalue("notebook")
    assert progress.is_watched()


def test_a_terminal_is_watched(terminal):
    assert progress.is_watched()


@pytest.fixture
def store(tmp_path):
    store, plan = prepare(tmp_path / "s.zarr", "freqs=0..2", "trials=30", "unit_trials=10")
    write(store, plan, 0, 1, 2)
    return store


def check(store):
    with progress.CheckProgress() as check:
        assert verify(store, 1.0, check.observe).problems == []


def test_a_check_shows_a_bar_in_a_terminal_which_is_gone_at_the_end(store, terminal, capsys):
    check(store)
    shown = terminal.getvalue()
    for what in ("ledger against trials", "computing again"):
        assert what in shown
    assert "of 3" in " ".join(shown.split())
    # Its lines are erased, and the cursor is where it was.
    assert shown.endswith("\x1b[2K")
    assert capsys.readouterr() == ("", "")


def test_a_check_is_silent_in_a_pipe(store, capsys):
    check(store)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")]
)
def test_durations_are_read_at_a_glance(seconds, text):
    assert progress._pace(1.0, 1.0 + seconds, 1.0).endswith(f"{text} left")
