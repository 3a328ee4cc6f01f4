"""Command line or Python values + conf/ -> checked settings. Hydra composes; `checks` types."""

import dataclasses
import functools
import json
import operator
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra.core.plugins import Plugins
from hydra.core.utils import setup_globals
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from pipeline.config import checks, entries, notation
from pipeline.config.entries import GROUPS, Folders
from pipeline.config.words import Words, gather
from pipeline.errors import UserError, did_you_mean
from pipeline.functions import naming
from pipeline.functions.naming import TARGET
from pipeline.planning.axes import ALGORITHM, NAMED
from pipeline.planning.settings import OF_FUNCTIONS, Entry, Settings

# Hydra's plugins and its parser's tables are made at first use, and threads would make them twice.
_ONE_AT_A_TIME = threading.Lock()

# Where the store of recorded settings is, is for whoever reads them to say.
_NOWHERE: dict[str, Any] = {"results": "results", "out": None, "extend": False, "storage": {}}
Names = dict[str, list[str]]


def load(
    words: Words = (), *, values: Mapping[str, Any] | None = None, config_dirs: Folders = ()
) -> Settings:
    """Compose the settings of a command line, or of Python values.

    Parameters
    ----------
    words
        ``key=value``, each key once, as a sequence or as one string; `pipeline.config.notation` has
        the notation. A mapping is taken as `values`.
    values
        Keys and Python values: ``{"freqs": range(15), "algorithm": ["asm", "apx"]}``.
    config_dirs
        The user's own folders of entries; their names come before those that ship.

    Raises
    ------
    UserError
        Unknown key or name, key given twice, or a value of the wrong type or range.
    """
    # Absolute, as they are recorded: a store is run again from any folder.
    folders = tuple(str(folder) for folder in entries.own_folders(config_dirs))
    given = gather(words, values or {})
    own_cluster = _cluster_of(given.get("cluster"))
    chosen = {
        group: notation.names(group, given[group])
        for group in GROUPS
        if group in given and not (group == "cluster" and own_cluster)
    }
    made = _new_entries(chosen, given, folders)
    for group, names in chosen.items():
        _check_names(group, names, made, folders)
    raw = _hydra(_overrides(chosen, made), folders)
    raw[ALGORITHM] = _algorithms(raw.get(ALGORITHM), chosen, made, folders)
    for group in NAMED:
        composed = {**checks.named_entries(group, raw.get(group)), **made.get(group, {})}
        _check_composed(group, composed, chosen, folders)
        raw[group] = {
            name: _with_defaults(group, f"{group}.{name}", entry, folders)
            for name, entry in composed.items()
        }
    raw["cluster"] = _whole_cluster(own_cluster or raw.get("cluster"), folders)
    for key, value in given.items():
        if key not in chosen and not (key == "cluster" and own_cluster):
            _assign(raw, key, value, folders)
    settings = checks.checked(raw, folders)
    if any(TARGET in entry for group in OF_FUNCTIONS for entry in raw[group].values()):
        naming.search_in(entries.of_modules(folders))
    return dataclasses.replace(
        settings,
        given=_written(given, chosen, raw, settings),
        config_dirs=folders,
    )


