"""Command line + conf/ -> a checked Config. Hydra composes; values are read in our notation."""

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.config import notation
from pipeline.errors import UserError

# In a wheel conf/ travels inside the package; in a checkout it stands beside it.
_HERE = Path(__file__).resolve().parent.parent
CONF = next(p for p in (_HERE / "conf", _HERE.parent / "conf") if (p / "config.yaml").is_file())

# Of an axis several named entries are chosen at a time, of the others one.
AXES = ("source", "operation", "selection")
GROUPS = (*AXES, "cluster", "experiment")
MISSING = "???"
# What a YAML file that is none raises.
_UNREADABLE = (yaml.YAMLError, OSError, ValueError)
ALL = "all"
_NONE = (None, "", "null")
Entry = dict[str, Any]


@dataclasses.dataclass
class Config:
    """What one command asks for; every value has its type, cross-checks are the plan's."""

    freqs: list[int]
    block_size: list[int]
    algorithm: list[str]
    trials: list[int] | str
    precision: float | None
    seed: int
    unit_trials: int
    store_trials: int | None
    results: str
    out: str | None
    extend: bool
    source: dict[str, Entry]
    operation: dict[str, Entry]
    selection: dict[str, Entry]
    cluster: Entry

    def to_yaml(self) -> str:
        """The composed configuration, as `--cfg` prints it."""
        shown = dataclasses.asdict(self)
        shown["store_trials"] = {None: ALL, 0: "none"}.get(self.store_trials, self.store_trials)
        text: str = yaml.safe_dump(shown, sort_keys=False, default_flow_style=None)
        return text


