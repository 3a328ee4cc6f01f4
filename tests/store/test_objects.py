"""Objects of S3 behind a proxy: conditions, what is said of failures, and what is tried again."""

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.faulty import Faults
from helpers.objects import buckets, reached
from obstore.exceptions import GenericError
from zarr.core.buffer import default_buffer_prototype

from pipeline.errors import StoreLostError, UserError
from pipeline.store import objects, services
from pipeline.store.bucket import Objects
from pipeline.store.location import Location
from pipeline.store.services import ObjectError


@pytest.fixture(scope="module")
def server():
    with buckets() as make:
        yield make


@pytest.fixture
def bucket(server, monkeypatch):
    with reached(server(), monkeypatch) as made:
        yield made


@pytest.fixture
def impatient(monkeypatch):
    """Failures are given up at once."""
    monkeypatch.setattr(services, "ATTEMPTS", 1)
    monkeypatch.setattr(services, "_SECONDS", 1.0)


def test_an_object_is_written_read_listed_and_removed(bucket):
    place = Location(bucket.url)
    place.child("a", "b").write(b"first")
    place.child("a", "c").write(b"second")
    place.child("d").write(b"x" * 10)
    assert bucket.content("results/a/b") == b"first"
    assert place.child("a", "b").read() == b"first"
    assert place.sizes() == {"a": None, "d": 10}
    assert sorted(place.child("a").names()) == ["b", "c"]
    assert place.size() == 21
    assert [place.child(*name).exists() for name in (["a"], ["a", "b"], ["d"], ["e"])] == [
        True, True, True, False,
    ]  # fmt: skip
    assert place.child("d").modified() > 1.7e9
    assert place.child("e").modified() is None
    place.child("d").remove()
    place.child("d").remove()
    assert bucket.keys() == ["results/a/b", "results/a/c"]
    objects.remove_below(place.child("a").url)
    assert bucket.keys() == []
    for read in (place.child("d").read, place.names):
        with pytest.raises(FileNotFoundError):
            read()


def test_only_one_of_many_makes_an_object_and_only_one_replaces_it(bucket):
    place = Location(bucket.url).child("lock")
    with ThreadPoolExecutor(8) as pool:
        tags = list(pool.map(lambda k: place.swap(b"%d" % k, None), range(8)))
    (winner,) = [k for k, tag in enumerate(tags) if tag]
    content, tag = place.read_tagged()
    assert content == b"%d" % winner
    assert tag == tags[winner]
    with ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda k: place.swap(b"again %d" % k, tag), range(8)))
    (winner,) = [k for k, each in enumerate(again) if each]
    assert bucket.content("results/lock") == b"again %d" % winner


@pytest.mark.parametrize("seen", [False, True])
def test_an_answer_that_is_lost_is_found_out(bucket, seen):
    place = Location(bucket.url).child("lock")
    tag = place.swap(b"before", None) if seen else None
    bucket.proxy.faults = Faults(1.0, ("lost",), "^PUT", most=1)
    assert place.swap(b"ours", tag) is not None
    assert "lost" in [said for _, _, said in bucket.proxy.requests]
    assert bucket.content("results/lock") == b"ours"
    # What somebody else has written meanwhile is not taken for ours.
    assert place.swap(b"other", tag) is None


@pytest.mark.parametrize("kind", [503, 500, 429, "reset", "torn", "lost", "cut"])
def test_a_third_of_all_requests_may_fail(bucket, kind):
    place = Location(bucket.url)
    bucket.proxy.faults = Faults(0.3, (kind,))
    contents = {f"{k}": bytes([k]) * 1000 for k in range(30)}
    for name, content in contents.items():
        place.child(name).write(content)
    assert {name: place.child(name).read() for name in place.names()} == contents
    tags = [place.child(f"lock-{k}").swap(b"%d" % k, None) for k in range(30)]
    assert all(tags)
    bad = [said for _, _, said in bucket.proxy.requests if said == kind]
    assert len(bad) > 10
    bucket.proxy.faults = Faults()
    assert len(bucket.keys()) == 60


@pytest.mark.parametrize(
    ("words", "again"),
    [
        ("in 102ms, after 1 retries, max_retries: 50 - HTTP error: response body error", True),
        ("in 4ms - HTTP error: error sending request", True),
        ("in 4ms - Server returned non-2xx status code: 503 Slow Down", True),
        ("in 4ms - Server returned non-2xx status code: 429 Too Many Requests", True),
        ("in 4ms - Server returned non-2xx status code: 403 Forbidden", False),
        ("in 4ms - Server returned non-2xx status code: 404 Not Found: NoSuchBucket", False),
    ],
)
def test_what_may_pass_is_tried_again_whatever_the_client_has_tried(words, again):
    """It gives up a body that breaks off, also after a status that it has tried again."""
    error = GenericError(f"Generic GCS error: Error performing GET http://127.0.0.1/x {words}")
    assert services.may_pass(error) == again


SAYINGS = {
    403: ("S3 denies access (403 Forbidden)", "ask for the right to read, write, delete and list"),
    503: ("S3 asks to slow down (503 Service Unavailable)", "try again later, with fewer workers"),
    429: ("S3 asks to slow down (429 Too Many Requests)", "try again later, with fewer workers"),
    500: ("S3 fails (500 Internal Server Error)", "try again later"),
    "reset": (" does not answer", "see that it runs, and that its endpoint and the network are"),
}


