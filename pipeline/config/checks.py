"""A composed configuration -> settings: every key known, every value of its type and range."""

import dataclasses
import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import yaml

from pipeline.config import entries, notation
from pipeline.config.entries import Folders
from pipeline.config.words import refuse_renamed
from pipeline.errors import UserError, did_you_mean
from pipeline.functions import naming
from pipeline.functions.naming import TARGET
from pipeline.planning.axes import ALGORITHM, NAMED
from pipeline.planning.settings import ALL, AUTO, OF_FUNCTIONS, Entry, Settings
from pipeline.sources import finding
from pipeline.store.location import Location

MISSING = "???"
# Parameters whose default is empty and whose meaning is known: whole numbers.
COUNTS = ("workers", "threads")
LISTS_OF_COUNTS = ("quality",)
# What a configuration of before means that does not have these keys.
_LATER = {"durable": False, "storage": {}}
# The parameter of a source that says where its blocks lie.
PATH = "path"
_SECRET = re.compile(
    "secret|token|password|credential|(access|account|private|master|customer)_key|^sas|_sas|^key$",
    re.IGNORECASE,
)
_NONE = (None, "", "null")


def checked(raw: Any, config_dirs: Folders = ()) -> Settings:
    """Settings of a configuration, wherever its values are from.

    Raises
    ------
    UserError
        An unknown, missing or renamed key, or a value of the wrong type or range.
    """
    raw = {**_LATER, **raw}
    _check_keys(raw)
    named = {
        group: _entries(group, named_entries(group, raw[group]), config_dirs) for group in NAMED
    }
    settings = Settings(
        freqs=tuple(notation.integers("freqs", raw["freqs"])),
        block_size=tuple(notation.integers("block_size", raw["block_size"], minimum=2)),
        trials=_trials(raw["trials"]),
        precision=_precision(raw["precision"]),
        seed=_count("seed", raw["seed"], minimum=0),
        unit_trials=_count("unit_trials", raw["unit_trials"], minimum=1),
        store_trials=_store_trials(raw["store_trials"]),
        results=_place("results", raw["results"]),
        storage=storage(raw["storage"]),
        out=None if raw["out"] in _NONE else _place("out", raw["out"]),
        extend=notation.truth("extend", raw["extend"]),
        durable=notation.truth("durable", raw["durable"]),
        source=named["source"],
        operation=named["operation"],
        selection=named["selection"],
        algorithm=named["algorithm"],
        cluster=_cluster(raw["cluster"], config_dirs),
    )
    _check_together(settings)
    return settings


def storage(value: Any) -> dict[str, Any]:
    """Options of the client of an object store.

    Raises
    ------
    UserError
        For anything but named values; for what is secret, and would be written into the store.
    """
    if isinstance(value, str) and value.startswith("{"):
        with suppress(yaml.YAMLError):
            value = yaml.safe_load(value)
    if not isinstance(value, dict | None):
        raise UserError(f"storage must be named values, got {value!r}: as storage.region=eu-west-1")
    options = {}
    for name, option in (value or {}).items():
        if _SECRET.search(str(name)):
            raise UserError(
                f"storage.{name} is secret, and every store says with what it was made: set it in "
                "the environment, or in the files of the service"
            )
        if isinstance(option, dict | list):
            raise UserError(f"storage.{name} must be a single value, got {option!r}")
        if option not in _NONE:
            options[str(name)] = option
    return options


def named_entries(group: str, value: Any) -> dict[str, Any]:
    """Entries by name, as a file has them under the name of their group; None is none.

    Algorithms may be names alone, which are those of their kinds.
    """
    if group == ALGORITHM and isinstance(value, str | list):
        return {name: {"kind": name} for name in notation.names(group, value)}
    if not isinstance(value, dict | None):
        raise UserError(f"{group} must be named entries, got {value!r}: see conf/{group}")
    return value or {}


def _check_keys(raw: dict[str, Any]) -> None:
    # What is compared is what is asked for; the rest says how it was given.
    keys = [field.name for field in dataclasses.fields(Settings) if field.compare]
    for key in raw:
        if key == "experiment":
            raise UserError("an experiment begins with the line: # @package _global_")
        refuse_renamed(key, raw[key])
        if key not in keys:
            raise UserError(f"unknown key {key!r}: {did_you_mean(str(key), keys)}")
    for key in keys:
        if key not in raw:
            raise UserError(f"{key} is missing: give it in config.yaml or as {key}=...")


