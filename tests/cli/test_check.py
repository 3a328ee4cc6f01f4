"""`check`, and how a sweep tells of files that are found broken while it runs."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest
from helpers.jpegs import save as save_jpeg
from helpers.program import run
from helpers.sweeps import open_store
from PIL import Image

from pipeline.cli import sweeps
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.planning import estimate
from pipeline.planning.plan import make_plan
from pipeline.sources import files, images, kinds
from pipeline.store.location import Location

IMAGES = ["source=images", "source.images.path=photos"]


@pytest.fixture
def photos(elsewhere):
    """Forty photographs in the working folder."""
    (elsewhere / "photos").mkdir()
    for k in range(40):
        save_jpeg(elsewhere / "photos" / f"{k:02}.jpg", 16, 24, seed=k)
    return elsewhere / "photos"


def spoil(path):
    """Damage that no head tells of."""
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xc4") + 5] ^= 0x40
    path.write_bytes(content)


def test_whole_files_are_counted(photos):
    (photos / "deep").mkdir()
    Image.fromarray(np.full((8, 8), 9000, np.uint16)).save(photos / "deep" / "a.png")
    words = ["check", *IMAGES, "source.images.recursive=true", "trials=5"]
    code, printed, said = run(words, photos.parent)
    assert (code, printed) == (0, "All 41 files were decoded.\n")
    assert "\x1b" not in said
    assert not (photos.parent / "results").exists()
    code, printed, said = run(["check", "source=jpeg", "source.jpeg.path=photos"], photos.parent)
    assert (code, printed) == (0, "All 40 files were decoded.\n")


@pytest.mark.parametrize("kind", ["images", "jpeg"])
def test_all_bad_files_are_found_in_one_run_and_ten_are_named(photos, capsys, kind):
    bad = [photos / f"{k:02}.jpg" for k in range(3, 40, 3)]
    for path in bad[::2]:
        spoil(path)
    for path in bad[1::2]:
        path.write_bytes(path.read_bytes()[:-9])
    assert main(["check", f"source={kind}", f"source.{kind}.path=photos"]) == 2
    printed, said = capsys.readouterr()
    assert printed == ""
    *named, count = said.splitlines()
    assert [line.split(" is a broken image: ")[0] for line in named] == [
        f"bad: source.{kind}: {path}" for path in bad[:10]
    ]
    assert count == (
        "error: 13 of 40 files cannot be measured (the first 10 are named): restore them from a "
        "copy, or remove them"
    )


def test_files_of_all_sources_are_checked(photos, capsys):
    spoil(photos / "07.jpg")
    words = ["source=images,jpeg", "source.images.path=photos/0*", "source.jpeg.path=photos"]
    assert main(["check", *words, "source.images.quality=10,90"]) == 2
    *named, count = capsys.readouterr().err.splitlines()
    assert [line.partition(" is ")[0] for line in named] == [
        f"bad: source.{kind}: {photos}/07.jpg" for kind in ("images", "jpeg")
    ]
    assert count.startswith("error: 2 of 50 files cannot be measured: ")


def test_without_image_files_there_is_nothing_to_decode(elsewhere, capsys):
    np.save("a.npy", np.zeros((2, 8, 8)) + np.arange(8))
    words = ["source=uniform,array", "source.array.path=a.npy", "trials=2"]
    assert main(["check", *words]) == 0
    said = "Nothing to decode: no image files belong to source=array,uniform.\n"
    assert capsys.readouterr().out in (said, said.replace("array,uniform", "uniform,array"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*IMAGES, "trials=1e9"], "trials=1000000000 is more than the 240 blocks"),
        ([*IMAGES, "block_size=32"], "smaller than a block of 32 x 32"),
        (["source=images", "source.images.path=nowhere"], "matches no file"),
        ([*IMAGES, "sed=1"], "did you mean seed?"),
    ],
)
def test_what_a_sweep_would_refuse_is_refused_before_anything_is_decoded(
    photos, capsys, monkeypatch, words, said
):
    monkeypatch.setattr(kinds, "check", None)
    assert main(["check", *words]) == 2
    assert said in capsys.readouterr().err


def test_ctrl_c_stops_it_cleanly(photos):
    code = (
        "import os, sys, time; from pipeline.sources import files; original = files._read;"
        "files._read = lambda path: (os.write(1, b'reading\\n'), time.sleep(0.2),"
        "original(path))[2];"
        "from pipeline.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, "check", *IMAGES], cwd=photos.parent, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A shell has what it starts in the background ignore this signal, and so all of that.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    ) as process:  # fmt: skip
        # All heads, and some of the files once more.
        for _ in range(50):
            assert process.stdout.readline() == "reading\n"
        began = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 5
    assert process.returncode == 130
    assert said == "Stopped: the same command decodes all files again.\n"


def test_units_that_a_broken_file_fails_are_one_line_tried_once(photos, capsys, monkeypatch):
    spoil(photos / "07.jpg")
    tried = []
    original = files.decoded

    def decoded(reader, file):
        tried.append(file.path)
        return original(reader, file)

    monkeypatch.setattr(images, "decoded", decoded)
    images._luma.cache_clear()
    # A sample, of which each unit has blocks of nearly all files.
    words = [*IMAGES, "trials=200", "unit_trials=50", "cluster.threads=1", "out=s.zarr"]
    assert main(["sweep", *words]) == 3
    said = capsys.readouterr().err.splitlines()
    failed = [line for line in said if line.startswith("failed: ")]
    store = open_store("s.zarr")
    units = len(store.record.quarantined)
    others = "" if units == 1 else f" and {units - 1} other unit{'s' * (units > 2)}"
    assert len(failed) == 1
    assert f"{others}: {photos}/07.jpg is a broken image: " in failed[0]
    assert "Error" not in failed[0].partition("07.jpg")[0]
    assert said[-1].startswith(f"error: {units} units failed and are set aside, all others are ")
    assert "; to name all broken files: python -m pipeline check source=images " in said[-1]
    # Once for the checksum of a first block where it is the first, and once for each unit.
    assert tried.count(f"{photos}/07.jpg") == units
    assert all(f"{photos}/07.jpg" in bad.reason for bad in store.record.quarantined)


def test_many_reasons_are_not_all_shown():
    failures = [f"source=a block_size=8 trials {k}..{k}: file {k // 3}" for k in range(30)]
    assert sweeps._grouped(failures) == [
        *(
            f"source=a block_size=8 trials {3 * k}..{3 * k} and 2 other units: file {k}"
            for k in range(5)
        ),
        "for 5 other reasons, see status",
    ]


def test_status_names_some_of_many_units_that_are_set_aside(photos, capsys):
    for path in photos.iterdir():
        spoil(path)
    words = [*IMAGES, "trials=all", "unit_trials=6", "out=s.zarr"]
    assert main(["sweep", *words]) == 3
    capsys.readouterr()
    assert main(["status", "s.zarr"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("quarantined: source=images") == 10
    assert "quarantined: 30 other units" in printed
    # All of one sweep, which one command runs.
    assert printed.count("try again: ") == 1
    assert len(open_store("s.zarr").record.quarantined) == 40


def test_plan_says_what_is_read_and_what_does_not_fit(photos, capsys, monkeypatch):
    size = sum(path.stat().st_size for path in photos.iterdir())
    assert main(["plan", *IMAGES]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"files 40, {size / 1024:.2f} kiB to read; a file is decoded about 1.0 times" in printed
    assert "DOES NOT FIT" not in printed
    monkeypatch.setattr(Location, "free_bytes", lambda self: 1000)
    assert main(["plan", *IMAGES]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "to write, 0.98 kiB free" in printed or "to write, 1000 B free" in printed
    assert "DOES NOT FIT a sweep would be refused: keep fewer trials, store_trials=none" in printed
    assert main(["plan", *IMAGES, "store_trials=none"]) == 0
    assert "DOES NOT FIT" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "decodings"),
    [
        (["trials=all"], 1),
        (["trials=all", "unit_trials=7"], 1),
        # All files once for each block size, and for each quality.
        (["trials=all", "block_size=4,8", "source.images.quality=[]"], 2),
        (["trials=all", "source.images.quality=10,50,90"], 3),
        # Samples: two units of all forty files, and four of twenty of them.
        (["trials=120", "unit_trials=60"], 2),
        (["trials=80", "unit_trials=20"], 2),
        (["trials=20"], 0.5),
    ],
)
def test_files_are_counted_as_often_as_units_decode_them(photos, words, decodings):
    plan = make_plan(compose.load([*IMAGES, *words]), kinds.resolve)
    reading = estimate.reading(plan)
    size = sum(path.stat().st_size for path in photos.iterdir())
    assert (reading.files, reading.decodings) == (40, pytest.approx(decodings))
    assert reading.size == pytest.approx(decodings * size)
    # Six nanoseconds a sample of a JPEG.
    assert reading.seconds == pytest.approx(decodings * 40 * 16 * 24 * 6e-9)
    assert estimate.core_seconds(plan) > reading.seconds
