"""Text as wide as a terminal is: no digit is cut, however narrow it is, down to 40 columns."""

import os
import sys
import textwrap
from collections.abc import Collection, Iterator, Mapping, Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

# In a pipe nothing says how wide its reader is, and tables need not be squeezed to 80.
_COLUMNS_OF_A_PIPE = 160
# What a box and its padding take beside each cell, and once for a table.
_BESIDE_A_CELL, _BESIDE_ALL = 3, 1
# Of more tables than these, a row is harder to follow than as a list.
_MOST_TABLES = 3
# What text beside the names of fields gets at least.
_LEAST_TEXT = 20


class Output(Console):
    """A console that falls silent where the reader of a pipe has closed it.

    rich itself would end the process, with exit code 1 and in the middle of whatever it does.
    """

    def on_broken_pipe(self) -> None:
        """Show nothing more."""
        self.quiet = True


def console() -> Console:
    """Standard output, as wide as the terminal or COLUMNS say."""
    known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return Output(width=None if known else _COLUMNS_OF_A_PIPE, highlight=False)


def say(text: str, out: Console | None = None, style: str = "") -> None:
    """Print a line; in a terminal that is narrower it is broken between words, and only there."""
    out = out or console()
    # As Text, since rich would read brackets in a path as markup.
    line = Text(text, style=style, overflow="ignore")
    out.print(line, soft_wrap=not out.is_terminal, crop=False)


def print_table(
    out: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], keys: int
) -> None:
    """Print a table, numbers at the right of their columns.

    One that is too wide becomes two or three below each other, each with the first `keys` columns,
    which say what a row is; where these do not do, there is a line for each value.
    """
    columns = list(zip(headings, *rows, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    groups = _groups(widths, keys, out.width)
    if groups is None or len(groups) > _MOST_TABLES:
        _print_values(out, headings, rows)
        return
    for group in groups:
        table = Table(box=box.SIMPLE)
        for k in group:
            is_text = any(cell[:1].isalpha() for cell in columns[k][1:])
            table.add_column(
                Text(headings[k]), justify="left" if is_text else "right", no_wrap=True
            )
        for row in rows:
            table.add_row(*(Text(row[k]) for k in group))
        out.print(table)


def _groups(widths: Sequence[int], keys: int, width: int) -> list[list[int]] | None:
    """Which columns tables of some width have; None where there is room for the keys alone."""
    needed = [each + _BESIDE_A_CELL for each in widths]
    room = width - _BESIDE_ALL - sum(needed[:keys])
    groups: list[list[int]] = []
    left = 0
    for k in range(keys, len(widths)):
        if needed[k] > room:
            return None
        if not groups or needed[k] > left:
            groups.append(list(range(keys)))
            left = room
        groups[-1].append(k)
        left -= needed[k]
    return groups or [list(range(keys))]


def _print_values(out: Console, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    for row in rows:
        out.print()
        for heading, cell in zip(headings, row, strict=True):
            say(f"{heading}: {cell}", out)
    out.print()


def print_fields(out: Console, fields: Mapping[str, str], whole: Collection[str] = ()) -> None:
    """Print a text for each name, broken between words where it is long; `whole` ones are not."""
    column = max(map(len, fields)) + 5
    out.print()
    for name, text in fields.items():
        room = max(out.width - column, _LEAST_TEXT)
        fits = name in whole or cell_len(text) <= room
        lines = [text] if fits else textwrap.wrap(
            text, room, break_long_words=False, break_on_hyphens=False
        )  # fmt: skip
        line = Text(f"  {name}".ljust(column), style="bold")
        line.append(("\n" + " " * column).join(lines), style="not bold")
        out.print(line, soft_wrap=True)
    out.print()


def packed(parts: Sequence[str], width: int) -> Iterator[str]:
    """Lines of as many parts as fit on each."""
    line = ""
    for part in parts:
        if line and cell_len(line) + 1 + cell_len(part) > width:
            yield line
            line = ""
        line = f"{line} {part}" if line else part
    yield line
