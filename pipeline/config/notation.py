"""The notation of values, on the command line and in YAML: 0..14, commas, 1e6, did-you-mean."""

import difflib
import math
import re
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from pipeline.errors import UserError

# An axis of more values than this is a slip of the keyboard, and would be built in memory.
MAX_VALUES = 10_000

# More than any axis, seed or count needs; 1e999999999 would fill the memory.
_MOST_DIGITS = 100
_INTEGER = r"[+-]?[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
_SPAN = re.compile(r"(.*?)\.\.(.*?)(?:\.\.(.*))?")
_RANGE = re.compile(r"range\(([^()]*)\)")


def split_argument(argument: str) -> tuple[str, str]:
    """`key=value` -> (key, value)."""
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise UserError(f"{argument!r} is not KEY=VALUE: write for example freqs=0..14")
    return key.strip(), value.strip()


def split_arguments(arguments: Iterable[str]) -> dict[str, str]:
    """Every `key=value`, each key once."""
    values: dict[str, str] = {}
    for argument in arguments:
        key, value = split_argument(argument)
        if key in values:
            raise UserError(
                f"{key} is given twice, as {values[key]!r} and {value!r}: write one {key}=..., "
                f"with commas or as {key}=0..14 (a shell turns {{0..14}} into 15 arguments)"
            )
        values[key] = value
    return values


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint to append to a refusal: the nearest known word, or all of them."""
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]}?"
    return f"known are {', '.join(names)}"


def integer(key: str, value: Any, minimum: int = 0) -> int:
    """One integer: 8, 1e6, 10_000."""
    number = _whole(key, value)
    if number < minimum:
        raise UserError(f"{key} must be at least {minimum}, got {value}")
    return number


def integers(key: str, value: Any, minimum: int = 0) -> list[int]:
    """Sorted integers without repeats: 0..14, 0..14..2, 0..4,8,10..14, [4,8], range(0,15), 1e6."""
    numbers: set[int] = set()
    for item in _items(key, value):
        numbers.update(_expand(key, item))
        if len(numbers) > MAX_VALUES:
            raise UserError(f"{key} has more than {MAX_VALUES} values: use a step, as 0..1000..10")
    if not numbers:
        raise UserError(f"{key} is empty: give at least one value, as {key}=8 or {key}=0..14")
    if min(numbers) < minimum:
        raise UserError(f"{key} must be at least {minimum}, got {min(numbers)}")
    return sorted(numbers)


def names(key: str, value: Any) -> list[str]:
    """Sorted names without repeats: asm,apx or [asm,apx]."""
    found = sorted({str(item) for item in _items(key, value)})
    if not found:
        raise UserError(f"{key} is empty: give at least one name")
    return found


def number(key: str, value: Any) -> float:
    """One finite real number."""
    try:
        if isinstance(value, bool):
            raise ValueError
        result = float(value)
    except (TypeError, ValueError):
        several = ": for several, name an entry for each" if "," in str(value) else ""
        raise UserError(f"{key} must be a number, got {value!r}{several}") from None
    if not math.isfinite(result):
        raise UserError(f"{key} must be finite, got {value}")
    return result


def truth(key: str, value: Any) -> bool:
    """`true` or `false`."""
    word = str(value).lower()
    if word not in ("true", "false"):
        raise UserError(f"{key} must be true or false, got {value!r}")
    return word == "true"


def _whole(key: str, value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(_INTEGER, text):
        raise UserError(f"{key} must be an integer such as 8, 1e6 or 10_000, got {text!r}")
    # Decimal, because 1e23 has no exact float.
    exact = Decimal(text.replace("_", ""))
    if exact.adjusted() >= _MOST_DIGITS:
        raise UserError(f"{key} must have at most {_MOST_DIGITS} digits, got {text[:40]}")
    if exact != exact.to_integral_value():
        raise UserError(f"{key} must be an integer, got {text}")
    return int(exact)


def _items(key: str, value: Any) -> Iterator[Any]:
    """The comma-separated parts of a value; commas inside parentheses do not count."""
    if isinstance(value, list | tuple):
        for item in value:
            yield from _items(key, item)
        return
    if not isinstance(value, str):
        yield value
        return
    text = value.strip()
    if text.startswith("[") != text.endswith("]"):
        raise UserError(f"{key}={text} has an open bracket: write {key}=[4,8] or {key}=4,8")
    if text.startswith("["):
        text = text[1:-1].strip()
    if not text:
        return
    for part in re.split(r",(?![^(]*\))", text):
        if not part.strip():
            raise UserError(f"{key}={value} has an empty item: remove the extra comma")
        yield part.strip()


def _expand(key: str, item: Any) -> Iterable[int]:
    text = str(item)
    if span := _SPAN.fullmatch(text):
        first, last, step = span.groups()
        if not first or not last or step == "":
            raise UserError(f"{key}={text} lacks a number: write FIRST..LAST or FIRST..LAST..STEP")
        start, end = _whole(key, first), _whole(key, last)
        return _run(key, text, range(start, end + 1, _step(key, step or "1")))
    if call := _RANGE.fullmatch(text):
        bounds = [_whole(key, bound) for bound in call.group(1).split(",")]
        if len(bounds) > 3:
            raise UserError(f"{key}={text}: range takes START, STOP and STEP")
        start, end = (0, bounds[0]) if len(bounds) == 1 else (bounds[0], bounds[1])
        return _run(key, text, range(start, end, _step(key, bounds[2] if len(bounds) == 3 else 1)))
    return [_whole(key, item)]


def _step(key: str, value: Any) -> int:
    step = _whole(key, value)
    if step < 1:
        raise UserError(f"{key} has a step of {step}: steps are 1 or more, from the lower end up")
    return step


def _run(key: str, text: str, run: range) -> range:
    if not run:
        raise UserError(f"{key}={text} is empty: write the lower end first, as 0..14")
    # Not len(run), which overflows beyond 2^63.
    if (run.stop - run.start - 1) // run.step >= MAX_VALUES:
        raise UserError(
            f"{key}={text} has more than {MAX_VALUES} values: use a step, as 0..1000..10"
        )
    return run