@pytest.mark.parametrize("kind", SAYINGS)
@pytest.mark.parametrize(
    "do", ["read", "write", "names", "swap", "size", "modified", "remove", "exists"]
)
def test_what_fails_is_said_in_words_and_never_taken_for_absent(bucket, impatient, kind, do):
    place = Location(bucket.url).child("x")
    arguments = {"write": [b"x"], "swap": [b"x", None]}.get(do, [])
    bucket.proxy.faults = Faults(1.0, (kind,))
    with pytest.raises((ObjectError, UserError)) as failed:
        getattr(place, do)(*arguments)
    words, remedy = SAYINGS[kind]
    error = failed.value
    said = f"{error.strerror}: {error.remedy}" if isinstance(error, ObjectError) else str(error)
    code = words.partition(" (")[0]
    assert code in said
    assert remedy in said
    assert bucket.keys() == []


def test_a_denied_key_is_not_one_that_is_missing(bucket, impatient):
    """Where listing is not allowed, S3 says 403 of an object that is not there."""
    zarr = Objects(bucket.url)
    assert zarr.get_sync("zarr.json", prototype=default_buffer_prototype()) is None
    bucket.proxy.faults = Faults(1.0, (403,), "^(GET|HEAD)")
    with pytest.raises(ObjectError, match="S3 denies access"):
        zarr.get_sync("zarr.json", prototype=default_buffer_prototype())


def test_a_bucket_that_is_not_there_is_named(bucket):
    for do in (
        Location("s3://no-such-bucket/x").read,
        Location("s3://no-such-bucket/x").names,
        lambda: Location("s3://no-such-bucket/x").write(b""),
        lambda: Location("s3://no-such-bucket/x").swap(b"", None),
        lambda: Location("s3://no-such-bucket/x").remove(),
    ):
        with pytest.raises(ObjectError, match="there is no bucket no-such-bucket") as failed:
            do()
        assert failed.value.remedy == "create it, or choose another results=..."


def test_a_missing_client_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(services, "find_spec", lambda name: None)
    for url in ("s3://bucket/x", "gs://bucket/x", "az://bucket/x"):
        with pytest.raises(UserError, match=f"{url} needs a package .*: pip install obstore"):
            Location.of(url).check_openable()


def test_keys_endpoint_and_region_come_from_the_files_of_aws(bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text(
        "[mine]\naws_access_key_id = test\naws_secret_access_key = test\n"
    )
    (tmp_path / "config").write_text(
        f"[profile mine]\nregion = us-east-1\nendpoint_url = {bucket.proxy.url}\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "mine")
    Location(bucket.url).child("x").write(b"by a profile")
    assert bucket.content("results/x") == b"by a profile"
    services._client.cache_clear()
    monkeypatch.setattr(services, "find_spec", lambda name: None)
    with pytest.raises(ObjectError, match="read by a package that is not here") as failed:
        Location(bucket.url).child("x").read()
    assert failed.value.remedy == "pip install boto3"


@pytest.mark.parametrize(
    ("code", "words", "remedy"),
    [
        (
            "InvalidAccessKeyId",
            "does not accept the credentials (InvalidAccessKeyId)",
            "AWS_ACCESS",
        ),
        ("SignatureDoesNotMatch", "does not accept the credentials", "set AWS_ACCESS_KEY_ID"),
        ("ExpiredToken", "does not accept the credentials (ExpiredToken)", "AWS_PROFILE"),
        ("RequestTimeTooSkewed", "the clock of this machine is wrong", "set it"),
        ("AccessDenied", "denies access (AccessDenied)", "ask for the right"),
        ("NoSuchBucket", "there is no bucket bucket", "create it"),
    ],
)
def test_every_refusal_of_s3_says_what_is_missing(code, words, remedy):
    """With the words of the client, as it has them for answers of S3."""
    status = "404 Not Found" if code == "NoSuchBucket" else "403 Forbidden"
    text = (
        "Generic S3 error: Error performing GET https://bucket.s3.amazonaws.com/x in 3ms - Server "
        f"returned non-2xx status code: {status}: <Error><Code>{code}</Code></Error>"
    )
    error = services.meaning(GenericError(text), "s3://bucket/x")
    assert words in error.strerror
    assert remedy in error.remedy


def test_an_error_keeps_its_words_between_processes():
    error = ObjectError(13, "S3 denies access", "ask for the right")
    again = pickle.loads(pickle.dumps(error))
    assert (again.errno, again.strerror, again.remedy) == (
        13,
        "S3 denies access",
        "ask for the right",
    )


def buffer(content):
    return default_buffer_prototype().buffer.from_bytes(content)


def test_whoever_was_overtaken_writes_over_nothing_that_came_after(bucket):
    """One that asks whether it may write, and is stopped then, finds out when it goes on."""
    ended = threading.Event()

    def check():
        if ended.is_set():
            raise StoreLostError("taken over")

    old, new = Objects(bucket.url, check=check), Objects(bucket.url)
    old.set_sync("known", buffer(b"old 1"))
    ended.set()
    new.set_sync("known", buffer(b"new"))
    new.set_sync("unknown", buffer(b"new"))
    for key in ("known", "unknown"):
        with pytest.raises(StoreLostError, match="taken over"):
            old.set_sync(key, buffer(b"old 2"))
        assert bucket.content(f"results/{key}") == b"new"


def test_what_a_process_before_left_is_written_over(bucket):
    bucket.put("results/left", b"by one that died")
    store = Objects(bucket.url, check=lambda: None)
    store.set_sync("left", buffer(b"ours"))
    store.set_sync("left", buffer(b"ours again"))
    assert bucket.content("results/left") == b"ours again"


def test_a_store_that_is_sent_elsewhere_is_opened_there(bucket):
    bucket.put("results/x", b"0123456789")
    sent = pickle.loads(pickle.dumps(Objects(bucket.url)))
    assert sent.get_sync("x", prototype=default_buffer_prototype()).to_bytes() == b"0123456789"
