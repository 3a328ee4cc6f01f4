"""The services that keep objects: their clients, their credentials, and what their failures mean.

Requests that fail are tried again for twenty seconds; what fails then is an `ObjectError`, an error
of the system that says in words what is missing.
"""

import errno
import json
import os
import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import UserError

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig


@dataclass(frozen=True)
class _Service:
    name: str
    credentials: str
    """What gives credentials, for a message."""


SERVICES = {
    "s3": _Service(
        "S3",
        "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE (aws configure)",
    ),
    "gs": _Service(
        "Google Cloud Storage",
        "set GOOGLE_APPLICATION_CREDENTIALS, or run gcloud auth application-default login",
    ),
    "az": _Service(
        "Azure",
        "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY, or run az login and set "
        "AZURE_USE_AZURE_CLI=true",
    ),
}
# A request that fails is tried again for 20 seconds, after pauses that grow from 0.1 s to 3 s at
# random: by the client, and here where that does not, as in the middle of an answer.
ATTEMPTS, _FIRST_PAUSE, _LONGEST_PAUSE, _SECONDS = 50, 0.1, 3.0, 20.0
# So many are waited for together: one after the other, a thousand rows that a killed sweep had left
# took 150 s at 150 ms a request.
REQUESTS_AT_ONCE = 32
# Of one request, with the whole chunk in it; of a connection.
_SECONDS_OF_A_REQUEST, _SECONDS_TO_CONNECT = 120, 5
NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
# The address of a virtual machine's own credentials, which is asked where there are no others.
_OF_A_MACHINE = re.compile(r"169\.254\.169\.254|metadata\.google|MissingAccount|Account must be")
_REFUSED_KEYS = re.compile(
    r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|InvalidToken|TokenRefreshRequired"
    r"|AuthenticationFailed|NoAuthenticationInformation|Unauthenticated"
)
_DENIED = re.compile(r"status code: 40[13]\b")
_THROTTLED = re.compile(r"status code: (?:503|429)\b|SlowDown|ServerBusy")
_LASTING = re.compile(r"status code: 4(?!08|29)\d\d\b")
# Where endpoints and profiles are said, by the variables that every program of a service reads.
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_", "STORAGE_EMULATOR_HOST")
_AWS_FILES = {
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_CONFIG_FILE": "~/.aws/config",
}
_options: dict[str, Any] = {}
# The process that has made clients.
_process = [0]
_Result = TypeVar("_Result")


class ObjectError(OSError):
    """What a service does not do, in words; `remedy` is what helps."""

    def __init__(self, number: int, words: str, remedy: str) -> None:
        super().__init__(number, words)
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        """As it was made: an OSError alone would lose the remedy between processes."""
        return type(self), (self.errno, self.strerror, self.remedy)


def is_object(url: str) -> bool:
    """Whether a URL is one of the services."""
    return url.partition("://")[0] in SERVICES


def check_client(url: str) -> None:
    """Refuse a URL where its client is not here, or does not know what is asked of it."""
    if find_spec("obstore") is None:
        raise UserError(f"{url} needs a package that is not here: pip install obstore")


def configure(options: Mapping[str, Any]) -> None:
    """Options of every client from now on, by the names that obstore has.

    `timeout` (seconds of a request) and `retry_timeout` (seconds for which one that fails is tried
    again) are for every service.
    """
    _options.clear()
    _options.update(options)


def access() -> tuple[dict[str, Any], dict[str, str]]:
    """The options, and the variables of the environment, by which this process reaches services."""
    variables = {name: value for name, value in os.environ.items() if name.startswith(_VARIABLES)}
    return dict(_options), variables


def client(url: str) -> Any:
    """The client of a bucket, whose keys begin below the path of the URL.

    Raises
    ------
    ObjectError
        Where it lacks what it needs to begin.
    """
    check_process()
    try:
        return _client(url, tuple(sorted(_options.items())))
    except Exception as error:  # obstore's classes do not share one
        raise meaning(error, url) from error


@lru_cache(maxsize=64)
def _client(url: str, chosen: tuple[tuple[str, Any], ...]) -> Any:
    from obstore.store import from_url

    # Everything else the client finds in the environment by itself.
    scheme = url.partition("://")[0]
    found = {"s3": _of_aws_files, "gs": _of_google_emulator}.get(scheme, dict)() | dict(chosen)
    seconds = float(found.pop("timeout", _SECONDS_OF_A_REQUEST))
    patience = float(found.pop("retry_timeout", _SECONDS))
    endpoint = str(found.get("endpoint") or _endpoint_in_environment(scheme))
    options: ClientConfig = {
        "timeout": timedelta(seconds=seconds),
        "connect_timeout": timedelta(seconds=_SECONDS_TO_CONNECT),
        # Whoever names an endpoint without TLS means it.
        "allow_http": endpoint.startswith("http://") or "service_account_key" in found,
    }
    retries: RetryConfig = {
        "max_retries": ATTEMPTS,
        "backoff": {
            "init_backoff": timedelta(seconds=_FIRST_PAUSE),
            "max_backoff": timedelta(seconds=_LONGEST_PAUSE),
            "base": 2,
        },
        "retry_timeout": timedelta(seconds=patience),
    }
    return from_url(url, client_options=options, retry_config=retries, **found)


def _of_google_emulator() -> dict[str, Any]:
    """The server that STORAGE_EMULATOR_HOST names, as other programs of Google take it."""
    host = os.environ.get("STORAGE_EMULATOR_HOST")
    if not host:
        return {}
    base = host if "://" in host else f"http://{host}"
    keys = dict.fromkeys(("client_email", "private_key", "private_key_id"), "")
    account = {"gcs_base_url": base, "disable_oauth": True, **keys}
    return {"service_account_key": json.dumps(account)}


