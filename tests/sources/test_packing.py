"""Zarr arrays that say how their values are packed and which are missing, against xarray."""

import numpy as np
import pytest
import xarray as xr
import zarr
from helpers.arrays import cut, draw, resolve, values

from pipeline import UserError
from pipeline.sources import kinds

# xarray warns of floats that it stores as whole numbers.
pytestmark = pytest.mark.filterwarnings("ignore::xarray.SerializationWarning")
SHAPE = (5, 9, 12)
DIMENSIONS = ("image", "y", "x")


def stored(folder, array, zarr_format=3, **attributes):
    """An array with attributes that zarr itself wrote, in a group."""
    group = zarr.open_group(str(folder / "s"), mode="a", zarr_format=zarr_format)
    made = group.create_array(
        "a", shape=array.shape, chunks=(2, 4, 12), dtype=array.dtype, attributes=attributes,
        dimension_names=DIMENSIONS if zarr_format == 3 else None, overwrite=True,
    )  # fmt: skip
    made[...] = array
    return folder / "s" / "a"


def by_xarray(folder, array, zarr_format, **encoding):
    """An array that xarray wrote, in a dataset."""
    dataset = xr.Dataset({"a": (DIMENSIONS, array)})
    options = {"zarr_format": zarr_format, "consolidated": False, "mode": "w"}
    dataset.to_zarr(folder / "s", encoding={"a": encoding}, **options)
    return folder / "s" / "a"


def as_xarray_reads(path):
    """The values that xarray makes of an array, float64."""
    with xr.open_zarr(path.parent, consolidated=False) as opened:
        return opened[path.name].to_numpy().astype(np.float64)


ENCODINGS = [
    {"dtype": "i2", "scale_factor": 0.01, "add_offset": 250.5},
    {"dtype": "i2", "scale_factor": 0.01, "add_offset": 250.5, "_FillValue": -32768},
    {"dtype": "u1", "scale_factor": 2.0},
    {"dtype": "u1", "scale_factor": 3.0, "_FillValue": 255},
    {"dtype": "i4", "add_offset": 7},
    {"dtype": "i8", "scale_factor": 1e-3, "add_offset": -1.5, "missing_value": -1},
    {"dtype": "f4", "scale_factor": 0.1, "add_offset": 0.7},
    {"dtype": "f4", "_FillValue": -999.0},
    {"dtype": "f8", "_FillValue": 1e20, "missing_value": 1e20},
    {"dtype": "f4", "scale_factor": 0.1, "add_offset": 0.7, "_FillValue": -1.0},
    {"dtype": "f4", "scale_factor": 0.1, "_FillValue": None},
    {"dtype": "i1", "_Unsigned": "true", "scale_factor": 0.1, "_FillValue": -1},
]


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_values_are_those_that_xarray_reads(tmp_path, encoding, zarr_format):
    plain = values(SHAPE, "u1").astype(float)
    path = by_xarray(tmp_path, plain, zarr_format, **encoding)
    expected = as_xarray_reads(path)
    assert np.isfinite(expected).all()
    assert len(np.unique(expected)) > 20
    source = resolve(path)
    blocks = draw(source)
    assert blocks.tobytes() == cut(expected, 4).tobytes()
    assert source.identity == resolve(path).identity


