"""Pictures and the worked example."""

import pytest

from pipeline import summarize, sweep
from pipeline.analysis import datasets
from pipeline.cli.main import main
from pipeline.show import plots


def curves_of(dataset):
    return datasets.curves_of(summarize(dataset))


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


def test_curves_without_a_trial_are_not_drawn(tmp_path):
    summary = summarize(sweep(["block_size=4,8", "trials=10", f"out={tmp_path}/s.zarr"]))
    summary["measured"].loc[{"block_size": 4}] = 0
    figure = plots.plot_curves(datasets.curves_of(summary))
    (axes,) = figure.axes
    assert len(axes.lines) == 1
    assert figure.get_suptitle().startswith("uniform, 8 x 8 blocks, max_pool")
