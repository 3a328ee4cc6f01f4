"""The Zarr store: layout, resume, growth, refusal."""

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
import zarr
from helpers.stores import listed, plan_of, prepare, write

from asm_core.moments import MOMENTS
from pipeline import UserError, open_results, summarize, sweep
from pipeline.analysis import curves, datasets
from pipeline.run import worker
from pipeline.store import layout, ledger, record
from pipeline.store.files import Files
from pipeline.store.leftovers import remove_leftovers
from pipeline.store.location import Location
from pipeline.store.store import find_for


def check(path, *arguments, extend=False):
    """What `find_for` refuses, without writing; the plan as it suits the store."""
    return find_for(Location.of(path), plan_of(*arguments), extend=extend)[1]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "s.zarr")


def test_a_new_store_has_every_axis_in_order_with_its_coordinate(path):
    prepare(
        path, "block_size=4,8", "operation=max_pool,relu", "algorithm=asm,apx", "freqs=0..4",
        "trials=30",
    )  # fmt: skip
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
    assert dataset.attrs["title"].startswith("Error of approximated spatial masking")


def test_a_unit_is_one_chunk_of_each_array_and_one_row_of_the_ledger(path):
    store, plan = prepare(path, "trials=250", "unit_trials=100", "block_size=4,8", "freqs=0..2")
    group = store.root
    assert group["error"].chunks == (1, 1, 1, 1, 1, 3, 100)
    assert group["mask_accuracy"].chunks == (1, 1, 1, 1, 3, 100)
    assert group["ledger/error"].shape == (1, 2, 3, 1, 1, 1, 3, len(MOMENTS))
    assert group["ledger/error"].chunks == (1, 1, 1024, 1, 1, 1, 3, len(MOMENTS))
    values = (3 + 3 + 3) * len(MOMENTS)
    assert group["journal/rows"].chunks == (1, 1, 1, values)
    assert (listed(store) == 0).all()
    write(store, plan, 1, 2)
    rows = [f"c.0.{size}.{unit}.0" for size in (0, 1) for unit in (1, 2)]
    files = [entry.name for entry in Path(path, "journal", "rows").iterdir()]
    assert sorted(files) == [*rows, "zarr.json"]
    assert listed(store).tolist() == [[[0, 100, 50], [0, 100, 50]]]
    # Packed, they say the same, and their files are gone.
    store.pack()
    assert [entry.name for entry in Path(path, "journal", "rows").iterdir()] == ["zarr.json"]
    assert listed(store).tolist() == [[[0, 100, 50], [0, 100, 50]]]


def test_a_unit_of_exact_results_is_written_too(path):
    # Errors of 0 and accuracies of 1 only, and still no chunk may be left out.
    store, plan = prepare(path, "freqs=14", "trials=10")
    write(store, plan, 0)
    dataset = xr.open_zarr(path)
    assert (dataset.error == 0).all()
    assert (dataset.mask_accuracy == 1).all()


def test_the_ledger_holds_the_moments_of_what_is_stored(path):
    store, plan = prepare(path, "trials=250", "unit_trials=100", "freqs=3")
    write(store, plan, 0, 1, 2)
    errors = xr.open_zarr(path).error.values.ravel().astype(np.float64)
    pending = store.rows()
    store.finish(record.of_end(store.record, 250, 1.0))
    packed = store.rows()
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
    order = []
    store, plan = prepare(path, "trials=10")
    write_values, write_row = layout.write_values, ledger.write_row

    def values_recorded(array, metric, *rest):
        order.append(metric)
        write_values(array, metric, *rest)

    def row_recorded(*arguments):
        order.append("row")
        write_row(*arguments)

    monkeypatch.setattr(layout, "write_values", values_recorded)
    monkeypatch.setattr(ledger, "write_row", row_recorded)
    write(store, plan, 0)
    assert sorted(order[:3]) == ["error", "mask_accuracy", "regret"]
    assert order[3:] == ["row"]


def test_axes_that_a_store_holds_unsorted_are_opened_sorted(path):
    prepare(path, "trials=30", "block_size=8", "freqs=9")
    prepare(path, "trials=30", "block_size=8", "freqs=2", extend=True)
    store, plan = prepare(path, "trials=30", "block_size=4,8", "freqs=2,5,9", extend=True)
    write(store, plan, 0)
    opened = open_results(path)
    assert opened.freq.values.tolist() == [2, 5, 9]
    assert opened.block_size.values.tolist() == [4, 8]
    stored = xr.open_zarr(path)
    assert stored.freq.values.tolist() == [9, 2, 5]
    assert stored.block_size.values.tolist() == [8, 4]
    for name in ("error", "mask_accuracy", "coefficients_kept"):
        # Coordinates that are not in the store come after it.
        found = opened[name].drop_vars(["share_kept", "phi"]).compute()
        xr.testing.assert_equal(found, stored[name].sortby(["freq", "block_size"]))
    expected = stored.error.sel(freq=2, block_size=8).mean(dtype="float64")
    for found in (datasets.curves_of(summarize(opened)), curves.of_store(store, 30)):
        assert found.labels["freq"] == [2, 5, 9]
        (curve,) = (curve for name, curve in found if name["block_size"] == 8)
        assert curve["mean_error"][0] == pytest.approx(float(expected), rel=1e-13)


def test_growing_keeps_what_is_stored_and_shows_the_true_sizes(path):
    write(*prepare(path, "trials=150", "unit_trials=100"), 0, 1)
    before = xr.open_zarr(path).error.values
    store, _ = prepare(path, "trials=420", "unit_trials=100")
    dataset = xr.open_zarr(path)
    assert dataset.sizes["trial"] == 420
    assert dataset.trial.values.tolist() == list(range(420))
    assert np.array_equal(dataset.error.values[..., :150], before)
    assert np.isnan(dataset.error.values[..., 150:]).all()
    assert listed(store).tolist() == [[[100, 50, 0, 0, 0]]]


