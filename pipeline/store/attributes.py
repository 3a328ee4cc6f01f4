"""The attributes of a store's root, and their second copy in the group of the ledger."""

from typing import Any

import zarr

from pipeline.errors import refuse_unreadable
from pipeline.store.files import reading
from pipeline.store.layout import RECORD, Place, consolidate, open_root
from pipeline.store.location import Location


def set_attributes(place: Place, attributes: dict[str, Any]) -> None:
    """Change attributes of the root, in one write of one file, after a second copy of them."""
    # Not attrs.update, which writes the file once for each attribute.
    open_root(place, "r+")["ledger"].update_attributes({RECORD: attributes})
    open_root(place, "r+", consolidated=True).update_attributes(attributes)


def has_copied_attributes(location: Location) -> bool:
    """Whether there is a second copy of the root's attributes; raises what zarr does for damage."""
    return RECORD in _attributes_of_ledger(location)


def _attributes_of_ledger(location: Location) -> Any:
    return zarr.open_group(reading(location.child("ledger")), mode="r", zarr_format=3).attrs


def copied_attributes(location: Location) -> dict[str, Any] | None:
    """The second copy of the root's attributes, for where the root's file is damaged.

    None where there is none: stores of early versions have it once they have been written again.
    """
    try:
        copied = _attributes_of_ledger(location).get(RECORD)
    except Exception as error:  # zarr raises whatever it meets
        refuse_unreadable(location, error)
        return None
    return dict(copied) if isinstance(copied, dict) else None


def restore_root(location: Location, attributes: dict[str, Any]) -> None:
    """Write the file of the root again, with these attributes."""
    file = location.child("zarr.json")
    if file.exists():
        file.remove()
    zarr.create_group(reading(location), attributes=attributes)
    try:
        consolidate(location)
    except Exception as error:  # zarr raises whatever it meets
        # An array's file is damaged too; whoever opens the store says so.
        refuse_unreadable(location, error)
