"""What is printed while a sweep runs, and the figures of its tables."""

import numpy as np
import pytest

from pipeline.config import compose
from pipeline.plan.plan import make_plan
from pipeline.show import progress, tables
from pipeline.sources import kinds


def notebook():
    return make_plan(compose.load([]), kinds.resolve)


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.Watch() as watch:
        watch.start(
            notebook(), "s.zarr", todo=4000, done=500, dashboard="http://localhost:1/status"
        )
        for _ in range(4):
            clock[0] += 4.0
            watch.advance(1000)
        # The next round of a sweep to a precision begins at nothing again.
        watch.start(notebook(), "s.zarr", todo=1000, done=4500, dashboard=None)
        for _ in range(3):
            clock[0] += 10.0
            watch.advance(250)
    assert capsys.readouterr().err.splitlines() == [
        "Dashboard: http://localhost:1/status",
        "Measuring 4,000 trials at 15 frequencies, 500 are in the store",
        "3,000 of 4,000 trials, 250 trials/s, 4 s left",
        "Measuring 1,000 trials at 15 frequencies, 4,500 are in the store",
        "250 of 1,000 trials, 25 trials/s, 30 s left",
        "500 of 1,000 trials, 25 trials/s, 20 s left",
        "750 of 1,000 trials, 25 trials/s, 10 s left",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")]
)
def test_durations_are_read_at_a_glance(seconds, text):
    assert progress._pace(1.0, 1.0 + seconds, 1.0).endswith(f"{text} left")


def test_a_matrix_has_three_decimals_and_one_line_a_row(capsys):
    tables.print_matrix("name", np.array([[1.0, -0.5], [0.0, 12.3456]]))
    assert capsys.readouterr().out == "\nname\n   1.000  -0.500\n   0.000  12.346\n"
