"""Which files a path stands for: what is skipped, what is passed over, folders inside folders."""

import glob
import os
import re

import numpy as np
import pytest
from helpers.images import draw, resolve
from helpers.program import run
from PIL import Image

from pipeline import UserError, sweep


def image(path, seed=0, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).integers(0, 256, (8, 16), np.uint8)
    Image.fromarray(samples).save(path, **options)
    return path


def notes(path, **parameters):
    return list(resolve(path, **parameters).content.notes)


def names(path, **parameters):
    return [name.rpartition("/")[2] for name in resolve(path, **parameters).content.paths]


def test_dot_files_are_skipped_without_a_word(tmp_path):
    image(tmp_path / "a.jpg")
    # What macOS writes beside a file, and is no image; and an image that is hidden.
    (tmp_path / "._a.jpg").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    image(tmp_path / ".hidden.png")
    image(tmp_path / ".thumbnails" / "a.png")
    for recursive in (False, True):
        assert names(tmp_path, recursive=recursive) == ["a.jpg"]
        assert notes(tmp_path, recursive=recursive) == []


def test_what_is_passed_over_is_counted_and_named_by_ending(tmp_path):
    image(tmp_path / "a.png")
    for name in ("a.txt", "b.TXT", "c.txt", "d.gif", "LICENSE"):
        (tmp_path / name).write_text("")
    image(tmp_path / "deep" / "b.png")
    assert notes(tmp_path) == [
        f"{tmp_path}: passed over 3 .txt, 1 .gif, 1 without ending, 1 folder"
    ]
    assert notes(tmp_path, recursive=True) == [
        f"{tmp_path}: passed over 3 .txt, 1 .gif, 1 without ending"
    ]
    assert notes(tmp_path / "deep") == notes(tmp_path / "a.png") == notes(tmp_path / "*.png") == []


def test_folders_inside_a_folder_are_searched_if_asked_for(tmp_path):
    image(tmp_path / "b.png", 0)
    image(tmp_path / "a" / "c.png", 1)
    image(tmp_path / "z" / "deeper" / "a.png", 2)
    assert names(tmp_path) == ["b.png"]
    assert names(tmp_path, recursive=True) == ["c.png", "b.png", "a.png"]
    together = resolve(tmp_path, recursive=True)
    assert together.identity == resolve(tmp_path / "**" / "*.png").identity
    assert np.array_equal(draw(together), draw(resolve(tmp_path / "**" / "*.png")))


def test_links_that_lead_round_are_searched_once(tmp_path):
    image(tmp_path / "here" / "a.png")
    image(tmp_path / "there" / "b.png")
    (tmp_path / "here" / "linked").symlink_to(tmp_path / "there")
    (tmp_path / "there" / "back").symlink_to(tmp_path / "here")
    assert names(tmp_path / "here", recursive=True) == ["a.png", "b.png"]
    # Nor is the place passed over at which the system gives up following links.
    assert notes(tmp_path / "here", recursive=True) == []


@pytest.mark.parametrize(
    ("made", "recursive", "message"),
    [
        ([], False, r"holds no image: it needs files named \.png, "),
        (
            ["a/b.png", "c/d.png"],
            False,
            "holds only 2 folders: give one, or .*recursive=t",
        ),
        (["a/b.txt", "c/d.txt"], True, r"holds no image but 2 \.txt: it needs files named"),
        (["a.txt", "b/c.png"], False, r"holds no image but 1 \.txt, 1 folder: .*; recursive=true"),
        (["a.txt", "b.gif", "c.txt"], False, r"holds no image but 2 \.txt, 1 \.gif: it needs fil"),
    ],
)
def test_a_folder_without_images_says_what_it_holds(tmp_path, made, recursive, message):
    for name in made:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UserError, match=message) as refusal:
        resolve(tmp_path, recursive=recursive)
    assert "\n" not in str(refusal.value)


def test_a_glob_that_matches_only_folders_says_so(tmp_path):
    image(tmp_path / "a" / "a.png")
    with pytest.raises(UserError, match=r"\* matches only folders: write /\* behind it, or give"):
        resolve(tmp_path / "*")
    assert names(tmp_path / "*" / "*") == ["a.png"]


