"""Which store was used last: a verb that is given no store takes that one."""

import os
from contextlib import suppress

from pipeline.errors import NOT_THERE, UnreadableError, UserError, cannot, command
from pipeline.store.location import Location

# A file in the folder of results that has the path or URL of a store.
_NOTE = ".last-used"
# A note that leads to a URL which needs a missing package, or is of an unknown kind.
_UNOPENABLE = (ImportError, ValueError)


def note(results: Location, store: Location) -> None:
    """Remember that a store was used, if the folder of results is there and may be written."""
    with suppress(OSError, *_UNOPENABLE):
        if store.url != _noted(results) and (results.folder is None or results.folder.is_dir()):
            results.child(_NOTE).write(os.fsencode(store.url))


def last_used(folder: str | os.PathLike[str]) -> Location:
    """The store that was used or shown last; if that is not noted, the one written last.

    Parameters
    ----------
    folder
        Folder or URL of results.

    Raises
    ------
    UserError
        Where there is no store, or the system does not say which it is: another store than the one
        that a user means would be a surprise.
    """
    results = Location.of(folder)
    try:
        noted = _noted(results)
        if noted and _is_there(Location(noted)):
            return Location(noted)
        newest = _newest(results)
    except OSError as error:
        raise UnreadableError(
            cannot("read", results, error, "give the path of the store that is meant")
        ) from error
    if newest is None:
        raise UserError(f"no store in {folder}: run {command('sweep')} first, or give its path")
    return newest


def _is_there(store: Location) -> bool:
    try:
        return store.child("zarr.json").exists()
    except UnreadableError:
        # Whoever opens it says why it cannot be read.
        return True
    except _UNOPENABLE:
        return False


def _noted(results: Location) -> str | None:
    try:
        return os.fsdecode(results.child(_NOTE).read())
    except (*NOT_THERE, *_UNOPENABLE):
        return None


def _newest(results: Location) -> Location | None:
    results.check_openable()
    try:
        names = [name for name in results.names() if name.endswith(".zarr")]
    except NOT_THERE:
        return None
    stores = [results.child(name) for name in sorted(names)]
    written = [(store.child("zarr.json").modified(), store) for store in stores]
    dated = [(when, store) for when, store in written if when is not None]
    return max(dated, key=lambda each: each[0])[1] if dated else None
