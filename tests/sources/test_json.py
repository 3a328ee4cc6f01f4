"""Sources by way of JSON: as equal as before, with the same blocks, small where files are many."""

import json
import tracemalloc

import numpy as np
import pytest
from helpers.arrays import save as save_array
from helpers.arrays import values
from helpers.jpegs import save as save_jpeg
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.config import entries
from pipeline.planning.entries import Source
from pipeline.sources import kinds
from pipeline.sources.files import Files


def by_way_of_json(source):
    return kinds.from_json(json.loads(json.dumps(kinds.to_json(source))))


def drawn_entries():
    shipped = {name: entries.entry("source", name) for name in entries.names("source")}
    return [
        entry
        for entry in shipped.values()
        if kinds.KINDS[entry["kind"]].content is None or entry["path"].startswith("pkg://")
    ]


@pytest.fixture
def stored_entries(tmp_path):
    for folder in ("images", "jpeg"):
        (tmp_path / folder).mkdir()
    for number, shape in enumerate([(16, 24), (9, 100)]):
        image = np.full(shape, 40 * number, np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"Öl {number}.png")
        save_jpeg(tmp_path / "jpeg" / f"{number}.jpg", *shape, seed=number)
    save_array(tmp_path / "a.npy", values((3, 9, 17)))
    save_array(tmp_path / "a.zarr", values((3, 9, 17), ">f4"), (2, 9, 5))
    save_array("memory://json/a", values((3, 9, 17), "u1"), (1, 4, 17), overwrite=True)
    packed = {"scale_factor": 0.1, "_Unsigned": "true"}
    save_array(tmp_path / "packed", values((3, 9, 17), "i1"), (2, 9, 5), attributes=packed)
    paths = [("images", "images"), ("jpeg", "jpeg"), ("array", "a.npy"), ("array", "a.zarr"),
             ("array", "packed")]  # fmt: skip
    written = [{"kind": kind, "path": str(tmp_path / path)} for kind, path in paths]
    return [*written, {"kind": "array", "path": "memory://json/a"}]


def test_a_source_of_every_kind_is_the_same_by_way_of_json(stored_entries):
    every = [*drawn_entries(), *stored_entries]
    assert {entry["kind"] for entry in every} == set(kinds.KINDS)
    for entry in every:
        for quality in [[], [10, 90]] if entry["kind"] != "jpeg" else [[]]:
            for source in kinds.resolve("name", {**entry, "quality": quality}, [8]):
                again = by_way_of_json(source)
                assert again == source
                assert kinds.to_json(again) == kinds.to_json(source)
                blocks = kinds.draw(source, 5, 8, 1, 2)
                assert kinds.draw(again, 5, 8, 1, 2).tobytes() == blocks.tobytes()
                if source.tiles:
                    spread = source.spread(5, [8])
                    assert by_way_of_json(spread) == spread != source


def test_parameters_are_what_the_entry_says(stored_entries):
    for entry in stored_entries:
        [source] = kinds.resolve("name", entry, [8])
        assert source.parameters == {"path": entry["path"]}


@given(
    st.lists(
        st.tuples(st.text(), st.integers(1, 10**6), st.integers(1, 10**6), st.binary(max_size=3))
    )
)
def test_any_files_are_the_same_by_way_of_json(rows):
    digests = [digest.ljust(32) for *_, digest in rows]
    columns = [[row[k] for row in rows] for k in range(3)]
    files = Files.of(*columns, b"".join(digests))
    again = Files.from_json(json.loads(json.dumps(files.to_json())))
    assert again == files
    assert hash(again) == hash(files)
    assert [again[k] for k in range(len(again))] == [files[k] for k in range(len(files))]
    for k, file in enumerate(again[k] for k in range(len(again))):
        assert (file.path, file.height, file.width) == rows[k][:3]
        assert file.sha256 == digests[k].hex()


def test_a_hundred_thousand_files_take_little_memory_and_text():
    count = 100_000
    paths = [f"/somewhere/in/a/folder/of/photographs/number_{k:08d}.jpeg" for k in range(count)]
    files = Files.of(paths, range(1000, 1000 + count), [4000] * count, bytes(32 * count))
    text = json.dumps(kinds.to_json(Source("s", "images", {}, {}, content=files)))
    assert len(text) < 20e6
    del files, paths
    tracemalloc.start()
    try:
        source = kinds.from_json(json.loads(text))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(source.content) == count
    assert held < 30e6
