"""Sweeps into a bucket of S3: the bits of a folder, requests counted, whatever fails meanwhile."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack

import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from helpers.faulty import Faults
from helpers.objects import as_environment, buckets, reached
from helpers.stores import listed, prepare, write

import pipeline
from pipeline.audit import difference, verify
from pipeline.cli.main import main
from pipeline.errors import StoreLostError
from pipeline.store import lease, lock, services, writer
from pipeline.store.location import Location
from pipeline.store.store import Store

KEYS = {"freqs": range(15), "algorithm": ["asm", "apx"], "trials": 3000, "unit_trials": 100}


@pytest.fixture(scope="module")
def server():
    with buckets() as make:
        yield make


@pytest.fixture
def bucket(server, monkeypatch, elsewhere):
    with reached(server(), monkeypatch) as made:
        yield made


def assert_same(one, other):
    """Two stores have the same bits, trial by trial and in their ledgers."""
    first, second = pipeline.open_results(one), pipeline.open_results(other)
    for name in ("error", "mask_accuracy", "regret"):
        assert np.array_equal(first[name], second[name], equal_nan=True), name
    assert pipeline.summarize(one).equals(pipeline.summarize(other))


@pytest.mark.slow
def test_a_bucket_has_the_bits_of_a_folder_and_grows_as_one(bucket, elsewhere):
    url = f"{bucket.url}/a.zarr"
    for keys in (
        KEYS, {**KEYS, "trials": 4000}, {**KEYS, "operation": ["max_pool", "relu"]},
    ):  # fmt: skip
        pipeline.sweep(**keys, extend=True, out=url)
        pipeline.sweep(**keys, extend=True, out="a.zarr")
        assert_same(url, "a.zarr")
    assert pipeline.verify(url, sample=1).problems == []
    assert not any("journal" in key or key.endswith(".lock") for key in bucket.keys())
    # By other readers: xarray alone, which takes s3fs.
    plain = xr.open_zarr(url, storage_options={"endpoint_url": bucket.proxy.url})
    assert plain["error"].equals(xr.open_zarr("a.zarr")["error"])


def test_a_unit_costs_a_request_for_each_array_and_one_for_its_row(bucket):
    counts = []
    for units in (10, 60):
        bucket.proxy.requests.clear()
        pipeline.sweep(trials=20 * units, unit_trials=20, out=f"{bucket.url}/{units}.zarr")
        seen = Counter(
            (method, "c" if "/c" in path.split("/results/")[-1] else path)
            for method, path, _ in bucket.proxy.requests
            # How far it is, and whether its round goes on, are asked by the clock.
            if not path.endswith(".lock") and "journal/writing." not in path
        )
        chunks = sum(
            number for (method, what), number in seen.items() if (method, what) == ("PUT", "c")
        )
        counts.append((len(bucket.proxy.requests), chunks, sum(seen.values()) - chunks))
    (few, chunks_of_few, other_of_few), (_, chunks_of_many, other_of_many) = counts
    assert chunks_of_many - chunks_of_few == 4 * 50
    assert other_of_many == other_of_few
    assert few < 500


def test_rows_that_a_killed_sweep_left_are_read_together(bucket):
    store, plan = prepare(f"{bucket.url}/a.zarr", "trials=800", "unit_trials=20")
    write(store, plan, *range(40))
    bucket.proxy.latency, bucket.proxy.most_at_once = 0.05, 0
    assert (listed(Store.open(Location.of(f"{bucket.url}/a.zarr"))) == 20).all()
    # One after the other, a thousand would take minutes where a server is far away.
    assert bucket.proxy.most_at_once > 8


def test_the_files_of_a_store_are_made_together(bucket):
    bucket.proxy.latency = 0.05
    bucket.proxy.most_at_once = 0
    prepare(f"{bucket.url}/a.zarr", "trials=800", "unit_trials=20")
    assert bucket.proxy.most_at_once > 8
    written = [
        path for method, path, _ in bucket.proxy.requests
        if method == "PUT" and "/a.zarr/" in path and "/journal/" not in path
    ]  # fmt: skip
    # That of the root says that it is one, once all others are there.
    made = {path for path in written if not path.endswith("/a.zarr/zarr.json")}
    root = [k for k, path in enumerate(written) if path.endswith("/a.zarr/zarr.json")]
    assert root[:2] == [0, len(made) + 1]
    assert set(written[1 : root[1]]) == made


def test_units_are_verified_and_compared_together(bucket):
    for name in "ab":
        pipeline.sweep(trials=800, unit_trials=20, freqs=[6], out=f"{bucket.url}/{name}.zarr")
    one, two = (Store.open(Location.of(f"{bucket.url}/{name}.zarr")) for name in "ab")
    bucket.proxy.latency = 0.05
    bucket.proxy.most_at_once = 0
    assert dataclasses.astuple(verify.verify(one, 1.0)) == (40, 40, [])
    assert bucket.proxy.most_at_once > 8
    bucket.proxy.most_at_once = 0
    # Units, and the totals of the cell.
    assert difference.compare_stores(one, two) == (41, [])
    assert bucket.proxy.most_at_once > 8


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.01, 0.1])
def test_faults_change_no_bit_and_lose_nothing(bucket, rate):
    url = f"{bucket.url}/a.zarr"
    bucket.proxy.faults = Faults(
        rate, (503, 500, 429, "reset", "torn", "lost", "cut", "slow"), seconds=0.2
    )
    pipeline.sweep(**KEYS, out=url)
    pipeline.sweep(**{**KEYS, "trials": 4000}, out=url)
    said = Counter(said for _, _, said in bucket.proxy.requests)
    # Of 540 requests a hundredth is 5: chance may make it 2.
    assert sum(said[kind] for kind in bucket.proxy.faults.kinds) > 0.25 * rate * sum(said.values())
    bucket.proxy.faults = Faults()
    pipeline.sweep(**{**KEYS, "trials": 4000}, out="a.zarr")
    assert_same(url, "a.zarr")
    assert pipeline.verify(url, sample=1).problems == []
    assert not any("journal" in key or key.endswith(".lock") for key in bucket.keys())


@pytest.mark.slow
def test_a_killed_sweep_is_gone_on_with_by_processes(bucket, elsewhere):
    url = f"{bucket.url}/a.zarr"
    words = [sys.executable, "-m", "pipeline", "sweep", f"out={url}", "trials=30000",
             "unit_trials=100", "freqs=0..14", "cluster=processes", "--quiet"]  # fmt: skip
    environment = as_environment(bucket.environment)
    process = subprocess.Popen(words, env=environment, start_new_session=True)
    rows = 0
    deadline = time.monotonic() + 120
    while rows < 20:
        rows = sum("journal/rows/c" in key for key in bucket.keys())
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert any(key.endswith(".lock") for key in bucket.keys())
    bucket.proxy.requests.clear()
    done = subprocess.run(words, env=environment, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = sum(
        method == "PUT" and "/error/c" in path for method, path, _ in bucket.proxy.requests
    )
    assert written <= 300 - rows
    pipeline.sweep(freqs=range(15), trials=30000, out="a.zarr")
    first, second = pipeline.open_results(url), pipeline.open_results("a.zarr")
    assert np.array_equal(first.error, second.error)
    assert pipeline.verify(url, sample=1).problems == []


def test_a_worker_whose_sweep_was_overtaken_writes_nothing(bucket, monkeypatch):
    """It asks once a second; what it has begun to write until then are the bits that are there."""
    monkeypatch.setattr(writer, "_SECONDS_BETWEEN_CHECKS", 60.0)
    url = f"{bucket.url}/a.zarr"
    words = ["trials=300", "unit_trials=100", "freqs=0,3"]
    with lock.held(Location(url)):
        store, plan = prepare(url, *words)
        write(store, plan, 0)
    with lock.held(Location(url)):
        # Of the one that has taken over, with another algorithm.
        other, grown = prepare(url, *words, "algorithm=asm,apx", extend=True)
        write(other, grown, 0)
        before = {key: bucket.content(key) for key in bucket.keys() if not key.endswith(".lock")}
        # Of a unit that is not there yet, it may write one more.
        write(store, plan, 1)
        with pytest.raises(StoreLostError, match="was taken over"):
            write(store, plan, 0)
        monkeypatch.setattr(writer, "_SECONDS_BETWEEN_CHECKS", 0.0)
        with pytest.raises(StoreLostError, match="was taken over"):
            write(store, plan, 2)
        assert {key: bucket.content(key) for key in before} == before
        assert not any(key.endswith("c.0.0.2.0") for key in bucket.keys())
        other.finish(other.record)
    pipeline.sweep([*words, "algorithm=asm,apx", f"out={url}"])
    pipeline.sweep([*words, "algorithm=asm,apx", "out=a.zarr"])
    assert_same(url, "a.zarr")
    assert pipeline.verify(url, sample=1).problems == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (Faults(1.0, (403,)), "S3 denies access ("),
        (Faults(1.0, (503,)), "S3 asks to slow down ("),
        (Faults(1.0, ("reset",)), " does not answer: see that it runs"),
        (Faults(1.0, (403,), "^PUT"), "S3 denies access (AccessDenied): ask for the right"),
        (Faults(1.0, (403,), "list-type"), "S3 denies access (AccessDenied): ask for the right"),
    ],
    ids=["denied", "throttled", "down", "read-only", "no-list"],
)
@pytest.mark.parametrize("verb", ["sweep", "summary", "status", "ls"])
def test_a_bucket_that_does_not_answer_is_one_line(bucket, monkeypatch, capsys, fault, said, verb):
    monkeypatch.setattr(services, "ATTEMPTS", 1)
    monkeypatch.setattr(services, "_SECONDS", 1.0)
    monkeypatch.setattr(lease, "_BETWEEN_LOOKS", 0.01)
    bucket.proxy.faults = fault
    words = {"sweep": ["trials=20", f"results={bucket.url}"], "ls": [bucket.url]}
    code = main([verb, *words.get(verb, [f"{bucket.url}/a.zarr"])])
    needs_fault = verb == "sweep" or fault.match == "."
    errors = capsys.readouterr().err.splitlines()
    assert code == 2
    assert errors[-1].startswith("error: ")
    assert not needs_fault or said in errors[-1]
    assert bucket.keys() == []


@pytest.mark.slow
def test_every_verb_about_results_reads_a_bucket(bucket, elsewhere, capsys):
    results = f"results={bucket.url}"
    assert main(["sweep", "freqs=0..14", "algorithm=asm,apx", "trials=500", results]) == 0
    store = pipeline.sweep(freqs=range(15), algorithm=["asm", "apx"], trials=500, results="here")
    capsys.readouterr()
    for words in (
        ["summary"], ["status"], ["verify", "sample=all"], ["plot", "to=a.png"],
        ["report", "to=a.html"], ["export", "to=a.csv"], ["rerun", "out=again.zarr"],
        ["summary", "below=0.05"],
    ):  # fmt: skip
        assert main([*words, results]) == 0, words
        assert "Traceback" not in capsys.readouterr().err
    assert main(["ls", bucket.url]) == 0
    assert "complete" in capsys.readouterr().out
    url = pipeline.open_results(f"{bucket.url}/{Location.of(store.attrs['store']).name}").attrs
    assert main(["compare", url["store"], store.attrs["store"]]) == 0
    assert main(["example", url["store"], "trial=worst", "algorithm=asm", "to=e.png"]) == 0
    assert_same(url["store"], "again.zarr")


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2, 5, 9, 14, 20, 27, 33, 38])
def test_a_store_that_was_half_made_is_made_again(bucket, monkeypatch, capsys, after):
    monkeypatch.setattr(services, "ATTEMPTS", 1)
    url = f"{bucket.url}/a.zarr"
    words = ["sweep", "trials=200", "unit_trials=100", "freqs=0,3", f"out={url}"]
    bucket.proxy.faults = Faults(1.0, (403,), "^(PUT|POST)", but=after)
    assert main(words) in (1, 2, 3)
    bucket.proxy.faults = Faults()
    # As where it was killed: nobody has removed what is there.
    Location(f"{url}.lock").remove()
    assert main(words) == 0, capsys.readouterr().err
    pipeline.sweep(trials=200, freqs=[0, 3], out="a.zarr")
    assert np.array_equal(pipeline.open_results(url).error, pipeline.open_results("a.zarr").error)
    assert pipeline.verify(url, sample=1).problems == []


def test_what_is_no_store_is_not_written_over(bucket, capsys):
    group = b'{"zarr_format": 3, "node_type": "group", "attributes": {}}'
    for k, content in enumerate(
        [{"zarr.json": group, "mine/c": b"x"}, {"data.csv": b"1,2"}, {"error/c/0": b"x"},
         {"zarr.json": b"{", "error/zarr.json": b"{"}]
    ):  # fmt: skip
        for name, value in content.items():
            bucket.put(f"results/{k}.zarr/{name}", value)
        before = bucket.keys()
        assert main(["sweep", "trials=20", f"out={bucket.url}/{k}.zarr"]) == 2
        assert "is not a store of this program" in capsys.readouterr().err
        assert bucket.keys() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("error/c/0/0/0/0/0/0/1", None),
        ("error/c/0/0/0/0/0/0/1", b"spoilt"),
        ("mask_accuracy/c/0/0/0/0/0/0", b""),
        ("ledger/error/c/0/0/0/0/0/0/0/0", b"spoilt"),
        ("ledger/regret/c/0/0/0/0/0/0/0", None),
        ("ledger/error/zarr.json", b"{"),
        ("zarr.json", b"{"),
        ("zarr.json", None),
        ("freq/c/0", None),
        ("journal/rows/c.0.0.1.0", b"late"),
        ("a file of somebody", b"else"),
    ],
)
def test_what_is_bad_in_a_bucket_is_found_and_mended(bucket, capsys, name, spoil):
    url = f"{bucket.url}/a.zarr"
    words = ["sweep", "trials=300", "unit_trials=100", "freqs=0,3", f"out={url}"]
    assert main(words) == 0
    key = f"results/a.zarr/{name}"
    bucket.put(key, spoil) if spoil is not None else Location(f"{url}/{name}").remove()
    capsys.readouterr()
    harmless = "journal" in name or "somebody" in name
    root = name == "zarr.json"
    assert main(["verify", url, "sample=all"]) == (0 if harmless else 2 if root else 1)
    said = "".join(capsys.readouterr())
    assert ("note: " if harmless else "damaged" if root else "bad: ") in said
    main(["verify", url, "repair=true"])
    assert main(words) == 0, capsys.readouterr().err
    assert main(["verify", url, "sample=all"]) == 0
    pipeline.sweep(trials=300, freqs=[0, 3], out="a.zarr")
    assert_same(url, "a.zarr")
    assert not any("journal" in key for key in bucket.keys())


@pytest.fixture
def told(bucket, monkeypatch):
    """A bucket whose endpoint and region the environment does not have."""
    for name in ("AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(services, "_options", {})
    return bucket, [f"storage.endpoint={bucket.proxy.url}", "storage.region=us-east-1"]


def test_options_of_the_client_are_keys_of_every_verb_and_of_python(told, capsys):
    bucket, storage = told
    where = f"results={bucket.url}"
    assert main(["sweep", "trials=300", "freqs=0,3", where, *storage]) == 0
    (name,) = {key.split("/")[1] for key in bucket.keys() if ".zarr" in key}
    for words in (["summary"], ["status"], ["verify", "sample=all"], ["plot", "to=a.png"]):
        services._options.clear()
        assert main([*words, where, *storage]) == 0, words
    for words in (["ls", bucket.url], ["export", f"{bucket.url}/{name}", "to=a.csv"]):
        services._options.clear()
        assert main([*words, *storage]) == 0, words
    services._options.clear()
    options = {"endpoint": bucket.proxy.url, "region": "us-east-1"}
    dataset = pipeline.sweep(trials=300, freqs=[0, 3], results=bucket.url, storage=options)
    assert pipeline.open_results(dataset.attrs["store"]).sizes["trial"] == 300
    assert pipeline.verify(dataset.attrs["store"], 1).problems == []
    assert f"storage.endpoint={bucket.proxy.url}" in dataset.attrs["command"]


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["processes", "scheduler"])
def test_workers_reach_what_their_client_reaches(told, monkeypatch, cluster, tmp_path):
    bucket, storage = told
    keys = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    for name in keys:
        monkeypatch.delenv(name)
    words = ["trials=3000", "unit_trials=100", f"out={bucket.url}/a.zarr", *storage]
    with ExitStack() as stack:
        if cluster == "scheduler":
            # Whose workers began without keys.
            made = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0")
            stack.enter_context(made)
            words.append(f"cluster.address={made.scheduler_address}")
        for name, value in keys.items():
            monkeypatch.setenv(name, value)
        assert main(["sweep", f"cluster={cluster}", *words]) == 0
        if cluster == "scheduler":
            with Client(made) as client:
                left = client.run(lambda: "AWS_SECRET_ACCESS_KEY" in os.environ)
                assert set(left.values()) == {False}
    pipeline.sweep(trials=3000, out="a.zarr")
    assert_same(f"{bucket.url}/a.zarr", "a.zarr")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["storage.secret_access_key=x"], "storage.secret_access_key is secret, and every store"),
        (["storage.sas_key=x"], "storage.sas_key is secret"),
        (["storage.account_key=x"], "storage.account_key is secret"),
        (["storage=x"], "storage must be named values"),
        (["storage.colour=red"], "'colour' is not valid for store 'S3'"),
    ],
)
@pytest.mark.parametrize("verb", ["sweep", "summary"])
def test_an_option_that_is_none_is_refused(bucket, monkeypatch, capsys, words, said, verb):
    monkeypatch.setattr(services, "_options", {})
    where = {"sweep": [f"results={bucket.url}", "trials=20"], "summary": [f"{bucket.url}/a.zarr"]}
    assert main([verb, *where[verb], *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert bucket.keys() == []
