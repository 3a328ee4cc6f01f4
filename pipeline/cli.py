"""The verbs and what they print; no logic.

Each verb imports what it needs when it runs: xarray, zarr, dask and numba take two seconds, and
`--help` and refusals do without them.
"""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline import overrides, usage
from pipeline.exceptions import ClusterLostError, Stopped, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns
    -------
    int
        Exit code: 0 done, 2 refused (one line on standard error), 3 some units failed,
        130 stopped by Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words)
    except UserError as error:
        return _refuse(str(error))
    except ClusterLostError as error:
        _refuse(f"{error}: what was stored is safe, and the same command goes on from there")
        return 1
    except BrokenPipeError:
        # The reader of a pipe has seen enough, as `head` does.
        sys.stderr.close()
        return 0
    except OSError as error:
        # A folder or file of the user's that cannot be read or written.
        return _refuse(f"{error.filename or 'input or output'}: {error.strerror or error}")
    except KeyboardInterrupt as error:
        print("Stopped. The same command goes on where this one stopped.", file=sys.stderr)
        if not isinstance(error, Stopped):
            # A second Ctrl-C: the interpreter's own exit would wait for units in flight.
            sys.stderr.flush()
            os._exit(130)
        return 130


def _refuse(message: str) -> int:
    print("error: " + " ".join(message.splitlines()), file=sys.stderr)
    return 2


def _dispatch(words: list[str]) -> int:
    options = [word for word in words if word.startswith("-")]
    plain = [word for word in words if not word.startswith("-")]
    for option in options:
        if option not in ("--help", "-h", "--cfg"):
            raise UserError(f"unknown option {option}: settings are written key=value; see --help")
    helping = any(option in ("--help", "-h") for option in options)
    if not plain:
        print(usage.OVERVIEW)
        if not helping:
            raise UserError(f"no verb given: choose one of {', '.join(VERBS)}")
        return 0
    verb, *rest = plain
    if verb not in VERBS:
        raise UserError(f"unknown verb {verb!r}: {overrides.did_you_mean(verb, VERBS)}")
    if helping:
        print(usage.of_verb(verb))
        return 0
    return VERBS[verb](rest, "--cfg" in options)


def _sweep(words: list[str], show: bool) -> int:
    settings = _composed(words, show)
    if settings is None:
        return 0
    plan = _planned(settings)
    from pipeline import tables

    with tables.Watch() as watch:
        outcome = _run(settings, plan, words, watch)
    if outcome.plan.unit_trials != settings.unit_trials:
        watch.say(f"Units of this store hold {outcome.plan.unit_trials:,} trials.")
    if outcome.failures:
        return 3
    _print_table(outcome.path, outcome.plan.prefixes)
    if outcome.computed:
        speed = outcome.computed / max(outcome.seconds, 1e-9)
        watch.say(f"{outcome.computed:,} trials in {outcome.seconds:.1f} s, {speed:,.0f} trials/s")
    for source in outcome.plan.sources:
        for line in _remainders(source, outcome.plan.block_sizes):
            watch.say(line)
    if not any(word.startswith(("freqs=", "experiment=")) for word in words):
        last = outcome.plan.last_frequency
        if outcome.plan.freqs[-1] < last:
            watch.say(f"These are the first of {last + 1} frequencies: freqs=0..{last} has all.")
    print(f"Store: {outcome.path}")
    print(f'Open it: import xarray; xarray.open_zarr("{outcome.path}")')
    return 0


def _run(settings: Any, plan: Any, words: Sequence[str], watch: Any) -> Any:
    """Run what the store of a plan lacks; says which units failed."""
    from pipeline import run

    outcome = run.execute(settings, plan, words, watch)
    for failure in outcome.failures[:5]:
        print(f"failed: {failure}", file=sys.stderr)
    if outcome.failures:
        print(
            f"error: {len(outcome.failures)} of the units failed, all others are stored: the same "
            "command tries the failed ones again",
            file=sys.stderr,
        )
    return outcome


