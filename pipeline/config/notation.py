"""The notation of values, on the command line and in YAML: 0..14, commas, 1e6; read and written."""

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from pipeline.errors import UserError

# An axis of more values than this is a slip of the keyboard, and would be built in memory.
MAX_VALUES = 10_000

# More than any axis, seed or count needs; 1e999999999 would fill the memory.
MOST_DIGITS = 100
_INTEGER = r"[+-]?[0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?"
_SPAN = re.compile(r"(.*?)\.\.(.*?)(?:\.\.(.*))?")
_RANGE = re.compile(r"range\(([^()]*)\)")

# What a value of a key without a type looks like.
_DIGITS = r"[+-]?[0-9][0-9_]*(?:[eE]\+?[0-9]+)?"
_REAL = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_RUN = rf"(?:{_DIGITS}(?:\.\.{_DIGITS}){{1,2}}|range\([^()]*\))"
_INTEGERS = rf"{_RUN}|(?:{_RUN}|{_DIGITS})(?:\s*,\s*(?:{_RUN}|{_DIGITS}))+"
_THOUSANDS = re.compile(r"[0-9]{1,3}(,[0-9]{3})+")

Value = TypeVar("Value")


def split_argument(argument: str) -> tuple[str, str]:
    """`key=value` -> (key, value)."""
    key, equals, value = argument.partition("=")
    if not equals or not key:
        raise UserError(f"{argument!r} is not KEY=VALUE: write for example freqs=0..14")
    # "out = a" is written with spaces; in "out= a" the space is the name's own.
    return key.strip(), value.strip() if key.endswith(" ") else value


def split_arguments(arguments: Iterable[str]) -> dict[str, str]:
    """Every `key=value`, each key once."""
    return once(split_argument(argument) for argument in arguments)


def once(pairs: Iterable[tuple[str, Value]]) -> dict[str, Value]:
    """Keys and values, each key once."""
    values: dict[str, Value] = {}
    for key, value in pairs:
        if key in values:
            raise UserError(
                f"{key} is given twice, as {values[key]!r} and {value!r}: write one {key}=..., "
                f"with commas or as {key}=0..14 (a shell turns {{0..14}} into 15 arguments)"
            )
        values[key] = value
    return values


def integer(key: str, value: Any, minimum: int = 0) -> int:
    """One integer: 8, 1e6, 10_000."""
    number = _whole(key, value)
    if number < minimum:
        raise UserError(f"{key} must be at least {minimum}, got {number}")
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


def in_order(key: str, value: Any) -> list[str]:
    """Names as they are given: asm,apx or [asm,apx]."""
    return [str(item) for item in _items(key, value)]


def number(key: str, value: Any) -> float:
    """One finite real number."""
    try:
        if isinstance(value, bool):
            raise ValueError
        result = float(value)
    except (TypeError, ValueError, OverflowError):
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


def inferred(key: str, value: Any) -> Any:
    """A value of a key without a type, by what it looks like: number, list, truth, null or text.

    A list keeps its order, since what it means is not known: ports=8787,80 stays as it is. What
    begins with a bracket may be JSON, for text with commas and lists of lists.
    """
    if isinstance(value, range):
        return list(_expand(key, value))
    if isinstance(value, list):
        return list(_inferred_items(key, value))
    if isinstance(value, dict):
        return {name: inferred(f"{key}.{name}", each) for name, each in value.items()}
    if isinstance(value, float):
        return number(key, value)
    if not isinstance(value, str):
        return value
    if value.startswith(("[", "{")):
        return _inferred_brackets(key, value)
    if value in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[value]
    if re.fullmatch(_DIGITS, value):
        return _whole(key, value)
    if re.fullmatch(_REAL, value):
        return number(key, value)
    if re.fullmatch(_INTEGERS, value):
        return [each for item in _items(key, value) for each in _expand(key, item)]
    return value


def _inferred_brackets(key: str, text: str) -> Any:
    try:
        # Numbers stay text, to be read as everywhere: 1e6 is an integer.
        value = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except ValueError:
        value = text if text.startswith("{") else list(_items(key, text))
    return value if isinstance(value, str) else inferred(key, value)


def _inferred_items(key: str, items: Iterable[Any]) -> Iterator[Any]:
    """Items by what they look like; the integers of 0..2 are items of the list that holds it."""
    for item in items:
        value = inferred(key, item)
        if isinstance(item, str | range) and isinstance(value, list):
            yield from value
        else:
            yield value


def refuse_thousands(key: str, value: Any, *, several: bool) -> None:
    """Refuse 1,500, which is one number to an English reader and two in this notation."""
    text = value.strip() if isinstance(value, str) else ""
    if not _THOUSANDS.fullmatch(text):
        return
    ways = f"write {key}={text.replace(',', '')}"
    groups = text.split(",")
    # No count is zero, so 10,000 cannot be meant as two.
    if several and all(map(int, groups)):
        ways += f", or {key}=[{text}] for {'two' if len(groups) == 2 else len(groups)} numbers"
    raise UserError(f"{key}={text} has a comma where thousands are separated: {ways}")


def written(value: Any, *, brackets: bool = False) -> str:
    """A value as it is written, to be read back as the same.

    Parameters
    ----------
    value
        Text, a number, truth, None, or a list or dictionary of these.
    brackets
        Write a list as [4,8]: where nothing else says that 4 is a list of one.
    """
    if isinstance(value, dict) or (isinstance(value, list) and not all(map(_is_plain, value))):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        items = ",".join(_spans(value))
        return f"[{items}]" if brackets or not items or _THOUSANDS.fullmatch(items) else items
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return repr(value) if isinstance(value, float) else str(value)


def _is_plain(item: Any) -> bool:
    """Whether an item of a list can stand between commas as it is."""
    if isinstance(item, str):
        return item == item.strip() != "" and not set(item) & set(',()[]{}"')
    return not isinstance(item, list | dict)


def _spans(values: Sequence[Any]) -> Iterator[str]:
    """Items as text; integers that follow each other as 0..14, or, from five on, as 0..14..2."""
    start = 0
    while start < len(values):
        stop, step = _progression(values, start)
        if stop - start >= (3 if step == 1 else 5):
            yield f"{values[start]}..{values[stop - 1]}" + (f"..{step}" if step > 1 else "")
            start = stop
        else:
            yield written(values[start], brackets=True)
            start += 1


def _progression(values: Sequence[Any], start: int) -> tuple[int, int]:
    """Where the integers from `start` on cease to rise by the same step, and the step."""
    stop, step = start + 1, 0
    while stop < len(values) and type(values[stop]) is type(values[stop - 1]) is int:
        rise = values[stop] - values[stop - 1]
        if rise < 1 or rise != (step or rise):
            break
        stop, step = stop + 1, rise
    return stop, step


def _whole(key: str, value: Any) -> int:
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(_INTEGER, text):
        raise UserError(f"{key} must be an integer such as 8, 1e6 or 10_000, got {text!r}")
    # Decimal, because 1e23 has no exact float.
    exact = Decimal(text.replace("_", ""))
    if exact.adjusted() >= MOST_DIGITS:
        raise UserError(f"{key} must have at most {MOST_DIGITS} digits, got {text[:40]}")
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
    if isinstance(item, range):
        return _run(key, str(item), item if item.step > 0 else item[::-1])
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