def _endpoint_in_environment(scheme: str) -> str:
    names = _ENDPOINTS.get(scheme, ())
    return next(filter(None, (os.environ.get(name) for name in names)), "")


def _of_aws_files() -> dict[str, Any]:
    """Credentials, region and endpoint of a profile in the files of AWS, which boto3 reads.

    Nothing where the environment has keys, or there are no such files.
    """
    files = [os.path.expanduser(os.environ.get(name, usual)) for name, usual in _AWS_FILES.items()]
    if "AWS_ACCESS_KEY_ID" in os.environ or not any(map(os.path.exists, files)):
        return {}
    if find_spec("boto3") is None:
        words = f"{' and '.join(files)} are read by a package that is not here"
        raise ObjectError(errno.EACCES, words, "pip install boto3")
    import boto3
    from obstore.auth.boto3 import Boto3CredentialProvider

    session = boto3.Session()
    if session.get_credentials() is None:
        return {}
    meta = session.client("s3").meta
    found = {"credential_provider": Boto3CredentialProvider(session), "region": meta.region_name}
    # That of AWS itself the client finds by the region.
    is_other = not str(meta.endpoint_url).endswith("amazonaws.com")
    return found | ({"endpoint": meta.endpoint_url} if is_other else {})


def check_process() -> None:
    """Refuse a process that was forked off one with clients: their threads are not there.

    Raises
    ------
    ObjectError
        In place of waiting for ever for an answer that no thread fetches.
    """
    if _client.cache_info().currsize and _process[0] != os.getpid():
        words = "this process was forked off one that used an object store"
        raise ObjectError(errno.ENOSYS, words, 'start it anew, as multiprocessing does by "spawn"')
    _process[0] = os.getpid()


def meaning(error: Exception, url: str) -> Exception:
    """An error of the client as one of the system, in words; FileNotFoundError for no object."""
    if isinstance(error, ObjectError):
        return error
    scheme, _, rest = url.partition("://")
    service, text = SERVICES[scheme], f"{type(error).__name__} {error}"
    bucket = rest.partition("/")[0]
    if NO_BUCKET.search(text):
        remedy = "create it, or choose another results=..."
        return ObjectError(errno.ENODEV, f"there is no bucket {bucket}", remedy)
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), url)
    if _OF_A_MACHINE.search(text):
        words = f"no credentials of {service.name} are found"
        return ObjectError(errno.EACCES, words, service.credentials)
    code = re.search(r"<Code>(\w+)</Code>", text) or re.search(r"status code: (\d+ [\w ]+)", text)
    said = f" ({code[1]})" if code else ""
    if "RequestTimeTooSkewed" in text:
        words = f"the clock of this machine is wrong, by {service.name}"
        return ObjectError(errno.EACCES, words, "set it, as by a time server")
    if _REFUSED_KEYS.search(text):
        words = f"{service.name} does not accept the credentials{said}"
        return ObjectError(errno.EACCES, words, service.credentials)
    if _DENIED.search(text):
        remedy = (
            "ask for the right to read, write, delete and list there; without that to list, an "
            "object that is not there is denied too"
        )
        return ObjectError(errno.EACCES, f"{service.name} denies access{said}", remedy)
    if _THROTTLED.search(text):
        words = f"{service.name} asks to slow down{said}"
        return ObjectError(errno.EBUSY, words, "try again later, with fewer workers")
    if re.search(r"status code: 5\d\d", text):
        words = f"{service.name} fails{said}"
        return ObjectError(errno.EIO, words, "try again later")
    if re.search("HTTP error|error sending request|timed out|error decoding", text):
        address = re.search(r"https?://[^/\s]+", text)
        words = f"{address[0] if address else service.name} does not answer"
        remedy = "see that it runs, and that its endpoint and the network are right"
        return ObjectError(errno.EHOSTUNREACH, words, remedy)
    reason = " ".join(str(error).split("Debug source")[0].split())
    return ObjectError(errno.EIO, f"{service.name}: {reason[:300]}{said}", "see what it says")


def may_pass(error: Exception) -> bool:
    """Whether a request that failed may succeed when it is tried again."""
    from obstore.exceptions import GenericError

    text = str(error)
    return (
        isinstance(error, GenericError)
        and not _LASTING.search(text)
        and not _OF_A_MACHINE.search(text)
        and not NO_BUCKET.search(text)
    )


def trying(url: str, do: Callable[[], _Result]) -> _Result:
    """What a request gives, tried again where the client does not, as for the body of an answer."""
    began = time.monotonic()
    for attempt in range(ATTEMPTS + 1):
        try:
            return do()
        except Exception as error:
            if not may_pass(error) or attempt == ATTEMPTS or is_over(began):
                raise meaning(error, url) from error
            time.sleep(pause(attempt))
    raise AssertionError("unreachable")


def is_over(began: float) -> bool:
    """Whether what began then, by the monotonic clock, has failed for too long."""
    return (
        time.monotonic() - began > float(_options.get("retry_timeout", _SECONDS)) - _LONGEST_PAUSE
    )


def pause(attempt: int) -> float:
    """Seconds until a request that has failed so often before is tried again."""
    longest = min(_FIRST_PAUSE * 2.0**attempt, _LONGEST_PAUSE)
    return float(longest * random.uniform(0.5, 1.0))
