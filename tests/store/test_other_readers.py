"""What a sweep writes is plain Zarr: readers that share no code with zarr-python see its numbers.

xarray reads through zarr-python, with coordinates and fill values of its own; tensorstore is C++,
zarrita.js is JavaScript with blosc in WebAssembly.  Each is compared, bit for bit, to what
zarr-python reads without xarray and without the consolidated metadata.
"""

import base64
import json
import subprocess
from typing import NamedTuple

import numpy as np
import pytest
import tensorstore
import xarray as xr
import zarr
from helpers.objects import buckets
from helpers.servers import install

from asm_core import errors_by_frequency, sources
from pipeline import sweep
from pipeline.store import services

SEED = 7
METRICS = ("error", "mask_accuracy", "regret")
INTEGERS = ("freq", "block_size", "trial", "coefficients_kept")
TEXTS = ("source", "operation", "selection", "algorithm")
# @zarrita/storage has its store of local files, numcodecs its blosc.
PACKAGES = ("zarrita@0.7.5", "@zarrita/storage@0.2.0", "numcodecs@0.3.2")
# Arguments are the store and names of its arrays; bytes are those of memory, and text is itself.
SCRIPT = """
import FileSystemStore from "@zarrita/storage/fs";
import * as zarr from "zarrita";

const [path, ...names] = process.argv.slice(2);
const place = path.startsWith("http") ? new zarr.FetchStore(path) : new FileSystemStore(path);
const store = await zarr.withConsolidatedMetadata(place);
const found = {};
for (const name of names) {
  const array = await zarr.open.v3(zarr.root(store).resolve(name), { kind: "array" });
  const { data, shape } = await zarr.get(array);
  const content = array.dtype === "string" ? data
    : Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
  found[name] = { axes: array.dimensionNames, dtype: array.dtype, shape, content };
}
console.log(JSON.stringify(found));
"""


