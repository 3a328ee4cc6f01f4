"""Which files the path of a source stands for: a file, a folder, a glob, or a package's file."""

import fnmatch
import glob
import importlib.util
import os
import stat
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pipeline.errors import UnreadableError, cannot, count_of
from pipeline.store.location import Location

# A file that an installed package ships: pkg://PACKAGE/path/inside/it.
_PACKAGE = "pkg://"
# Among endings, what a folder inside a folder is counted as.
_FOLDER = "folder"
# In a glob, any folders, or none.
_ANY_FOLDERS = "**"


def absolute(path: str) -> str:
    """A path of conf/ as it is found again from any folder: absolute, a URL, or in a package."""
    return path if path.startswith(_PACKAGE) else str(Location.of(path))


def find(path: str, suffixes: tuple[str, ...], recursive: bool) -> tuple[list[str], list[str]]:
    """The files that a path of conf/ stands for, absolute and sorted, at least one; and notes.

    Parameters
    ----------
    path
        A file, a folder, a glob, or one of them inside an installed package.
    suffixes
        Which files of a folder are meant.
    recursive
        Whether the folders inside a folder are searched too.

    Raises
    ------
    ValueError
        Where there is no file, or the system does not let anybody look.
    """
    root, notes = _root(path), []
    known = _certain(root)
    if root.is_dir():
        files, passed = _in_folder(root, suffixes, recursive)
        if not files:
            raise ValueError(_no_image(path, suffixes, passed))
        if passed:
            notes.append(f"{path}: passed over {_counted(passed)}")
    elif root.is_file():
        files = [str(root)]
    elif recursive and glob.has_magic(str(root)):
        raise ValueError(
            f"{path} is a glob, and recursive=true is for a folder: write ** for any folders"
        )
    else:
        matched = _matched(known, root)
        files = [each for each in matched if _is_file(each)]
        if not files:
            if matched:
                raise ValueError(f"{path} matches only folders: write /* behind it, or give one")
            raise ValueError(f"{path} matches no file: give an image, a folder or a glob")
    # By the parts of a path and not its letters: what is in a folder stays together.
    return sorted(_resolved(files), key=lambda file: file.split(os.sep)), notes


def _resolved(files: Iterable[str]) -> set[str]:
    """Absolute paths without links; a set, since several links may lead to one file."""
    # Of a hundred thousand files, resolving each folder of each took seconds.
    folders: dict[str, str] = {}
    found = set()
    for file in files:
        folder, name = os.path.split(file)
        if name in ("", ".", "..") or os.path.islink(file):
            found.add(os.path.realpath(file))
            continue
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        found.add(os.path.join(folders[folder], name))
    return found


