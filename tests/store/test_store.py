"""The Zarr store: layout, resume, growth, refusal."""

import dataclasses
import json
import threading
import uuid
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr

from asm_core.moments import MOMENTS
from pipeline import UserError, open_results, summarize
from pipeline.analysis import curves, datasets
from pipeline.config import compose
from pipeline.plan.plan import make_plan
from pipeline.run import worker
from pipeline.sources import kinds
from pipeline.store import layout, ledger, store


def plan_of(*arguments):
    return make_plan(compose.load(arguments), kinds.resolve)


def write(path, plan, *numbers):
    # A session of its own: the store may have grown since the last one.
    session = uuid.uuid4().hex
    for each in plan.units():
        if each.number in numbers:
            store.write_unit(path, session, plan, each, [(plan, worker.measure_unit(plan, each))])


def listed(path):
    """Trials that the ledger lists: (source, block_size, unit), the fewest of any point."""
    return ledger.counts(layout.open_group(path), path).min(axis=(3, 4, 5, 6))


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s.zarr")


def test_a_new_store_has_every_axis_in_order_with_its_coordinate(path):
    plan = plan_of(
        "block_size=4,8", "operation=max_pool,relu", "algorithm=asm,apx", "freqs=0..4", "trials=30"
    )
    store.prepare(path, plan, {"title": "test"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = xr.open_zarr(path)
    dimensions = ("source", "block_size", "operation", "selection", "algorithm", "freq", "trial")
    assert dataset.error.dims == dimensions
    assert dataset.mask_accuracy.dims == tuple(name for name in dimensions if name != "algorithm")
    assert dataset.error.shape == (1, 2, 2, 1, 2, 5, 30)
    assert set(dimensions) <= set(dataset.coords)
    assert dataset.source.values.tolist() == ["uniform"]
    assert dataset.block_size.values.tolist() == [4, 8]
    assert dataset.operation.values.tolist() == ["max_pool", "relu"]
    assert dataset.algorithm.values.tolist() == ["apx", "asm"]
    assert dataset.trial.values.tolist() == list(range(30))
    assert dataset.error.dtype == dataset.mask_accuracy.dtype == np.float32
    assert dataset.coefficients_kept.sel(selection="triangle", block_size=4).values.tolist() == [
        1, 3, 6, 10, 13,
    ]  # fmt: skip
    assert np.isnan(dataset.error.values).all()
    assert dataset.attrs["title"] == "test"


def test_a_unit_is_one_chunk_of_each_array_and_one_row_of_the_ledger(path):
    plan = plan_of("trials=250", "unit_trials=100", "block_size=4,8", "freqs=0..2")
    store.prepare(path, plan, {})
    group = layout.open_group(path)
    assert group["error"].chunks == (1, 1, 1, 1, 1, 3, 100)
    assert group["mask_accuracy"].chunks == (1, 1, 1, 1, 3, 100)
    assert group["ledger/error"].shape == (1, 2, 3, 1, 1, 1, 3, len(MOMENTS))
    assert group["ledger/error"].chunks == (1, 1, 1024, 1, 1, 1, 3, len(MOMENTS))
    values = (3 + 3 + 3) * len(MOMENTS)
    assert group["journal/rows"].chunks == (1, 1, 1, values)
    assert (listed(path) == 0).all()
    write(path, plan, 1, 2)
    rows = [f"c.0.{size}.{unit}.0" for size in (0, 1) for unit in (1, 2)]
    files = [entry.name for entry in Path(path, "journal", "rows").iterdir()]
    assert sorted(files) == [*rows, "zarr.json"]
    assert listed(path).tolist() == [[[0, 100, 50], [0, 100, 50]]]
    # Packed, they say the same, and their files are gone.
    store.pack(path)
    assert [entry.name for entry in Path(path, "journal", "rows").iterdir()] == ["zarr.json"]
    assert listed(path).tolist() == [[[0, 100, 50], [0, 100, 50]]]


def test_a_unit_of_exact_results_is_written_too(path):
    # Errors of 0 and accuracies of 1 only, and still no chunk may be left out.
    plan = plan_of("freqs=14", "trials=10")
    store.prepare(path, plan, {})
    write(path, plan, 0)
    dataset = xr.open_zarr(path)
    assert (dataset.error == 0).all()
    assert (dataset.mask_accuracy == 1).all()


def test_the_ledger_holds_the_moments_of_what_is_stored(path):
    plan = plan_of("trials=250", "unit_trials=100", "freqs=3")
    store.prepare(path, plan, {})
    write(path, plan, 0, 1, 2)
    errors = xr.open_zarr(path).error.values.ravel().astype(np.float64)
    pending = ledger.rows(layout.open_group(path), path)
    store.finish(path, {})
    packed = ledger.rows(layout.open_group(path), path)
    assert all(pending[name].tobytes() == packed[name].tobytes() for name in pending)
    rows = zarr.open_group(path, mode="r")["ledger/error"][0, 0, :, 0, 0, 0, 0]
    for number, row in enumerate(rows):
        values = errors[number * 100 : (number + 1) * 100]
        named = dict(zip(MOMENTS, row, strict=True))
        assert named["count"] == len(values)
        assert named["mean"] == pytest.approx(values.mean(), rel=1e-14)
        assert named["M2"] == pytest.approx(((values - values.mean()) ** 2).sum(), rel=1e-12)
        assert (named["min"], named["max"]) == (values.min(), values.max())


def test_the_row_that_says_complete_is_written_last(path, monkeypatch):
    class Recorded:
        def __init__(self, name):
            self.name = name

        def __setitem__(self, region, values):
            order.append(self.name)

    order = []
    plan = plan_of("trials=10")
    store.prepare(path, plan, {})
    arrays, identity = store._writable(path, "test")
    handles = {
        name: array if name.startswith("ledger/") else Recorded(name)
        for name, array in arrays.items()
    }
    for metric in layout.METRICS:
        handles[metric].shape = arrays[metric].shape
    monkeypatch.setattr(store, "_writable", lambda path, session: (handles, identity))
    write(path, plan, 0)
    assert sorted(order[:3]) == ["error", "mask_accuracy", "regret"]
    assert order[3:] == ["journal"]


def test_axes_that_a_store_holds_unsorted_are_opened_sorted(path):
    plan = dataclasses.replace(plan_of("trials=30", "block_size=4,8"), freqs=(9, 2, 5))
    plan = dataclasses.replace(plan, block_sizes=(8, 4))
    store.prepare(path, plan, {})
    write(path, plan, 0)
    opened = open_results(path)
    assert opened.freq.values.tolist() == [2, 5, 9]
    assert opened.block_size.values.tolist() == [4, 8]
    stored = xr.open_zarr(path)
    for name in ("error", "mask_accuracy", "coefficients_kept"):
        xr.testing.assert_equal(opened[name].compute(), stored[name].sortby(["freq", "block_size"]))
    expected = stored.error.sel(freq=2, block_size=8).mean(dtype="float64")
    for found in (datasets.curves_of(summarize(opened)), curves.of_store(path, 30)):
        assert found.labels["freq"] == [2, 5, 9]
        (curve,) = (curve for name, curve in found if name["block_size"] == 8)
        assert curve["mean_error"][0] == pytest.approx(float(expected), rel=1e-13)


def test_growing_keeps_what_is_stored_and_shows_the_true_sizes(path):
    store.prepare(path, plan_of("trials=150", "unit_trials=100"), {})
    write(path, plan_of("trials=150", "unit_trials=100"), 0, 1)
    before = xr.open_zarr(path).error.values
    store.prepare(path, plan_of("trials=420", "unit_trials=100"), {})
    dataset = xr.open_zarr(path)
    assert dataset.sizes["trial"] == 420
    assert dataset.trial.values.tolist() == list(range(420))
    assert np.array_equal(dataset.error.values[..., :150], before)
    assert np.isnan(dataset.error.values[..., 150:]).all()
    assert listed(path).tolist() == [[[100, 50, 0, 0, 0]]]


def test_growing_renews_the_provenance_and_keeps_the_start(path):
    store.prepare(path, plan_of("trials=10"), {"created": "then", "overrides": "trials=10"})
    store.prepare(path, plan_of("trials=20"), {"overrides": "trials=20"})
    attributes = xr.open_zarr(path).attrs
    assert (attributes["created"], attributes["overrides"]) == ("then", "trials=20")


def test_a_store_is_never_shrunk(path):
    plan = plan_of("trials=150", "unit_trials=100")
    store.prepare(path, plan, {})
    write(path, plan, 0, 1)
    store.prepare(path, plan_of("trials=10", "unit_trials=100"), {})
    assert xr.open_zarr(path).sizes["trial"] == 150
    assert listed(path).tolist() == [[[100, 50]]]


def test_a_growth_that_was_cut_short_is_finished(path):
    store.prepare(path, plan_of("trials=100"), {})
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    for name in ("error", "mask_accuracy", "trial"):
        group[name].resize((*group[name].shape[:-1], 300))
    store.prepare(path, plan_of("trials=300"), {})
    assert xr.open_zarr(path).trial.values.tolist() == list(range(300))


def test_the_unit_size_of_an_existing_store_is_kept(path):
    store.prepare(path, plan_of("trials=100", "unit_trials=64"), {})
    assert store.prepare(path, plan_of("trials=100", "unit_trials=50"), {}).unit_trials == 64
    assert store.check(path, plan_of("trials=100")).unit_trials == 64


def test_another_experiment_is_refused_with_what_differs(path):
    store.prepare(path, plan_of("trials=10"), {})
    for refuse in (store.check, lambda p, plan: store.prepare(p, plan, {})):
        with pytest.raises(UserError, match="another experiment: seed is 0 in the store, 1 here"):
            refuse(path, plan_of("seed=1"))
    with pytest.raises(UserError, match=r"algorithm is ..asm.. in the store, .*; freq is .0, "):
        store.check(path, plan_of("freqs=0..3", "algorithm=apx"))


@pytest.mark.parametrize("make", ["file", "folder", "zarr", "damaged"])
def test_something_else_in_the_place_is_refused_and_left_alone(tmp_path, make):
    path = tmp_path / "s.zarr"
    if make == "file":
        path.write_text("precious")
    elif make == "damaged":
        path.mkdir()
        (path / "zarr.json").write_text("[]")
    elif make == "folder":
        path.mkdir()
        (path / "precious").write_text("data")
    else:
        zarr.create_group(path)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"s\.zarr exists and is not a store of this program"):
        store.check(str(path), plan_of())
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write into .*file"):
        store.check(str(tmp_path / "file" / "s.zarr"), plan_of())
    # Root may write anywhere but into /proc, which no permission shows.
    with pytest.raises(UserError, match=r"cannot write /proc/nowhere/s\.zarr"):
        store.prepare("/proc/nowhere/s.zarr", plan_of(), {})


def test_a_store_that_is_cut_short_while_created_leaves_nothing(path, tmp_path, monkeypatch):
    def fail(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, "consolidate", fail)
    with pytest.raises(KeyboardInterrupt):
        store.prepare(path, plan_of(), {})
    assert list(tmp_path.iterdir()) == []


def test_the_attributes_are_plain_text_and_numbers(path):
    plan = plan_of("trials=10")
    store.prepare(path, plan, {"title": "test"})
    attributes = store.provenance_of(path)
    assert json.loads(attributes["identity"]) == plan.identity
    assert all(isinstance(value, str | int) for value in attributes.values())


def test_a_store_of_another_layout_is_named_with_the_remedy(path, monkeypatch):
    monkeypatch.setattr("pipeline.plan.plan.LAYOUT_VERSION", 1)
    store.prepare(path, plan_of("trials=10"), {})
    with pytest.raises(UserError, match=r"has layout 1, .* reads layout 4: run the sweep again"):
        open_results(path)


def test_a_flipped_bit_is_an_error_and_not_a_number(path, tmp_path):
    plan = plan_of("trials=100")
    store.prepare(path, plan, {})
    write(path, plan, 0)
    chunk = next(p for p in (tmp_path / "s.zarr" / "error" / "c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        xr.open_zarr(path).error.load()


def test_a_url_is_a_place_for_a_store():
    plan = plan_of("trials=10")
    url = "memory://test_a_url/s.zarr"
    store.check(url, plan)
    store.prepare(url, plan, {})
    write(url, plan, 0)
    assert listed(url).tolist() == [[[10]]]
    assert not np.isnan(xr.open_zarr(url).error.values).any()


@pytest.mark.parametrize("url", ["nowhere://bucket/s.zarr", "gdrive://x/s.zarr"])
def test_a_url_that_nothing_here_can_open_is_refused(url):
    with pytest.raises(UserError, match=f"cannot open {url}"):
        store.check(url, plan_of())


def test_arrays_that_are_used_again_hold_the_same_numbers(monkeypatch):
    monkeypatch.setattr(worker, "_own", threading.local())
    small = plan_of("trials=50", "unit_trials=20", "freqs=3")
    large = plan_of("trials=50", "unit_trials=20", "algorithm=asm,apx", "operation=max_pool,relu")
    units = [(plan, each) for plan in (small, large, small) for each in plan.units()]
    before, addresses = None, set()
    for plan, each in units:
        expected = worker.measure_unit(plan, each)
        found = worker.measure_unit(plan, each, reuse=True)
        for name, values in found._asdict().items():
            assert values.tobytes() == getattr(expected, name).tobytes()
        assert before is None or not any(map(np.shares_memory, expected, before))
        before = expected
        addresses.add(found.error.ctypes.data)
    # A larger unit gets new ones, which then serve for all.
    assert len(addresses) == 2