class Read(NamedTuple):
    """An array as a reader gives it."""

    axes: tuple[str, ...]
    values: np.ndarray


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A store that has grown: one source has fewer trials, and chunks that are not there."""
    path = tmp_path_factory.mktemp("readers") / "s.zarr"
    measure(path)
    return path


def measure(path):
    same = {
        "block_size": [4, 8], "operation": ["max_pool", "relu"], "algorithm": ["asm", "apx"],
        "freqs": range(5), "seed": SEED, "unit_trials": 50, "out": path,
    }  # fmt: skip
    sweep(source=["uniform", "gaussian"], trials=130, **same)
    sweep(source="uniform", trials=180, extend=True, **same)


@pytest.fixture(scope="module")
def plain(path):
    """What the others are compared to: every array as zarr-python alone reads it."""
    root = zarr.open_group(path, mode="r", zarr_format=3, use_consolidated=False)
    assert {name for name, _ in root.arrays()} == {*METRICS, *INTEGERS, *TEXTS}
    return {name: Read(array.metadata.dimension_names, array[...]) for name, array in root.arrays()}


@pytest.fixture(scope="session")
def zarrita(tmp_path_factory):
    """The script in a folder of its own, next to the packages that it imports."""
    # Debian's npm brings its node.
    install("npm", "npm")
    install("node", "nodejs")
    folder = tmp_path_factory.mktemp("zarrita")
    # With a prefix, since npm otherwise looks for a project in the folders above.
    subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", f"--prefix={folder}", *PACKAGES],
        check=True, cwd=folder, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    script = folder / "read.mjs"
    script.write_text(SCRIPT)
    return script


def assert_same(found, plain):
    """Axes, types, shapes and every bit agree: that of each NaN and of the sign of zero too."""
    for name, (axes, values) in found.items():
        assert axes == plain[name].axes, name
        assert values.shape == plain[name].values.shape, name
        if name in TEXTS:
            assert values.tolist() == plain[name].values.tolist(), name
        else:
            assert values.dtype == plain[name].values.dtype, name
            assert values.tobytes() == plain[name].values.tobytes(), name


def test_zarr_alone_reads_the_errors_that_were_computed(plain):
    error = plain["error"].values
    sizes, operations, algorithms, freqs = (
        plain[name].values.tolist() for name in ("block_size", "operation", "algorithm", "freq")
    )
    uniform = plain["source"].values.tolist().index("uniform")
    assert (sizes, freqs) == ([4, 8], [0, 1, 2, 3, 4])
    assert {*operations} == {"max_pool", "relu"}
    assert {*algorithms} == {"asm", "apx"}
    for s, size in enumerate(sizes):
        # The last trials of a unit, all of one that had 30 and got 20 more, and some of the next.
        blocks = sources.uniform(SEED, size, 90, 70)
        for o, operation in enumerate(operations):
            for a, algorithm in enumerate(algorithms):
                computed = errors_by_frequency(blocks, freqs, operation, algorithm)
                found = error[uniform, s, o, 0, a, :, 90:160]
                assert found.tobytes() == computed.astype(np.float32).tobytes()


def test_the_store_has_numbers_that_are_not_measured_and_chunks_that_are_not_there(path, plain):
    # Otherwise the others would agree on less than they seem to.
    gaussian = plain["source"].values.tolist().index("gaussian")
    relu = plain["operation"].values.tolist().index("relu")
    empty = np.zeros(plain["error"].values.shape, bool)
    empty[gaussian, ..., 130:] = True
    assert (np.isnan(plain["error"].values) == empty).all()
    empty = empty[:, :, :, :, 0]
    assert (np.isnan(plain["mask_accuracy"].values) == empty).all()
    empty[:, :, relu] = True
    assert (np.isnan(plain["regret"].values) == empty).all()
    for name in METRICS:
        array = zarr.open_array(path / name, mode="r")
        assert array.nchunks - array.nchunks_initialized == 2
        assert array.metadata.codecs[1].to_dict()["name"] == "blosc"


def test_xarray_reads_the_numbers_that_zarr_does(path, plain):
    with xr.open_zarr(path) as opened:
        assert {*opened.variables} == {*plain}
        assert {*opened.data_vars} == {*METRICS}
        found = {
            name: Read(variable.dims, variable.to_numpy())
            for name, variable in opened.variables.items()
        }
    assert_same(found, plain)


def test_tensorstore_reads_the_numbers_that_zarr_does(path, plain):
    # Without text: tensorstore 0.1.86 says "string data type is not one of the supported".
    found = {}
    for name in (*METRICS, *INTEGERS):
        place = {"driver": "file", "path": f"{path / name}/"}
        opened = tensorstore.open({"driver": "zarr3", "kvstore": place}, read=True).result()
        found[name] = Read(opened.domain.labels, opened.read().result())
    assert_same(found, plain)


@pytest.mark.slow
def test_zarrita_reads_the_numbers_and_the_text_that_zarr_does(path, plain, zarrita):
    assert_same(by_zarrita(zarrita, path, plain), plain)


@pytest.mark.slow
def test_a_bucket_is_read_by_xarray_alone_and_a_public_one_by_zarrita(plain, zarrita, monkeypatch):
    with buckets() as make:
        bucket = make()
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        services._client.cache_clear()
        url = f"{bucket.url}/s.zarr"
        measure(url)
        with xr.open_zarr(url) as opened:
            found = {
                name: Read(variable.dims, variable.to_numpy())
                for name, variable in opened.variables.items()
            }
        assert_same(found, plain)
        bucket.publish()
        # By HTTP, without any key.
        public = f"{bucket.proxy.url}/{url.removeprefix('s3://')}"
        assert_same(by_zarrita(zarrita, public, plain), plain)
        services._client.cache_clear()


def by_zarrita(zarrita, path, plain):
    """What zarrita.js reads at a path or URL."""
    done = subprocess.run(
        ["node", zarrita, path, *plain], check=True, stdout=subprocess.PIPE, text=True
    )
    found = {}
    for name, read in json.loads(done.stdout).items():
        if name in TEXTS:
            values = np.array(read["content"]).reshape(read["shape"])
        else:
            content = base64.b64decode(read["content"])
            values = np.frombuffer(content, read["dtype"]).reshape(read["shape"])
        found[name] = Read(tuple(read["axes"]), values)
    assert found.keys() == plain.keys()
    return found
