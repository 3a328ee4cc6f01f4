"""What is written in one folder is found again, by the same words, from another."""

import re
import shlex

import numpy as np
import pytest
from helpers.program import run
from PIL import Image

from pipeline.cli.main import main

PLACES = {
    "images": "pictures", "a glob": "pictures/*.png", "jpeg": "jpegs", "an array": "blocks.npy",
}  # fmt: skip


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A folder with files of every kind, in which one stands, and another one beside it."""
    here, there = tmp_path / "here", tmp_path / "there"
    random = np.random.default_rng(0)
    for folder in (here / "pictures", here / "jpegs", there / "pictures", there / "jpegs"):
        folder.mkdir(parents=True)
        for k in range(2):
            picture = Image.fromarray(random.integers(0, 256, (16, 16), np.uint8))
            picture.save(folder / (f"{k}.png" if folder.name == "pictures" else f"{k}.jpg"))
    for folder in (here, there):
        np.save(folder / "blocks.npy", random.random((5, 8, 8)))
    monkeypatch.chdir(here)
    return here, there


def words_of(kind):
    source = {"images": "images", "a glob": "images", "jpeg": "jpeg", "an array": "array"}[kind]
    if source == "jpeg":
        pytest.importorskip("jpeglib")
    return [f"source={source}", f"source.{source}.path={PLACES[kind]}", "freqs=0..2"]


@pytest.mark.parametrize("kind", PLACES)
def test_a_store_is_verified_and_run_again_from_another_folder(folders, kind, monkeypatch, capsys):
    here, there = folders
    assert main(["sweep", *words_of(kind), "out=s.zarr"]) == 0
    # Another folder has files of the same names, and a third one none.
    (there / "empty").mkdir()
    for k, folder in enumerate((there, there / "empty")):
        monkeypatch.chdir(folder)
        assert main(["verify", str(here / "s.zarr"), "sample=all"]) == 0
        assert "1 computed again" in capsys.readouterr().out
        assert main(["rerun", str(here / "s.zarr"), f"out=again{k}.zarr"]) == 0
        assert "The same to the bit" in capsys.readouterr().out


def test_the_identity_and_the_name_of_a_store_do_not_depend_on_the_path(folders, capsys):
    here, _ = folders
    stores = set()
    for path in ("pictures", "./pictures", "pictures/", str(here / "pictures"),
                 f"file://{here}/pictures", "../here/pictures"):  # fmt: skip
        words = ["source=images", f"source.images.path={path}", "freqs=0..2"]
        assert main(["sweep", *words]) == 0
        stores |= {line for line in capsys.readouterr().out.splitlines() if "Store: " in line}
    assert len(stores) == 1


def test_entries_of_ones_own_are_found_from_another_folder(folders, monkeypatch, capsys):
    here, there = folders
    (here / "mine" / "source").mkdir(parents=True)
    (here / "mine" / "source" / "own.yaml").write_text("own:\n  kind: images\n  path: pictures\n")
    assert main(["sweep", "--config-dir=mine", "source=own", "freqs=0..2", "out=s.zarr"]) == 0
    monkeypatch.chdir(there)
    assert main(["verify", str(here / "s.zarr"), "sample=all"]) == 0
    assert main(["rerun", str(here / "s.zarr"), "out=again.zarr"]) == 0
    assert f"source.own.path={here}/pictures" in capsys.readouterr().err


def test_files_that_are_other_ones_now_are_not_run_to_the_end(folders, capsys):
    here, there = folders
    assert main(["sweep", *words_of("images"), "out=s.zarr"]) == 0
    (there / "pictures" / "0.png").rename(here / "pictures" / "0.png")
    capsys.readouterr()
    assert main(["rerun", "s.zarr", "out=again.zarr"]) == 2
    said = capsys.readouterr().err
    assert f"source images is not what {here}/s.zarr was made of" in said
    assert not (here / "again.zarr").exists()


@pytest.mark.parametrize("results", ["file://{}/x", "{}/a b", "{}/ä[1]", "./a=b", "~/r"])
def test_results_are_found_by_the_same_words(elsewhere, monkeypatch, capsys, results):
    monkeypatch.setenv("HOME", str(elsewhere / "home"))
    written = f"results={results.format(elsewhere)}"
    assert main(["sweep", "freqs=0..2", "trials=10", written]) == 0
    store = capsys.readouterr().out.splitlines()[-2]
    for verb in ("status", "summary", "verify"):
        assert main([verb, written]) == 0
        assert store in "".join(capsys.readouterr())
    # As a STORE, too: it may have a = in it.
    assert main(["status", store.removeprefix("Store: ")]) == 0


@pytest.mark.parametrize("key", ["results", "out"])
@pytest.mark.parametrize(
    "written", ["s3:/bucket", "file:/tmp/x", "memory://x", "-x", "$HOME/x", "a::b", "zip://a::b",
                "nothing://x"]
)  # fmt: skip
def test_what_is_not_found_again_is_refused_before_anything_is_written(
    elsewhere, capsys, key, written
):
    assert main(["sweep", "freqs=0..2", "trials=10", f"{key}={written}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["status", "s3:/bucket"], ["status", "file:/tmp"], ["plot", "s.zarr", "to=s3://a/b"],
     ["plot", "s.zarr", "to=s3:/a/b"], ["example", "to=memory://x"], ["claims", "to=s3://x"],
     ["verify", "s.zarr", "against=nothing://x"], ["rerun", "s.zarr", "out=memory://x"],
     ["plan", "--config-dir=s3://x"], ["plan", "--config-dir=file:/tmp"]],
    ids=" ".join,
)  # fmt: skip
def test_every_word_that_is_a_place_is_read_alike(elsewhere, capsys, words):
    assert main(["sweep", "freqs=0..2", "trials=10", "out=s.zarr"]) == 0
    before = sorted(elsewhere.rglob("*"))
    capsys.readouterr()
    assert main(words) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert set(elsewhere.rglob("*")) - set(before) <= {elsewhere / "results"}


def test_pictures_go_to_a_url_of_this_machine(elsewhere, capsys):
    assert main(["example", f"to=file://{elsewhere}/p/a.png"]) == 0
    assert sorted(path.name for path in (elsewhere / "p").iterdir()) == ["a.png"]


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        {"PYTHONIOENCODING": "ascii"},
    ],
)
def test_output_that_cannot_be_shown_costs_no_result(tmp_path, environment):
    store = tmp_path / "ü.zarr"
    words = ["sweep", "freqs=0..2", "trials=10", f"out={store}"]
    code, out, err = run(words, tmp_path, **environment)
    assert (code, "Traceback" in err) == (0, False)
    assert "Store: " in out
    for verb in ("status", "summary", "verify", "plot"):
        code, out, err = run([verb, str(store)], tmp_path, **environment)
        assert code == 0
        assert "Traceback" not in out + err
    # It was no other name, whatever the encoding.
    assert run(["status", str(store)], tmp_path, PYTHONUTF8="1")[0] == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [("algorithm", "apx_offset,apx_offset"), ("block_size", "8,8"), ("freqs", "1,1"),
     ("trials", "50,50"), ("source", "uniform,uniform"), ("operation", "[relu,relu]"),
     ("selection", "square,square"), ("source.uniform.quality", "10,10")],
)  # fmt: skip
def test_a_value_that_is_given_twice_is_one(elsewhere, capsys, key, value):
    once = value.strip("[]").split(",")[0]
    plans = []
    for each in (value, once):
        assert main(["plan", f"{key}={each}"]) == 0
        plans.append([line for line in capsys.readouterr().out.splitlines() if "size " not in line])
    assert plans[0] == plans[1]


def test_the_command_that_tries_a_unit_again_works_from_another_folder(
    folders, monkeypatch, capsys
):
    here, there = folders
    whole = (here / "pictures" / "1.png").read_bytes()
    # Of a PNG only what its samples say is spoilt, which no head tells.
    spoilt = bytearray(whole)
    spoilt[whole.index(b"IDAT") + 12] ^= 0x40
    (here / "pictures" / "1.png").write_bytes(spoilt)
    assert main(["sweep", *words_of("images"), "results=r", "unit_trials=2"]) == 3
    (store,) = (here / "r").glob("*.zarr")
    monkeypatch.chdir(there)
    capsys.readouterr()
    assert main(["status", str(store)]) == 0
    lines = capsys.readouterr().out.splitlines()
    again = next(line for line in lines if "try again: " in line).split("pipeline ")[1]
    assert f"out={store}" in again
    # The file that it names is that of the first folder, whatever lies in this one.
    assert main(shlex.split(again)) == 3
    assert f"{here}/pictures/1.png" in capsys.readouterr().err
    assert not (there / "r").exists()


def test_one_is_not_several(elsewhere, capsys):
    words = ["freqs=0", "trials=1", "unit_trials=1", "out=s.zarr", "cluster.threads=1"]
    for verb in (["plan", *words], ["sweep", *words], ["sweep", *words], ["status", "s.zarr"],
                 ["summary", "s.zarr"], ["verify", "s.zarr"]):  # fmt: skip
        assert main(verb) == 0
    Image.fromarray(np.zeros((8, 8), np.uint8)).save("a.png")
    images = ["source=images", "source.images.path=a.png"]
    for verb in (["check", *images], ["plan", *images], ["sweep", *images, "freqs=0"]):
        assert main(verb) == 0
    printed = "".join(capsys.readouterr())
    assert re.findall(r"(?<![\d,.])1 (?:\w+ )?\w+s\b(?!/s)", printed.replace("1 s,", "")) == []
    assert "only file was decoded." in printed
    assert "all 1 " not in printed.lower()
