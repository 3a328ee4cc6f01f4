"""Parsing the words of a command line, once, into what they ask of a verb."""

import errno
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.cli.declaration import FOLDER, OPTIONAL_STORE, Request, Verb
from pipeline.config import entries, notation
from pipeline.errors import UserError, cannot, did_you_mean
from pipeline.functions import naming

if TYPE_CHECKING:
    from pipeline.planning.settings import Settings
    from pipeline.store.location import Location


def parse(verb: Verb, words: Sequence[str], config_dirs: Sequence[str] = ()) -> Request:
    """What the words after a verb ask of it.

    Raises
    ------
    UserError
        Where a word is not `key=value`, a key is unknown or given twice, its value cannot be read,
        or there is not exactly one store to take.
    """
    places = [word for word in words if verb.places and _names_a_place(word)]
    given = notation.split_arguments(word for word in words if word not in places)
    names = [key.name for key in verb.keys]
    sweep_keys = {key: value for key, value in given.items() if key not in names}
    for key, value in sweep_keys.items():
        _check_taken(verb, key, value)
    if verb.sweep_keys != "all" or verb.places:
        sweep_keys = _without_storage(sweep_keys)
    own = _own_values(verb, given)
    if places and verb.places is FOLDER and "results" in given:
        raise UserError(f"{verb.name} lists one folder: give {places[0]} or results=, not both")
    # A store may have been made with functions of modules that lie there.
    naming.search_in(entries.of_modules(config_dirs))
    return Request(
        own=own,
        sweep_keys=sweep_keys,
        config_dirs=tuple(config_dirs),
        places=_places(verb, places, own),
        place_is_given=bool(places),
    )


def _without_storage(keys: dict[str, str]) -> dict[str, str]:
    """The keys without `storage.NAME`, which are for the client of an object store."""
    of_storage = {key: value for key, value in keys.items() if key.startswith("storage")}
    if of_storage:
        from pipeline.config import checks
        from pipeline.store import services

        options = {key.partition(".")[2]: value for key, value in of_storage.items()}
        services.configure(checks.storage(options if "" not in options else options[""]))
    return {key: value for key, value in keys.items() if key not in of_storage}


def _names_a_place(word: str) -> bool:
    """Whether a word is a path or URL: also one with a =, if it is there or no key begins so."""
    key, equals, _ = word.partition("=")
    return not equals or "/" in key or os.path.exists(word)


def _check_taken(verb: Verb, key: str, value: str) -> None:
    if verb.takes(key):
        return
    names = [each.name for each in verb.keys]
    if verb.refusal:
        taken = ", ".join([*names, *verb.sweep_keys])
        raise UserError(verb.refusal.format(key=key, value=value, taken=taken))
    known = [*names, *verb.sweep_keys]
    remedy = did_you_mean(key, known) if known else f"{verb.name} takes no key"
    raise UserError(f"unknown key {key!r}: {remedy}")


def _own_values(verb: Verb, given: dict[str, str]) -> dict[str, Any]:
    own = {}
    for key in verb.keys:
        value = given.get(key.name, key.default)
        own[key.name] = None if value is None else key.read(key.name, value)
    return own


def check_needed(verb: Verb, request: Request) -> None:
    """Refuse a command line without a key that its verb needs."""
    for key in verb.keys:
        if key.needed and not request.own[key.name]:
            raise UserError(f"{verb.name} needs {key.help}: give {key.written}")


def _places(verb: Verb, given: Sequence[str], own: dict[str, Any]) -> "tuple[Location, ...]":
    """The stores, or the folder, that a verb is about."""
    if verb.places is None:
        return ()
    least, most = verb.places.least, verb.places.most
    if not least <= len(given) <= most:
        what = "folder" if verb.places is FOLDER else "store"
        wanted = f"{verb.name} takes {verb.places.written}" if least else f"one {what} at a time"
        raise UserError(f"{wanted}, got {len(given)}{': ' * bool(given)}{' '.join(given)}")
    from pipeline.store import recent
    from pipeline.store.location import Location

    if not given and verb.places is OPTIONAL_STORE:
        return ()
    if not given and verb.places is not FOLDER:
        return (recent.last_used(own["results"]),)
    locations = tuple(map(Location.of, given or [own["results"]]))
    for location in locations:
        location.check_openable()
    return locations


def load(words: Sequence[str], config_dirs: Sequence[str] = ()) -> "Settings":
    """The checked settings of `key=value` words."""
    # Here, because it imports Hydra, a third of a second that `--help` does not need.
    from pipeline.config import compose
    from pipeline.store import services

    settings = compose.load(words, config_dirs=config_dirs)
    services.configure(settings.storage)
    return settings


def path_of(key: str, text: str) -> str:
    """The place of pictures and pages on this machine, as it was written where that is a path."""
    from pipeline.store.location import Location

    folder = Location.of(text).folder
    if folder is None:
        raise UserError(f"{key}={text} is a URL: pictures and pages are written to a disk only")
    path = str(folder) if "://" in text else os.path.expanduser(text)
    _check_writable(path)
    return path


def _check_writable(path: str) -> None:
    """Refuse a place that cannot be written, before anything is computed for it."""
    above = os.path.dirname(os.path.abspath(path))
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    number = errno.EACCES if os.path.isdir(above) else errno.ENOTDIR
    if number == errno.ENOTDIR or not os.access(above, os.W_OK | os.X_OK):
        error = OSError(number, os.strerror(number))
        raise UserError(cannot("write", path, error, "choose another to=..."))