def options(group: str) -> list[str]:
    """Names of the entries of a config group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def described(experiment: str) -> str:
    """The sentence that conf/experiment/EXPERIMENT.yaml begins with."""
    place = CONF / "experiment" / f"{experiment}.yaml"
    lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return " ".join(comments[1:]).removesuffix(".")


def load(arguments: Sequence[str]) -> Config:
    """Compose the configuration of a command line.

    Parameters
    ----------
    arguments
        ``key=value``, each key once; see `pipeline.config.notation` for the notation.

    Raises
    ------
    UserError
        Unknown key or name, key given twice, or a value of the wrong type or range.
    """
    given = notation.split_arguments(arguments)
    chosen = {group: given.pop(group) for group in GROUPS if group in given}
    raw = _compose(chosen, given)
    for key, text in given.items():
        _assign(raw, key, text)
    return _checked(raw)


def _compose(chosen: dict[str, str], given: dict[str, str]) -> dict[str, Any]:
    """The defaults of conf/ with the chosen groups, before any value is set."""
    selections = []
    made: dict[str, dict[str, Entry]] = {group: {} for group in AXES}
    for group, text in chosen.items():
        known = options(group)
        wanted = notation.names(group, text)
        if group not in AXES:
            if len(wanted) > 1:
                raise UserError(f"{group} must be one of {', '.join(known)}, got {text}")
        else:
            # A name without a file is a new entry if its kind is said: the same kind twice.
            made[group] = {
                name: _defaults_of(group, given.pop(f"{group}.{name}.kind"))
                for name in wanted
                if name not in known and f"{group}.{name}.kind" in given
            }
        for name in wanted:
            if name not in known and name not in made.get(group, {}):
                raise UserError(
                    f"unknown {group} {name!r}: {notation.did_you_mean(name, known)}"
                    + (f"; a new entry says its kind, {group}.{name}.kind=..." * (group in AXES))
                )
        filed = ",".join(name for name in wanted if name in known)
        selections.append(f"{group}=[{filed}]" if group in AXES else f"{group}={filed}")
    raw = _hydra(selections)
    for group, entries in made.items():
        composed = raw.get(group) or {}
        if not isinstance(composed, dict):
            raise UserError(f"{group} must be named entries, got {composed!r}: see conf/{group}")
        found = {**composed, **entries}
        wanted = notation.names(group, chosen[group]) if group in chosen else list(found)
        for name in wanted:
            if name not in found:
                place = CONF / group / f"{name}.yaml"
                raise UserError(f"{place} must hold an entry named {name}, with its kind")
        for name in found:
            if name not in wanted:
                raise UserError(
                    f"experiment={chosen.get('experiment')} sets {group}.{name}, which "
                    f"{group}={chosen[group]} leaves out: add {name}, or leave {group} out"
                )
        if not found:
            raise UserError(f"{group} is empty: name at least one, as {group}=NAME")
        raw[group] = {name: _with_defaults(group, name, found[name]) for name in found}
    return raw


def _with_defaults(group: str, name: str, entry: Any) -> Entry:
    """An entry, with the parameters of its kind that it leaves out."""
    return {**_defaults_of(group, _kind_of(group, f"{group}.{name}", entry)), **entry}


def _kind_of(group: str, prefix: str, entry: Any) -> str:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind is None:
        raise UserError(f"{prefix} lacks its kind: {', '.join(options(group))}")
    return str(kind)


def _hydra(selections: list[str]) -> dict[str, Any]:
    if GlobalHydra.instance().is_initialized():
        GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
            composed = compose("config", overrides=selections)
            return OmegaConf.to_container(composed, resolve=True)  # type: ignore[return-value]
    except (HydraException, OmegaConfBaseException, *_UNREADABLE) as error:
        # Hydra says that it failed; the cause says why.
        raise UserError(f"{CONF}: {' '.join(str(error.__cause__ or error).split())}") from error


def entry_of(group: str, kind: str) -> Entry:
    """The entry of conf/ that has this name; a kind is introduced by the entry of its name."""
    if kind not in options(group):
        raise UserError(
            f"unknown kind of {group} {kind!r}: {notation.did_you_mean(kind, options(group))}"
        )
    place = CONF / group / f"{kind}.yaml"
    try:
        loaded: Any = OmegaConf.to_container(OmegaConf.load(place))
    except (OmegaConfBaseException, *_UNREADABLE) as error:
        raise UserError(f"{place} cannot be read: {' '.join(str(error).split())}") from error
    if group in AXES and isinstance(loaded, dict):
        loaded = loaded.get(kind)
    if not isinstance(loaded, dict):
        raise UserError(f"{place} must hold an entry named {kind}, with its kind")
    entry: Entry = loaded
    return entry


def _defaults_of(group: str, kind: str) -> Entry:
    """The entry that introduces a kind: that of its name."""
    entry = entry_of(group, kind)
    if entry.get("kind") != kind:
        raise UserError(
            f"{kind} is no kind of {group}, but an entry of kind {entry.get('kind')}: write that"
        )
    return entry


def _assign(raw: dict[str, Any], key: str, text: str) -> None:
    """Set one dotted key that the configuration already has."""
    *parents, leaf = key.split(".")
    holder = raw
    for parent in parents:
        holder = holder.get(parent) if isinstance(holder, dict) else None  # type: ignore
    if not isinstance(holder, dict) or leaf not in holder or isinstance(holder[leaf], dict):
        raise UserError(_unknown_key(raw, key))
    if leaf == "kind":
        raise UserError(f"{key} cannot be changed: choose another entry, or name a new one")
    holder[leaf] = text


def _unknown_key(raw: dict[str, Any], key: str) -> str:
    group, _, rest = key.partition(".")
    name = rest.partition(".")[0]
    if group in AXES and name and name not in raw[group]:
        if name in options(group):
            have = ",".join([*raw[group], name])
            return f"{key} is given, but {name} is not among the {group}s: add {group}={have}"
        if rest.endswith(".kind"):
            return f"{key} is given, but {name} is not among the {group}s: add {group}={name}"
        return f"unknown {group} {name!r} in {key}: {notation.did_you_mean(name, options(group))}"
    return f"unknown key {key!r}: {notation.did_you_mean(key, _leaves(raw))}"


def _leaves(raw: dict[str, Any], prefix: str = "") -> list[str]:
    keys = [] if prefix else list(GROUPS)
    for key, value in raw.items():
        keys += _leaves(value, f"{prefix}{key}.") if isinstance(value, dict) else [prefix + key]
    return [key for key in keys if not key.endswith(".kind")]


def _like(key: str, value: Any, default: Any) -> Any:
    """`value` with the type that the default in conf/ has."""
    if isinstance(default, bool):
        return notation.truth(key, value)
    if isinstance(default, float):
        return notation.number(key, value)
    if isinstance(default, list):
        return notation.integers(key, value) if value not in ([], None, "[]", "null") else []
    if default is None and value in (None, "null"):
        return None
    if isinstance(default, int) or default is None:
        return notation.integer(key, value, minimum=int(key.startswith("cluster.")))
    return str(value)


def _checked(raw: dict[str, Any]) -> Config:
    fields = [field.name for field in dataclasses.fields(Config)]
    for key in raw:
        if key == "experiment":
            raise UserError("an experiment begins with the line: # @package _global_")
        if key not in fields:
            raise UserError(f"unknown key {key!r}: {notation.did_you_mean(key, fields)}")
    for key in fields:
        if key not in raw:
            raise UserError(f"{key} is missing: give it in config.yaml or as {key}=...")
    for key in ("results", "out"):
        if not isinstance(raw[key], str) and (key, raw[key]) != ("out", None):
            raise UserError(f"{key} must be a folder or file, got {raw[key]!r}")
    trials = raw["trials"]
    config = Config(
        freqs=notation.integers("freqs", raw["freqs"]),
        block_size=notation.integers("block_size", raw["block_size"], minimum=2),
        algorithm=notation.names("algorithm", raw["algorithm"]),
        trials=ALL if trials == ALL else notation.integers("trials", trials, minimum=1),
        precision=None if raw["precision"] in _NONE else _precision(raw["precision"]),
        seed=notation.integer("seed", raw["seed"]),
        unit_trials=notation.integer("unit_trials", raw["unit_trials"], minimum=1),
        store_trials=_store_trials(raw["store_trials"]),
        results=str(raw["results"]),
        out=None if raw["out"] in _NONE else str(raw["out"]),
        extend=notation.truth("extend", raw["extend"]),
        source=_entries("source", raw["source"]),
        operation=_entries("operation", raw["operation"]),
        selection=_entries("selection", raw["selection"]),
        cluster=_typed("cluster", "cluster", raw["cluster"]),
    )
    if not config.results:
        raise UserError("results is empty: give a folder, as results=results")
    if config.extend and config.out is None:
        raise UserError("extend=true needs the store to add to: give out=STORE")
    if config.precision is not None and len(config.trials) > 1 and config.trials != ALL:
        raise UserError(
            f"precision={config.precision:g} runs up to one number of trials, got "
            f"{len(config.trials)}: give the most that may be taken, as trials=1e9"
        )
    return config


def _precision(value: Any) -> float:
    precision = notation.number("precision", value)
    if precision <= 0:
        raise UserError(
            f"precision must be more than 0, got {value}: it is half the width of the 95 % interval"
        )
    return precision


def _store_trials(value: Any) -> int | None:
    """How many trials are kept one by one; None means all."""
    if value in (ALL, None):
        return None
    if value == "none":
        return 0
    try:
        return notation.integer("store_trials", value)
    except UserError as error:
        raise UserError(f"store_trials must be all, none or a number: {error}") from error


def recorded(text: str) -> Config:
    """A configuration as `Config.to_yaml` wrote it.

    Raises
    ------
    UserError
        Where this version of the program does not know it any more.
    """
    return _checked(yaml.safe_load(text))


def _entries(group: str, entries: dict[str, Entry]) -> dict[str, Entry]:
    for name in entries:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            raise UserError(
                f"{group} {name!r} is no name: use letters, digits, - and _, a letter first"
            )
    return {name: _typed(group, f"{group}.{name}", entries[name]) for name in sorted(entries)}


def _typed(group: str, prefix: str, entry: Entry) -> Entry:
    """An entry with the keys and types of the one of its kind in conf/, wherever it is from."""
    kind = _kind_of(group, prefix, entry)
    defaults = _defaults_of(group, kind)
    for key in entry:
        if key not in defaults:
            known = [f"{prefix}.{name}" for name in defaults if name != "kind"]
            raise UserError(
                f"unknown key '{prefix}.{key}': {notation.did_you_mean(f'{prefix}.{key}', known)}"
            )
    typed: Entry = {"kind": kind}
    for key, default in defaults.items():
        if key == "kind":
            continue
        value = entry.get(key, default)
        if value in (MISSING, ""):
            raise UserError(f"{prefix}.{key} is needed: add {prefix}.{key}=...")
        typed[key] = _like(f"{prefix}.{key}", value, default)
    return typed