def recorded(text: str, *, config_dirs: Folders = ()) -> Settings:
    """Settings as `Settings.to_yaml` wrote them, but for the place of their store.

    What was given for them is not known.

    Raises
    ------
    UserError
        Where this version of the program does not know them any more, or they are damaged.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(f"settings cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise UserError(f"settings must be keys and values, got {text[:40]!r}")
    # Where the store was is nothing that a computation depends on.
    return checks.checked({**raw, **_NOWHERE}, config_dirs)


def _new_entries(
    chosen: Names, given: dict[str, Any], config_dirs: Folders
) -> dict[str, dict[str, Entry]]:
    """Entries without a file, whose kind or function is said on the command line."""
    made: dict[str, dict[str, Entry]] = {}
    for group in NAMED:
        known = entries.names(group, config_dirs) if group in chosen else []
        for name in chosen.get(group, []):
            kind, target = (given.get(f"{group}.{name}.{key}") for key in ("kind", TARGET))
            if name in known and target is not None:
                raise UserError(
                    f"{group}={name} is an entry already: give the function another name, as "
                    f"{group}=mine {group}.mine.{TARGET}={target}, or in Python "
                    f"{group}={{'mine': {target.rpartition('.')[2]}}}"
                )
            if name not in known and (kind is not None or target is not None):
                entry = (
                    entries.defaults_of(group, str(kind), config_dirs)
                    if target is None
                    else {TARGET: target}
                )
                made.setdefault(group, {})[name] = entry
    return made


def _check_names(
    group: str, names: list[str], made: dict[str, dict[str, Entry]], config_dirs: Folders
) -> None:
    known = entries.names(group, config_dirs)
    if group not in NAMED and len(names) > 1:
        raise UserError(f"{group} must be one of {', '.join(known)}, got {','.join(names)}")
    for name in names:
        if name not in known and name not in made.get(group, {}):
            raise UserError(
                f"unknown {group} {name!r}: {did_you_mean(name, known)}"
                + (f"; a new entry says its kind, {group}.{name}.kind=..." * (group in NAMED))
                + (f", or {group}.{name}.{TARGET}=MODULE.FUNCTION" * (group in OF_FUNCTIONS))
                + "; files of your own are found by --config-dir" * (group in NAMED)
            )


def _overrides(chosen: Names, made: dict[str, dict[str, Entry]]) -> list[str]:
    """The chosen entries that have files, as Hydra's own words: quoted, as files may be named."""
    overrides = []
    for group, names in chosen.items():
        if group == ALGORITHM:
            continue
        filed = ",".join(f"'{name}'" for name in names if name not in made.get(group, {}))
        overrides.append(f"{group}=[{filed}]" if group in NAMED else f"{group}={filed}")
    return overrides


def _hydra(overrides: list[str], config_dirs: Folders) -> dict[str, Any]:
    """What Hydra composes of config.yaml and the entries chosen."""
    folders = entries.search_path(config_dirs)
    try:
        composed = _load_configuration(folders, overrides)
        with open_dict(composed):
            del composed["hydra"]
        return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, OSError, ValueError) as error:
        # Hydra says that it failed; the cause says why.
        reason = " ".join(str(error.__cause__ or error).split())
        raise UserError(f"{', '.join(map(str, folders))}: {reason}") from error


def _load_configuration(folders: list[Path], overrides: list[str]) -> DictConfig:
    """The configuration, by a loader of this call's own.

    `hydra.compose` asks for the one Hydra of the process, which may be the caller's; all else that
    it does is to call this loader.
    """
    with _ONE_AT_A_TIME:
        Plugins.instance()
        if not OmegaConf.has_resolver("now"):
            setup_globals()
        path = ConfigSearchPathImpl()
        path.append("hydra", "pkg://hydra.conf")
        for folder in folders:
            path.append("main", str(folder))
        path.append("schema", "structured://")
        return ConfigLoaderImpl(path).load_configuration(
            "config", overrides, run_mode=RunMode.RUN, from_shell=False
        )


def _algorithms(
    value: Any, chosen: Names, made: dict[str, dict[str, Entry]], config_dirs: Folders
) -> dict[str, Entry]:
    """Entries of the algorithms that are chosen, or that an experiment names.

    An experiment says `algorithm: asm,apx`, without a list of defaults: Hydra composes none of it.
    """
    said = value if isinstance(value, dict) else {}
    names = chosen.get(ALGORITHM) or list(said) or notation.names(ALGORITHM, value)
    filed = [name for name in names if name not in made.get(ALGORITHM, {}) and not said.get(name)]
    _check_names(ALGORITHM, filed, {}, config_dirs)
    found = {name: entries.entry(ALGORITHM, name, config_dirs) for name in filed}
    return {name: found.get(name) or said.get(name, {}) for name in names}


def _check_composed(
    group: str, composed: dict[str, Any], chosen: Names, config_dirs: Folders
) -> None:
    """Refuse entries that are not those chosen: a file may hold others, an experiment add some."""
    wanted = chosen.get(group, list(composed))
    for name in wanted:
        if name not in composed:
            place = entries.place_of(group, name, config_dirs)
            raise UserError(f"{place} must hold an entry named {name}, with its kind")
    for name in composed:
        if name not in wanted:
            experiment = ",".join(chosen.get("experiment", ["none"]))
            raise UserError(
                f"experiment={experiment} sets {group}.{name}, which "
                f"{group}={','.join(wanted)} leaves out: add {name}, or leave {group} out"
            )
    if not composed:
        raise UserError(f"{group} is empty: name at least one, as {group}=NAME")


