"""The verbs that read a store, as a user meets them."""

import pytest
from helpers.stores import prepare, write

from pipeline.cli.main import main


def test_summary_without_a_store_shows_the_newest(swept, monkeypatch, capsys):
    folder, _, printed, _ = swept
    monkeypatch.chdir(folder)
    assert main(["summary"]) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[:-1] == printed.splitlines()[:-2]
    assert main(["summary", str(next((folder / "results").glob("*.zarr")))]) == 0
    assert capsys.readouterr().out == table


def test_summary_of_an_unfinished_sweep_says_so(elsewhere, capsys):
    store, plan = prepare(elsewhere / "s.zarr", "trials=50", "unit_trials=20")
    write(store, plan, 0)
    assert main(["summary", "s.zarr"]) == 0
    printed, said = capsys.readouterr()
    assert ": 20 trials" in printed
    assert said == "Unfinished: 20 of 50 trials are stored; the same sweep goes on.\n"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("zarr.json", b""),
        ("zarr.json", b"[]"),
        ("zarr.json", b'{"zarr_format": 3, "node_type": "group", "attributes": {"identity": "x"}}'),
        ("ledger/error/c/0/0/0/0/0/0/0/0", b"noise"),
        ("coefficients_kept/c/0/0/0", b"noise"),
    ],
)
@pytest.mark.parametrize("verb", ["sweep", "summary", "plot"])
def test_a_damaged_store_is_named_in_one_line(elsewhere, capsys, verb, file, content):
    assert main(["sweep", "trials=10", "out=s.zarr"]) == 0
    place = elsewhere / "s.zarr" / file
    assert place.exists()
    place.write_bytes(content)
    capsys.readouterr()
    assert main([verb, "trials=20", "out=s.zarr"] if verb == "sweep" else [verb, "s.zarr"]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("error: ")
    assert "s.zarr" in said


def test_plot_writes_png_and_svg_beside_the_store(swept, monkeypatch, capsys):
    folder, *_ = swept
    monkeypatch.chdir(folder)
    assert main(["plot"]) == 0
    png, svg = capsys.readouterr().out.split()
    with open(png, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    with open(svg) as file:
        text = file.read()
    assert "<svg" in text
    assert main(["plot", "to=pictures/curve.svg"]) == 0
    assert capsys.readouterr().out.split() == ["pictures/curve.svg"]
    # The same numbers draw the same file.
    assert (folder / "pictures" / "curve.svg").read_text() == text


@pytest.mark.parametrize("verb", ["summary", "plot"])
def test_cfg_of_a_store_prints_what_it_was_made_with(swept, monkeypatch, capsys, verb):
    monkeypatch.chdir(swept[0])
    assert main([verb, "--cfg"]) == 0
    assert "trials: [100, 1000]" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["plot", "verify"])
def test_the_store_that_is_taken_without_one_is_said(swept, monkeypatch, capsys, verb):
    folder, *_ = swept
    monkeypatch.chdir(folder)
    (path,) = (folder / "results").glob("*.zarr")
    own = {"plot": ["to=here"], "verify": ["sample=0"]}[verb]
    assert main([verb, *own]) == 0
    assert f"Store: {path}\n" in capsys.readouterr().err
    assert main([verb, str(path), *own]) == 0
    assert "Store: " not in capsys.readouterr().err
