"""The files of a store, and what a process that was killed left half written among them."""

import fnmatch
import glob
import os
import shutil
from contextlib import suppress
from pathlib import Path

from pipeline.errors import NOT_THERE, refuse_unreadable
from pipeline.store.location import Location


def files_of(location: Location) -> list[str]:
    """The path or URL of every file below a location, sorted.

    Raises
    ------
    UserError
        As `files_in`.
    """
    if location.folder:
        return files_in(location.folder)
    try:
        return location.below()
    except OSError as error:
        refuse_unreadable(location, error)
        return []


def files_in(folder: Path) -> list[str]:
    """Every file below a folder, sorted; none where there is no such folder.

    Raises
    ------
    UserError
        Where a folder may not be listed, over which os.walk and pathlib pass in silence.
    """

    def stop(error: OSError) -> None:
        refuse_unreadable(folder, error)

    walk = os.walk(folder, onerror=stop)
    return sorted(os.path.join(parent, name) for parent, _, names in walk for name in names)


def leftovers(location: Location) -> list[str]:
    """Files and folders that a process left half written, in a store and beside it.

    Raises
    ------
    UserError
        Where a folder of the store may not be listed.
    """
    # A worker that was suspended may write its row after its sweep has removed the journal.
    journal = location.child("journal")
    late = [str(journal)] if journal.exists() and not journal.child("zarr.json").exists() else []
    place = location.folder
    if place is None:
        # Of an object there is all or nothing.
        return late
    try:
        names = os.listdir(place.parent)
    except (*NOT_THERE, PermissionError):
        # One may be allowed to read a store and not to look around it.
        names = []
    beside = fnmatch.filter(names, f"{glob.escape(place.name)}.*.partial")
    inside = [name for name in files_in(place) if name.endswith(".partial")]
    return sorted([*(str(place.parent / name) for name in beside), *inside, *late])


def remove_leftovers(location: Location) -> list[str]:
    """Remove what a process that was killed left half written; returns the paths that are gone."""
    names = leftovers(location)
    for name in names:
        # What cannot be removed does no harm.
        if not location.folder:
            with suppress(OSError):
                Location(name).remove_below()
        elif os.path.isdir(name):
            shutil.rmtree(name, ignore_errors=True)
        else:
            with suppress(OSError):
                os.remove(name)
    return [name for name in names if not Location(name).exists()]
