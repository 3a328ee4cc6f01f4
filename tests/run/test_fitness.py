"""What a process computes with: each part is noticed, and nothing that does not count."""

import asyncio
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from helpers.stores import plan_of, prepare
from helpers.sweeps import open_store

from asm_core import errors, kernels
from pipeline.errors import MisfitError
from pipeline.planning.grid import Missing
from pipeline.run import fitness, worker
from pipeline.sources import images as image_files
from pipeline.sources import kinds

PLAN = ["source=uniform,gaussian,upsampled", "block_size=4,8", "operation=max_pool,relu"]


@pytest.fixture
def text():
    """A plan as a sweep writes it for its workers."""
    return worker.plan_to_text(plan_of(*PLAN))


def refusal(text):
    """What differs here, for which this process refuses a plan."""
    with pytest.raises(MisfitError) as error:
        worker.plan_from_text(text)
    assert "install the same version on both, or restart that worker" in str(error.value)
    assert asyncio.run(worker.misfit(text)).reason == error.value.reason
    does, _, what = error.value.reason.partition(", ")
    assert does == "does not compute as this sweep does"
    return what


def test_a_process_that_computes_alike_is_fit(text):
    worker.plan_from_text(text)
    assert asyncio.run(worker.misfit(text)) is None


@pytest.mark.parametrize("name", ["KERNEL_VERSION", "STREAM_VERSION", "LAYOUT_VERSION"])
def test_another_version_is_told_whatever_else_is_there(text, monkeypatch, name):
    other = json.dumps({**json.loads(text), "plan": "of a kind that only its own version knows"})
    ours = getattr(fitness, name)
    monkeypatch.setattr(fitness, name, 99)
    version = name.removesuffix("_VERSION").lower()
    assert refusal(other) == f"its {version} version is 99 and not {ours}"