@pytest.mark.parametrize(
    ("dtype", "attributes"),
    [
        ("i1", {"_Unsigned": "true"}),
        ("i2", {"_Unsigned": "true", "scale_factor": 0.1}),
        ("u1", {"_Unsigned": "false"}),
        (">u2", {"_Unsigned": "false", "add_offset": 1}),
        ("i1", {"_Unsigned": "true", "scale_factor": 0.1, "_FillValue": 5}),
        ("i4", {"scale_factor": 7}),
        ("i2", {"scale_factor": [0.1], "add_offset": [3]}),
        ("f4", {"_Unsigned": "true"}),
        (">f4", {"scale_factor": 0.1, "missing_value": float("nan")}),
    ],
)
def test_attributes_that_others_write_are_read_as_by_xarray(tmp_path, dtype, attributes):
    array = np.random.default_rng(0).integers(-100, 100, SHAPE).astype(dtype)
    array[array == 5] = 6
    path = stored(tmp_path, array, **attributes)
    expected = as_xarray_reads(path)
    assert draw(resolve(path)).tobytes() == cut(expected, 4).tobytes()


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ({"dtype": "i2", "scale_factor": 0.01, "add_offset": 1.5, "_FillValue": -32768}, "-32768"),
        ({"dtype": "i2", "_FillValue": 7}, "7"),
        ({"dtype": "f4", "_FillValue": -999.25}, "-999.25"),
        ({"dtype": "f4", "_FillValue": 0.1}, "0.1"),
        ({"dtype": "f8", "missing_value": 1e20}, "1e+20"),
        ({"dtype": "f8"}, "nan"),
    ],
)
def test_a_value_that_xarray_takes_for_missing_is_refused(tmp_path, encoding, said, zarr_format):
    plain = 10 + values(SHAPE, "u1").astype(float)
    plain[3, 5, 11] = plain[4, 0, 0] = np.nan
    path = by_xarray(tmp_path, plain, zarr_format, **encoding)
    assert np.argwhere(np.isnan(as_xarray_reads(path))).tolist() == [[3, 5, 11], [4, 0, 0]]
    with pytest.raises(UserError, match=r"at index \(3, 5, 11\), ") as refusal:
        resolve(path)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("attributes", "wrong", "message"),
    [
        ({"missing_value": [98, 99]}, 99, "holds 99 at index .* missing value .missing_value=99"),
        ({"_FillValue": 99}, 99, "holds 99 at .* missing value ._FillValue=99.: fill it, or leave"),
        ({"valid_min": 1}, 0, r"holds 0 at index \(2, 3, 4\), .* \(valid_min=1\)"),
        ({"valid_max": 98}, 99, "holds 99 at .*valid_max=98"),
        ({"valid_range": [0, 98]}, 99, "holds 99 at .*valid_range=98"),
        ({"valid_range": [0, 98], "scale_factor": 0.1}, 99, "holds 99 at .*valid_range=98"),
        ({"valid_range": [0.0, 9.75], "scale_factor": 0.1}, 98, "holds 98 at .*valid_range=9.75"),
        ({"_Unsigned": "true", "_FillValue": -56}, -56, "holds -56 at .*_FillValue=-56"),
        ({"_Unsigned": "true", "_FillValue": 200}, -56, "holds -56 at .*_FillValue=200"),
    ],
)
def test_other_values_that_stand_for_none_are_refused(tmp_path, attributes, wrong, message):
    array = np.clip(values(SHAPE, "i1"), 1, 97)
    assert resolve(stored(tmp_path, array, **attributes))
    array[2, 3, 4] = wrong
    with pytest.raises(UserError, match=message):
        resolve(stored(tmp_path, array, **attributes))


@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", "f8"])
def test_a_float_that_stands_for_none_is_known_in_the_precision_of_the_array(tmp_path, dtype):
    array = values(SHAPE, dtype)
    array[2, 3, 4] = 0.1
    limits = {"valid_min": -1e300, "valid_max": 1e300}
    assert resolve(stored(tmp_path, array, **limits, _FillValue=1e300))
    limits = {"valid_range": [float(array.min()), 0.1]}
    assert resolve(stored(tmp_path, np.minimum(array, array[2, 3, 4]), **limits))
    with pytest.raises(UserError, match=r"at index \(2, 3, 4\), .*missing_value=0.1"):
        resolve(stored(tmp_path, array, missing_value=0.1))


def test_the_first_of_all_that_are_missing_is_named(tmp_path):
    array = np.clip(values(SHAPE, "i2"), 1, 97)
    array[4, 8, 0], array[1, 6, 3] = 0, 99
    path = stored(tmp_path, array, missing_value=0, valid_max=98)
    with pytest.raises(UserError, match=r"holds 99 at index \(1, 6, 3\)"):
        resolve(path)


