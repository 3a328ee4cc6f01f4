"""What is said where a store cannot be read, is damaged, or is lost while it is written."""

from collections.abc import Iterator
from contextlib import contextmanager

from pipeline.errors import (
    StoreLostError,
    UserError,
    cannot,
    command,
    refuse_unreadable,
    system_error,
)
from pipeline.store.attributes import copied_attributes
from pipeline.store.location import Location
from pipeline.store.record import Record, of_store


@contextmanager
def naming_damage(location: Location) -> Iterator[None]:
    """Turn whatever zarr raises inside into one line that names the store, and what is wrong.

    Raises
    ------
    UserError
        For any exception of another kind: an UnreadableError where it came from the system, and
        else what `damage` gives.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise damage(location, error) from error


@contextmanager
def losing(location: Location) -> Iterator[None]:
    """What is done inside has begun to write: an error of the system is then a store that was lost.

    Raises
    ------
    StoreLostError
        In place of an exception that came from the system.
    """
    try:
        yield
    except Exception as error:
        if found := system_error(error):
            raise StoreLostError(cannot("read or write", location, found)) from error
        raise


def damage(location: Location, error: Exception) -> UserError:
    """The refusal of a store in which zarr met an error.

    Raises
    ------
    UnreadableError
        In place of returning, where the error came from the system: then nothing is known.
    """
    refuse_unreadable(location, error)
    if not location.child("ledger").exists():
        return UserError(
            f"{location} has no ledger, as a copy that xarray wrote: use the store it was copied "
            "from, or in Python summarize(open_results(...)), which reads trials alone"
        )
    reason = " ".join(str(error).split())
    return UserError(
        f"{location} is damaged ({type(error).__name__}: {reason}): "
        f"{command('verify', str(location))} names what is bad, and with repair=true the same "
        "sweep computes it again"
    )


def advice_on(location: Location, otherwise: str) -> str:
    """What to do about a place that is no store: `otherwise`, unless it is a damaged one."""
    return f": {what_is_wrong(location) or otherwise}"


def what_is_wrong(location: Location) -> str:
    """What is wrong with a place that was a store once, and what to do; empty where it was none."""
    if location.child("error").exists():
        return f"{location.child('zarr.json')} is damaged or missing: {remedy_for(location)}"
    return ""


def remedy_for(location: Location) -> str:
    """What to do about a store whose root's file is damaged or missing."""
    if copied_record(location):
        mend = command("verify", str(location), "repair=true")
        return f"{mend} writes it again from its copy in ledger/zarr.json"
    return (
        "without it nothing says what the numbers are: restore it from a copy, or delete the store "
        "and run the sweep again"
    )


def copied_record(location: Location) -> Record | None:
    """The second copy of a store's record; None where there is none that is undamaged."""
    copied = copied_attributes(location)
    try:
        return None if copied is None else of_store(str(location), copied)
    except UserError:
        return None
