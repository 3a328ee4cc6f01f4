"""Which errors are the system's: of these nothing can be concluded about what was to be read."""

import asyncio
import errno
import os
import threading

import pytest
import zarr

from pipeline.errors import UnreadableError, UserError, cannot, refuse_unreadable, system_error

_NUMBERS = [
    errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.ELOOP,
    errno.ENAMETOOLONG, errno.ENOMEM, errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EHOSTUNREACH,
]  # fmt: skip


def of_number(number):
    return OSError(number, os.strerror(number), "/some/file")


def raised(function, *arguments):
    """What a call raises, with its traceback."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        function(*arguments)
    return caught.value


def from_(error, cause):
    def fail():
        raise error from cause

    return raised(fail)


@pytest.mark.parametrize("number", _NUMBERS)
def test_an_error_of_the_system_is_found_behind_whatever_was_raised_from_it(number):
    error = of_number(number)
    assert system_error(error) is error
    assert system_error(from_(ValueError("x"), error)) is error
    assert system_error(from_(KeyError("x"), from_(RuntimeError("y"), error))) is error
    group = ExceptionGroup("several", [ValueError("x"), ExceptionGroup("more", [error])])
    assert system_error(group) is error
    with pytest.raises(UnreadableError, match=f"cannot read /some/file: {os.strerror(number)}: "):
        refuse_unreadable("place", from_(ValueError("x"), error))


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "x"), IsADirectoryError(21, "x"), NotADirectoryError(20, "x"),
        ValueError("Stored and computed checksum do not match"), KeyError("error"),
        RuntimeError("error during blosc decompression"), TypeError("x"), UserError("x"),
        zarr.errors.GroupNotFoundError("x"),
        ExceptionGroup("several", [ValueError("x"), FileNotFoundError(2, "x")]),
    ],
)  # fmt: skip
def test_what_is_not_there_and_what_was_read_and_is_wrong_are_no_errors_of_the_system(error):
    assert system_error(error) is None
    assert system_error(from_(ValueError("x"), error)) is None
    refuse_unreadable("place", error)


def test_an_error_that_a_caller_was_handling_is_not_taken_for_the_cause():
    def fail():
        try:
            raise of_number(errno.EIO)
        except OSError:
            raise ValueError("bad checksum")  # noqa: B904

    assert system_error(raised(fail)) is None


@pytest.mark.parametrize("error", [MemoryError(), TimeoutError(), ConnectionResetError()])
def test_errors_without_a_number_have_a_reason_and_a_remedy(error):
    assert system_error(error) is error
    line = cannot("read", "s.zarr", error)
    assert line.startswith(f"cannot read s.zarr: {type(error).__name__}: ")
    assert line.count(": ") == 2
    assert not line.endswith(": ")


class RefusedError(Exception):
    """What a client of an object store may raise: of no class that says so."""


class Refusing(zarr.storage.MemoryStore):
    async def get(self, key, *arguments, **options):
        raise RefusedError("403, message='Forbidden'")


def test_whatever_a_client_of_an_object_store_raises_is_of_the_system():
    error = raised(lambda: zarr.open_group(Refusing(), mode="r"))
    assert isinstance(error, RefusedError)
    assert system_error(error) is error
    with pytest.raises(UnreadableError, match="cannot read place: RefusedError: 403, message="):
        refuse_unreadable("place", error)


def test_a_thread_that_cannot_be_started_is_of_the_system(monkeypatch):
    def fail(*arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "_start_new_thread", fail)
    error = raised(lambda: asyncio.run(asyncio.to_thread(int)))
    assert isinstance(error, RuntimeError)
    assert system_error(error) is error


def test_the_file_that_an_error_names_is_said_in_place_of_the_store():
    assert cannot("read", "s.zarr", of_number(errno.EMFILE)).startswith("cannot read /some/file: ")
    assert "ulimit -n" in cannot("read", "s.zarr", of_number(errno.EMFILE))
    # What helps against a lack of anything does not depend on the place.
    assert "ulimit -n" in cannot("write", "s.zarr", of_number(errno.EMFILE), "choose another")
    assert cannot("write", "s.zarr", PermissionError(13, "no"), "choose another out=...") == (
        "cannot write s.zarr: no: choose another out=..."
    )
