"""Google Cloud Storage and Azure, each by a server on this machine: as S3, and as a folder."""

import multiprocessing
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from helpers.faulty import Faults
from helpers.objects import azure_containers, buckets, google_buckets, reached

import pipeline
from pipeline.cli.main import main
from pipeline.errors import UserError
from pipeline.store import lease, lock, services
from pipeline.store.location import Location
from pipeline.store.services import ObjectError

KEYS = {"freqs": range(15), "algorithm": ["asm", "apx"], "trials": 2000, "unit_trials": 100}


@pytest.fixture(scope="module", params=["google", "azure"])
def server(request, tmp_path_factory):
    made = {
        "google": google_buckets,
        "azure": lambda: azure_containers(tmp_path_factory.mktemp("azurite")),
    }[request.param]
    with made() as make:
        yield make


@pytest.fixture
def bucket(server, monkeypatch, elsewhere):
    with reached(server(), monkeypatch) as made:
        yield made


@pytest.mark.slow
def test_objects_are_written_on_a_condition_listed_and_removed(bucket):
    place = Location(bucket.url)
    contents = {f"a/{k:04}": bytes([k % 256]) for k in range(1, 300)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: place.child(item[0]).write(item[1]), contents.items()))
    assert bucket.keys() == [f"results/{name}" for name in contents]
    assert bucket.content("results/a/0007") == b"\7"
    assert place.child("a/0009").read() == b"\t"
    assert place.sizes() == {"a": None}
    assert place.child("a").sizes() == {name.partition("/")[2]: 1 for name in contents}
    with ThreadPoolExecutor(8) as pool:
        tags = list(pool.map(lambda k: place.child("lock").swap(b"%d" % k, None), range(8)))
    (tag,) = filter(None, tags)
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda k: place.child("lock").swap(b"n%d" % k, tag), range(8)))
    assert len(list(filter(None, again))) == 1
    assert place.child("lock").swap(b"late", tag) is None
    for name in ("lock", "lock", "never"):
        place.child(name).remove()
    assert not place.child("lock").exists()
    place.child("a").remove_below()
    assert bucket.keys() == []
    with pytest.raises(FileNotFoundError):
        place.names()


@pytest.mark.slow
def test_a_bucket_has_the_bits_of_a_folder_whatever_fails(bucket):
    url = f"{bucket.url}/a.zarr"
    bucket.proxy.faults = Faults(0.05, (503, 500, "reset", "torn", "lost"))
    for keys in (KEYS, {**KEYS, "trials": 3000}, {**KEYS, "operation": ["max_pool", "relu"]}):
        pipeline.sweep(**keys, extend=True, out=url)
        pipeline.sweep(**keys, extend=True, out="a.zarr")
    said = Counter(said for _, _, said in bucket.proxy.requests)
    assert sum(said[kind] for kind in bucket.proxy.faults.kinds) > 10
    bucket.proxy.faults = Faults()
    one, other = pipeline.open_results(url), pipeline.open_results("a.zarr")
    for name in ("error", "mask_accuracy", "regret"):
        assert np.array_equal(one[name], other[name], equal_nan=True), name
    assert pipeline.summarize(url).equals(pipeline.summarize("a.zarr"))
    assert pipeline.verify(url, sample=1).problems == []
    assert not any("journal" in key or key.endswith(".lock") for key in bucket.keys())
    Location(f"{url}/error/c/0/0/0/0/0/0/1").remove()
    assert main(["verify", url, "repair=true"]) == 0
    pipeline.sweep(**{**KEYS, "operation": ["max_pool", "relu"]}, out=url)
    assert np.array_equal(pipeline.open_results(url).error, other.error, equal_nan=True)


@pytest.mark.slow
def test_a_lock_is_held_refused_and_taken_over(bucket, monkeypatch):
    store = Location(f"{bucket.url}/a.zarr")
    with lock.held(store), pytest.raises(UserError, match="is being written by process"):
        lock.held(store).__enter__()
    assert bucket.keys() == []
    monkeypatch.setattr(lease, "_OLD", 1.0)
    store.beside(".lock").write(b'{"host": "other", "pid": 1, "token": "x"}')
    with lock.held(store) as held:
        assert held.stale


@pytest.mark.slow
def test_failures_are_said_in_words(bucket, monkeypatch):
    monkeypatch.setattr(services, "ATTEMPTS", 1)
    place = Location(bucket.url).child("x")
    scheme = bucket.url.partition("://")[0]
    name = services.SERVICES[scheme].name
    for kind, words in {
        403: f"{name} denies access",
        503: f"{name} asks to slow down",
        500: f"{name} fails",
        "reset": " does not answer",
    }.items():
        bucket.proxy.faults = Faults(1.0, (kind,))
        with pytest.raises(ObjectError, match=words):
            place.read()
    bucket.proxy.faults = Faults()
    with pytest.raises(ObjectError, match="there is no bucket no-such-one"):
        Location(f"{scheme}://no-such-one/x").write(b"")
    for variable in bucket.environment:
        monkeypatch.delenv(variable)
    services._client.cache_clear()
    with pytest.raises(ObjectError, match=f"no credentials of {name} are found") as failed:
        place.read()
    assert failed.value.remedy == services.SERVICES[scheme].credentials


def read_elsewhere(url, results):
    try:
        results.put(Location(url).read())
    except ObjectError as error:
        results.put(f"{error.strerror}: {error.remedy}")


@pytest.mark.slow
def test_a_process_that_was_forked_off_says_so_and_does_not_wait_for_ever(monkeypatch):
    with buckets() as make:
        bucket = make()
        for name, value in bucket.environment.items():
            monkeypatch.setenv(name, value)
        services._client.cache_clear()
        Location(bucket.url).child("x").write(b"x")
        said = {}
        for method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            results = context.Queue()
            arguments = (f"{bucket.url}/x", results)
            process = context.Process(target=read_elsewhere, args=arguments)
            process.start()
            said[method] = results.get(timeout=60)
            process.join()
        assert said["spawn"] == b"x"
        assert said["fork"].startswith("this process was forked off one that used an object store")
        services._client.cache_clear()
