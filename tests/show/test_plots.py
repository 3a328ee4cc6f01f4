"""Which curve goes where in a picture, and what a picture is written as."""

import re

import numpy as np
import pytest

import pipeline
from pipeline import summarize, sweep
from pipeline.analysis import curves, datasets
from pipeline.cli.main import main
from pipeline.planning.axes import CURVE_NAMES, X_AXES
from pipeline.show import plots
from pipeline.show.figures import FORMATS


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Two of everything."""
    folder = tmp_path_factory.mktemp("results")
    return sweep(
        source=["uniform", "gaussian"], block_size=[4, 8], operation=["max_pool", "relu"],
        selection=["triangle", "zigzag"], algorithm=["asm", "apx"], freqs=range(4), trials=40,
        out=str(folder / "s.zarr"),
    )  # fmt: skip


def drawn(dataset, **keys):
    return plots.plot_curves(datasets.curves_of(summarize(dataset)), **keys)


def test_every_curve_is_drawn_once_and_no_axes_has_more_than_eight(dataset):
    summary = summarize(dataset)
    figure = plots.plot_curves(datasets.curves_of(summary))
    panels = [axes for axes in figure.axes if axes.lines]
    assert [len(axes.lines) for axes in panels] == [8, 8, 8, 8]
    assert sorted(axes.get_title() for axes in panels) == [
        f"{operation}, {source}"
        for operation in ("max_pool", "relu") for source in ("gaussian", "uniform")
    ]  # fmt: skip
    found = set()
    for axes in panels:
        operation, source = axes.get_title().split(", ")
        looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
        assert len(looks) == 8
        for line in axes.lines:
            size, selection, algorithm = line.get_label().split(", ")
            at = {
                "source": source, "block_size": int(size[0]), "operation": operation,
                "selection": selection, "algorithm": algorithm,
            }  # fmt: skip
            found.add(tuple(at.values()))
            assert np.array_equal(line.get_ydata(), summary.sel(at).mean_error)
            kept = summary.sel(at).coefficients_kept / int(size[0]) ** 2
            assert np.array_equal(line.get_xdata(), kept)
    assert len(found) == 32


def test_lines_and_columns_are_those_that_are_asked_for(dataset):
    figure = drawn(dataset, lines=["operation", "algorithm"], columns=["selection"])
    panels = {axes.get_title(): axes for axes in figure.axes if axes.lines}
    assert set(panels) == {
        f"{selection}, {source}, {size} x {size} blocks"
        for selection in ("triangle", "zigzag")
        for source in ("uniform", "gaussian") for size in (4, 8)
    }  # fmt: skip
    for axes in panels.values():
        assert {line.get_label() for line in axes.lines} == {
            f"{operation}, {algorithm}"
            for operation in ("max_pool", "relu") for algorithm in ("apx", "asm")
        }  # fmt: skip


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ("freq", [0, 1, 2, 3]),
        ("phi", [1, 2, 3, 4]),
        ("freq_share", [0, 1 / 14, 2 / 14, 3 / 14]),
        ("coefficients_kept", [1, 3, 6, 10]),
        ("share_kept", [1 / 64, 3 / 64, 6 / 64, 10 / 64]),
    ],
)
def test_points_stand_where_x_says(dataset, x, expected):
    one = dataset.sel(source=["uniform"], operation=["relu"], selection=["triangle"])
    (axes,) = drawn(one.sel(algorithm=["asm"], block_size=[4, 8]), x=x).axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["8 x 8 blocks"].get_xdata().tolist() == expected
    assert axes.get_xlabel() == X_AXES[x]


def test_error_against_block_size_has_a_line_for_each_n(dataset):
    one = dataset.sel(source=["uniform"], operation=["relu"], selection=["triangle"])
    summary = summarize(one.sel(algorithm=["asm"]))
    (axes,) = plots.plot_curves(datasets.curves_of(summary), x="block_size").axes
    assert [line.get_label() for line in axes.lines] == [f"n = {n}" for n in range(4)]
    for n, line in enumerate(axes.lines):
        assert line.get_xdata().tolist() == [4, 8]
        assert np.array_equal(line.get_ydata(), summary.mean_error.sel(freq=n).squeeze())
    assert axes.get_xlabel() == "block size N"


def test_an_error_of_0_is_left_out_of_a_logarithmic_axis(tmp_path):
    one = sweep(freqs=range(15), trials=200, out=str(tmp_path / "s.zarr"))
    (axes,) = drawn(one, log=True).axes
    (line,) = axes.lines
    assert np.isfinite(line.get_ydata()).tolist() == [True] * 14 + [False]
    # All of what is drawn is above 0, and within a few decades of the curve.
    least = np.nanmin(line.get_ydata())
    (shade,) = axes.collections
    heights = np.concatenate([path.vertices[:, 1] for path in shade.get_paths()])
    assert heights.min() > least / 1e4
    (axes,) = drawn(one).axes
    assert np.isfinite(axes.lines[0].get_ydata()).all()


def test_more_curves_than_eight_of_one_axis_go_into_further_panels(tmp_path):
    one = sweep(block_size=list(range(2, 42, 2)), freqs=[0], trials=4, out=str(tmp_path / "s.zarr"))
    figure = drawn(one)
    assert [len(axes.lines) for axes in figure.axes if axes.lines] == [8, 8, 4]
    labels = [line.get_label() for axes in figure.axes for line in axes.lines]
    assert labels == [f"{size} x {size} blocks" for size in range(2, 42, 2)]


def test_several_stores_in_one_axes_are_named_where_nothing_else_tells_them_apart(tmp_path):
    stores = {
        name: sweep(freqs=range(3), trials=50, out=str(tmp_path / f"{name}.zarr"), **keys)
        for name, keys in {"one": {}, "two": {"seed": 1}, "three": {"block_size": 4}}.items()
    }
    by_name = {name: datasets.curves_of(summarize(each)) for name, each in stores.items()}
    (axes,) = plots.plot_curves({k: by_name[k] for k in ("one", "two")}).axes
    assert [line.get_label() for line in axes.lines] == ["one", "two"]
    for line in axes.lines:
        expected = summarize(stores[line.get_label()]).mean_error.squeeze()
        assert np.array_equal(line.get_ydata(), expected)
    (axes,) = plots.plot_curves({k: by_name[k] for k in ("one", "three")}).axes
    assert [line.get_label() for line in axes.lines] == ["8 x 8 blocks", "4 x 4 blocks"]
    title = plots.plot_curves({k: by_name[k] for k in ("one", "two")}).get_suptitle()
    assert title.endswith("one: defaults; two: seed=1")


def test_the_verb_draws_several_stores_and_names_them(elsewhere, capsys):
    for name, seed in (("a", 0), ("b", 1)):
        sweep(freqs=range(3), trials=50, seed=seed, out=f"{name}.zarr")
    assert main(["plot", "a.zarr", "b.zarr"]) == 2
    assert capsys.readouterr().err == (
        "error: where the picture of 2 stores goes is not said: give to=FILE\n"
    )
    assert main(["plot", "a.zarr", "b.zarr", "to=both.svg", "x=phi", "lines=store"]) == 0
    text = (elsewhere / "both.svg").read_text()
    # Text is text, which can be searched and set in another font.
    words = re.findall(r"<text[^>]*>([^<]*)</text>", text)
    assert {"a", "b", "spatial frequencies kept, phi = n + 1"} <= set(words)


@pytest.mark.parametrize("ending", FORMATS)
def test_a_picture_is_written_in_the_format_of_its_ending(elsewhere, capsys, ending):
    sweep(freqs=range(3), trials=50, out="s.zarr")
    assert main(["plot", "s.zarr", f"to=fig.{ending}"]) == 0
    assert capsys.readouterr().out == f"fig.{ending}\n"
    content = (elsewhere / f"fig.{ending}").read_bytes()
    begins = {
        "png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF-", "jpg": b"\xff\xd8\xff",
        "tif": b"II*\0", "webp": b"RIFF",
    }[ending]  # fmt: skip
    assert content.startswith(begins)
    assert [path.name for path in elsewhere.iterdir() if "fig" in path.name] == [f"fig.{ending}"]
    if ending == "pdf":
        # Type 42: letters as a font, and not as outlines.
        assert b"/FontFile2" in content
    assert main(["plot", "s.zarr", f"to=again.{ending}"]) == 0
    assert (elsewhere / f"again.{ending}").read_bytes() == content


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["to=fig.docx"], "to=fig.docx: no picture is written as docx, but as png, svg, pdf"),
        (["x=frequency"], "x has no axis frequency: did you mean freq?"),
        (["lines=algorithms"], "lines has no axis algorithms: did you mean algorithm"),
        (["columns=trial"], "columns has no axis trial"),
        (["lines=source", "columns=source"], "source is given twice in lines and columns"),
        (["lines=freq"], "freq is the axis along which lines are drawn: leave it out of lines and"),
        (["x=phi", "columns=freq"], "freq is the axis along which lines are drawn"),
        (["x=block_size", "lines=block_size"], "block_size is the axis along which lines are"),
        (["to=fig.eps"], "to=fig.eps: no picture is written as eps, but as png, svg, pdf"),
        (["lines="], "lines"),
    ],
)
def test_a_picture_that_cannot_be_drawn_is_refused_and_not_written(elsewhere, capsys, words, said):
    sweep(freqs=range(3), trials=50, out="s.zarr")
    assert main(["plot", "s.zarr", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")
    assert [path.name for path in elsewhere.iterdir()] == ["s.zarr"]


def test_the_ending_of_a_version_is_no_format(elsewhere, capsys):
    sweep(freqs=range(3), trials=50, out="s.zarr")
    assert main(["plot", "s.zarr", "to=fig-1.0"]) == 0
    assert capsys.readouterr().out.split() == ["fig-1.0.png", "fig-1.0.svg"]


def test_the_picture_has_the_numbers_of_the_table_and_of_summarize(dataset):
    store = pipeline.analysis.opening.store_at(dataset.attrs["store"])
    of_table = curves.of_store(store, 40)
    summary = summarize(dataset)
    figure = plots.plot_curves(of_table, x="freq", lines=["algorithm"])
    assert sum(len(axes.lines) for axes in figure.axes) == 32
    for place, curve in of_table:
        at = {axis: place[axis] for axis in CURVE_NAMES}
        assert np.array_equal(curve["mean_error"], summary.sel(at).mean_error)
