"""The verbs that take a store: what they print; no logic."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.cli import help
from pipeline.config import notation
from pipeline.errors import UserError


def summary(words: list[str], show: bool) -> int:
    """`summary`: the table of a store."""
    path, _ = store_and_keys(words, {})
    if show:
        return print_config(path)
    from pipeline.audit import status
    from pipeline.store import listing, store

    with store.reading(path):
        recorded = _recorded(store.provenance_of(path))
        asked = recorded["trials"]
    length = listing.measured_trials(path)
    prefixes = [length] if asked == "all" else notation.integers("trials", asked)
    print_table(path, [*prefixes[:-1], length], recorded.get("precision"))
    found = status.look(path)
    wanted = sum(cell.trials for cell in found.cells)
    done = wanted - found.trials_left
    if done < wanted:
        print(
            f"Unfinished: {done:,} of {wanted:,} trials are stored; the same sweep goes on.",
            file=sys.stderr,
        )
    print(f"Store: {path}")
    return 0


def plot(words: list[str], show: bool) -> int:
    """`plot`: the curves of a store, as pictures."""
    path, own = store_and_keys(words, {"to": None, "log": "false"})
    if show:
        return print_config(path)
    from pipeline.analysis import curves
    from pipeline.show import figures
    from pipeline.store import listing

    stem = path.removesuffix(".zarr") if own["to"] is None else own["to"]
    figure = figures.plot_curves(
        curves.of_store(path, listing.measured_trials(path)),
        log=notation.truth("log", own["log"]),
    )
    return save(figure, stem)


def save(figure: Any, stem: str) -> int:
    """Save a picture, and say where it is."""
    from pipeline.show import figures

    stem = os.path.expanduser(stem).removesuffix(".png").removesuffix(".svg")
    if not Path(stem).name or stem.endswith("/"):
        raise UserError(f"to={stem} names no file: write for example to=pictures/curve")
    try:
        print("\n".join(figures.save(figure, stem)))
    except OSError as error:
        raise UserError(
            f"cannot write {stem}.png: {error.strerror}: choose another to=..."
        ) from error
    return 0


def print_config(path: str) -> int:
    """Print the configuration of the last sweep into a store."""
    from pipeline.store import store

    print(store.provenance_of(path)["config"], end="")
    return 0


def _recorded(attributes: dict[str, Any]) -> dict[str, Any]:
    import yaml

    recorded: dict[str, Any] = yaml.safe_load(attributes["config"])
    return recorded


def status(words: list[str], show: bool) -> int:
    """`status`: how far a store is, at once."""
    path, _ = store_and_keys(words, {})
    if show:
        return print_config(path)
    from pipeline.audit import status
    from pipeline.show import progress

    found = status.look(path)
    progress.print_status(found)
    print(f"Store: {path}")
    return 0


def verify(words: list[str], show: bool) -> int:
    """`verify`: look through a store for whatever is not as it was written."""
    own = {"sample": "0.01", "repair": "false", "against": None}
    path, own = store_and_keys(words, own)
    if show:
        return print_config(path)
    share = 1.0 if own["sample"] == "all" else notation.number("sample", own["sample"])
    if not 0 <= share <= 1:
        raise UserError(f"sample must be within 0..1, or all, got {own['sample']}: try sample=0.01")
    mend = notation.truth("repair", own["repair"])
    if mend and "://" in path:
        raise UserError(f"repair=true needs a folder, got {path}: copy the store to a disk first")
    from pipeline.audit import status, verify
    from pipeline.show import progress
    from pipeline.store import provenance, store

    attributes = store.provenance_of(path)
    other = own["against"] if own["against"] is not None else attributes.get("rerun_of")
    if own["against"] is not None:
        if not other:
            raise UserError("against is empty: give a store, as against=results/sweep-HASH.zarr")
        store.provenance_of(os.path.expanduser(other))
    with store.reading(path), progress.Counter() as counter:
        report = verify.verify(path, share, counter.seen)
    for finding in report.findings:
        print(f"bad: {finding.words}")
    print(
        f"{report.units:,} units looked at: metadata, files, checksums, the ledger against their "
        f"trials. {report.recomputed:,} computed again."
    )
    left = report.findings
    if mend and left:
        verify.repair(path, left)
        left = verify.verify(path, 0.0).findings
        for finding in left:
            print(f"left: {finding.words}")
        if not left:
            print("Repaired: what was bad counts as missing, and is computed again by")
            print("\n".join(provenance.commands(attributes, path)))
            return 0
    if left:
        remedy = (
            f"; {help.PROGRAM} verify {path} repair=true queues them for the next sweep"
            if any(finding.mendable for finding in left)
            else ""
        )
        print(f"error: {len(left)} findings in {path}{remedy}", file=sys.stderr)
        return 1
    if missing := status.look(path).trials_left:
        print(f"Unfinished: {missing:,} trials are missing; these commands go on:")
        print("\n".join(provenance.commands(attributes, path)))
    print("Everything that is there is as it was written, to the bit.")
    if other and not store.is_store(os.path.expanduser(other)):
        print(f"{other}, of which this is a rerun, is no longer there to compare with.")
    elif other:
        return print_differing(path, os.path.expanduser(other))
    return 0


def print_differing(path: str, other: str) -> int:
    """Compare two stores by bits, and say so; an exit code."""
    from pipeline.audit import difference

    compared, found = difference.differing(path, other)
    for words in found:
        print(f"differs: {words}")
    if found:
        print(f"{len(found)} differences from {other}.")
    elif compared:
        print(f"The same to the bit as {other}, wherever both have measured.")
    else:
        print(f"Nothing to compare: {other} has measured nothing that this store has.")
    return int(bool(found) or not compared)


def store_and_keys(words: list[str], own: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The STORE of a verb (the newest one if none is given) and the verb's own keys."""
    stores = [word for word in words if "=" not in word or os.path.exists(word)]
    given = notation.split_arguments(word for word in words if word not in stores)
    folder = os.path.expanduser(given.pop("results", "results"))
    for key in given:
        if key not in own:
            hint = notation.did_you_mean(key, [*own, "results"])
            raise UserError(f"unknown key {key!r}: {hint}")
    if len(stores) > 1:
        raise UserError(f"one store at a time, got {len(stores)}: {' '.join(stores)}")
    if stores:
        path = os.path.expanduser(stores[0].removeprefix("file://"))
        if "://" in path:
            from pipeline.store import store

            store.check_url(path)
        return path if "://" in path else str(Path(path).absolute()), {**own, **given}
    found = [path for path in Path(folder).glob("*.zarr") if (path / "zarr.json").is_file()]
    newest = sorted(found, key=lambda path: path.stat().st_mtime)
    if not newest:
        raise UserError(f"no store in {folder}: run {help.PROGRAM} sweep first, or give its path")
    return str(newest[-1].absolute()), {**own, **given}


def print_table(
    path: str,
    prefixes: Sequence[int],
    precision: float | None = None,
    wanted: dict[str, list[Any]] | None = None,
) -> None:
    """The table of a store, at each of some numbers of trials."""
    from pipeline.analysis import curves
    from pipeline.show import tables

    found = [curves.of_store(path, prefix, wanted) for prefix in prefixes]
    if settings := found[0].changed_settings:
        print(settings)
    for each in found:
        tables.print_curves(each, precision)
