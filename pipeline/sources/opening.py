"""Opening a .npy file or Zarr array without reading it, and the stamp that tells if it changed."""

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import UnreadableError, cannot, refuse_unreadable
from pipeline.sources.cache import State
from pipeline.sources.slabs import in_one_line
from pipeline.store.location import Location


def npy_file(location: Location) -> Path | None:
    """The .npy file that an array is, None where it is Zarr's."""
    path = location.folder
    return None if path is None or path.is_dir() else path


def open_unread(location: Location) -> tuple[Any, str]:
    """The array at a location, not read yet, and its stamp.

    Raises
    ------
    ValueError
        Where there is no array, or it cannot be opened.
    """
    file = npy_file(location)
    if file is not None:
        stamp = stamp_of(file)
        try:
            # Not numpy.load, which would also return an archive or unpickled objects.  For a
            # corrupt header numpy warns before it raises.
            with warnings.catch_warnings(action="ignore"):
                return np.lib.format.open_memmap(file, mode="r"), stamp
        except Exception as error:
            refuse_unreadable(file, error)
            raise ValueError(
                f"{file} is not a .npy file of numbers ({in_one_line(error)}): write it with "
                "numpy.save"
            ) from error
    # Here, because zarr takes half a second to import and .npy files do not need it.
    from pipeline.store.layout import open_array

    values = open_array(location)
    metadata = json.dumps(values.metadata.to_dict(), default=str, sort_keys=True)
    content = hashlib.sha256(metadata.encode())
    if location.folder is not None:
        for folder, _, names in sorted(os.walk(location.folder, onerror=_unlisted)):
            for name in sorted(names):
                content.update(f"{name} {stamp_of(Path(folder, name))}".encode())
    return values, content.hexdigest()


def stamp_of(file: Path) -> str:
    """Size and time of the last change: they differ after a file was written."""
    state = State.of(file)
    return f"{state.size} {state.modified}"


def _unlisted(error: OSError) -> None:
    """Of `os.walk`, which would pass over a folder that it cannot list."""
    raise UnreadableError(cannot("read", error.filename, error)) from error