def _with_defaults(group: str, prefix: str, entry: Any, config_dirs: Folders) -> Entry:
    """An entry, with the parameters of its kind that it leaves out."""
    if isinstance(entry, dict) and TARGET in entry:
        return dict(entry)
    kind = entries.kind_of(group, prefix, entry, config_dirs)
    return {**entries.defaults_of(group, kind, config_dirs), **entry}


def _cluster_of(given: Any) -> Entry | None:
    """A whole entry of conf/cluster, given as a dictionary or as JSON, and not by its name."""
    entry = given
    if isinstance(given, str) and given.startswith("{"):
        try:
            entry = json.loads(given)
        except ValueError as error:
            raise UserError(f"cluster={given} is no JSON: {error}") from error
    if not isinstance(entry, dict):
        return None
    if TARGET not in entry:
        raise UserError(f"cluster={given} needs {TARGET}, the class of Dask cluster")
    return entry


def _whole_cluster(entry: Any, config_dirs: Folders) -> Entry:
    """An entry of conf/cluster, with what it leaves out."""
    if isinstance(entry, dict) and TARGET in entry:
        return {**entries.OF_ANY_CLUSTER, **entry}
    return _with_defaults("cluster", "cluster", entry, config_dirs)


def _assign(raw: dict[str, Any], key: str, value: Any, config_dirs: Folders) -> None:
    """Set one dotted key that the configuration already has."""
    *parents, leaf = key.split(".")
    if key == "storage":
        raw[key] = value
        return
    if parents == ["storage"]:
        # Which options there are, the client of the service says.
        raw["storage"] = {**(raw["storage"] or {}), leaf: value}
        return
    holder: Any = raw
    # Which arguments a class of clusters has, it says itself.
    is_argument = parents[:1] == ["cluster"] and TARGET in raw["cluster"]
    for parent in parents:
        if is_argument and isinstance(holder, dict):
            holder.setdefault(parent, {})
        holder = holder.get(parent) if isinstance(holder, dict) else None
    if is_argument and isinstance(holder, dict):
        is_ours = len(parents) == 1 and leaf in entries.OF_ANY_CLUSTER
        holder[leaf] = value if is_ours else notation.inferred(key, value)
        return
    if len(parents) == 2 and isinstance(holder, dict) and TARGET in holder:
        # Which parameters a function has, it says itself.
        is_ours = leaf in (TARGET, "kind", "quality")
        holder[leaf] = value if is_ours else notation.inferred(key, value)
        return
    if not isinstance(holder, dict) or leaf not in holder or isinstance(holder[leaf], dict):
        raise UserError(_unknown_key(raw, key, config_dirs))
    if leaf == "kind" and str(value) != str(holder[leaf]):
        raise UserError(f"{key} cannot be changed: choose another entry, or name a new one")
    holder[leaf] = value


def _unknown_key(raw: dict[str, Any], key: str, config_dirs: Folders) -> str:
    group, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    if group in NAMED and name and name not in raw[group]:
        known = entries.names(group, config_dirs)
        if name in known:
            have = ",".join([*raw[group], name])
            return f"{key} is given, but {name} is not among the {group}s: add {group}={have}"
        if rest.endswith(".kind"):
            return f"{key} is given, but {name} is not among the {group}s: add {group}={name}"
        return f"unknown {group} {name!r} in {key}: {did_you_mean(name, known)}"
    return f"unknown key {key!r}: {did_you_mean(key, _leaves(raw))}"


def _leaves(raw: dict[str, Any], prefix: str = "") -> list[str]:
    keys = [] if prefix else list(GROUPS)
    for key, value in raw.items():
        place = f"{prefix}{key}"
        keys += _leaves(value, f"{place}.") if isinstance(value, dict) else [place]
    return [key for key in keys if not key.endswith(".kind")]


def _written(
    given: dict[str, Any], chosen: Names, raw: dict[str, Any], settings: Settings
) -> dict[str, str]:
    """The values that were given, as they were understood, in the notation of the command line."""
    composed = {**settings.as_dict(), ALGORITHM: settings.algorithm}
    understood = {}
    for key in given:
        if key in chosen:
            understood[key] = ",".join(chosen[key])
        else:
            value = functools.reduce(operator.getitem, key.split("."), composed)
            understood[key] = notation.written(value, brackets="." in key)
    for name, entry in settings.source.items():
        # A file of entries may have a path that only this folder leads to.
        if raw["source"][name].get(checks.PATH) != entry.get(checks.PATH):
            understood[f"source.{name}.{checks.PATH}"] = entry[checks.PATH]
    return understood
