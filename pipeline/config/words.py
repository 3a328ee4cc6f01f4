"""What was asked for, key by key: words of a command line, or Python values."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.config import notation
from pipeline.errors import UserError
from pipeline.functions import naming
from pipeline.functions.naming import TARGET
from pipeline.planning.axes import NAMED
from pipeline.planning.settings import OF_FUNCTIONS

# What a key was called before.
RENAMED = {"method": "algorithm"}

Words = str | Sequence[str] | Mapping[str, Any]


def gather(words: Words, values: Mapping[str, Any]) -> dict[str, Any]:
    """Every key that was given, with its value as YAML would have it: text, numbers, lists.

    Parameters
    ----------
    words
        ``["freqs=0..14", "trials=1e6"]``, the same as one string, or values.
    values
        Keys and Python values; entries as ``source={"wide": {"kind": "uniform", "low": -1}}``.

    Raises
    ------
    UserError
        For a key that is given twice or has another name now, and for a value of a type that no
        setting has.
    """
    pairs = _flat(words) if isinstance(words, Mapping) else _split(words)
    given = notation.once([*pairs, *_flat(values)])
    for key in given:
        refuse_renamed(key, given[key])
    return given


def refuse_renamed(key: str, value: Any) -> None:
    """Refuse the name that a key had before."""
    if key in RENAMED:
        raise UserError(
            f"{key} is called {RENAMED[key]} now: write {RENAMED[key]}={notation.written(value)}"
        )


def _split(words: str | Sequence[str]) -> Iterator[tuple[str, str]]:
    try:
        parts = shlex.split(words) if isinstance(words, str) else words
    except ValueError as error:
        raise UserError(f"{words!r} cannot be split into words: {error}") from error
    for part in parts:
        yield notation.split_argument(str(part))


def _flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Entries that are dictionaries become names and dotted keys, as the command line has them."""
    named = ((str(key), _by_name(str(key), each)) for key, each in values.items())
    for key, value in ((key, _plain(key, each)) for key, each in named):
        if key in NAMED and isinstance(value, dict):
            yield key, list(value)
            for name, entry in value.items():
                yield from _dotted(f"{key}.{name}", entry)
        elif key == "cluster" and isinstance(value, dict):
            # Here the kind chooses the entry; on the command line cluster=KIND does.
            if TARGET in value:
                yield key, value
                continue
            if "kind" in value:
                yield key, value.pop("kind")
            yield from _dotted(key, value)
        else:
            yield key, value


def _by_name(key: str, value: Any) -> Any:
    """Entries by name, where a function is among them; any other value is left as it is."""
    if key not in OF_FUNCTIONS:
        return value
    if isinstance(value, Mapping):
        naming.refuse_same_names(key, map(_function_in, value.values()))
        # Its own name says as little as None: an entry that is there.
        return {
            name: None if entry == name else _entry(f"{key}.{name}", entry)
            for name, entry in value.items()
        }
    items = value if isinstance(value, list | tuple) else [value]
    if not any(map(callable, items)):
        return value
    found: dict[str, Any] = {}
    for item in items:
        if callable(item):
            name, entry = naming.entry_of(key, item)
            if name in found:
                raise UserError(
                    f"{key} has two functions named {name}: name them, as "
                    f"{key}={{'one': {name}, 'other': ..., 'asm': None}}"
                )
            found[name] = entry
        else:
            found |= dict.fromkeys(notation.names(key, item))
    return found


def _function_in(entry: Any) -> Any:
    return entry.get(TARGET) if isinstance(entry, Mapping) else entry


def _entry(key: str, entry: Any) -> Any:
    """An entry, in which a function is named."""
    if callable(entry):
        return naming.entry_of(key, entry)[1]
    if isinstance(entry, Mapping) and callable(entry.get(TARGET)):
        named = naming.entry_of(key, entry[TARGET])[1]
        return {**named, **{word: each for word, each in entry.items() if word != TARGET}}
    return entry


def _dotted(prefix: str, entry: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(entry, dict):
        yield from ((f"{prefix}.{key}", value) for key, value in entry.items())
    elif entry is not None:
        yield prefix, entry


def _plain(key: str, value: Any) -> Any:
    """A Python value as YAML would have it; text is left alone, whatever is in it."""
    if isinstance(value, os.PathLike):
        return os.fsdecode(value)
    # NumPy's numbers and arrays; to import it here would cost every refusal 0.1 s.
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(f"{key}.{name}", each) for name, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(key, item) for item in value]
    # Python itself refuses to write an integer of more than 4,300 digits.
    if isinstance(value, int) and abs(value) >= 10**notation.MOST_DIGITS:
        raise UserError(f"{key} must have at most {notation.MOST_DIGITS} digits, got more")
    if value is None or isinstance(value, bool | int | float | str | range):
        return value
    raise UserError(f"{key} must be text, a number, or a list of them, got {type(value).__name__}")