def _claims(words: list[str], show: bool) -> int:
    given = overrides.split_arguments(words)
    folder = given.pop("to", None)
    for key in given:
        if key not in usage.CLAIMS_KEYS and not key.startswith("cluster."):
            raise UserError(
                f"claims decides on its own experiments: leave {key}={given[key]} out; it takes "
                f"to, {', '.join(usage.CLAIMS_KEYS)}"
            )
    from pipeline import claims, config

    arguments = [
        [
            f"experiment={name}",
            # The photograph has its tiles, and all are taken.
            *(f"{k}={v}" for k, v in given.items() if (name, k) != ("photograph", "trials")),
        ]
        for name in claims.EXPERIMENTS
    ]
    composed = [config.load(argument) for argument in arguments]
    if show:
        print("---\n".join(settings.to_yaml() for settings in composed), end="")
        return 0
    if overrides.integers("trials", given.get("trials", 2))[-1] < 2:
        raise UserError("trials must be at least 2 for an interval, got 1: use trials=1e4")
    # All are checked before the first is started.
    plans = [_planned(settings) for settings in composed]
    from pipeline import figures, report, results, store, tables
    from pipeline.plan import store_path

    if folder is not None:
        if not folder:
            raise UserError("to is empty: give a folder, as to=results")
        store.check_folder("to", Path(os.path.expanduser(folder)))
    for settings, plan in zip(composed, plans, strict=True):
        store.check(store_path(settings, plan), plan)

    datasets = {}
    for name, settings, plan, argument in zip(
        claims.EXPERIMENTS, composed, plans, arguments, strict=True
    ):
        with tables.Watch() as watch:
            watch.say(f"experiment={name}")
            outcome = _run(settings, plan, argument, watch)
        if outcome.failures:
            return 3
        trials = slice(0, outcome.plan.trials)
        datasets[name] = results.open_results(outcome.path).isel(trial=trials)
    settled = claims.settle(datasets)
    print(report.claims_page(settled), end="")
    if folder is not None:
        for path in figures.save_claims(settled, os.path.expanduser(folder)):
            print(path, file=sys.stderr)
    return 0


def _composed(words: Sequence[str], show: bool) -> Any:
    """The configuration of a command line; None once `--cfg` has shown it."""
    from pipeline import config

    settings = config.load(words)
    if not show:
        return settings
    print(settings.to_yaml(), end="")
    return None


def _planned(settings: Any) -> Any:
    from pipeline import sources
    from pipeline.plan import make_plan

    return make_plan(settings, sources.resolve)


def _remainders(source: Any, block_sizes: Sequence[int]) -> list[str]:
    """What of stored blocks lies beyond the last whole tiles."""
    from pipeline import sources

    return [
        f"{source.name}: {source.available[size]:,} blocks of {size} x {size}, "
        f"{sources.dropped(source, size):,} samples dropped at the edges"
        for size in block_sizes
        if source.available
    ]


def _print_table(path: str, prefixes: Sequence[int]) -> None:
    from pipeline import results, tables

    summaries = [results.summarize_store(path, prefix) for prefix in prefixes]
    if settings := results.changed_settings(summaries[0].attrs):
        print(settings)
    for summary in summaries:
        tables.print_summary(summary)


def _plan(words: list[str], show: bool) -> int:
    settings = _composed(words, show)
    if settings is None:
        return 0
    plan = _planned(settings)
    from dask.system import CPU_COUNT

    from pipeline import store, tables
    from pipeline.plan import store_path

    path = store_path(settings, plan)
    plan = store.check(path, plan)
    missing = plan.missing(store.counts(path))
    workers, threads = (settings.cluster.get(key) for key in ("workers", "threads"))
    threads = workers * threads if workers and threads else CPU_COUNT
    tables.print_plan(plan, path, len(missing), threads)
    for source in plan.sources:
        for line in _remainders(source, plan.block_sizes):
            print(line)
    return 0


