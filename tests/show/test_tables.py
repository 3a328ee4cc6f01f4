"""The figures of tables, and matrices."""

import numpy as np
from helpers.stores import plan_of

from pipeline.show import tables
from pipeline.store.location import Location


def test_a_matrix_has_three_decimals_and_one_line_a_row(capsys):
    tables.print_matrix("name", np.array([[1.0, -0.5], [0.0, 12.3456]]))
    assert capsys.readouterr().out == "\nname\n   1.000  -0.500\n   0.000  12.346\n"


def test_the_place_of_a_plan_is_shown_as_it_is(capsys):
    place = Location("/tmp/[bold]/[/x]/s.zarr")
    tables.print_plan(plan_of("trials=1000"), place, missing=1, threads=2)
    assert str(place) in capsys.readouterr().out
