"""Folders of named entries: conf/, which ships with the program, and those that a user adds."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from pipeline.errors import UserError, did_you_mean
from pipeline.plan.axes import NAMED
from pipeline.plan.settings import Entry
from pipeline.store.location import Location

# In a wheel conf/ travels inside the package; in a checkout it stands beside it.
_HERE = Path(__file__).resolve().parent.parent
CONF = next(p for p in (_HERE / "conf", _HERE.parent / "conf") if (p / "config.yaml").is_file())
# Further folders, separated as in PATH.
ENVIRONMENT = "ASM_SWEEP_CONFIG_DIR"

# Of an axis several named entries are chosen at a time, of the others one.
GROUPS = (*NAMED, "cluster", "experiment")

Folders = Sequence[str | os.PathLike[str]]


def search_path(config_dirs: Folders = ()) -> list[Path]:
    """Where entries are looked for; the first folder that has a name decides what it is.

    Parameters
    ----------
    config_dirs
        Folders of the user's own, as `--config-dir` names them. Those of the environment variable
        ASM_SWEEP_CONFIG_DIR follow, and what ships comes last. A `config.yaml` of theirs stands
        for the one that ships, and has to be whole.

    Raises
    ------
    UserError
        For a folder that is not there.
    """
    return [*own_folders(config_dirs), *_checked(ENVIRONMENT, _environment()), CONF]


def own_folders(config_dirs: Folders) -> list[Path]:
    """The folders that `--config-dir` names, absolute; refused where they are not there."""
    return _checked("--config-dir", config_dirs)


def _environment() -> list[str]:
    return [text for text in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if text]


def _checked(name: str, folders: Folders) -> list[Path]:
    found = []
    for text in folders:
        folder = Location.of(text).folder
        if folder is None or not folder.is_dir():
            raise UserError(
                f"{name}={os.fspath(text)} is no folder: give one that has source/, operation/, "
                "selection/, cluster/ or experiment/"
            )
        found.append(folder)
    return found


def names(group: str, config_dirs: Folders = ()) -> list[str]:
    """Names of the entries of a group, sorted."""
    folders = search_path(config_dirs)
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def place_of(group: str, name: str, config_dirs: Folders = ()) -> Path:
    """The file of an entry; where it would be in conf/ if there is none."""
    places = [folder / group / f"{name}.yaml" for folder in search_path(config_dirs)]
    return next((place for place in places if place.is_file()), places[-1])


def entry(group: str, name: str, config_dirs: Folders = ()) -> Entry:
    """The entry of this name, as its file has it.

    Raises
    ------
    UserError
        Where its file cannot be read, or holds another.
    """
    return _read(group, name, place_of(group, name, config_dirs))


def description(experiment: str, config_dirs: Folders = ()) -> str:
    """The sentence that the file of an experiment begins with."""
    place = place_of("experiment", experiment, config_dirs)
    lines = place.read_text(encoding="utf-8", errors="replace").splitlines()
    comments = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    return " ".join(comments[1:]).removesuffix(".")


def kind_of(group: str, prefix: str, entry: Any, config_dirs: Folders = ()) -> str:
    """The kind that an entry says it is."""
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if kind is None:
        raise UserError(f"{prefix} lacks its kind: {', '.join(names(group, config_dirs))}")
    return str(kind)


def defaults_of(group: str, kind: str, config_dirs: Folders = ()) -> Entry:
    """Every parameter of a kind with its default: the entry that has the kind's own name.

    What ships comes first here: a user's own `uniform` changes what source=uniform is, and not
    which parameters the kind has.
    """
    known = names(group, config_dirs)
    if kind not in known:
        raise UserError(f"unknown kind of {group} {kind!r}: {did_you_mean(kind, known)}")
    shipped = CONF / group / f"{kind}.yaml"
    place = shipped if shipped.is_file() else place_of(group, kind, config_dirs)
    entry = _read(group, kind, place)
    if entry.get("kind") != kind:
        raise UserError(
            f"{kind} is no kind of {group}, but an entry of kind {entry.get('kind')}: write that"
        )
    return entry


def _read(group: str, name: str, place: Path) -> Entry:
    try:
        loaded: Any = OmegaConf.to_container(OmegaConf.load(place))
    except (OmegaConfBaseException, yaml.YAMLError, OSError, ValueError) as error:
        raise UserError(f"{place} cannot be read: {' '.join(str(error).split())}") from error
    if group in NAMED and isinstance(loaded, dict):
        loaded = loaded.get(name)
    if not isinstance(loaded, dict):
        raise UserError(f"{place} must hold an entry named {name}, with its kind")
    return loaded
