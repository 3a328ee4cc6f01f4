"""The verbs that show results, draw them, write them to files and compare them."""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.declaration import Request
from pipeline.cli.stores import emit_result, name_default_store, open_store, open_stores
from pipeline.cli.words import path_of
from pipeline.config import notation
from pipeline.errors import UserError, are, command, count_of, did_you_mean
from pipeline.planning.axes import ALGORITHM, LINE_AXES, X_AXES

if TYPE_CHECKING:
    from pipeline.analysis.curves import Curves
    from pipeline.planning.axes import Labels
    from pipeline.store.store import Store


def summary(request: Request) -> int:
    """`summary`: the table of a store."""
    from pipeline.audit.status import status_of

    store = open_store(request)
    length = store.measured_trials()
    asked: Mapping[str, Any] = store.record.runs[-1].asked if store.record.runs else {}
    trials = asked.get("trials", "all")
    prefixes = [length] if isinstance(trials, str) else list(trials)
    if request.json:
        return _emit_summary(store, length, request.own["below"])
    print_table(store, [*prefixes[:-1], length], asked.get("precision"))
    if request.own["below"] is not None:
        _print_crossings(store, length, request.own["below"])
    status = status_of(store, None)
    if status.trials_left:
        done = status.trials - status.trials_left
        of_all = f"{done:,} of {count_of(status.trials, 'trial')} {are(done)} stored"
        print(f"Unfinished: {of_all}; the same sweep goes on.", file=sys.stderr)
    print(f"Store: {store}")
    return 0


def _emit_summary(store: "Store", trials: int, below: float | None) -> int:
    """Print what `summary` shows for a program."""
    from pipeline.analysis import curves
    from pipeline.audit.status import status_of
    from pipeline.show import events

    found = curves.of_store(store, trials)
    said: dict[str, Any] = {"points": list(events.points_of(found))}
    if below is not None:
        said["below"] = below
        for what, crossings in _crossings(store, found, below).items():
            said[what] = [events.crossing_of(each) for each in crossings]
    left = status_of(store, None).trials_left
    emit_result(store=str(store), trials=trials, trials_left=left, **said)
    return 0


def threshold(key: str, value: str) -> float:
    """What an error is to be below; a number above 0."""
    number = notation.number(key, value)
    if not 0 < number < math.inf:
        raise UserError(f"{key} must be a number above 0, got {value}: try {key}=0.05")
    return number


def _crossings(store: "Store", found: "Curves", below: float) -> dict[str, list[Any]]:
    """From which n on each error is below a number, and ASM's below the others', by name."""
    from pipeline.analysis import crossings, opening, pairs
    from pipeline.store.damage import naming_damage

    with naming_damage(store.location):
        differences = pairs.against_asm(opening.opened(store))
    overtaken = {f"asm below {rival}": pairs.overtaking(d) for rival, d in differences.items()}
    return {"crossings": crossings.of_curves(found, below), **overtaken}


def _print_crossings(store: "Store", trials: int, below: float) -> None:
    """Print from which n on each error is below a number, and ASM's below the others'."""
    from pipeline.analysis import curves
    from pipeline.show import tables

    found = curves.of_store(store, trials)
    errors, *others = _crossings(store, found, below).items()
    tables.print_crossings(errors[1], found.varying, f"the mean error is below {below:g}")
    axes = [axis for axis in found.varying if axis != ALGORITHM]
    for name, crossings in others:
        blocks = count_of(max((each.trials for each in crossings), default=0), "block")
        rival = name.removeprefix("asm below ")
        what = f"asm has a smaller mean error than {rival}, trial by trial on {blocks}"
        tables.print_crossings(crossings, axes, what)


