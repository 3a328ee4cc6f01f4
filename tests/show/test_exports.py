"""Results as files: the same numbers, whatever they are written to."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet
import pytest
import xarray as xr

import pipeline
from pipeline import UserError, export, open_results, summarize, sweep
from pipeline.cli.main import main
from pipeline.planning.axes import METRICS, NAMES, WHOLE
from pipeline.show import exports

KEYS = {
    "source": ["uniform", "gaussian"], "block_size": [4, 8], "operation": ["max_pool", "relu"],
    "algorithm": ["asm", "apx"], "freqs": range(9), "trials": 90,
}  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    return sweep(**KEYS, unit_trials=40, out=str(folder / "s.zarr")).attrs["store"]


def number(text):
    return float(text) if text else float("nan")


def read(file):
    ending = os.path.splitext(file)[1]
    if ending == ".csv":
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
        # Numbers as Python reads them, to the last bit.
        text = [name for name in NAMES if name not in WHOLE]
        return frame.apply(lambda column: column if column.name in text else column.map(number))
    if ending == ".parquet":
        return pyarrow.parquet.read_table(file).to_pandas()
    return xr.open_dataset(file).load()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_every_number_of_the_summary_is_in_the_file_in_full(path, tmp_path, ending):
    file = export(path, tmp_path / f"f.{ending}")
    assert file == str(tmp_path / f"f.{ending}")
    assert os.listdir(tmp_path) == [f"f.{ending}"]
    frame, summary = read(file), summarize(path)
    assert len(frame) == summary.mean_error.size == 2 * 2 * 2 * 2 * 9
    assert list(frame)[:9] == [*NAMES, "phi", "coefficients_kept", "share_kept"]
    assert set(frame) == {*NAMES, "phi", "coefficients_kept", "share_kept", *summary.data_vars}
    for row in frame.to_dict("records"):
        point = summary.sel({axis: row[axis] for axis in NAMES})
        for name in set(row) - set(NAMES):
            assert np.array_equal(row[name], float(point[name]), equal_nan=True), name


def test_the_summary_is_a_netcdf_file(path, tmp_path):
    found = read(export(path, tmp_path / "f.nc"))
    xr.testing.assert_equal(found, summarize(path))
    assert found.mean_error.attrs["long_name"] == "mean error (RMSE per block)"
    assert json.loads(found.attrs["record"])["seed"] == 0


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("rows", [1 << 18, 1000])
def test_every_trial_is_in_the_file(path, tmp_path, monkeypatch, ending, rows):
    monkeypatch.setattr(exports, "_ROWS_AT_ONCE", rows)
    frame = read(export(path, tmp_path / f"f.{ending}", what="trials"))
    assert len(frame) == 2 * 2 * 2 * 2 * 9 * 90
    # In one piece the axes come first, and in several the trials: any order is right.
    dataset = open_results(path).load()
    indexed = frame.set_index([*NAMES, "trial"]).to_xarray()
    for name in METRICS:
        values = indexed[name].astype(np.float32).sel({axis: dataset[axis] for axis in NAMES})
        values = values.transpose(*NAMES, "trial")
        expected = dataset[name].broadcast_like(dataset["error"]).transpose(*NAMES, "trial")
        assert values.to_numpy().tobytes() == expected.to_numpy().tobytes(), name


def test_the_trials_are_a_netcdf_file(path, tmp_path):
    found = read(export(path, tmp_path / "f.nc", what="trials"))
    xr.testing.assert_equal(found, open_results(path).load())


@pytest.mark.parametrize(
    ("ending", "row"),
    [("md", r"\| (.*) \|"), ("tex", r"(.*) \\\\")],
)
def test_a_table_for_people_says_the_same_rounded(path, tmp_path, ending, row):
    text = Path(export(path, tmp_path / f"f.{ending}")).read_text()
    split = " | " if ending == "md" else " & "
    heading, *rows = [each.split(split) for each in re.findall(row, text)]
    assert [cell.replace("\\", "") for cell in heading] == [
        "source", "block_size", "operation", "algorithm", "n", "kept",
        "mean error (95 % interval)", "mask accuracy", "regret",
    ]  # fmt: skip
    rows = [each for each in rows if each[0] in ("uniform", "gaussian")]
    # 4 x 4 blocks have seven frequencies, and of these nine all of 8 x 8 count.
    assert len(rows) == 2 * 2 * 2 * (7 + 9)
    summary = summarize(path)
    for source, size, operation, algorithm, n, kept, error, accuracy, regret in rows:
        point = summary.sel(
            source=source, block_size=int(size), operation=operation.replace("\\", ""),
            algorithm=algorithm, freq=int(n), selection="triangle",
        )  # fmt: skip
        assert int(kept) == int(point.coefficients_kept)
        numbers = [float(number) for number in re.findall(r"[\d.]+", error)]
        names = ("mean_error", "ci_low", "ci_high")[: len(numbers)]
        for number, name in zip(numbers, names, strict=True):
            assert number == pytest.approx(float(point[name]), abs=0.006), name
        assert float(accuracy) == pytest.approx(float(point.mask_accuracy), abs=1e-5)
        assert (regret == "-") == (operation == "relu")


def test_latex_is_a_whole_tabular(path, tmp_path):
    lines = Path(export(path, tmp_path / "f.tex")).read_text().splitlines()
    assert lines[0] == r"\begin{tabular}{rrrrrrrrr}"
    assert lines[-1] == r"\end{tabular}"
    assert [line for line in lines if line.endswith("rule")] == [
        r"\toprule", r"\midrule", r"\bottomrule"
    ]  # fmt: skip
    assert all(line.count("&") == 8 and line.endswith(r"\\") for line in lines[4:-2])
    assert not re.search(r"(?<!\\)[_%]", "\n".join(lines))


def test_a_selection_and_several_stores_are_exported_too(path, tmp_path):
    chosen = open_results(path).sel(source="uniform", operation="relu", freq=[1, 2])
    frame = read(export(chosen, tmp_path / "f.csv"))
    assert len(frame) == 2 * 2 * 2
    assert set(frame["source"]) == {"uniform"}
    stores = [
        sweep(block_size=size, trials=20, freqs=[3], out=str(tmp_path / f"{size}.zarr"))
        for size in (4, 8)
    ]
    frame = read(export([each.attrs["store"] for each in stores], tmp_path / "f.csv"))
    assert frame[["block_size", "mean_error"]].to_numpy().tolist() == [
        [size, float(summarize(each).mean_error.item())]
        for size, each in zip((4, 8), stores, strict=True)
    ]


def test_what_was_not_measured_is_no_row(tmp_path):
    words = {"freqs": [1], "out": str(tmp_path / "s.zarr")}
    sweep(trials=30, **words)
    sweep(trials=10, block_size=[4, 8], extend=True, **words)
    frame = read(export(tmp_path / "s.zarr", tmp_path / "f.csv", what="trials"))
    assert frame["block_size"].value_counts().to_dict() == {8: 30, 4: 10}


def test_the_verb_writes_what_python_does(elsewhere, capsys):
    sweep(trials=30, freqs=[1, 2], out="s.zarr")
    assert main(["export", "s.zarr", "to=out/f.csv"]) == 0
    assert capsys.readouterr().out == "out/f.csv\n"
    export("s.zarr", "g.csv")
    assert (elsewhere / "out/f.csv").read_bytes() == (elsewhere / "g.csv").read_bytes()
    assert main(["export", "s.zarr", "to=f.csv", "what=trials"]) == 0
    assert len(pd.read_csv("f.csv")) == 60


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["to=f.docx"], "to=f.docx must be a file that ends in one of .csv, .parquet, .nc, .tex"),
        (["to=.csv"], "to=.csv must be a file that ends in"),
        (["to=f.md", "what=trials"], "to=f.md is a table for people, and trials are too many"),
        (["to=f.csv", "what=all"], "what must be one of summary, trials, got all"),
        (["to=s3://bucket/f.csv"], "to=s3://bucket/f.csv is a URL"),
        (["to=file/f.csv"], "cannot write "),
        ([], "export needs a file: .csv .parquet .nc .tex .md: give to=FILE"),
    ],
)
def test_what_cannot_be_written_is_refused_in_one_line(elsewhere, capsys, words, said):
    sweep(trials=30, freqs=[1, 2], out="s.zarr")
    (elsewhere / "file").write_text("")
    assert main(["export", "s.zarr", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {said}")
    assert sorted(os.listdir(elsewhere)) == ["file", "s.zarr"]


def test_without_pyarrow_parquet_says_what_to_install(path, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs a package that is not here: pip install pyarrow"):
        export(path, tmp_path / "f.parquet")
    assert os.listdir(tmp_path) == []


def test_netcdf_larger_than_the_old_format_says_what_to_install(path, tmp_path, monkeypatch):
    monkeypatch.setattr(exports, "_MOST_BYTES_OF_OLD_NETCDF", 1000)
    with pytest.raises(UserError, match=r"more than 2 GiB.*pip install h5netcdf"):
        export(path, tmp_path / "f.nc", what="trials")
    assert os.listdir(tmp_path) == []


def test_trials_that_are_not_kept_are_no_empty_file(tmp_path):
    path = sweep(trials=30, freqs=[1], store_trials="none", out=str(tmp_path / "s.zarr"))
    with pytest.raises(UserError, match="no trials are kept one by one here: export what=summary"):
        export(path.attrs["store"], tmp_path / "f.csv", what="trials")
    assert os.listdir(tmp_path) == ["s.zarr"]


def test_a_store_that_is_damaged_is_named(elsewhere, capsys):
    sweep(trials=30, freqs=[1, 2], out="s.zarr")
    for file in (elsewhere / "s.zarr/error/c").rglob("*"):
        if file.is_file():
            file.write_bytes(b"noise")
    assert main(["export", "s.zarr", "to=f.csv", "what=trials"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "s.zarr is damaged" in line
    assert os.listdir(elsewhere) == ["s.zarr"]


def test_a_file_that_cannot_be_written_is_named_as_the_user_wrote_it(elsewhere, capsys):
    sweep(trials=30, freqs=[1, 2], out="s.zarr")
    (elsewhere / "folder.csv").mkdir()
    assert main(["export", "s.zarr", "to=folder.csv"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: cannot write folder.csv: Is a directory")
    assert "partial" not in said


def test_a_convergence_and_numbers_without_their_cost_are_tables_too(path, tmp_path):
    grown = pipeline.convergence(path)
    pipeline.export(grown, tmp_path / "grown.md")
    heading, _, *rows = (tmp_path / "grown.md").read_text().splitlines()
    names = [name.strip() for name in heading.split("|")]
    assert names.index("trials") < names.index("n")
    column = [int(row.split("|")[names.index("trials")]) for row in rows]
    assert set(column) == set(grown.trials.to_numpy().tolist())
    summary = summarize(path)
    bare = summary.drop_vars(["phi", "share_kept", "coefficients_kept"])
    pipeline.export(bare, tmp_path / "bare.md")
    heading, _, *rows = (tmp_path / "bare.md").read_text().splitlines()
    assert "kept" not in heading
    assert len(rows) == int((summary.measured > 0).sum())


@pytest.mark.parametrize("what", ["summary", "trials"])
@pytest.mark.parametrize("ending", [".csv", ".nc"])
def test_what_has_no_results_is_refused(path, tmp_path, what, ending):
    ends = pipeline.crossing(path, below=0.05)
    with pytest.raises(UserError, match="neither the errors of a store nor a summary of them"):
        pipeline.export(ends, tmp_path / f"x{ending}", what=what)
    if what == "trials":
        with pytest.raises(UserError, match="neither the errors"):
            pipeline.export(summarize(path), tmp_path / f"x{ending}", what=what)
    assert not list(tmp_path.iterdir())
