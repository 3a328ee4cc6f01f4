"""What a shell offers to complete a word: keys, names of entries, stores, paths."""

# In older versions of Click, CompletionItem is not generic.
from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
)

from pipeline.cli.declaration import FOLDER, Key, Verb
from pipeline.cli.words import load
from pipeline.config import notation
from pipeline.errors import UserError
from pipeline.functions.naming import TARGET
from pipeline.planning.axes import NAMED
from pipeline.planning.settings import Settings

_TRUTH = ("false", "true")
# What help shows as the value of a key that takes a path.
_PLACES = ("FILE", "FOLDER")
# The cluster where none is chosen.
_CLUSTER = "local"
# The types of the keys of a sweep.
_TYPES = {each.name: each.type for each in dataclasses.fields(Settings) if each.compare}


@dataclass(frozen=True)
class _Line:
    """The part of a command line that is complete: its verb, keys and folders of entries."""

    verb: Verb
    chosen: dict[str, str]
    config_dirs: Sequence[str]

    @property
    def results(self) -> str:
        return self.chosen.get("results", "results")


def of_word(
    verb: Verb, given: Sequence[str], incomplete: str, config_dirs: Sequence[str] = ()
) -> list[CompletionItem[str]]:
    """Completions of the word `incomplete`, which follows a verb and the words `given`."""
    chosen = dict(word.split("=", 1) for word in given if "=" in word)
    line = _Line(verb, chosen, config_dirs)
    key, equals, value = incomplete.partition("=")
    try:
        if equals:
            words = [f"{key}={each}" for each in _values(line, key, value)]
        else:
            words = [f"{each}=" for each in _keys(line, key)]
            if verb.places is FOLDER:
                words += _paths(incomplete)
            elif verb.places:
                words += _stores(line.results, incomplete)
    except UserError:
        # For a configuration that cannot be read nothing is offered: running it tells why.
        return []
    return [CompletionItem(word) for word in words if word.startswith(incomplete)]


def of_folder(incomplete: str) -> list[CompletionItem[str]]:
    """Completions of a path that must be a folder."""
    return [CompletionItem(path) for path in _paths(incomplete) if path.endswith("/")]


def _keys(line: _Line, start: str) -> list[str]:
    """Keys that are not given yet: the verb's own, those of a sweep, and of chosen entries."""
    keys = [key.name for key in line.verb.keys]
    if line.verb.sweep_keys:
        keys += filter(line.verb.takes, [*_TYPES, "experiment"])
        group, dot, _ = start.partition(".")
        if dot and line.verb.takes(group):
            keys += _parameters(line, group)
    return [key for key in dict.fromkeys(keys) if key not in line.chosen]


def _parameters(line: _Line, group: str) -> Iterator[str]:
    """The dotted keys of the entries of a group that are chosen, or of the default ones."""
    from pipeline.config import entries

    if group == "cluster":
        prefixes = {"cluster": line.chosen.get("cluster", _CLUSTER)}
    elif group in NAMED and group in line.chosen:
        names = notation.names(group, line.chosen[group])
        prefixes = {f"{group}.{name}": name for name in names}
    elif group in NAMED:
        settings = load([], line.config_dirs)
        prefixes = {f"{group}.{name}": name for name in getattr(settings, group)}
    else:
        return
    for prefix, name in prefixes.items():
        # An entry of the user's own has the parameters of the kind that it names.
        entry = entries.entry(group, line.chosen.get(f"{prefix}.kind", name), line.config_dirs)
        keys = {**(entries.OF_ANY_CLUSTER if TARGET in entry else {}), **entry}
        yield from (f"{prefix}.{key}" for key in keys if key not in ("kind", TARGET))


def _values(line: _Line, key: str, value: str) -> Iterable[str]:
    """Completions of the value of a key."""
    for own in line.verb.keys:
        if own.name == key:
            return _own_values(line, own, value)
    if not line.verb.takes(key):
        return []
    from pipeline.config import entries

    if key in NAMED:
        return _lists(value, entries.names(key, line.config_dirs))
    if key in entries.GROUPS:
        return entries.names(key, line.config_dirs)
    if key in ("results", "out") or key.endswith(".path"):
        return _paths(value)
    return _TRUTH if _is_truth(line, key) else []