def test_recursive_is_for_folders(tmp_path):
    path = image(tmp_path / "a" / "a.png")
    assert names(path, recursive=True) == ["a.png"]
    with pytest.raises(
        UserError, match=r"\*\.png is a glob, and recursive=true .*: write \*\* for"
    ):
        resolve(tmp_path / "*.png", recursive=True)


def test_a_note_is_shown_where_progress_is(tmp_path, capsys):
    image(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "a.txt").write_text("")
    words = ["source=images", f"source.images.path={tmp_path}/in", "trials=all"]
    sweep([*words, f"out={tmp_path}/s.zarr"], progress=True)
    printed = capsys.readouterr()
    assert f"note: {tmp_path}/in: passed over 1 .txt\n" in printed.out + printed.err


@pytest.mark.parametrize("source", ["images", "jpeg"])
def test_recursive_is_one_key_of_a_command(tmp_path, source):
    image(tmp_path / "photographs" / "2023" / "a.jpg")
    (tmp_path / "photographs" / "notes.txt").write_text("")
    words = ["plan", f"source={source}", f"source.{source}.path=photographs", "trials=all"]
    code, out, err = run(words, tmp_path)
    assert (code, out) == (2, "")
    assert "holds no image but 1 .txt, 1 folder" in err
    assert err.count("\n") == 1
    code, out, err = run([*words, f"source.{source}.recursive=true"], tmp_path)
    assert (code, err) == (0, f"note: {tmp_path}/photographs: passed over 1 .txt\n")
    assert re.search(rf"{source}: .*2 .* of 8 x 8", out)


@pytest.mark.parametrize("pattern", ["", "*.png", "gone.png"])
def test_a_link_that_leads_nowhere_is_named(tmp_path, pattern):
    image(tmp_path / "a.png")
    (tmp_path / "gone.png").symlink_to("objects/7f/picture")
    with pytest.raises(UserError, match=r"gone.png is a link to objects/7f/picture, which is not"):
        resolve(tmp_path / pattern)


def test_a_glob_through_links_that_lead_up_ends_and_finds_each_file_once(tmp_path):
    image(tmp_path / "a" / "b" / "x.png", 0)
    image(tmp_path / "a" / "y.png", 1)
    image(tmp_path / "a" / ".hidden" / "z.png", 2)
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "b" / "up2").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "itself").symlink_to("itself")
    for pattern in ("**", "**/*.png", "a/**/*.png", "**/up/**/*.png", "**/**/*.png"):
        assert names(tmp_path / pattern) == ["x.png", "y.png"], pattern
    assert names(tmp_path / "**" / "b" / "*.png") == ["x.png"]
    assert names(tmp_path / "a" / ".*" / "*.png") == ["z.png"]


@pytest.mark.parametrize(
    "pattern", ["*.png", "**", "**/*", "*", "*/*.png", "*/*", "?/x.png", "[ab]/**", "a/**/x.png",
                "**/b/*", "a/../a/*.png", "*/../*/x.png", "**/[!x].png", "b/x.png"]
)  # fmt: skip
def test_a_glob_matches_what_that_of_python_does(tmp_path, pattern):
    for name in ("z.png", "a/x.png", "a/y.png", "a/b/x.png", "b/x.png", "b/.h.png", ".c/x.png"):
        image(tmp_path / name, len(name))
    (tmp_path / "b" / "linked").symlink_to(tmp_path / "a")
    expected = {
        os.path.realpath(path)
        for path in glob.glob(str(tmp_path / pattern), recursive=True)
        if os.path.isfile(path)
    }
    assert set(resolve(tmp_path / pattern).content.paths) == expected


def test_brackets_of_a_folder_that_is_there_are_no_choice_of_letters(tmp_path, monkeypatch):
    image(tmp_path / "of [2019]" / "a.png")
    image(tmp_path / "of 2" / "b.png")
    assert names(tmp_path / "of [2019]" / "*.png") == ["a.png"]
    assert names(tmp_path / "of [0-9]" / "*.png") == ["b.png"]
    monkeypatch.chdir(tmp_path / "of [2019]")
    assert names("*.png") == names(".") == ["a.png"]


def test_images_are_not_read_from_urls_but_from_a_url_of_this_machine(tmp_path):
    image(tmp_path / "a.png")
    assert names(f"file://{tmp_path}") == ["a.png"]
    with pytest.raises(
        UserError, match=r"memory://a/b\.png is a URL, and images are read from a di"
    ):
        resolve("memory://a/b.png")