def _check_together(settings: Settings) -> None:
    if settings.extend and settings.out is None:
        raise UserError("extend=true needs the store to add to: give out=STORE")
    listed = [] if isinstance(settings.trials, str) else settings.trials
    if settings.precision is not None and len(listed) > 1:
        raise UserError(
            f"precision={settings.precision:g} runs up to one number of trials, got "
            f"{len(listed)}: give the most that may be taken, as trials=1e9"
        )


def _trials(value: Any) -> tuple[int, ...] | str:
    if value == ALL:
        return ALL
    if value in (AUTO, None, "null"):
        return AUTO
    notation.refuse_thousands("trials", value, several=True)
    try:
        return tuple(notation.integers("trials", value, minimum=1))
    except UserError as error:
        words = isinstance(value, str) and any(letter.isalpha() for letter in value)
        hint = f"; or {AUTO} or {ALL}, alone" if words else ""
        raise UserError(f"{error}{hint}") from error


def _count(key: str, value: Any, minimum: int) -> int:
    notation.refuse_thousands(key, value, several=False)
    return notation.integer(key, value, minimum)


def _precision(value: Any) -> float | None:
    if value in _NONE:
        return None
    precision = notation.number("precision", value)
    if precision <= 0:
        raise UserError(
            f"precision must be more than 0, got {value}: it is how far a 95 % interval may reach "
            "from its mean"
        )
    return precision


def _store_trials(value: Any) -> int | None:
    """How many trials are kept one by one; None means all."""
    if value in (ALL, None):
        return None
    if value == "none":
        return 0
    notation.refuse_thousands("store_trials", value, several=False)
    try:
        return notation.integer("store_trials", value)
    except UserError as error:
        raise UserError(f"store_trials must be all, none or a number: {error}") from error


def _place(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{key} must be a folder or file, got {value!r}")
    if not value:
        raise UserError(f"{key} is empty: give a folder, as {key}=results")
    # As it is written: a folder of results is that of whoever runs the sweep.
    _found_again(key, value, lambda text: str(Location.of(text)))
    return value


def _found_again(key: str, value: str, absolute: Callable[[str], str]) -> str:
    """A path that leads to the same place from any folder: as it is recorded and repeated."""
    try:
        return absolute(value)
    except UserError as error:
        raise UserError(f"{key}: {error}") from error


def _entries(group: str, named: dict[str, Entry], config_dirs: Folders) -> dict[str, Entry]:
    for name in named:
        # YAML may give a number.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", str(name)):
            raise UserError(
                f"{group} {name!r} is no name: use letters, digits, - and _, a letter first"
            )
    return {
        name: _entry(group, f"{group}.{name}", named[name], config_dirs) for name in sorted(named)
    }


def _cluster(entry: Any, config_dirs: Folders) -> Entry:
    """An entry of conf/cluster: of a kind, or with a class whose arguments are left as they are."""
    if not isinstance(entry, dict) or TARGET not in entry:
        typed = _entry("cluster", "cluster", entry, config_dirs)
        return typed | {
            key: _seconds(key, typed[key]) for key in ("timeout", "wait") if key in typed
        }
    target, given = entry[TARGET], {**entries.OF_ANY_CLUSTER, **entry}
    if not isinstance(target, str) or not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)+", target):
        raise UserError(
            f"cluster.{TARGET} must be a class or function, as distributed.LocalCluster, "
            f"got {target!r}"
        )
    for key, value in given.items():
        if value == MISSING:
            raise UserError(f"cluster.{key} is needed: add cluster.{key}=...")
    wait = _seconds("wait", given["wait"])
    return {**given, "workers": _workers(given["workers"]), "wait": wait}


def _seconds(key: str, value: Any) -> float:
    """How long a cluster may take for something."""
    seconds = notation.number(f"cluster.{key}", value)
    if seconds <= 0:
        raise UserError(f"cluster.{key} must be more than 0 seconds, got {seconds:g}")
    return seconds