def _own_values(line: _Line, key: Key, value: str) -> Iterable[str]:
    if key.read is notation.truth:
        return _TRUTH
    if key.value == "STORE":
        return _stores(line.results, value)
    return _paths(value) if key.value in _PLACES or key.name == "results" else []


def _is_truth(line: _Line, key: str) -> bool:
    """Whether a key of a sweep, dotted or not, is true or false."""
    from pipeline.config import entries

    group, *names = key.split(".")
    if not names:
        return _TYPES.get(key) is bool
    name = names[0] if group in NAMED else line.chosen.get(group, _CLUSTER)
    return isinstance(entries.entry(group, name, line.config_dirs).get(names[-1]), bool)


def _lists(value: str, names: Iterable[str]) -> Iterator[str]:
    """A list of names with its last one completed: "uniform,ga" -> "uniform,gaussian"."""
    before, comma, _ = value.rpartition(",")
    used = before.split(",")
    return (f"{before}{comma}{name}" for name in names if name not in used)


def _stores(results: str, start: str) -> list[str]:
    """The stores of the results folder, and the paths that begin with `start`."""
    stores = [str(path) for path in Path(results).expanduser().glob("*.zarr")]
    return sorted({*stores, *_paths(start)})


def _paths(start: str) -> list[str]:
    """Files and folders whose path begins with `start`; folders but for stores end in a /."""
    head, slash, tail = start.rpartition("/")
    try:
        paths = list(Path(head + slash or ".").expanduser().iterdir())
    except OSError:
        return []
    return sorted(
        f"{head}{slash}{path.name}" + "/" * (path.is_dir() and path.suffix != ".zarr")
        for path in paths
        if path.name.startswith(tail) and (tail or not path.name.startswith("."))
    )


class _Bash(BashComplete):
    """Completion for bash, which splits `key=value` into three words.

    It splits at = and :, which are in its `COMP_WORDBREAKS`.  The words are joined again here, and
    the part before the last split is left out of what is offered.
    """

    # Click's own script, changed to add no space after a key or a folder, where typing goes on.
    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n'
    mapfile -t COMPREPLY < <(
        COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete \\
            "$1" 2>/dev/null
    )
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._uncounted = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        words, self._uncounted = glued([*args, incomplete])
        return words[:-1], words[-1]

    def format_completion(self, item: CompletionItem[str]) -> str:
        return item.value.removeprefix(self._uncounted)


class _Fish(FishComplete):
    """Completion for fish; Click's own script cuts a value such as `source=a,b` at the comma."""

    source_template = """\
function %(complete_func)s
    env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) \
COMP_CWORD=(commandline -t) %(prog_name)s 2>/dev/null
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""

    def format_completion(self, item: CompletionItem[str]) -> str:
        return f"{item.value}\t{item.help}" if item.help else item.value


class _Zsh(ZshComplete):
    """Completion for zsh, without the space after a key."""

    def source(self) -> str:
        # Items without help text are offered by the second of the script's two commands.
        return super().source().replace("compadd -U -V", "compadd -U -S '' -V")


def glued(words: Sequence[str]) -> tuple[list[str], str]:
    """Join the words of a command line that bash has split at = and :.

    Returns
    -------
    words, uncounted
        The words, and the beginning of the last one, which bash takes for other words.
    """
    result: list[str] = []
    uncounted = ""
    joining = False
    for word in words:
        breaks = re.fullmatch(r"[=:]+", word) is not None
        if result and (breaks or joining):
            uncounted = result[-1] + (word if breaks else "")
            result[-1] += word
        else:
            uncounted = ""
            result.append(word)
        joining = breaks
    return result, uncounted


def register() -> None:
    """Make Click use the classes of this module for bash, zsh and fish."""
    add_completion_class(_Bash)
    add_completion_class(_Zsh)
    add_completion_class(_Fish)
