"""The verbs and what they print; no logic.

Each verb imports what it needs when it runs: xarray, zarr, dask and numba take a second, and
`--help` and refusals do without them.
"""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.cli import help, stores
from pipeline.config import notation
from pipeline.errors import ClusterLostError, Stopped, StoreLostError, UserError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns
    -------
    int
        Exit code: 0 done, 1 the cluster or the disk was lost, or a store is damaged, 2 refused
        (one line on standard error), 3 some units failed, 130 stopped by Ctrl-C.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _dispatch(words)
    except UserError as error:
        return _refuse(str(error))
    except (ClusterLostError, StoreLostError) as error:
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
        print(help.OVERVIEW)
        if not helping:
            raise UserError(f"no verb given: choose one of {', '.join(VERBS)}")
        return 0
    verb, *rest = plain
    if verb not in VERBS:
        raise UserError(f"unknown verb {verb!r}: {notation.did_you_mean(verb, VERBS)}")
    if helping:
        print(help.of_verb(verb))
        return 0
    return VERBS[verb](rest, "--cfg" in options)


def _sweep(words: list[str], show: bool) -> int:
    settings = _composed(words, show)
    if settings is None:
        return 0
    plan = _planned(settings)
    from pipeline.show import progress

    with progress.Watch() as watch:
        outcome = _run(settings, plan, words, watch)
    if outcome.plan.unit_trials != settings.unit_trials:
        watch.say(f"Units of this store hold {outcome.plan.unit_trials:,} trials.")
    if outcome.failures:
        return 3
    from pipeline.store import listing

    stored = listing.measured_trials(outcome.path)
    if stored > outcome.plan.trials:
        watch.say(
            f"The store has {stored:,} trials; the table is of the first {outcome.plan.trials:,}."
        )
    stores.print_table(outcome.path, outcome.plan.prefixes, settings.precision, outcome.plan.labels)
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
    from pipeline.run import rounds, tasks

    outcome = rounds.execute(settings, plan, words, watch)
    for failure in outcome.failures[:5]:
        print(f"failed: {failure}", file=sys.stderr)
    if outcome.failures:
        print(
            f"error: {len(outcome.failures)} units failed {1 + tasks.RETRIES} times and are set "
            "aside, all others are stored; to try them again: "
            f"{help.PROGRAM} sweep {shlex.join(words)}".rstrip(),
            file=sys.stderr,
        )
    return outcome


def _claims(words: list[str], show: bool) -> int:
    given = notation.split_arguments(words)
    folder = given.pop("to", None)
    for key in given:
        if key not in help.CLAIMS_KEYS and not key.startswith("cluster."):
            raise UserError(
                f"claims decides on its own experiments: leave {key}={given[key]} out; it takes "
                f"to, {', '.join(help.CLAIMS_KEYS)}"
            )
    from pipeline.analysis import claims
    from pipeline.config import compose

    arguments = [
        [
            f"experiment={name}",
            # The photograph has its tiles, and all are taken.
            *(f"{k}={v}" for k, v in given.items() if (name, k) != ("photograph", "trials")),
        ]
        for name in claims.EXPERIMENTS
    ]
    composed = [compose.load(argument) for argument in arguments]
    if show:
        print("---\n".join(settings.to_yaml() for settings in composed), end="")
        return 0
    if notation.integers("trials", given.get("trials", 2))[-1] < 2:
        raise UserError("trials must be at least 2 for an interval, got 1: use trials=1e4")
    # All are checked before the first is started.
    plans = [_planned(settings) for settings in composed]
    from pipeline.analysis import datasets
    from pipeline.plan.plan import store_path
    from pipeline.show import figures, progress, report
    from pipeline.store import store

    if folder is not None:
        if not folder:
            raise UserError("to is empty: give a folder, as to=results")
        store.check_folder("to", Path(os.path.expanduser(folder)))
    for settings, plan in zip(composed, plans, strict=True):
        store.check(store_path(settings, plan), plan)

    opened = {}
    for name, settings, plan, argument in zip(
        claims.EXPERIMENTS, composed, plans, arguments, strict=True
    ):
        with progress.Watch() as watch:
            watch.say(f"experiment={name}")
            outcome = _run(settings, plan, argument, watch)
        if outcome.failures:
            return 3
        trials = slice(0, outcome.plan.trials)
        opened[name] = datasets.open_results(outcome.path).isel(trial=trials)
    settled = claims.settle(opened)
    print(report.claims_page(settled), end="")
    if folder is not None:
        for path in figures.save_claims(settled, os.path.expanduser(folder)):
            print(path, file=sys.stderr)
    return 0


