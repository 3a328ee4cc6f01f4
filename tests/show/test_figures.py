"""Pictures and the worked example."""

import numpy as np
import pytest
from helpers import oracles

from asm_core.sources import uniform
from pipeline import UserError, summarize, sweep
from pipeline.analysis import datasets, example
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.show import figures, plots


def curves_of(dataset):
    return datasets.curves_of(summarize(dataset))


def test_colours_are_those_of_the_notebook():
    picture = figures.colours_of(np.array([[2.0, -1.0], [0.0, 1e-9]]), largest=2.0)
    assert picture[0, 0].tolist() == [1, 0, 0]
    assert picture[0, 1].tolist() == [0, 0.625, 0]
    assert picture[1, 0].tolist() == [0, 0, 1]
    # The smallest positive value is still red and not black.
    assert picture[1, 1, 0] == pytest.approx(0.25)
    assert picture.shape == (2, 2, 3)


def test_the_plot_has_one_line_a_curve_and_its_interval(tmp_path):
    dataset = sweep(
        ["block_size=4,8", "operation=max_pool,relu", "algorithm=asm,apx", "freqs=0..14",
         "trials=50",
         f"out={tmp_path}/s.zarr"]
    )  # fmt: skip
    summary = summarize(dataset)
    pooling, relu = plots.plot_curves(datasets.curves_of(summary)).axes
    assert (pooling.get_title(), relu.get_title()) == ("max_pool", "relu")
    lines = {line.get_label(): line for line in relu.lines}
    assert len(lines) == len(pooling.lines) == len(relu.collections) == 4
    line = lines["4 x 4 blocks, apx"]
    curve = summary.sel({"block_size": 4, "operation": "relu", "algorithm": "apx"}).squeeze()
    # Block sizes compare at equal n / (2N - 2).
    assert line.get_xdata().tolist() == [n / 6 for n in range(7)]
    assert line.get_ydata() == pytest.approx(curve["mean_error"].values[:7])
    styles = [
        {line.get_label(): (line.get_color(), line.get_linestyle()) for line in axes.lines}
        for axes in (pooling, relu)
    ]
    assert styles[0] == styles[1]
    # The block size shows as colour, the algorithm as dashes.
    assert len(set(styles[0].values())) == 4
    assert styles[0]["4 x 4 blocks, apx"][0] == styles[0]["4 x 4 blocks, asm"][0]
    assert styles[0]["4 x 4 blocks, apx"][1] == styles[0]["8 x 8 blocks, apx"][1]


@pytest.mark.parametrize(("colours", "dashes"), [(7, 4), (3, 2), (4, 7), (9, 5), (1, 7), (1, 12)])
def test_no_two_lines_look_alike_while_there_are_styles(colours, dashes):
    labels = [f"a{i}, b{j}" for i in range(colours) for j in range(dashes)][:28]
    assert len(set(plots.styles(labels).values())) == len(labels)


def test_errors_can_be_drawn_on_a_logarithmic_axis(elsewhere):
    assert main(["sweep", "trials=10"]) == 0
    assert main(["plot", "log=true", "to=curve"]) == 0
    (axes,) = plots.plot_curves(curves_of(sweep(["trials=10"])), log=True).axes
    assert axes.get_yscale() == "log"


def test_what_is_not_in_the_names_of_the_curves_is_in_the_title(tmp_path):
    dataset = sweep(["trials=10", "source.uniform.low=-3", f"out={tmp_path}/s.zarr"])
    figure = plots.plot_curves(curves_of(dataset))
    assert figure.get_suptitle().endswith("\nsource.uniform.low=-3.0")


def test_selections_are_drawn_at_equal_numbers_of_coefficients(tmp_path):
    dataset = sweep(
        ["selection=triangle,zigzag", "freqs=0..2,63", "trials=10", f"out={tmp_path}/s.zarr"]
    )
    (axes,) = plots.plot_curves(curves_of(dataset)).axes
    places = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert places == {"triangle": [1, 3, 6, 64], "zigzag": [1, 2, 3, 64]}
    dataset = sweep(
        ["selection=square,zigzag", "block_size=4,8", "freqs=0..2,63", "trials=10",
         f"out={tmp_path}/b.zarr"]
    )  # fmt: skip
    (axes,) = plots.plot_curves(curves_of(dataset)).axes
    places = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert places["4 x 4 blocks, square"] == [1 / 16, 4 / 16, 9 / 16, 1]
    assert places["8 x 8 blocks, zigzag"] == [1 / 64, 2 / 64, 3 / 64, 1]


