"""What a worker does: one unit, by what a small task says and what the store has for it."""

import io
import pickle

import numpy as np
import pytest
from helpers.stores import plan_of, prepare
from helpers.sweeps import assert_same, execute
from PIL import Image

from pipeline import sweep
from pipeline.errors import UnitError
from pipeline.planning.grid import Missing
from pipeline.run import rounds, tasks, worker
from pipeline.sources import kinds


def test_more_trials_than_a_batch_change_no_bit(tmp_path):
    long = sweep(["trials=2500", "block_size=16", f"out={tmp_path}/a.zarr"])
    short = sweep(["trials=300", "block_size=16", "unit_trials=100", f"out={tmp_path}/b.zarr"])
    assert_same(long.isel(trial=slice(0, 300)), short)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Folders of 2 and of 2,000 images, by the number."""
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(content, "png")
    made = {}
    for count in (2, 2000):
        made[count] = tmp_path_factory.mktemp(f"images{count:04d}")
        for k in range(count):
            (made[count] / f"{k:04d}.png").write_bytes(content.getvalue())
    return made


def tasks_of(*arguments, monkeypatch):
    """What a sweep would hand to its cluster: every task, pickled."""
    handed = []

    def map_units(client, task, missings, *others):
        handed.extend(pickle.dumps((task, missing)) for missing in missings)
        yield from ()

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "map_units", map_units)
        execute(arguments, rounds.SilentObserver())
    return handed


def test_a_task_grows_neither_with_files_nor_with_units(tmp_path, folders, monkeypatch):
    def largest(name, *arguments):
        words = [*arguments, "unit_trials=1", f"out={tmp_path}/{name}.zarr"]
        return max(map(len, tasks_of(*words, monkeypatch=monkeypatch)))

    few, many = (
        largest(f"f{count:04d}", "source=images", f"source.images.path={folder}", "trials=2")
        for count, folder in folders.items()
    )
    assert few == many < 2000
    few, many = (largest(f"u{count:04d}", f"trials={count}") for count in (2, 2000))
    # Numbers of more digits, and nothing else.
    assert few <= many <= few + 8
    assert many < 2000


def test_a_task_of_an_extension_names_the_parts_that_are_missing(tmp_path, monkeypatch):
    out = f"out={tmp_path}/s.zarr"
    sweep(["freqs=0..3", "trials=20", "unit_trials=10", out])
    more = ["freqs=0..9", "algorithm=asm,apx", "trials=20", "extend=true", out]
    handed = tasks_of(*more, monkeypatch=monkeypatch)
    assert [len(pickle.loads(each)[1].parts) for each in handed] == [2, 2]
    assert max(map(len, handed)) < 2000


def test_a_plan_is_read_back_as_it_was_written(folders, tmp_path):
    blocks = tmp_path / "blocks.npy"
    np.save(blocks, np.arange(4 * 16 * 16, dtype=np.float32).reshape(4, 16, 16))
    plan = plan_of(
        "source=uniform,gaussian,autoregressive,images,array", "source.gaussian.quality=20,90",
        f"source.images.path={folders[2]}", "source.images.quality=50",
        f"source.array.path={blocks}", "selection=triangle,energy", "operation=max_pool,leaky_relu",
        "algorithm=asm,apx", "freqs=0..3,9", "trials=1,2", "unit_trials=1",
        "store_trials=1", "seed=7",
    )  # fmt: skip
    part = plan.of_part(((0,), (1,), (0, 1), (1, 4)))
    for each in (plan, part, plan_of("trials=1e9", "block_size=4,8,16")):
        text = worker.plan_to_text(each)
        again = worker.plan_from_text(text)
        assert again == each
        assert again.identity == each.identity
        # What does not count when plans are compared, as the paths of files, is there too.
        assert worker.plan_to_text(again) == text


def test_workers_read_the_plan_once_a_round(tmp_path, monkeypatch):
    texts = []

    def read(text):
        texts.append(text)
        return original(text)

    original = worker.plan_from_text
    monkeypatch.setattr(worker, "plan_from_text", read)
    arguments = ["unit_trials=100", "cluster.threads=2", f"out={tmp_path}/s.zarr"]
    sweep(["trials=4000", *arguments])
    sweep(["trials=5000", *arguments])
    assert [original(text).trials for text in texts] == [4000, 5000]


def test_a_worker_says_of_an_error_which_unit_it_met(tmp_path, monkeypatch):
    store, plan = prepare(tmp_path / "s.zarr", "trials=50", "unit_trials=20")
    monkeypatch.setattr(kinds, "draw_pair", lambda *arguments: 1 / 0)
    unit = list(plan.grid.units())[1]
    with pytest.raises(
        UnitError, match=r"^source=uniform block_size=8 trials 20\.\.39: ZeroDivisionError: "
    ):
        worker.run_unit(store.location.url, store.round, Missing(unit))