def _composed(words: Sequence[str], show: bool) -> Any:
    """The configuration of a command line; None once `--cfg` has shown it."""
    from pipeline.config import compose

    settings = compose.load(words)
    if not show:
        return settings
    print(settings.to_yaml(), end="")
    return None


def _planned(settings: Any) -> Any:
    from pipeline.plan.plan import make_plan
    from pipeline.sources import kinds

    return make_plan(settings, kinds.resolve)


def _remainders(source: Any, block_sizes: Sequence[int]) -> list[str]:
    """What of stored blocks lies beyond the last whole tiles."""
    from pipeline.sources import kinds

    return [
        f"{source.name}: {source.available[size]:,} blocks of {size} x {size}, "
        f"{kinds.dropped(source, size):,} samples dropped at the edges"
        for size in block_sizes
        if source.available
    ]


def _plan(words: list[str], show: bool) -> int:
    settings = _composed(words, show)
    if settings is None:
        return 0
    plan = _planned(settings)
    from dask.system import CPU_COUNT

    from pipeline.plan.plan import store_path
    from pipeline.show import tables
    from pipeline.store import listing, store

    path = store_path(settings, plan)
    plan = store.check(path, plan, extend=settings.extend)
    missing = plan.missing(listing.counts(path, plan))
    workers, threads = (settings.cluster.get(key) for key in ("workers", "threads"))
    threads = workers * threads if workers and threads else CPU_COUNT
    tables.print_plan(plan, path, len(missing), threads)
    for source in plan.sources:
        for line in _remainders(source, plan.block_sizes):
            print(line)
    return 0


def _example(words: list[str], show: bool) -> int:
    own = {"freqs": "6", "trial": "0", "matrices": "false", "to": "results/example"}
    given = notation.split_arguments(words)
    own |= {key: given.pop(key) for key in list(own) if key in given}
    for key in given:
        if key.partition(".")[0] in (
            "trials",
            "algorithm",
            "out",
            "results",
            "unit_trials",
            "cluster",
        ):
            raise UserError(f"example shows one block, and keeps nothing: leave {key} out")
    settings = _composed([f"{key}={value}" for key, value in given.items()], show)
    if settings is None:
        return 0
    from pipeline.analysis import example
    from pipeline.show import figures, tables

    shown = example.work_out(
        settings, notation.integer("freqs", own["freqs"]), notation.integer("trial", own["trial"])
    )
    print(shown.title)
    if notation.truth("matrices", own["matrices"]):
        for name, matrix in shown.matrices.items():
            tables.print_matrix(name, matrix)
        print()
    for line in shown.lines:
        print(line)
    return stores.save(figures.plot_matrices(shown.matrices, shown.title), own["to"])


def _rerun(words: list[str], show: bool) -> int:
    own = {"out": None}
    given = [word for word in words if word.partition("=")[0].partition(".")[0] == "cluster"]
    rest = [word for word in words if word not in given]
    path, own = stores.store_and_keys(rest, own)
    if show:
        return stores.print_config(path)
    if not own["out"]:
        raise UserError("rerun needs a new store: give out=STORE")
    from pipeline.config import compose
    from pipeline.store import provenance, store

    attributes = store.provenance_of(path)
    target = os.path.expanduser(own["out"])
    if os.path.realpath(target) == os.path.realpath(path):
        raise UserError(f"out={own['out']} is the store itself: give a new one")
    runs = provenance.recorded_runs(attributes)
    for run in runs:
        settings = compose.recorded(run["config"])
        settings.out, settings.extend = target, len(runs) > 1
        if given:
            settings.cluster = compose.load(given).cluster
        plan = _planned(settings)
        from pipeline.show import progress

        with progress.Watch() as watch:
            watch.say(f"sweep {run['overrides']}".rstrip())
            words = provenance.words_of(run, target, extend=settings.extend)
            outcome = _run(settings, plan, words, watch)
        if outcome.failures:
            return 3
    store.set_attributes(outcome.path, {"rerun_of": path})
    print(f"Store: {outcome.path}")
    return stores.print_differing(outcome.path, path)


VERBS: dict[str, Callable[[list[str], bool], int]] = {
    "sweep": _sweep,
    "plan": _plan,
    "summary": stores.summary,
    "plot": stores.plot,
    "status": stores.status,
    "verify": stores.verify,
    "rerun": _rerun,
    "example": _example,
    "claims": _claims,
}