def test_zeros_of_an_array_that_zarr_alone_wrote_are_zeros(tmp_path):
    array = values(SHAPE, "i2")
    assert (array == 0).any()
    for zarr_format in (2, 3):
        source = resolve(stored(tmp_path, array, zarr_format))
        assert np.array_equal(draw(source), cut(array, 4))
    # With the attribute by which xarray knows its own.
    path = stored(tmp_path, array, 2, _ARRAY_DIMENSIONS=list(DIMENSIONS))
    with pytest.raises(UserError, match=r"missing value \(Zarr's fill_value=0\)"):
        resolve(path)


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("unit", ["D", "s"])
@pytest.mark.parametrize("kind", ["M8", "m8"])
def test_dates_and_times_of_xarray_are_refused(tmp_path, kind, unit, zarr_format):
    array = values(SHAPE, "i8").astype(f"{kind}[{unit}]").astype(f"{kind}[s]")
    path = by_xarray(tmp_path, array, zarr_format)
    with pytest.raises(UserError, match=r"holds dates or times \(units='.*\): save them as num"):
        resolve(path)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"scale_factor": "tenth"}, "has scale_factor='tenth', which is no number: mend or remove"),
        ({"scale_factor": [1, 2]}, r"has scale_factor=\[1, 2\], which must be one finite number"),
        ({"scale_factor": "NaN"}, "has scale_factor='NaN', which must be one finite number"),
        ({"add_offset": True}, "has add_offset=True, which is no number"),
        ({"missing_value": "none"}, "has missing_value='none', which is no number"),
        ({"valid_range": [0]}, r"has valid_range=\[0\], which must be 2 numbers: mend or remove"),
        ({"valid_min": [0, 1]}, r"has valid_min=\[0, 1\], which must be 1 number: mend or remove"),
        ({"missing_value": [[1]]}, "has missing_value=.*, which is no number"),
        ({"missing_value": {"a": 1}}, "has missing_value=.*, which is no number"),
        ({"scale_factor": 10**400}, "has scale_factor=10*, which is no number"),
        ({"_Unsigned": ["true"]}, "has _Unsigned=.*: give it 'true' or 'false'"),
        ({"_Unsigned": "yes"}, "has _Unsigned='yes': give it 'true' or 'false'"),
        ({"units": "days since 2000-01-01"}, "holds dates or times .units='days since 2000-01-01'"),
        ({"units": "Hours Since 2000-01-01"}, "holds dates or times"),
        ({"dtype": "timedelta64[s]"}, r"holds dates or times \(dtype='timedelta64\[s\]'\)"),
    ],
)
def test_attributes_that_say_something_else_are_refused(tmp_path, attributes, message):
    with pytest.raises(UserError, match=f"source.array: .*/a {message}") as refusal:
        resolve(stored(tmp_path, values(SHAPE, "i2"), **attributes))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "attributes",
    [
        {"scale_factor": None, "add_offset": None, "_FillValue": None},
        {"units": "days", "long_name": "since when"},
        {"missing_value": "NaN"},
        {"_FillValue": 300, "valid_range": [0, 99]},
    ],
)
def test_attributes_that_say_nothing_change_nothing(tmp_path, attributes):
    array = values(SHAPE, "u1")
    source = resolve(stored(tmp_path, array, **attributes))
    assert np.array_equal(draw(source), cut(array, 4))
    assert "packing" not in source.identity


@pytest.mark.parametrize(
    "attributes", [{"scale_factor": 0.5}, {"add_offset": 1}, {"_Unsigned": "true"}]
)
def test_the_identity_has_the_packing(tmp_path, attributes):
    array = values(SHAPE, "i1")
    plain = resolve(stored(tmp_path, array)).identity
    packed = resolve(stored(tmp_path, array, **attributes)).identity
    assert packed.pop("packing")
    assert packed == plain


def test_a_packing_that_changes_after_planning_is_an_error(tmp_path):
    path = stored(tmp_path, values(SHAPE, "i1"), scale_factor=0.5)
    source = resolve(path)
    zarr.open_array(str(path)).attrs["scale_factor"] = 0.25
    with pytest.raises(ValueError, match="has changed since the sweep was planned"):
        kinds.draw(source, 0, 4, 0, 1)


@pytest.mark.parametrize("chunks", [None, (1, 4, 12)])
@pytest.mark.parametrize(
    ("dtype", "number", "fits"),
    [
        ("i8", 2**53, True),
        ("i8", 2**53 + 1, False),
        ("i8", -(2**53), True),
        ("i8", -(2**53) - 1, False),
        ("u8", 2**53, True),
        (">u8", 2**64 - 1, False),
    ],
)
def test_whole_numbers_that_float64_has_not_are_refused(tmp_path, chunks, dtype, number, fits):
    array = values(SHAPE, dtype)
    array[1, 2, 3] = number
    if chunks is None:
        path = tmp_path / "a.npy"
        np.save(path, array)
    else:
        path = stored(tmp_path, array)
    if fits:
        assert draw(resolve(path))[10, 2, 3] in (number, draw(resolve(path))[10, 2, 3])
        assert np.array_equal(draw(resolve(path)), cut(array, 4))
    else:
        with pytest.raises(UserError, match=rf"holds {number} at index \(1, 2, 3\), .* 2\^53"):
            resolve(path)


@pytest.mark.parametrize(
    ("scale", "message"), [(1e300, "holds inf at index"), (1e29, r"holds .* at most 1e\+30")]
)
def test_a_scale_that_makes_values_too_large_is_refused(tmp_path, scale, message):
    array = 1000 * values(SHAPE, "u1").astype("f8") * (1e10 if scale > 1e200 else 1)
    with pytest.raises(UserError, match=message):
        resolve(stored(tmp_path, array, scale_factor=scale))


@pytest.mark.parametrize("dtype", [[("x", "f8")], "M8[s]", "m8[D]", "c16", "V8"])
def test_npy_files_of_other_than_real_numbers_are_refused(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((2, 4, 4), dtype))
    with pytest.raises(UserError, match=r"a\.npy has dtype .*: save it as real numbers"):
        resolve(tmp_path / "a.npy")
