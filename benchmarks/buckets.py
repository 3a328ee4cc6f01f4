"""What an object store costs: requests and seconds of a unit, and which client was chosen.

    .venv/bin/python benchmarks/buckets.py

Prints the section of results/BENCHMARKS.md, in about eight minutes, by a server of S3 on this
machine (moto) behind a proxy that counts requests and makes them late.
"""

import multiprocessing
import os
import pickle
import re
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import zarr
from timing import folder, table

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from helpers.faulty import Faults
from helpers.objects import buckets

import pipeline
from pipeline.store import services
from pipeline.store.bucket import Objects
from pipeline.store.location import Location

CHUNKS, RUNS, UNITS = 200, 3, 60
LISTED, PAGE = 100_000, 1000
LATENCIES = (0.0, 0.02, 0.1)
_OF_UNITS = re.compile(r"\.zarr/(error|mask_accuracy|regret|journal/rows)/c")
SHAPE, CHUNK = (CHUNKS, 50_000), (1, 50_000)


def open_s3fs(url):
    """The array at a URL, by fsspec and s3fs."""
    options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"]}
    return zarr.open_array(url, mode="r+", storage_options=options)


def open_obstore(url):
    """The array at a URL, as this program opens it."""
    return zarr.open_array(Objects(url), mode="r+")


CLIENTS = {"obstore": open_obstore, "s3fs": open_s3fs}


def write_half(client, url, half):
    """Write every second chunk."""
    array = CLIENTS[client](url).with_config({"write_empty_chunks": True})
    values = np.random.default_rng(half).random(CHUNK, np.float32)
    for k in range(half, CHUNKS, 2):
        array[k : k + 1] = values


def read_after_fork(client, url):
    """Whether a process that was forked off one with a client can read: "yes", or what happens."""
    array = CLIENTS[client](url)
    array[0, 0]
    child = multiprocessing.get_context("fork").Process(target=lambda: array[0, 0])
    child.start()
    child.join(20)
    if child.exitcode is None:
        child.kill()
        return "hangs"
    return "yes" if child.exitcode == 0 else f"exit code {child.exitcode}"


def write_while_it_fails(client, make):
    """How 200 chunks are written while a tenth of all requests is answered badly."""
    bucket = make()
    os.environ.update(bucket.environment)
    url = f"{bucket.url}/a.zarr"
    zarr.create_array(Objects(url), shape=SHAPE, chunks=CHUNK, dtype="f4", compressors=None)
    bucket.proxy.faults = Faults(0.1, (503, "reset", "lost", "torn"))
    began = time.perf_counter()
    try:
        for half in (0, 1):
            write_half(client, url, half)
        array = CLIENTS[client](url)
        whole = all(np.isfinite(array[k]).all() for k in range(CHUNKS))
        return f"all in {time.perf_counter() - began:.1f} s" if whole else "chunks are missing"
    except Exception as error:  # whatever the client raises
        return f"fails: {type(error).__name__}"
    finally:
        bucket.proxy.faults = Faults()


def clients(make):
    """Both clients: seconds and requests of 200 chunks by two processes."""
    rows = []
    for client in CLIENTS:
        took, requests = [], Counter()
        for _ in range(RUNS):
            bucket = make()
            os.environ.update(bucket.environment)
            url = f"{bucket.url}/a.zarr"
            zarr.create_array(Objects(url), shape=SHAPE, chunks=CHUNK, dtype="f4", compressors=None)
            bucket.proxy.requests.clear()
            context = multiprocessing.get_context("spawn")
            began = time.perf_counter()
            two = [context.Process(target=write_half, args=(client, url, k)) for k in (0, 1)]
            for process in two:
                process.start()
            for process in two:
                process.join()
            took.append(time.perf_counter() - began)
            requests = bucket.proxy.counted()
            assert np.isfinite(CLIENTS[client](url)[...]).all()
        pickled = len(pickle.dumps(CLIENTS[client](url)))
        shown = ", ".join(f"{number} {method}" for method, number in sorted(requests.items()))
        rows.append(
            [client, f"{statistics.median(took):.1f}", shown, read_after_fork(client, url),
             f"{pickled:,} bytes", write_while_it_fails(client, make)]
        )  # fmt: skip
    return table(
        ["client", "s", "requests", "reads after a fork", "pickled", "a tenth of requests fails"],
        rows,
    )


def units(make):
    """Seconds and requests of a unit, beside a disk."""
    keys = {"freqs": range(15), "trials": 1000 * UNITS, "unit_trials": 1000}

    def sweep(place):
        began = time.perf_counter()
        pipeline.sweep(**keys, out=place)
        return time.perf_counter() - began

    with folder() as path:
        sweep(f"{path}/first.zarr")
        disk = statistics.median(sweep(f"{path}/{k}.zarr") for k in range(RUNS))
    rows = [["a disk", f"{1e3 * disk / UNITS:.0f}", "", ""]]
    for latency in LATENCIES:
        bucket = make()
        os.environ.update(bucket.environment)
        services._client.cache_clear()
        bucket.proxy.latency = latency
        bucket.proxy.requests.clear()
        took = sweep(f"{bucket.url}/a.zarr")
        seen = bucket.proxy.requests
        of_units = sum(method == "PUT" and bool(_OF_UNITS.search(path)) for method, path, _ in seen)
        rows.append(
            [f"S3, {1e3 * latency:.0f} ms a request", f"{1e3 * took / UNITS:.0f}",
             f"{of_units / UNITS:.1f}", f"{len(seen) - of_units}"]
        )  # fmt: skip
        bucket.proxy.latency = 0.0
    return table(["", "ms a unit, of the whole sweep", "requests a unit", "requests beside"], rows)


def listing(make):
    """Requests that it takes to look at a store of 10^5 units whose rows wait, and its pages."""
    bucket = make()
    os.environ.update(bucket.environment)
    services._client.cache_clear()
    place = Location(bucket.url).child("journal", "rows")
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(lambda k: bucket.put(f"results/journal/rows/c.0.0.{k}.0", b""), range(LISTED))
        )
    bucket.proxy.requests.clear()
    assert len(place.sizes()) == LISTED
    return (
        f"Names of {LISTED:,} rows: {len(bucket.proxy.requests)} requests; they fill "
        f"{LISTED // PAGE} pages."
    )


def pages():
    """The section of the page of benchmarks."""
    with buckets() as make:
        yield f"{UNITS} units of 1,000 trials, two threads, a whole `sweep` each, S3 by moto here:"
        yield units(make)
        yield (
            "Beside the units are the requests for metadata, of which a round and each worker has "
            "some, and those of the clock: the lock, and whether the round goes on."
        )
        yield f"{CHUNKS} chunks of 200 kB by two processes, medians of {RUNS}:"
        yield clients(make)
        yield (
            "obstore was chosen: faster, without a HEAD for each array, one client for S3, Google "
            "and Azure, with conditional writes and retries of its own, and no packages below it. "
            "After a fork neither works; the program says so in place of waiting for ever."
        )
        yield listing(make)


if __name__ == "__main__":
    print("## Object stores", *pages(), sep="\n\n")
