"""One block worked through: by loops, of a store by its error, and its pictures."""

import json

import numpy as np
import pytest
from helpers import oracles, own
from PIL import Image

from asm_core.sources import uniform
from pipeline import UserError, sweep
from pipeline.analysis import example
from pipeline.analysis.opening import store_at
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.show import blocks


def test_colours_are_those_of_the_notebook():
    picture = blocks.colours_of(np.array([[2.0, -1.0], [0.0, 1e-9]]), largest=2.0)
    assert picture[0, 0].tolist() == [1, 0, 0]
    assert picture[0, 1].tolist() == [0, 0.625, 0]
    assert picture[1, 0].tolist() == [0, 0, 1]
    # The smallest positive value is still red and not black.
    assert picture[1, 1, 0] == pytest.approx(0.25)
    assert picture.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("operation", "window"), [("max_pool", 2), ("max_pool", 4), ("relu", None)]
)
def test_the_worked_example_is_that_of_nested_loops(operation, window):
    arguments = [f"operation={operation}", "source.uniform.low=-1", "seed=2"]
    if window:
        arguments.append(f"operation.max_pool.window={window}")
    shown = example.of_settings(compose.load(arguments), trial=3).at(6)
    block = uniform(2, 8, 3, 1, low=-1.0)[0]
    approximate = oracles.approximate(oracles.dct(block), 6)
    assert np.array_equal(shown.exact, block)
    np.testing.assert_allclose(shown.approximate, approximate, atol=1e-14)
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
    for found, wanted in zip(
        (shown.true_mask, shown.mask, shown.true, shown.asm), expected, strict=True
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-14)
    asm = oracles.error(block, approximate, operation, "asm", window or 2)
    apx = oracles.error(block, approximate, operation, "apx", window or 2)
    assert shown.asm_error == pytest.approx(asm, abs=1e-14)
    assert shown.apx_error == pytest.approx(apx, abs=1e-14)


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
        example.of_settings(compose.load(arguments[1:]), trial=4800)


@pytest.mark.parametrize("operation", ["max_pool", "relu", "min_pool"])
@pytest.mark.parametrize("n", [0, 3, 6, 14])
def test_what_is_wrong_is_what_the_mask_accuracy_counts(operation, n):
    words = [f"operation={operation}", "source.uniform.low=-1"]
    for trial in range(5):
        shown = example.of_settings(compose.load(words), trial).at(n)
        count = 64 if operation == "relu" else 16
        wrong_windows = (shown.asm != shown.true).sum() if operation != "relu" else None
        assert 1 - shown.accuracy == pytest.approx(
            (shown.wrong.sum() if wrong_windows is None else wrong_windows) / count
        )
        # What is ringed was chosen, and is not what the exact mask has.
        assert not (shown.wrong & (shown.mask == shown.true_mask)).any()


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    dataset = sweep(
        source=["uniform", "gaussian"], block_size=[4, 8], algorithm=["asm", "apx"],
        freqs=range(7), trials=300, unit_trials=128, seed=3, out=str(folder / "s.zarr"),
    )  # fmt: skip
    return dataset.load()


@pytest.mark.parametrize("algorithm", ["asm", "apx"])
@pytest.mark.parametrize("which", ["worst", "median", "best", 17])
def test_a_block_of_a_store_is_drawn_again_by_its_error(stored, which, algorithm):
    store = store_at(stored.attrs["store"])
    wanted = {"source": "gaussian", "block_size": "8"}
    block, errors = example.of_store(store, wanted, algorithm, 4, which)
    expected = stored.error.sel(source="gaussian", block_size=8, algorithm=algorithm, freq=4)
    expected = expected.squeeze().to_numpy()
    assert np.array_equal(errors, expected)
    trial = {
        "worst": int(expected.argmax()), "best": int(expected.argmin()),
        "median": int(np.flatnonzero(expected == np.sort(expected)[149])[0]), 17: 17,
    }[which]  # fmt: skip
    assert block.trial == trial
    shown = block.at(4)
    again = shown.asm_error if algorithm == "asm" else shown.apx_error
    assert np.float32(again) == expected[trial]


def test_a_block_of_one_of_several_qualities_is_the_one_that_was_measured(tmp_path):
    words = ["source=uniform,gaussian", "source.uniform.quality=50,90", "freqs=6", "trials=50"]
    dataset = sweep([*words, f"out={tmp_path}/s.zarr"])
    for source in ("uniform_q50", "uniform_q90", "gaussian"):
        store, wanted = store_at(tmp_path / "s.zarr"), {"source": source}
        block, errors = example.of_store(store, wanted, "asm", 6, "worst")
        expected = dataset.error.sel(source=source).squeeze().to_numpy()
        assert np.array_equal(errors, expected)
        assert np.float32(block.at(6).asm_error) == expected.max()