def _summary(words: list[str], show: bool) -> int:
    path, _ = _store_and_keys(words, {})
    if show:
        return _print_config(path)
    from pipeline import results, store

    with store.reading(path):
        asked = _recorded(store.provenance_of(path))["trials"]
    length = results.open_results(path).sizes["trial"]
    prefixes = [length] if asked == "all" else overrides.integers("trials", asked)
    _print_table(path, [*prefixes[:-1], length])
    wanted, done = store.wanted_and_done(path)
    if done < wanted:
        print(
            f"Unfinished: {done:,} of {wanted:,} trials are stored; the same sweep goes on.",
            file=sys.stderr,
        )
    print(f"Store: {path}")
    return 0


def _plot(words: list[str], show: bool) -> int:
    path, own = _store_and_keys(words, {"to": None, "log": "false"})
    if show:
        return _print_config(path)
    from pipeline import figures, results

    stem = path.removesuffix(".zarr") if own["to"] is None else own["to"]
    length = results.open_results(path).sizes["trial"]
    figure = figures.plot_curves(
        results.summarize_store(path, length), log=overrides.truth("log", own["log"])
    )
    return _save(figure, stem)


def _save(figure: Any, stem: str) -> int:
    from pipeline import figures

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


def _print_config(path: str) -> int:
    from pipeline import store

    print(store.provenance_of(path)["config"], end="")
    return 0


def _recorded(attributes: dict[str, Any]) -> dict[str, Any]:
    import yaml

    recorded: dict[str, Any] = yaml.safe_load(attributes["config"])
    return recorded


def _store_and_keys(words: list[str], own: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The STORE of a verb (the newest one if none is given) and the verb's own keys."""
    stores = [word for word in words if "=" not in word or os.path.exists(word)]
    given = overrides.split_arguments(word for word in words if word not in stores)
    folder = os.path.expanduser(given.pop("results", "results"))
    for key in given:
        if key not in own:
            hint = overrides.did_you_mean(key, [*own, "results"])
            raise UserError(f"unknown key {key!r}: {hint}")
    if len(stores) > 1:
        raise UserError(f"one store at a time, got {len(stores)}: {' '.join(stores)}")
    if stores:
        path = os.path.expanduser(stores[0].removeprefix("file://"))
        return path if "://" in path else str(Path(path).absolute()), {**own, **given}
    found = [path for path in Path(folder).glob("*.zarr") if (path / "zarr.json").is_file()]
    newest = sorted(found, key=lambda path: path.stat().st_mtime)
    if not newest:
        raise UserError(f"no store in {folder}: run {usage.PROGRAM} sweep first, or give its path")
    return str(newest[-1].absolute()), {**own, **given}


def _example(words: list[str], show: bool) -> int:
    own = {"freqs": "6", "trial": "0", "matrices": "false", "to": "results/example"}
    given = overrides.split_arguments(words)
    own |= {key: given.pop(key) for key in list(own) if key in given}
    for key in given:
        if key.partition(".")[0] in (
            "trials",
            "method",
            "out",
            "results",
            "unit_trials",
            "cluster",
        ):
            raise UserError(f"example shows one block, and keeps nothing: leave {key} out")
    settings = _composed([f"{key}={value}" for key, value in given.items()], show)
    if settings is None:
        return 0
    from pipeline import example, figures, tables

    shown = example.work_out(
        settings, overrides.integer("freqs", own["freqs"]), overrides.integer("trial", own["trial"])
    )
    print(shown.title)
    if overrides.truth("matrices", own["matrices"]):
        for name, matrix in shown.matrices.items():
            tables.print_matrix(name, matrix)
        print()
    for line in shown.lines:
        print(line)
    return _save(figures.plot_matrices(shown.matrices, shown.title), own["to"])


VERBS: dict[str, Callable[[list[str], bool], int]] = {
    "sweep": _sweep,
    "plan": _plan,
    "summary": _summary,
    "plot": _plot,
    "example": _example,
    "claims": _claims,
}
