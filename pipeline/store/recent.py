"""Which store was used last: a verb that is given no store takes that one."""

import os
from contextlib import suppress

from pipeline.errors import UserError, command
from pipeline.store.location import Location

# A file in the folder of results that has the path or URL of a store.
_NOTE = ".last-used"
# ImportError and ValueError come from URLs that need a missing package, or are of an unknown kind.
_UNREACHABLE = (OSError, ImportError, ValueError)


def note(results: Location, store: Location) -> None:
    """Remember that a store was used, if the folder of results is there and may be written."""
    with suppress(*_UNREACHABLE):
        if store.url != _noted(results) and (results.folder is None or results.folder.is_dir()):
            results.child(_NOTE).write(store.url.encode())


def last_used(folder: str | os.PathLike[str]) -> Location:
    """The store that was used or shown last; if that is not noted, the one written last.

    Parameters
    ----------
    folder
        Folder or URL of results.

    Raises
    ------
    UserError
        Where there is no store.
    """
    results = Location.of(folder)
    noted = _noted(results)
    if noted and _is_there(Location(noted)):
        return Location(noted)
    newest = _newest(results)
    if newest is None:
        raise UserError(f"no store in {folder}: run {command('sweep')} first, or give its path")
    return newest


def _is_there(store: Location) -> bool:
    try:
        return store.child("zarr.json").exists()
    except _UNREACHABLE:
        return False


def _noted(results: Location) -> str | None:
    try:
        return results.child(_NOTE).read().decode()
    except _UNREACHABLE:
        return None


def _newest(results: Location) -> Location | None:
    results.check_openable()
    try:
        names = [name for name in results.names() if name.endswith(".zarr")]
    except OSError:
        return None
    stores = [results.child(name) for name in sorted(names)]
    written = [(store.child("zarr.json").modified(), store) for store in stores]
    dated = [(when, store) for when, store in written if when is not None]
    return max(dated, key=lambda each: each[0])[1] if dated else None
