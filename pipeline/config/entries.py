"""Folders of named entries: conf/, which ships with the program, and those that a user adds."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from pipeline.errors import UserError, did_you_mean
from pipeline.planning.axes import NAMED
from pipeline.planning.settings import Entry
from pipeline.store.location import Location

# In a wheel conf/ travels inside the package; in a checkout it stands beside it.
_HERE = Path(__file__).resolve().parent.parent
CONF = next(p for p in (_HERE / "conf", _HERE.parent / "conf") if (p / "config.yaml").is_file())
# Further folders, separated as in PATH.
ENVIRONMENT = "ASM_SWEEP_CONFIG_DIR"

# Of an axis several named entries are chosen at a time, of the others one.
GROUPS = (*NAMED, "cluster", "experiment")

# What an entry with a `_target_` may say beside the arguments of what it names, which are passed.
OF_ANY_CLUSTER: dict[str, Any] = {"workers": None, "wait": 60.0}

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


def of_modules(config_dirs: Folders) -> list[Path]:
    """Where modules of functions are looked for: in the user's folders, and beside them.

    Whoever reads entries refuses a folder that is not there.
    """
    own = [Path(os.path.abspath(folder)) for folder in (*config_dirs, *_environment())]
    return [*own, *(folder.parent for folder in own)]


def _environment() -> list[str]:
    return [text for text in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if text]


def _checked(name: str, folders: Folders) -> list[Path]:
    found = []
    for text in folders:
        folder = Location.of(text).folder
        if folder is None or not folder.is_dir():
            raise UserError(
                f"{name}={os.fspath(text)} is no folder: give one that has source/, operation/, "
                "selection/, algorithm/, cluster/ or experiment/"
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
    return _read(group, name, place_of(group, name, config_dirs), _composed)


def as_written(group: str, name: str, config_dirs: Folders = ()) -> Entry:
    """The entry of this name with its values as text, as its file has them: to be shown.

    Raises
    ------
    UserError
        As `entry`.
    """
    return _read(group, name, place_of(group, name, config_dirs), _as_text)


def description(experiment: str, config_dirs: Folders = ()) -> str:
    """The sentence that the file of an experiment begins with."""
    lines = _lines(place_of("experiment", experiment, config_dirs))
    return _sentences(line for line in lines[1:] if line.startswith("#"))


def keys(config_dirs: Folders = ()) -> Iterator[tuple[str, Any, str]]:
    """Keys of a sweep in the order of `config.yaml`: name, default as it is written, meaning.

    Of a group the default is what Hydra's list of defaults names. The meaning is the comment right
    before a key, or nothing.

    Raises
    ------
    UserError
        Where the file cannot be read.
    """
    places = [folder / "config.yaml" for folder in search_path(config_dirs)]
    place = next(place for place in places if place.is_file())
    written = _loaded(place, _as_text)
    if not isinstance(written, dict):
        raise UserError(f"{place} must hold keys and values")
    for chosen in written.pop("defaults", []):
        if isinstance(chosen, dict):
            yield from ((group, names, "") for group, names in chosen.items())
    lines = _lines(place)
    for key, value in written.items():
        end = next((i for i, line in enumerate(lines) if line.startswith(f"{key}:")), 0)
        start = end
        while start and lines[start - 1].startswith("#"):
            start -= 1
        yield key, value, _sentences(lines[start:end])


def _lines(place: Path) -> list[str]:
    return place.read_text(encoding="utf-8", errors="replace").splitlines()


def _sentences(comments: Iterable[str]) -> str:
    return " ".join(line.removeprefix("#").strip() for line in comments).removesuffix(".")


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
    entry = _read(group, kind, place, _composed)
    if entry.get("kind") != kind:
        raise UserError(
            f"{kind} is no kind of {group}, but an entry of kind {entry.get('kind')}: write that"
        )
    return entry


def _read(group: str, name: str, place: Path, load: Callable[[Path], Any]) -> Entry:
    loaded = _loaded(place, load)
    if group in NAMED and isinstance(loaded, dict):
        loaded = loaded.get(name)
    if not isinstance(loaded, dict):
        raise UserError(f"{place} must hold an entry named {name}, with its kind")
    return loaded


def _loaded(place: Path, load: Callable[[Path], Any]) -> Any:
    try:
        return load(place)
    except (yaml.YAMLError, OSError, ValueError) as error:
        raise UserError(f"{place} cannot be read: {' '.join(str(error).split())}") from error


def _composed(place: Path) -> Any:
    # OmegaConf takes as long to import as all else that --help needs.
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.to_container(OmegaConf.load(place))
    except OmegaConfBaseException as error:
        raise ValueError(str(error)) from error


def _as_text(place: Path) -> Any:
    return yaml.load(place.read_text(encoding="utf-8"), yaml.BaseLoader)