def _is_file(path: str) -> bool:
    """Whether a path leads to a file; a link that leads nowhere is refused."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError as error:
        _refuse_broken(path, error)
    except OSError:
        # As of a link that leads to itself.
        pass
    return False


def _certain(path: Path) -> Path:
    """As much of a path as is there, of which a glob is the rest.

    Raises
    ------
    UserError
        Where the system does not tell.
    """
    return next(each for each in (path, *path.parents) if Location(str(each)).exists())


def _matched(known: Path, pattern: Path) -> list[str]:
    """What a glob matches, each file and folder at one of the paths that lead to it at least.

    `known` is the beginning of the pattern that is there, and is meant as it is written.  This is
    not `glob.glob`, which never ends where two links lead upwards, passes over folders that it may
    not list, and takes the brackets of a folder's name for a choice of letters.
    """
    parts = pattern.parts[len(known.parts) :]
    paths = [str(known)]
    for place, part in enumerate(parts):
        last = place == len(parts) - 1
        if part == _ANY_FOLDERS:
            paths = _with_folders_inside(paths)
            if not last:
                continue
        if glob.has_magic(part):
            paths = [
                os.path.join(folder, name)
                for folder in _folders(paths)
                for name in fnmatch.filter(_names(folder), part)
                if name[0] != "." or part[0] == "."
            ]
        else:
            paths = [os.path.join(folder, part) for folder in _folders(paths)]
            paths = [path for path in paths if os.path.lexists(path)]
    return paths


def _folders(paths: Iterable[str]) -> list[str]:
    """Those of some paths that lead to folders, one path of each: what matches inside is alike."""
    return list({os.path.realpath(path): path for path in paths if os.path.isdir(path)}.values())


def _with_folders_inside(paths: Iterable[str]) -> list[str]:
    """Folders, and all folders inside them whose names do not begin with a dot, each once."""
    folders = _folders(paths)
    known = {os.path.realpath(folder) for folder in folders}
    for folder in folders:
        for name in _names(folder):
            path = os.path.join(folder, name)
            if name[0] != "." and os.path.isdir(path) and os.path.realpath(path) not in known:
                known.add(os.path.realpath(path))
                folders.append(path)
    return folders


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise UnreadableError(cannot("read", folder, error)) from error


def _refuse_broken(path: str, error: FileNotFoundError) -> None:
    """Refuse a link that leads nowhere, as those to pictures that were not fetched yet."""
    raise ValueError(
        f"{path} is a link to {os.readlink(path)}, which is not there: fetch it, or remove the link"
    ) from error


def _in_folder(
    root: Path, suffixes: tuple[str, ...], recursive: bool
) -> tuple[list[str], Counter[str]]:
    """The files in a folder that end as wanted, and how many others there are, by ending.

    Whatever begins with a dot is left out: such files are no images, though they may end as if.
    """
    files, passed = list[str](), Counter[str]()
    folders, known = [str(root)], {os.path.realpath(root)}
    for folder in folders:
        try:
            with os.scandir(folder) as listed:
                entries = sorted(
                    (each for each in listed if not each.name.startswith(".")),
                    key=lambda each: each.name,
                )
        except OSError as error:
            raise UnreadableError(cannot("read", folder, error)) from error
        for entry in entries:
            ending = Path(entry.name).suffix.lower()
            # Of a link that leads round, an entry would raise.
            if os.path.isdir(entry.path) if entry.is_symlink() else entry.is_dir():
                # Two links may lead to one folder, or to one that they are in.
                if recursive and os.path.realpath(entry.path) not in known:
                    known.add(os.path.realpath(entry.path))
                    folders.append(entry.path)
                elif not recursive:
                    passed[_FOLDER] += 1
            elif ending in suffixes:
                if entry.is_symlink():
                    _is_file(entry.path)
                files.append(entry.path)
            else:
                passed[ending or "without ending"] += 1
    return files, passed


def _no_image(path: str, suffixes: tuple[str, ...], passed: Counter[str]) -> str:
    """Why a folder is refused."""
    if set(passed) == {_FOLDER}:
        return (
            f"{path} holds only {count_of(passed[_FOLDER], 'folder')}: give one, or search them "
            "all with its recursive=true"
        )
    held = f" but {_counted(passed)}" if passed else ""
    hint = "; recursive=true searches its folders too" if _FOLDER in passed else ""
    return f"{path} holds no image{held}: it needs files named {', '.join(suffixes)}{hint}"


def _counted(passed: Counter[str]) -> str:
    """What was passed over, the most frequent first, folders last: 3 .txt, 1 .gif, 2 folders."""
    named = sorted(passed.items(), key=lambda item: (item[0] == _FOLDER, -item[1], item[0]))
    return ", ".join(
        count_of(count, ending) if ending == _FOLDER else f"{count:,} {ending}"
        for ending, count in named
    )


def _root(path: str) -> Path:
    """A path of conf/ with its `~`, or its `pkg://PACKAGE`, replaced by the actual folder."""
    if not path.startswith(_PACKAGE):
        folder = Location.of(path).folder
        if folder is None:
            raise ValueError(
                f"{path} is a URL, and images are read from a disk: copy them to one, and give the "
                "folder"
            )
        return folder
    package, _, inside = path.removeprefix(_PACKAGE).partition("/")
    # The package is looked up and not imported, which would run its code.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(
            f"{path} names package {package!r}, which is not installed here: install it, or give "
            "a path to the file"
        )
    return Path(next(iter(spec.submodule_search_locations))) / inside
