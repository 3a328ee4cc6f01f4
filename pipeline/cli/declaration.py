"""How a verb is declared, and what a command line asks of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pipeline.store.location import Location


def as_written(key: str, value: str) -> str:
    """The value itself: the reader of a key whose value is a text."""
    return value


@dataclass(frozen=True)
class Key:
    """A key that belongs to a verb, `name=value` on the command line.

    `read(name, value)` turns the text into a typed value, or raises a UserError; `needed` is
    whether the verb refuses to run without it.
    """

    name: str
    help: str
    default: str | None = None
    value: str = ""
    """What help shows as the value where there is no default."""
    needed: bool = False
    read: Callable[[str, str], Any] = as_written

    @property
    def written(self) -> str:
        """The key as help shows it."""
        return f"{self.name}={self.value if self.default is None else self.default}"


@dataclass(frozen=True)
class Request:
    """What a command line asks of a verb.

    `own` has the typed value of every key that the verb declares, None without value and default;
    `sweep_keys` has the keys of a sweep that are given, with their values as written; `places` are
    the stores, or the folder, that it is about: those that are given, or else the default.
    """

    own: Mapping[str, Any]
    sweep_keys: Mapping[str, str]
    config_dirs: tuple[str, ...] = ()
    places: "tuple[Location, ...]" = ()
    place_is_given: bool = False
    json: bool = False
    """Whether output is for a program, an object a line."""
    quiet: bool = False
    """Whether nothing is printed but results."""

    @property
    def location(self) -> "Location":
        """Where the store is, of a verb that takes one."""
        return self.places[0]

    @property
    def words(self) -> list[str]:
        """The keys of a sweep, as the configuration takes them."""
        return [f"{key}={value}" for key, value in self.sweep_keys.items()]


@dataclass(frozen=True)
class Places:
    """The paths or URLs that a verb takes beside its keys.

    `written` is how help shows them, `least` and `most` how many there may be; without any, a verb
    takes the store that was last used, one of FOLDER the folder of results, and one of
    OPTIONAL_STORE none.
    """

    written: str
    least: int = 0
    most: int = 1


ONE_STORE = Places("[STORE]")
STORES = Places("[STORE ...]", most=1000)
ONE_OR_TWO_STORES = Places("STORE [OTHER]", least=1, most=2)
TWO_STORES = Places("STORE OTHER", least=2, most=2)
OPTIONAL_STORE = Places("[STORE]")
FOLDER = Places("[FOLDER]")


@dataclass(frozen=True)
class Verb:
    """A verb; its usage, help, defaults, refusals and completion are derived from this."""

    name: str
    purpose: str
    run: Callable[[Request], int]
    """Returns the exit code."""
    config: Callable[[Request], str]
    """Returns what `--cfg` prints."""
    keys: tuple[Key, ...] = ()
    places: Places | None = None
    sweep_keys: tuple[str, ...] | Literal["all"] = ()
    """Keys of a sweep that the verb takes too, each with the dotted keys below it."""
    not_taken: tuple[str, ...] = ()
    """Keys of a sweep that it does not take, where `sweep_keys` is "all"."""
    goes_on: bool = False
    """Whether the same command goes on where it was stopped."""
    refusal: str = ""
    """Message for a key that is not taken; {key}, {value} and {taken} are filled in."""

    def takes(self, key: str) -> bool:
        """Whether the verb takes this key of a sweep; with "all", unknown keys count as taken."""
        head = key.partition(".")[0]
        if head == "storage" and self.places is not None:
            return True
        if self.sweep_keys == "all":
            return head not in self.not_taken
        return head in self.sweep_keys
