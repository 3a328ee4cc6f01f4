"""The verb that settles the claims of notebook and paper."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import stores
from pipeline.cli.declaration import Request
from pipeline.cli.sweeps import observing, planned, run_plan
from pipeline.cli.words import load, path_of
from pipeline.config import notation
from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.planning.plan import Plan
    from pipeline.planning.settings import Settings
    from pipeline.run.rounds import Outcome


def config(request: Request) -> str:
    """The composed configurations of the sweeps that the claims need."""
    experiments = _words_of_claims(request).values()
    return "---\n".join(load(words, request.config_dirs).to_yaml() for words in experiments)


def _words_of_claims(request: Request) -> dict[str, list[str]]:
    """The experiments that the claims are decided by, and the words of each."""
    from pipeline.analysis import claims

    trials = [] if request.own["trials"] is None else [f"trials={request.own['trials']}"]
    # The photograph has a fixed number of tiles, and all are taken.
    return {
        name: [f"experiment={name}", *(trials if name != "photograph" else []), *request.words]
        for name in claims.EXPERIMENTS
    }


def claims(request: Request) -> int:
    """`claims`: run (or resume) what the claims need, and print the verdicts."""
    experiments = _words_of_claims(request)
    composed = {name: load(words, request.config_dirs) for name, words in experiments.items()}
    if notation.integers("trials", request.own["trials"] or 2)[-1] < 2:
        raise UserError("trials must be at least 2 for an interval, got 1: use trials=1e4")
    # All experiments are checked before the first is started.
    plans = {name: planned(settings) for name, settings in composed.items()}
    _check_places(request.own["to"], composed, plans)
    outcomes = {}
    for name, settings in composed.items():
        with observing(request, settings, plans[name]) as observer:
            observer.notify(f"experiment={name}")
            outcome = run_plan(settings, plans[name], observer)
        if outcome.failures:
            return 3
        outcomes[name] = outcome
    return _print_verdicts(outcomes, request)


def _check_places(
    folder: str | None, composed: dict[str, "Settings"], plans: dict[str, "Plan"]
) -> None:
    """Refuse if the folder of the page, or the store of an experiment, cannot be written."""
    from pipeline.store.location import Location
    from pipeline.store.store import find_for, location_of

    if folder is not None:
        if not folder:
            raise UserError("to is empty: give a folder, as to=results")
        Location.of(path_of("to", folder)).check_writable("to")
    for name, plan in plans.items():
        find_for(location_of(composed[name], plan), plan, extend=False)


def _print_verdicts(outcomes: dict[str, "Outcome"], request: Request) -> int:
    """Settle the claims by the stores of their experiments, and print, or also write, the page."""
    from pipeline.analysis import claims, opening
    from pipeline.show import claims as pages
    from pipeline.show import claims_page, exports

    folder = request.own["to"]
    settled = claims.settle(
        {
            name: opening.open_results(str(outcome.store)).isel(trial=slice(0, outcome.plan.trials))
            for name, outcome in outcomes.items()
        }
    )
    if request.json:
        verdicts = [{"title": claim.title, "verdict": claim.verdict} for claim in settled]
        stores.emit_result(claims=verdicts)
    else:
        print(pages.claims_page(settled), end="")
    if folder is not None:
        place = path_of("to", folder)
        paths = pages.save_claims(settled, place)
        page = os.path.join(place, "claims.html")
        with exports.whole_file(page) as partial_page:
            Path(partial_page).write_text(claims_page.page_of_claims(settled), encoding="utf-8")
        for path in [*paths, page]:
            print(path, file=sys.stderr)
    return 0
