"""What `--help` prints: the verbs, and the keys of each, from what they declare."""

from collections.abc import Iterable, Sequence

from pipeline.cli.declaration import Verb
from pipeline.config import notation
from pipeline.errors import CONSOLE_SCRIPT, UserError, program

# Pairs of what a user writes and what it means, as Click gives them for its options.
Rows = Sequence[tuple[str, str]]


def overview(verbs: Iterable[Verb], options: Rows) -> str:
    """What the program is, its verbs and options, and how values are written."""
    name = program()
    return "\n".join(
        [
            "Approximated spatial masking: error by number of spatial frequencies.",
            "",
            f"usage: {name} VERB [key=value ...] [OPTIONS]",
            "",
            "verbs",
            *_table((_short_usage(verb), verb.purpose) for verb in verbs),
            "",
            "values",
            *_table(
                [
                    ("freqs=0..14", "both ends included; 0..14..2 steps, 0..4,8 mixes; "
                     "also [0,4], range(0,15)"),
                    ("trials=1e6", "integers may be written 1e6 or 10_000"),
                    ("trials=auto", "1,000 blocks that are drawn, every tile of stored images"),
                ]
            ),
            "",
            "options",
            *_table(options),
            "",
            f"{name} VERB --help lists the keys of a verb.",
            "Completion, with bash_source, zsh_source or fish_source: "
            f'eval "$(_ASM_SWEEP_COMPLETE=bash_source {CONSOLE_SCRIPT})"',
        ]
    )  # fmt: skip


def of_verb(verb: Verb, options: Rows = (), config_dirs: Sequence[str] = ()) -> str:
    """Usage, purpose, keys and options of a verb."""
    lines = [f"usage: {program()} {_usage(verb)}", "", f"  {_sentence(verb.purpose)}", ""]
    if verb.keys:
        lines += ["keys of this verb", *_table((key.written, key.help) for key in verb.keys), ""]
    if verb.sweep_keys == "all":
        lines += [*_keys_of_a_sweep(verb, config_dirs), ""]
    elif taken := [*verb.sweep_keys, *(["storage"] if verb.places else [])]:
        lines += ["keys of a sweep that are taken too", f"  {', '.join(taken)}", ""]
    return "\n".join([*lines, "options", *_table(options)])


def _short_usage(verb: Verb) -> str:
    needed = [key.written for key in verb.keys if key.needed]
    places = [verb.places.written] if verb.places else []
    return " ".join([verb.name, *places, *needed])


def _usage(verb: Verb) -> str:
    optional = [f"[{key.written}]" for key in verb.keys if not key.needed]
    others = ["[key=value ...]"] if verb.sweep_keys else []
    return " ".join([_short_usage(verb), *optional, *others])


def _sentence(purpose: str) -> str:
    return f"{purpose[0].upper()}{purpose[1:]}."


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max([22, *(2 + len(left) for left, _ in rows)])
    return [f"  {left:<{width}}{right}".rstrip() for left, right in rows]


def _keys_of_a_sweep(verb: Verb, config_dirs: Sequence[str]) -> list[str]:
    """Keys with their defaults, and entries, of the configuration that a verb takes."""
    from pipeline.config import entries

    own = [key.name for key in verb.keys]
    keys = [
        (f"{key}={_written(default)}", meaning)
        for key, default, meaning in entries.keys(config_dirs)
        if verb.takes(key) and key not in own
    ]
    lines = ["keys and defaults", *_table(keys)]
    for group in filter(verb.takes, entries.GROUPS):
        rows = [
            (name, _parameters(group, name, config_dirs))
            for name in entries.names(group, config_dirs)
        ]
        lines += ["", f"{group}=...", *_table(rows)]
    return [
        *lines,
        "",
        "parameters of an entry: source.uniform.low=-1; several entries:",
        "source=uniform,wide source.wide.kind=uniform source.wide.low=-1",
    ]


def _parameters(group: str, name: str, config_dirs: Sequence[str]) -> str:
    """An entry's parameters with their defaults; for an experiment, its description."""
    from pipeline.config import entries

    if group == "experiment":
        return entries.description(name, config_dirs)
    try:
        entry = entries.as_written(group, name, config_dirs)
    except UserError as error:
        return f"({error})"
    return " ".join(f"{key}={_written(value)}" for key, value in entry.items() if key != "kind")


def _written(value: object) -> str:
    return notation.written(value, brackets=value == [])
