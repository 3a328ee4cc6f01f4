"""Which stores a folder has, and what is in each."""

from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.audit.status import Status, status_of
from pipeline.errors import NOT_THERE, UnreadableError, UserError, cannot
from pipeline.planning.axes import Labels
from pipeline.store import lock
from pipeline.store.damage import what_is_wrong
from pipeline.store.location import Location
from pipeline.store.store import Store


@dataclass(frozen=True)
class Listed:
    """A store of a folder; where it cannot be opened, only its name and `problem`, why."""

    name: str
    labels: Labels | None = None
    status: Status | None = None
    size: int = 0
    """Bytes."""
    when: str = ""
    """When the last run ended, or began where it has not ended."""
    problem: str = ""


def stores_in(folder: Location) -> Iterator[Listed]:
    """The stores of a folder or a URL, by name; what is none of this program's is left out.

    A store that is given as the folder is the only one.

    Raises
    ------
    UserError
        Where there is no such folder, or it cannot be read.
    """
    try:
        names = sorted(folder.names())
    except NOT_THERE as error:
        raise UserError(f"there is no folder {folder}: give one that has stores") from error
    except OSError as error:
        raise UnreadableError(cannot("read", folder, error)) from error
    if itself := _listed(folder.name, folder):
        yield itself
        return
    for name in names:
        place = folder.child(name)
        # Half of a store that is being made, or was.
        if not name.endswith(".partial") and (listed := _listed(name, place)):
            yield listed


def _listed(name: str, place: Location) -> Listed | None:
    try:
        if place.folder and not place.folder.is_dir():
            return None
        holder = lock.holder(place)
        store = Store.find(place)
        if store is None:
            problem = what_is_wrong(place)
            return Listed(name, problem=problem) if problem else None
        record, status = store.record, status_of(store, holder)
        when = record.ended or record.last_run or record.created
        return Listed(name, store.labels, status, place.size(), when)
    except UserError as error:
        return Listed(name, problem=str(error))