def test_growing_renews_the_provenance_and_keeps_the_start(path):
    prepare(path, "trials=10", created="then")
    prepare(path, "trials=20")
    attributes = xr.open_zarr(path).attrs
    assert (attributes["created"], attributes["overrides"]) == ("then", "trials=20")


def test_a_store_is_never_shrunk(path):
    store, plan = prepare(path, "trials=150", "unit_trials=100")
    write(store, plan, 0, 1)
    store, _ = prepare(path, "trials=10", "unit_trials=100")
    assert xr.open_zarr(path).sizes["trial"] == 150
    assert listed(store).tolist() == [[[100, 50]]]


def test_a_growth_that_was_cut_short_is_finished(path):
    prepare(path, "trials=100")
    group = zarr.open_group(path, mode="r+", use_consolidated=False)
    for name in ("error", "mask_accuracy", "trial"):
        group[name].resize((*group[name].shape[:-1], 300))
    prepare(path, "trials=300")
    assert xr.open_zarr(path).trial.values.tolist() == list(range(300))


def test_the_unit_size_of_an_existing_store_is_kept(path):
    prepare(path, "trials=100", "unit_trials=64")
    assert prepare(path, "trials=100", "unit_trials=50")[1].unit_trials == 64
    assert check(path, "trials=100").unit_trials == 64


def test_another_experiment_is_refused_with_what_differs(path):
    prepare(path, "trials=10")
    with pytest.raises(UserError, match="another experiment: seed is 0 in the store, 1 here"):
        check(path, "seed=1")
    with pytest.raises(UserError, match="another experiment: seed is 0 in the store, 1 here"):
        check(path, "seed=1", extend=True)
    with pytest.raises(UserError, match=r"algorithm is ..asm.. in the store, .*; freq is .0, "):
        check(path, "freqs=0..3", "algorithm=apx")


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
        check(str(path))
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write into .*file"):
        check(str(tmp_path / "file" / "s.zarr"))
    # Root may write anywhere but into /proc, which no permission shows.
    with pytest.raises(UserError, match=r"cannot write /proc/nowhere: "):
        sweep(["out=/proc/nowhere/s.zarr", "trials=1"])


def test_a_store_that_is_cut_short_while_created_leaves_nothing(path, tmp_path, monkeypatch):
    def fail(location):
        raise KeyboardInterrupt

    monkeypatch.setattr(layout, "consolidate", fail)
    with pytest.raises(KeyboardInterrupt):
        prepare(path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_of_another_layout_is_named_with_the_remedy(path, monkeypatch):
    monkeypatch.setattr("pipeline.planning.plan.LAYOUT_VERSION", 3)
    prepare(path, "trials=10")
    with pytest.raises(UserError, match=r"has layout 3, .* reads layout 4: run the sweep again"):
        open_results(path)


def test_a_store_of_a_kernel_with_other_moments_is_named_with_the_remedy(path, monkeypatch):
    monkeypatch.setattr("pipeline.planning.plan.KERNEL_VERSION", 4)
    prepare(path, "trials=10")
    with pytest.raises(UserError, match=r"made by a development version, .*: run the sweep again"):
        open_results(path)


def test_a_flipped_bit_is_an_error_and_not_a_number(path, tmp_path):
    store, plan = prepare(path, "trials=100")
    write(store, plan, 0)
    chunk = next(p for p in (tmp_path / "s.zarr" / "error" / "c").rglob("*") if p.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match="checksum"):
        xr.open_zarr(path).error.load()


def test_a_url_is_a_place_for_a_store():
    url = "memory://test_a_url/s.zarr"
    check(url, "trials=10")
    store, plan = prepare(url, "trials=10")
    write(store, plan, 0)
    assert listed(store).tolist() == [[[10]]]
    assert not np.isnan(xr.open_zarr(url).error.values).any()


@pytest.mark.parametrize("url", ["nowhere://bucket/s.zarr", "gdrive://x/s.zarr"])
def test_a_url_that_nothing_here_can_open_is_refused(url):
    with pytest.raises(UserError, match=f"cannot open {url}"):
        check(url)


def test_arrays_that_are_used_again_hold_the_same_numbers(monkeypatch):
    monkeypatch.setattr(worker, "_own", threading.local())
    small = plan_of("trials=50", "unit_trials=20", "freqs=3")
    large = plan_of("trials=50", "unit_trials=20", "algorithm=asm,apx", "operation=max_pool,relu")
    units = [(plan, each) for plan in (small, large, small) for each in plan.grid.units()]
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


def test_what_a_store_says_of_itself_changes_in_one_write(path, monkeypatch):
    def counted(store, key, value):
        written.append(key)
        original(store, key, value)

    written = []
    store, _ = prepare(path, "trials=10")
    original = Files.set_sync
    monkeypatch.setattr(Files, "set_sync", counted)
    store.update(record.of_end(store.record, 10, 1.0))
    # Its second copy first.
    assert written == ["ledger/zarr.json", "zarr.json"]
    assert xr.open_zarr(path).sizes["trial"] == 10


def test_brackets_in_the_name_of_a_store_match_no_other_store_s_leftovers(tmp_path):
    own, other = (tmp_path / f"{name}.0123abcd.partial" for name in ("a[12].zarr", "a1.zarr"))
    own.mkdir()
    other.mkdir()
    assert remove_leftovers(Location.of(tmp_path / "a[12].zarr")) == [str(own)]
    assert other.exists()