def test_a_tile_of_a_spread_sample_is_the_one_that_was_measured(tmp_path):
    dataset = sweep(source="photograph", trials=200, freqs=[6], out=str(tmp_path / "s.zarr"))
    store = store_at(dataset.attrs["store"])
    errors = dataset.error.squeeze().to_numpy()
    for trial in (0, 57, 199):
        block, _ = example.of_store(store, {}, "asm", 6, trial)
        assert np.float32(block.at(6).asm_error) == errors[trial]


def test_of_equal_errors_the_first_is_the_worst(elsewhere, capsys):
    sweep(trials=30, freqs=[14], out="s.zarr")
    assert main(["example", "s.zarr", "trial=worst", "freqs=14"]) == 0
    printed = capsys.readouterr().out
    assert "The worst blocks: 0 (0.00000), 1 (0.00000), 2" in printed
    assert "uniform block 0 of seed 0" in printed


def test_the_verb_names_the_worst_blocks_and_draws_one(elsewhere, capsys):
    dataset = sweep(trials=300, freqs=[2, 6], out="s.zarr")
    errors = dataset.error.sel(freq=2).squeeze().to_numpy()
    order = np.argsort(errors)[::-1]
    assert main(["example", "s.zarr", "trial=worst", "freqs=2", "to=worst.svg"]) == 0
    printed = capsys.readouterr().out.splitlines()
    quantiles = [float(word.rstrip("%:")) for word in printed[0].split("quantiles: ")[1].split()]
    assert quantiles[::2] == [1, 5, 25, 50, 75, 95, 99]
    expected = np.quantile(errors.astype(float), np.array(quantiles[::2]) / 100)
    np.testing.assert_allclose(quantiles[1::2], expected, atol=6e-6)
    listed = ", ".join(f"{t} ({errors[t]:.5f})" for t in order[:5])
    assert printed[1] == f"The worst blocks: {listed}"
    assert f"uniform block {order[0]} of seed 0" in printed[2]
    assert printed[4] == f"ASM error: {errors[order[0]]:.6f} (RMSE)"
    text = (elsewhere / "worst.svg").read_text()
    for words in ("approximate block, n = 2", "ringed: wrong", "APX, error", "exact result"):
        assert words in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trial=worst"], "trial=worst is by the errors of a store: name it, example STORE"),
        (["trial=-1"], "trial must be at least 0, got -1"),
        (["trial=bad"], "trial must be a number, or worst, median, best, got bad"),
        (["trial=1.5"], "trial must be an integer, got 1.5"),
        (["colours=red"], "colours must be one of diverging, notebook, got red"),
        (["algorithm=apx"], "example shows ASM and APX anyhow: leave algorithm out"),
        (
            ["s.zarr", "block_size=8", "algorithm.asm.slope=1"],
            "algorithm.asm.slope is of the store, which has it already",
        ),
        (["s.zarr"], "example shows one block: choose one block_size, 2 are given: block_size=4"),
        (["s.zarr", "block_size=16"], "there is no block_size=16: it is one of 4, 8"),
        (["s.zarr", "block_size=8", "freqs=9"], "the store has no freq=9: it has [6]"),
        (["s.zarr", "block_size=8", "seed=1"], "seed is of the store, which has it already"),
        (["s.zarr", "block_size=8", "algorithm=apx"], "the store has no algorithm=apx"),
        (["s.zarr", "algorithm=asm,apx"], "errors of one algorithm, got apx,asm: algorithm=apx"),
        (["none.zarr", "trial=best", "freqs=3"], "none.zarr keeps no trials of this curve"),
        (["to=block.docx"], "to=block.docx: no picture is written as docx"),
        (["s.zarr", "block_size=8", "trial=20"], "trial=20 is not among the 20 blocks of this"),
        (["to=/proc/nowhere/n.gif"], "cannot write /proc/nowhere/n.gif"),
    ],
)
def test_an_example_that_cannot_be_shown_is_refused(elsewhere, capsys, words, said):
    sweep(trials=20, block_size=[4, 8], freqs=[6], out="s.zarr")
    sweep(trials=20, freqs=[3], store_trials="none", out="none.zarr")
    assert main(["example", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert sorted(path.name for path in elsewhere.iterdir()) == ["none.zarr", "s.zarr"]


def test_an_image_that_has_changed_is_not_shown_for_the_one_that_was_measured(elsewhere, capsys):
    for seed in (0, 1):
        np.save("a.npy", np.random.default_rng(seed).random((30, 8, 8)))
        if not seed:
            sweep(source="array", freqs=[6], out="s.zarr", **{"source.array.path": "a.npy"})
    assert main(["example", "s.zarr", "trial=worst"]) == 2
    said = capsys.readouterr().err
    assert "what lies at the path of source array is not what" in said


@pytest.fixture
def of_own(elsewhere):
    """A store in which there is an algorithm of the user's own, whose module is there."""
    words = ["algorithm=asm,mine", "algorithm.mine._target_=own_masks.shifted", "freqs=2,6,14"]
    with own.module(elsewhere):
        yield sweep([*words, "trials=50", "out=s.zarr"]).error.squeeze().load()


def test_an_algorithm_of_the_users_own_is_shown_beside_ours(of_own, elsewhere, capsys):
    errors = of_own.sel(algorithm="mine", freq=6).to_numpy()
    worst = int(errors.argmax())
    words = ["s.zarr", "trial=worst", "algorithm=mine", "to=worst.svg", "matrices=true"]
    assert main(["example", *words]) == 0
    printed = capsys.readouterr().out
    assert f"The worst blocks: {worst} ({errors[worst]:.5f})" in printed
    assert f"mine error: {errors[worst]:.6f} (RMSE)" in printed
    block = uniform(0, 8, worst, 1)[0]
    result = oracles.max_pool(oracles.approximate(oracles.dct(block), 6), 2) + 0.25
    rows = ["".join(f"{value:8.3f}" for value in row) for row in result]
    assert "\n".join(["max_pool by mine", *rows]) in printed
    assert f"mine, error {errors[worst]:.4f}" in (elsewhere / "worst.svg").read_text()

    # Without a store, with the entry on the command line.
    words = [f"trial={worst}", "seed=0", "algorithm=mine"]
    words += ["algorithm.mine._target_=own_masks.shifted", "to=one.png", "--json"]
    assert main(["example", *words]) == 0
    said = json.loads(capsys.readouterr().out)["own_errors"]
    assert {name: np.float32(value) for name, value in said.items()} == {"mine": errors[worst]}


def test_a_function_that_is_not_the_one_that_was_measured_is_not_shown(of_own, elsewhere, capsys):
    with own.module(elsewhere, own.TEXT.replace("+ by", "- by")):
        assert main(["example", "s.zarr", "algorithm=mine"]) == 2
        said = capsys.readouterr().err
        assert "the code of own_masks.shifted (algorithm mine) has changed" in said
        assert "put it back" in said
        # Of ASM nothing has changed.
        assert main(["example", "s.zarr"]) == 0
    (elsewhere / "own_masks.py").unlink()
    assert main(["example", "s.zarr"]) == 0
    assert main(["example", "s.zarr", "algorithm=mine"]) == 2
    assert "there is no module own_masks here" in capsys.readouterr().err


def test_the_colours_survive_without_colour():
    # Luminance as a printer without colours has it, ITU-R BT.709.
    rgb = blocks._DIVERGING(np.linspace(0, 1, 64))[:, :3]
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()
    assert luminance[-1] > 20 * luminance[0]
    # And the ends differ in blue against yellow, which nearly everybody sees.
    assert rgb[0, 2] > rgb[0, 0]
    assert rgb[-1, 2] < rgb[-1, 0]


@pytest.mark.parametrize("colours", ["diverging", "notebook"])
def test_the_picture_shows_low_and_high_and_rings_what_is_wrong(colours):
    block = example.of_settings(compose.load(["source.uniform.low=-1"]), 3)
    shown = block.at(4)
    figure = blocks.plot_example(block, 4, colours)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[0] == f"exact block\n{block.values.min():.3g} .. {block.values.max():.3g}"
    assert f"ASM, error {shown.asm_error:.4f}" in titles[5]
    assert f"APX, error {shown.apx_error:.4f}" in titles[6]
    (rings,) = figure.axes[3].lines
    found = np.zeros((8, 8), dtype=bool)
    found[rings.get_ydata(), rings.get_xdata()] = True
    assert np.array_equal(found, shown.wrong)
    assert found.any()
    # The key, in the last place of the grid.
    assert (len(figure.axes[-1].child_axes) == 1) == (colours == "diverging")


def test_the_strip_has_every_n():
    block = example.of_settings(compose.load(["block_size=4"]), 3)
    figure = blocks.plot_strip(block)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:8] == ["exact", *(f"n = {n}" for n in range(7))]
    assert titles[8:] == ["exact mask", *(f"ASM {block.at(n).asm_error:.3f}" for n in range(7))]
    counts = [len(axes.lines[0].get_xdata()) if axes.lines else None for axes in figure.axes[8:]]
    assert counts == [None, *(int(block.at(n).wrong.sum()) for n in range(7))]
    assert counts[-1] == 0


def test_an_animation_goes_from_0_to_all(elsewhere, capsys):
    assert main(["example", "block_size=4", "to=pictures/n.gif"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "pictures/n.gif"
    with Image.open(elsewhere / "pictures/n.gif") as picture:
        assert picture.n_frames == 7
        first = np.asarray(picture.convert("L")).copy()
        picture.seek(6)
        assert (np.asarray(picture.convert("L")) != first).mean() > 0.05
    assert main(["example", "block_size=4", "to=n.html"]) == 0
    text = (elsewhere / "n.html").read_text()
    assert text.count("data:image/png;base64") == 7
    assert main(["example", "strip=true", "block_size=4", "to=strip.png"]) == 0
    assert (elsewhere / "strip.png").stat().st_size > 10_000