def test_the_plot_of_a_single_curve_names_it_in_the_title(tmp_path):
    figure = plots.plot_curves(curves_of(sweep(["trials=10", f"out={tmp_path}/s.zarr"])))
    (axes,) = figure.axes
    title = figure.get_suptitle()
    assert title.startswith("uniform, 8 x 8 blocks, max_pool, triangle, asm\n10 trials")
    assert axes.get_legend() is None


@pytest.mark.parametrize(
    ("operation", "window"), [("max_pool", 2), ("max_pool", 4), ("relu", None)]
)
def test_the_worked_example_is_that_of_nested_loops(operation, window):
    arguments = [f"operation={operation}", "source.uniform.low=-1", "seed=2"]
    if window:
        arguments.append(f"operation.max_pool.window={window}")
    shown = example.work_out(compose.load(arguments), freq=6, trial=3)
    block = uniform(2, 8, 3, 1, low=-1.0)[0]
    approximate = oracles.approximate(oracles.dct(block), 6)
    matrices = list(shown.matrices.values())
    assert np.array_equal(matrices[0], block)
    np.testing.assert_allclose(matrices[1], approximate, atol=1e-14)
    if window:
        mask = oracles.local_maximum_mask(approximate, window)
        expected = [
            oracles.local_maximum_mask(block, window),
            mask,
            oracles.max_pool(block, window),
            oracles.masked_max_pool(block, mask, window),
        ]
    else:
        mask = oracles.nonnegative_mask(approximate)
        expected = [oracles.nonnegative_mask(block), mask, oracles.relu(block), block * mask]
    for found, wanted in zip(matrices[2:], expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-14)
    asm = oracles.error(block, approximate, operation, "asm", window or 2)
    apx = oracles.error(block, approximate, operation, "apx", window or 2)
    assert f"ASM error: {asm:.6f}" in shown.lines[1]
    assert f"APX error: {apx:.6f}" in shown.lines[2]


def test_the_example_prints_every_matrix_with_three_decimals(elsewhere, capsys):
    assert main(["example", "matrices=true", "source.uniform.low=-1"]) == 0
    printed = capsys.readouterr().out
    block = uniform(0, 8, 0, 1, low=-1.0)[0]
    for row in block:
        assert "".join(f"{value:8.3f}" for value in row) in printed
    for name in ("exact block", "approximate block", "true mask", "approximate mask",
                 "true max_pool", "approximate max_pool (ASM)"):  # fmt: skip
        assert f"\n{name}\n" in printed
    assert printed.split()[-2:] == ["results/example.png", "results/example.svg"]
    assert (elsewhere / "results" / "example.png").stat().st_size > 10_000


def test_the_example_shows_a_block_of_a_photograph(elsewhere, photograph, capsys):
    arguments = ["example", "source=images", f"source.images.path={photograph}"]
    assert main([*arguments, "trial=4799", "to=picture"]) == 0
    assert "images block 4799" in capsys.readouterr().out
    with pytest.raises(UserError, match="trial=4800 is not among the 4800 blocks"):
        example.work_out(compose.load(arguments[1:]), freq=6, trial=4800)


def test_curves_without_a_trial_are_not_drawn(tmp_path):
    summary = summarize(sweep(["block_size=4,8", "trials=10", f"out={tmp_path}/s.zarr"]))
    summary["measured"].loc[{"block_size": 4}] = 0
    figure = plots.plot_curves(datasets.curves_of(summary))
    (axes,) = figure.axes
    assert len(axes.lines) == 1
    assert figure.get_suptitle().startswith("uniform, 8 x 8 blocks, max_pool")
