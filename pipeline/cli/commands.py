"""The verbs as commands of Click: options, help, version, suggestions and completion."""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import click

import pipeline
from pipeline.cli import help as texts
from pipeline.cli import words
from pipeline.cli.declaration import Verb
from pipeline.cli.verbs import VERBS
from pipeline.errors import CONSOLE_SCRIPT, UserError, did_you_mean, program

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Options without a value that may stand before the verb too.
_FLAGS = ("help", "cfg", "json", "quiet")
# The environment variable in which a shell asks for completions, as Click names it for `asm-sweep`.
COMPLETION_VARIABLE = "_ASM_SWEEP_COMPLETE"


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code.

    Not by `click.Command.main`, which handles Ctrl-C and broken pipes in its own way.

    Raises
    ------
    UserError
        For whatever Click or a verb refuses.
    """
    try:
        with PROGRAM.make_context(program(), list(arguments)) as context:
            code: int = PROGRAM.invoke(context)
            return code
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.UsageError as error:
        raise _refusal(error) from error


def complete(instruction: str) -> int:
    """Print what a shell asks for, its completion script or completions; returns the exit code."""
    from click.shell_completion import shell_complete

    from pipeline.cli import completion

    completion.register()
    return shell_complete(PROGRAM, {}, CONSOLE_SCRIPT, COMPLETION_VARIABLE, instruction)


def _refusal(error: click.UsageError) -> UserError:
    """The refusal for a mistake that Click found, with a remedy."""
    if isinstance(error, click.NoSuchOption):
        near = error.possibilities
        remedy = (
            f"did you mean {near[0]}?" if near else "settings are written key=value; see --help"
        )
        return UserError(f"unknown option {error.option_name}: {remedy}")
    message = error.format_message().rstrip(".")
    place = error.ctx.command_path if error.ctx else program()
    return UserError(f"{message[:1].lower()}{message[1:]}: see {place} --help")


class _Program(click.Group):
    """The verbs, with options before or after the verb."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.commands and not ctx.resilient_parsing:
            raise UserError(f"unknown verb {args[0]!r}: {did_you_mean(args[0], VERBS)}")
        verb, command, rest = super().resolve_command(ctx, args)
        flags = [f"--{name}" for name in _FLAGS if ctx.params[name]]
        folders = [f"--config-dir={folder}" for folder in ctx.params["config_dir"]]
        return verb, command, [*flags, *folders, *rest]


def _begin(help: bool, cfg: bool, config_dir: Sequence[str], json: bool, quiet: bool) -> None:
    """List the verbs if none is given; else `_run_verb` handles the options, passed on to it."""
    context = click.get_current_context()
    if context.invoked_subcommand is None:
        print(texts.overview(VERBS.values(), _option_rows(context)))
        if not help:
            raise UserError(f"no verb given: choose one of {', '.join(VERBS)}")
        context.exit(0)


def _run_verb(
    verb: Verb,
    arguments: Sequence[str],
    help: bool,
    cfg: bool,
    config_dir: Sequence[str],
    json: bool,
    quiet: bool,
) -> int:
    if help:
        rows = _option_rows(click.get_current_context())
        print(texts.of_verb(verb, rows, config_dir))
        return 0
    if json and quiet:
        raise UserError("--json and --quiet exclude each other: leave one out")
    request = words.parse(verb, arguments, config_dir)
    request = dataclasses.replace(request, json=json, quiet=quiet)
    if cfg:
        _print_config(verb.config(request), json)
        return 0
    words.check_needed(verb, request)
    try:
        return verb.run(request)
    except KeyboardInterrupt as error:
        if verb.goes_on:
            error.add_note("The same command goes on where this one stopped.")
        raise


def _print_config(config: str, json: bool) -> None:
    if json:
        import yaml

        from pipeline.show import events

        events.emit("result", config=yaml.safe_load(config))
    else:
        print(config, end="")


def _option_rows(context: click.Context) -> list[tuple[str, str]]:
    options = [each for each in context.command.params if isinstance(each, click.Option)]
    records = [option.get_help_record(context) for option in options]
    return [record for record in records if record is not None]


def _print_version(context: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    print(f"{CONSOLE_SCRIPT} {pipeline.__version__}")
    context.exit(0)


def _complete_words(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    from pipeline.cli import completion

    verb = VERBS[str(context.command.name)]
    folders = context.params["config_dir"]
    return completion.of_word(verb, context.params["arguments"], incomplete, folders)


def _complete_folder(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> "list[CompletionItem[str]]":
    from pipeline.cli import completion

    return completion.of_folder(incomplete)


def _common_options() -> list[click.Parameter]:
    """Options of the program and of every verb."""
    return [
        click.Option(["--help", "-h"], is_flag=True, help="show this text"),
        click.Option(
            ["--cfg"], is_flag=True, help="print the composed configuration; nothing is run"
        ),
        click.Option(
            ["--json"], is_flag=True, help="print for a program: an object a line, the result last"
        ),
        click.Option(
            ["--quiet"], is_flag=True, help="print neither progress nor notes; of a sweep the store"
        ),
        click.Option(
            ["--config-dir"],
            metavar="DIR",
            multiple=True,
            help="folder with entries of your own, laid out as conf/; or ASM_SWEEP_CONFIG_DIR",
            shell_complete=_complete_folder,
        ),
    ]


def _command(verb: Verb) -> click.Command:
    arguments = click.Argument(
        ["arguments"], nargs=-1, type=click.UNPROCESSED, shell_complete=_complete_words
    )
    return click.Command(
        verb.name,
        callback=partial(_run_verb, verb),
        params=[*_common_options(), arguments],
        short_help=verb.purpose,
        add_help_option=False,
    )


_VERSION = click.Option(
    ["--version"],
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="print the version of this program",
)
PROGRAM = _Program(
    CONSOLE_SCRIPT,
    commands={name: _command(verb) for name, verb in VERBS.items()},
    callback=_begin,
    params=[*_common_options(), _VERSION],
    invoke_without_command=True,
    add_help_option=False,
)
