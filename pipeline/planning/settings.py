"""What one command asks for, checked value by value: the input of a plan."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import yaml

# As trials: every block of stored sources; as store_trials: every trial.
ALL = "all"
# As trials: every block of stored sources, and of drawn ones as many as the notebook.
AUTO = "auto"
Entry = dict[str, Any]
# The groups of which an entry may name a function of the user's own.
OF_FUNCTIONS = ("source", "selection", "algorithm")


@dataclass(frozen=True)
class Settings:
    """What one command asks for.

    Every value has its type; whether values fit together is checked by `plan.make_plan`.  `trials`
    are the numbers at which the estimate is reported, or "all" or "auto"; `store_trials` is how
    many are kept one by one, None for all; `storage` are options of the client of an object store;
    `source`, `operation`, `selection` and `algorithm` are entries by name, `cluster` is one entry.
    `given` has the keys that the user gave, in order, each with its value in the notation of the
    command line; `config_dirs` are the user's own folders of entries.  These two are left out of
    comparisons: they say how settings were given, and not what they are.
    """

    freqs: tuple[int, ...]
    block_size: tuple[int, ...]
    algorithm: dict[str, Entry]
    trials: tuple[int, ...] | str
    precision: float | None
    seed: int
    unit_trials: int
    store_trials: int | None
    results: str
    storage: dict[str, Any]
    out: str | None
    extend: bool
    durable: bool
    source: dict[str, Entry]
    operation: dict[str, Entry]
    selection: dict[str, Entry]
    cluster: Entry
    given: dict[str, str] = field(default_factory=dict, compare=False)
    config_dirs: tuple[str, ...] = field(default=(), compare=False)

    def as_dict(self) -> dict[str, Any]:
        """Every setting as YAML has it, without `given` and `config_dirs`."""
        shown = dataclasses.asdict(self)
        del shown["given"], shown["config_dirs"]
        shown["store_trials"] = store_trials_as_written(self.store_trials)
        # As an experiment has them: names alone, where they say everything.
        if all(entry == {"kind": name} for name, entry in self.algorithm.items()):
            shown["algorithm"] = list(self.algorithm)
        return shown

    def to_yaml(self) -> str:
        """The composed configuration, as `--cfg` prints it."""
        text: str = yaml.safe_dump(self.as_dict(), sort_keys=False, default_flow_style=None)
        return text

    def words(self, **changes: object) -> list[str]:
        """The command line that gives these settings again, with some keys changed.

        Parameters
        ----------
        **changes
            A value replaces what was given, or is added; None leaves the key out.  A changed key
            also drops the dotted keys below it: ``words(cluster="local")`` does not keep the
            ``cluster.workers`` that was meant for another cluster.
        """
        kept = {
            key: value
            for key, value in self.given.items()
            if key in changes or key.partition(".")[0] not in changes
        }
        return [f"{key}={value}" for key, value in {**kept, **changes}.items() if value is not None]


def store_trials_as_written(kept: int | None) -> int | str:
    """How many trials are kept one by one, as the command line has it: a number, all or none."""
    if kept is None:
        return ALL
    return kept or "none"