def plot(request: Request) -> int:
    """`plot`: the curves of a store, as pictures."""
    from pipeline.analysis import curves, opening
    from pipeline.show import plots

    to = None if request.own["to"] is None else picture_path(request.own["to"])
    stores = open_stores(request)
    if to is None and len(stores) > 1:
        raise UserError(f"where the picture of {len(stores)} stores goes is not said: give to=FILE")
    drawn = {
        name: curves.of_store(store, store.measured_trials())
        for name, store in opening.named(stores).items()
    }
    if to is None and not stores[0].location.folder:
        raise UserError(f"{stores[0]} is at a URL, beside which no picture is drawn: give to=FILE")
    keys = {key: request.own[key] for key in ("x", "lines", "columns", "log")}
    figure = plots.plot_curves(drawn, **keys)
    name_default_store(request)
    path = to or str(stores[0]).removesuffix(".zarr")
    return save_picture(figure, path, {} if request.json else None)


def x_axis(key: str, value: str) -> str:
    """What points of a picture stand at."""
    return _known(key, value, X_AXES)


def line_axes(key: str, value: str) -> list[str]:
    """Axes that tell lines or panels apart, separated by commas."""
    return [_known(key, name, LINE_AXES) for name in notation.names(key, value)]


def _known(key: str, name: str, known: Iterable[str]) -> str:
    if name not in known:
        raise UserError(f"{key} has no axis {name}: {did_you_mean(name, known)}")
    return name


def picture_path(to: str) -> str:
    """Where a picture goes, as it was written; a path that names no file is refused."""
    from pipeline.show import figures

    path = to and path_of("to", to)
    if not Path(path).name or to.endswith("/"):
        raise UserError(f"to={to} names no file: write for example to=pictures/curve")
    figures.formats_of(path)
    return path


def save_picture(figure: Any, to: str, said: Mapping[str, Any] | None = None) -> int:
    """Save a picture, or let a function of the path do so, and print where it is.

    `said` is what a program is told beside; None where a person reads.
    """
    from pipeline.show import figures

    try:
        paths = figure(to) if callable(figure) else figures.save(figure, to)
        if said is None:
            print("\n".join(paths))
        else:
            emit_result(paths=paths, **said)
    except OSError as error:
        known = (*figures.FORMATS, "gif", "html")
        path = to if Path(to).suffix[1:].lower() in known else f"{to}.png"
        raise UserError(f"cannot write {path}: {error.strerror}: choose another to=...") from error
    return 0


def report(request: Request) -> int:
    """`report`: a page about stores."""
    from pipeline.show import page

    to = request.own["to"]
    if to is None:
        if len(request.places) > 1 or not request.location.folder:
            raise UserError("where the page goes is not said: give to=FILE.html")
        to = str(request.location).removesuffix(".zarr") + ".html"
    path = page.check(path_of("to", to))
    stores = [str(store) for store in open_stores(request)]
    name_default_store(request)
    page.report(stores, path)
    if request.json:
        emit_result(paths=[path])
    else:
        print(path)
    return 0


def export(request: Request) -> int:
    """`export`: results as a file for other programs and for papers."""
    from pipeline.show import exports

    to = path_of("to", request.own["to"])
    exports.check(to, request.own["what"])
    stores = [str(store) for store in open_stores(request)]
    name_default_store(request)
    path = exports.export(stores[0] if len(stores) == 1 else stores, to, request.own["what"])
    if request.json:
        emit_result(paths=[path])
    else:
        print(path)
    return 0