def test_another_python_is_told(text, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert refusal(text).startswith("its Python version is 3.99 and not 3.")


def test_a_plan_without_versions_is_refused(text):
    older = json.dumps(json.loads(text)["plan"])
    assert refusal(older).startswith("its Python version is")


def test_another_bit_of_a_table_is_told(text, monkeypatch):
    def basis(size):
        table = original(size).copy()
        # Of the larger block size alone.
        table[-1, -1] = np.nextafter(table[-1, -1], 2.0) if size == 8 else table[-1, -1]
        return table

    original = fitness.dct_basis
    monkeypatch.setattr(fitness, "dct_basis", basis)
    assert refusal(text) == "its cosine tables differ"


@pytest.mark.parametrize("kind", ["uniform", "gaussian", "upsampled"])
def test_another_bit_of_a_drawn_block_is_told(text, monkeypatch, kind):
    def draw(seed, size, first, count, **parameters):
        blocks = original(seed, size, first, count, **parameters)
        blocks[-1, -1, -1] = np.nextafter(blocks[-1, -1, -1], 2.0)
        return blocks

    original = kinds.KINDS[kind].draw
    monkeypatch.setitem(kinds.KINDS, kind, kinds.Kind(draw))
    assert refusal(text) == f"its blocks of source {kind} differ"


@pytest.mark.parametrize("which", range(4), ids=["error", "accuracy", "regret", "bias"])
def test_another_bit_that_a_kernel_gives_is_told(monkeypatch, which):
    text = worker.plan_to_text(plan_of("algorithm=apx_offset"))

    def measure(half, *arguments):
        finite = original(half, *arguments)
        values = arguments[-4:][which]
        # One operation, one block size, one trial; what is not asked for has no operation.
        values[:1, ..., 8] = np.nextafter(values[:1, ..., 8], 2.0) if len(half) == 2 else 0.0
        return finite

    original = kernels.measure
    monkeypatch.setattr(errors.kernels, "measure", measure)
    assert refusal(text) == "its measured errors differ"


def test_another_bit_of_a_moment_is_told(text, monkeypatch):
    original = fitness.moments_of
    monkeypatch.setattr(fitness, "moments_of", lambda values: np.nextafter(original(values), 1e9))
    assert refusal(text) == "its measured errors differ"


def test_another_bit_of_an_estimated_offset_is_told(monkeypatch):
    text = worker.plan_to_text(plan_of("algorithm=apx_offset"))
    original = fitness.mean_offsets
    monkeypatch.setattr(fitness, "mean_offsets", lambda *given: np.nextafter(original(*given), 9.0))
    assert refusal(text) == "its measured errors differ"


def test_of_many_differences_some_are_listed(text, monkeypatch):
    data = json.loads(text)
    data["checksums"] |= {f"blocks of source s{k}": "0" for k in range(100)}
    with pytest.raises(
        MisfitError, match=r"source s4 \(not known here\), and 95 more: it must see"
    ):
        worker.plan_from_text(json.dumps(data))


def test_the_plan_decides_what_is_compared():
    one, other = (fitness.checksums(plan_of(*PLAN, more)) for more in ("trials=10", "trials=1e6"))
    assert one == other
    for more in ("block_size=4", "operation=max_pool", "selection=zigzag"):
        found = fitness.checksums(plan_of(*[word for word in PLAN if not word.startswith(more[:8])],
                                          more))  # fmt: skip
        assert found["measured errors"] != one["measured errors"]


def test_compiled_and_uncompiled_processes_are_alike():
    plan = plan_of("block_size=4", "operation=max_pool,leaky_relu")
    code = (
        "import sys; sys.path.insert(0, 'tests'); from helpers.stores import plan_of; "
        "from pipeline.run import fitness; import json; "
        "print(json.dumps(fitness.checksums(plan_of(*sys.argv[1:]))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "block_size=4", "operation=max_pool,leaky_relu"],
        capture_output=True, text=True, check=True, env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
    )  # fmt: skip
    assert json.loads(done.stdout) == fitness.checksums(plan)


@pytest.fixture
def folder(tmp_path, photograph):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.jpg").write_bytes(photograph.read_bytes())
    return tmp_path / "images"


def test_a_worker_that_decodes_an_image_differently_or_not_at_all_is_refused(folder, monkeypatch):
    text = worker.plan_to_text(plan_of("source=images", f"source.images.path={folder}"))
    images = kinds.KINDS["images"]

    def brighter(content, size, numbers):
        return images.draw(content, size, numbers) + 1 / 255

    other = kinds.Kind(brighter, images.inspect, images.content)
    with monkeypatch.context() as patch:
        patch.setitem(kinds.KINDS, "images", other)
        assert refusal(text) == "its blocks of source images differ"
    worker.plan_from_text(text)
    (folder / "a.jpg").write_bytes(b"")
    image_files._luma.cache_clear()
    with pytest.raises(MisfitError, match=r"cannot read blocks of source images \(.*a\.jpg.*files"):
        worker.plan_from_text(text)


def test_a_file_that_the_sweep_itself_cannot_read_any_more_is_a_matter_of_its_units(folder):
    plan = plan_of("source=images", f"source.images.path={folder}")
    (folder / "a.jpg").write_bytes(b"")
    image_files._luma.cache_clear()
    worker.plan_from_text(worker.plan_to_text(plan))


def test_a_misfit_stores_nothing(tmp_path, monkeypatch):
    store, plan = prepare(tmp_path / "s.zarr", "trials=50")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(fitness, "KERNEL_VERSION", 99)
    with pytest.raises(MisfitError, match=r"worker in this process .*kernel version is 99 and not"):
        worker.run_unit(store.location.url, store.round, Missing(next(plan.grid.units())))
    assert sorted(tmp_path.rglob("*")) == before
    monkeypatch.undo()
    worker.run_unit(store.location.url, store.round, Missing(next(plan.grid.units())))
    assert open_store(tmp_path / "s.zarr").counts().sum() > 0
