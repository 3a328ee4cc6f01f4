"""Entries that name a function -> what of it decides numbers; and back to the function."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.errors import UserError
from pipeline.functions import naming
from pipeline.functions.calling import check_parameters, takes
from pipeline.functions.code import code_of
from pipeline.functions.naming import TARGET

# What each kind of function is given before its parameters.
_GIVEN = {
    "algorithm": ("batch",), "source": ("first", "count", "block_size"),
    "selection": ("block_size",),
}  # fmt: skip
# Parameters of sources that the program gives them by name.
WORDS = "words"
# By name and code.
Given = dict[tuple[str, str], Callable[..., Any]]
_loaded: Given = {}
_loading = threading.Lock()


@dataclass(frozen=True)
class Function:
    """A function of the user's own, as an entry names it.

    `target` is its dotted name; `code` says what decides its numbers, a hash of its source text or
    a version; `text` is that source text, and `folder` is where its module lies.
    """

    target: str
    code: str
    text: str = ""
    folder: str = ""

    @property
    def name(self) -> str:
        """Its name, and which of its versions it is."""
        return f"{self.target} ({self.code})"

    def identity(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What decides its numbers, plain JSON."""
        return {TARGET: self.target, "code": self.code, "parameters": parameters}


def resolve(group: str, name: str, entry: dict[str, Any]) -> tuple[Function, dict[str, Any]]:
    """The function that an entry names, and its parameters.

    Raises
    ------
    UserError
        Where there is no such function, it does not take the parameters, or what decides its
        numbers cannot be known.
    """
    key = f"{group}.{name}"
    function = naming.find(f"{key}.{TARGET}", entry[TARGET])
    if isinstance(function, type):
        raise UserError(f"{key}.{TARGET}={entry[TARGET]} is a class: give a function")
    parameters = {word: value for word, value in entry.items() if word != TARGET}
    if group == "source":
        parameters.pop("quality", None)
        if WORDS in parameters:
            raise UserError(f"{key}.{WORDS} is what the program gives a source: leave it out")
    words = {WORDS: None} if group == "source" and takes(function, WORDS) else {}
    check_parameters(key, function, _GIVEN[group], {**parameters, **words})
    code, text, folder = code_of(f"{key}.{TARGET}={entry[TARGET]}", function)
    with _loading:
        _loaded[entry[TARGET], code] = function
    return Function(entry[TARGET], code, text, folder), parameters


def load(function: Function) -> Callable[..., Any]:
    """The function itself, of this code; on a worker it is imported, if need be from its folder.

    Raises
    ------
    UserError
        Where it cannot be imported, or is another one here.
    """
    known = function.target, function.code
    with _loading:
        if known not in _loaded:
            _loaded[known] = _imported(*known, function.folder)
        return _loaded[known]


def _imported(target: str, code: str, folder: str) -> Callable[..., Any]:
    key = TARGET
    try:
        found = naming.find(key, target)
    except UserError as error:
        if not folder or not naming.is_there(folder):
            where = f"; the folder {folder} is not there" if folder else ""
            raise UserError(f"{error}{where}") from error
        naming.search_in([folder])
        found = naming.find(key, target)
    here = code_of(key, found).name
    if here != code:
        raise UserError(f"{target} is another one here ({here} and not {code})")
    return found


def given(functions: Iterable[Function]) -> Given:
    """Of some functions those that were given in Python, and that no other process can import."""
    return {
        (each.target, each.code): load(each) for each in functions if naming.is_given(each.target)
    }


def give(functions: Given) -> None:
    """Take functions that another process was given, whose source text is not known here."""
    with _loading:
        _loaded.update(functions)