def compare(request: Request) -> int:
    """`compare`: whether two stores, or algorithms, have the same errors, but for chance."""
    from pipeline.analysis import comparison
    from pipeline.audit.difference import compare_stores
    from pipeline.show import exports, fitting, tables

    to = "" if request.own["to"] is None else path_of("to", request.own["to"])
    is_page = Path(to).suffix.lower() in (".html", ".htm")
    if to and not is_page:
        exports.check(to, exports.SUMMARY)
    names = request.own["algorithm"]
    if (len(request.places) == 2) == (names is not None):
        raise UserError(
            "compare takes two stores, or one with algorithm=FIRST,SECOND: "
            f"got {count_of(len(request.places), 'store')} with{'out' * (not names)} algorithm="
        )
    if names:
        two = [open_store(request)]
        differing, units, unlike = list[str](), 0, list[str]()
        compared = comparison.compare_algorithms(two[0], notation.in_order("algorithm", names))
        # Which is the better is an answer, and no failure.
        code = 0
    else:
        one, other = _two_stores(request)
        differing = _differences(one, other)
        units, unlike = compare_stores(one, other)
        compared = comparison.compare_stores(one, other)
        code, two = int(bool(compared["significant"].any())), [one, other]
    if is_page:
        from pipeline.analysis.opening import named
        from pipeline.show import page

        text = page.page_of(named(two), compared, None if names else differing)
        with exports.whole_file(to) as partial:
            Path(partial).write_text(text, encoding="utf-8")
    elif to:
        exports.export(compared, to)
    if request.json:
        bits_equal = bool(units and not unlike)
        _emit_comparison(compared, differing, bits_equal, [to] if to else [])
        return code
    for words in differing:
        fitting.say(words)
    if units and not unlike:
        print("The same to the bit, wherever both have measured.")
    else:
        tables.print_comparison(compared)
    if names:
        fitting.say(f"Verdict: {compared.attrs['verdict']}.")
    if to:
        print(to)
    return code


def _emit_comparison(
    compared: Any, differing: Sequence[str], bits_equal: bool, paths: Sequence[str]
) -> None:
    from pipeline.show import exports

    points = exports.rows_of(compared)
    emit_result(
        differences=differing,
        bits_equal=bits_equal,
        **compared.attrs,
        rows=points,
        significant=int(compared["significant"].sum()),
        paths=paths,
    )


def _two_stores(request: Request) -> "tuple[Store, Store]":
    from pipeline.store.store import Store

    one, two = map(Store.open, request.places)
    return one, two


def diff(request: Request) -> int:
    """`diff`: what differs in how two stores were made, in words."""
    from pipeline.show import fitting

    differences = _differences(*_two_stores(request))
    if request.json:
        emit_result(differences=differences)
        return int(bool(differences))
    for words in differences:
        fitting.say(words)
    if not differences:
        print("Nothing differs in how they were made.")
    return int(bool(differences))


def _differences(one: "Store", two: "Store") -> list[str]:
    """What differs in how two stores were made, and in how many trials they have, in words."""
    from pipeline.planning.identity import in_words

    words = in_words(one.record.identity, two.record.identity)
    counts = [store.measured_trials() for store in (one, two)]
    if counts[0] != counts[1]:
        words.append(f"trials: {counts[0]:,} -> {counts[1]:,}")
    for key, ours in one.record.made_with.items():
        theirs = two.record.made_with.get(key, "")
        if key == "versions" and ours != theirs:
            have, want = (dict(each.split("=", 1) for each in text.split() if "=" in each)
                          for text in (ours, theirs))  # fmt: skip
            words += [
                f"{name}: {have.get(name, '-')} -> {want.get(name, '-')}"
                for name in dict.fromkeys([*have, *want])
                if have.get(name) != want.get(name)
            ]
        elif ours != theirs:
            words.append(f"{key}: {ours} -> {theirs}")
    return words


def print_table(
    store: "Store",
    prefixes: Sequence[int],
    precision: float | None = None,
    labels: "Labels | None" = None,
    *,
    short: bool = False,
) -> None:
    """The tables of a store, at each of some numbers of trials.

    `short` prints a line for each curve where whole tables would take more than a screen.
    """
    from pipeline.analysis import curves
    from pipeline.show import fitting, tables

    tabled = [curves.of_store(store, prefix, labels) for prefix in prefixes]
    if tabled[0].settings:
        fitting.say(tabled[0].settings)
    short = short and tables.are_long(tabled)
    for each in tabled:
        (tables.print_overview if short else tables.print_curves)(each, precision)
    if short:
        print(f"Every n, with intervals: {command('summary', str(store))}")