def _workers(value: Any) -> int | str | None:
    """How many workers a cluster is to have: a number, 2..20 as it needs them, None as it comes."""
    if value in _NONE:
        return None
    low, dots, high = str(value).partition("..")
    if not dots:
        return notation.integer("cluster.workers", value, minimum=1)
    least = notation.integer("cluster.workers", low)
    most = notation.integer("cluster.workers", high, minimum=1)
    if most < least:
        raise UserError(f"cluster.workers={value} is empty: write the lower end first, as 2..20")
    return f"{least}..{most}"


def _entry(group: str, prefix: str, entry: Entry, config_dirs: Folders) -> Entry:
    """An entry with the keys and types that its kind has in conf/, wherever it is from."""
    if group in NAMED and isinstance(entry, dict) and TARGET in entry:
        return _own(group, prefix, entry)
    kind = entries.kind_of(group, prefix, entry, config_dirs)
    defaults = entries.defaults_of(group, kind, config_dirs)
    for key in entry:
        if key not in defaults:
            known = [f"{prefix}.{name}" for name in defaults if name != "kind"]
            raise UserError(
                f"unknown key '{prefix}.{key}': {did_you_mean(f'{prefix}.{key}', known)}"
            )
    typed: Entry = {"kind": kind}
    for key, default in defaults.items():
        if key == "kind":
            continue
        value = entry.get(key, default)
        if value in (MISSING, ""):
            raise UserError(f"{prefix}.{key} is needed: add {prefix}.{key}=...")
        typed[key] = _like(f"{prefix}.{key}", value, default)
        if group == "source" and key == PATH:
            typed[key] = _found_again(f"{prefix}.{key}", typed[key], finding.absolute)
    return typed


def _own(group: str, prefix: str, entry: Entry) -> Entry:
    """An entry that names a function of the user's own, whose parameters are left as they are."""
    target = entry[TARGET]
    if group not in OF_FUNCTIONS:
        raise UserError(
            f"{prefix}.{TARGET}: {group} has kinds alone, {', '.join(OF_FUNCTIONS)} may be a "
            f"function of your own: leave {TARGET} out"
        )
    if not naming.is_dotted(target):
        raise UserError(
            f"{prefix}.{TARGET} must be a function in a module, as my_masks.soft_max_pool, got "
            f"{target!r}"
        )
    if "kind" in entry:
        raise UserError(f"{prefix} has both kind and {TARGET}: leave one of them out")
    for key, value in entry.items():
        if not str(key).isidentifier():
            raise UserError(f"{prefix}.{key} is no name of a parameter: use letters, digits and _")
        if value == MISSING:
            raise UserError(f"{prefix}.{key} is needed: add {prefix}.{key}=...")
        if not _is_plain(value):
            raise UserError(
                f"{prefix}.{key} must be text, a number that is one, or a list or a dictionary by "
                f"text of them, got {value!r}"
            )
    if group == "source":
        quality = _list(f"{prefix}.quality", entry.get("quality", []), counts=True)
        return {**entry, "quality": quality}
    return dict(entry)


def _is_plain(value: Any) -> bool:
    """Whether a value comes back from JSON as it is, and is equal to itself."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _like(key: str, value: Any, default: Any) -> Any:
    """`value` with the type that the default in conf/ has; of an empty one, what it looks like."""
    name = key.rpartition(".")[2]
    if isinstance(default, bool):
        return notation.truth(key, value)
    if isinstance(default, float):
        return notation.number(key, value)
    if isinstance(default, list):
        return _list(key, value, counts=name in LISTS_OF_COUNTS)
    if default is None and value in (None, "null"):
        return None
    if isinstance(default, int) or (default is None and name in COUNTS):
        return notation.integer(key, value, minimum=int(key.startswith("cluster.")))
    if isinstance(default, str):
        return _text(key, value)
    return notation.inferred(key, value)


def _list(key: str, value: Any, *, counts: bool) -> list[Any]:
    if value in ([], None, "[]", "null"):
        return []
    if counts:
        return notation.integers(key, value)
    items = notation.inferred(key, value)
    if isinstance(items, str):
        items = notation.inferred(key, f"[{items}]")
    return items if isinstance(items, list) else [items]


def _text(key: str, value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UserError(f"{key} must be text, got {value!r}")
    return str(value)
