"""Objects of S3, Google Cloud Storage and Azure, by obstore.

What is written over is written over on a condition: that nobody else has written it since it was
seen here.  So a process that was suspended, and wakes up when another one has taken its store over,
puts nothing in the place of what that one has written.  All three services have such conditions.
"""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from pipeline.store import services
from pipeline.store.services import ObjectError, client, trying

# As S3 allows.
_KEYS_A_REQUEST = 1000
# What tells one writing of an object from the next.
Tag = dict[str, str]


def busy(url: str) -> ObjectError:
    """What is said of an object that somebody else writes, over and over."""
    words = f"{url} is written by somebody else all the time"
    return ObjectError(errno.EBUSY, words, "stop what does so")


def split(url: str) -> tuple[str, str]:
    """The URL of a bucket, and the key in it."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def read(url: str) -> bytes:
    """The content of an object; a FileNotFoundError where there is none."""
    return read_tagged(url)[0]


def read_tagged(url: str) -> tuple[bytes, Tag]:
    """The content of an object, and the tag of this writing of it."""
    bucket, key = split(url)

    def read_once() -> tuple[bytes, Tag]:
        answer = client(bucket).get(key)
        return bytes(answer.bytes()), tag_of(answer.meta)

    return trying(url, read_once)


def read_tag(url: str) -> Tag:
    """The tag of an object; a FileNotFoundError where there is none."""
    bucket, key = split(url)
    return trying(url, lambda: tag_of(client(bucket).head(key)))


def write(url: str, content: Any) -> None:
    """Write an object, whatever is there."""
    bucket, key = split(url)
    trying(url, lambda: client(bucket).put(key, content))


def create(url: str, content: bytes) -> None:
    """Write an object if there is none."""
    bucket, key = split(url)

    def create_once() -> None:
        from obstore.exceptions import AlreadyExistsError

        with suppress(AlreadyExistsError):
            client(bucket).put(key, content, mode="create")

    trying(url, create_once)


def swap(url: str, content: bytes, seen: Tag | None) -> Tag | None:
    """Write an object if it is still the one that was seen; None for `seen` where there was none.

    Returns the tag of this writing, or None where somebody else has written meanwhile.
    """
    bucket, key = split(url)

    def swap_once() -> Tag | None:
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        try:
            return tag_of(client(bucket).put(key, content, mode=seen or "create"))
        except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
            if isinstance(error, FileNotFoundError) and services.NO_BUCKET.search(str(error)):
                raise
            # After an answer that was lost, or that the client has asked for again, it may be ours.
            return _tag_if_equal(url, content)

    return trying(url, swap_once)


def _tag_if_equal(url: str, content: bytes) -> Tag | None:
    try:
        found, tag = read_tagged(url)
    except FileNotFoundError:
        return None
    return tag if found == content else None


def remove(url: str) -> None:
    """Remove an object; one that is not there is removed already."""
    bucket, key = split(url)
    with suppress(FileNotFoundError):
        trying(url, lambda: client(bucket).delete(key))


def exists(url: str) -> bool:
    """Whether there is an object, or one below it, as if it were a folder."""
    bucket, key = split(url)
    try:
        if key:
            trying(url, lambda: client(bucket).head(key))
            return True
    except FileNotFoundError:
        pass
    return next(iter(objects_below(url)), None) is not None


def modified(url: str) -> float:
    """When an object was last written, by the clock of the service; seconds since 1970."""
    bucket, key = split(url)
    return float(trying(url, lambda: client(bucket).head(key))["last_modified"].timestamp())


def children(url: str) -> dict[str, int | None]:
    """Names of what lies directly below a URL, with bytes; of what is like a folder, None.

    Raises
    ------
    FileNotFoundError
        Where there is nothing.
    """
    bucket, key = split(url)
    found = trying(url, lambda: client(bucket).list_with_delimiter(prefix=key or None))
    names: dict[str, int | None] = dict.fromkeys(map(_last_part, found["common_prefixes"]))
    names |= {_last_part(each["path"]): each["size"] for each in found["objects"]}
    if not names and key:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
    return names


def objects_below(url: str) -> Iterator[tuple[str, int]]:
    """Key and bytes of each object below a URL."""
    bucket, key = split(url)
    last, failures, began = None, 0, time.monotonic()
    while True:
        try:
            for page in client(bucket).list(prefix=f"{key}/" if key else None, offset=last):
                failures, began = 0, time.monotonic()
                for each in page:
                    yield each["path"], each["size"]
                    last = each["path"]
            return
        except Exception as error:  # obstore's classes do not share one
            failures += 1
            given_up = failures > services.ATTEMPTS or services.is_over(began)
            if given_up or not services.may_pass(error):
                raise services.meaning(error, url) from error
            # Goes on behind the last one.
            time.sleep(services.pause(failures))


def size(url: str) -> int:
    """Bytes of all objects below a URL."""
    return sum(size for _, size in objects_below(url))


def below(url: str) -> list[str]:
    """The URL of each object below a URL, sorted."""
    bucket, _ = split(url)
    return sorted(f"{bucket}/{key}" for key, _ in objects_below(url))


def _last_part(path: str) -> str:
    return path.rstrip("/").rpartition("/")[2]


def tag_of(meta: Any) -> Tag:
    """The tag of an object, of what a service says of it."""
    return {name: meta[name] for name in ("e_tag", "version") if meta.get(name)}


def remove_many(urls: Sequence[str]) -> None:
    """Remove objects of one bucket, a thousand a request."""
    bucket, _ = split(urls[0])
    keys = [split(url)[1] for url in urls]
    for start in range(0, len(keys), _KEYS_A_REQUEST):
        some = keys[start : start + _KEYS_A_REQUEST]
        try:
            trying(bucket, partial(client(bucket).delete, some))
        except FileNotFoundError:
            # Azure says so of one, and it is not said of which.
            for key in some:
                remove(f"{bucket}/{key}")


def remove_below(url: str) -> None:
    """Remove every object below a URL."""
    if urls := below(url):
        remove_many(urls)
