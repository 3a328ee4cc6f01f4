"""One block through exact and approximated masking: the notebook's worked example."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import asm_core
from asm_core import Operation
from pipeline.config import compose
from pipeline.errors import UserError
from pipeline.functions.ranks import ranks
from pipeline.planning.axes import ALGORITHM, CELL, FREQ, NAMED
from pipeline.planning.entries import Choice
from pipeline.planning.identity import TEXT_IS_KEPT, changed_code, changed_sources, positions
from pipeline.planning.plan import Plan
from pipeline.planning.settings import AUTO, Settings
from pipeline.run.own import own_errors, results_of
from pipeline.run.planned import plan_of
from pipeline.sources import kinds
from pipeline.store.damage import naming_damage
from pipeline.store.store import Store

Array = NDArray[np.float64]
# Axes of which one value is chosen.
CHOSEN = (*CELL, "operation", "selection")


@dataclass(frozen=True)
class Example:
    """One block under one operation, with n frequencies kept.

    `exact`, `approximate` and the masks are (N, N); `true`, `asm` and `apx` are the exact result
    and those of the two algorithms; `wrong`, (N, N), is where the mask chose a sample, or decided
    on one, that is not right; `own` has result and error of functions of the user's own.
    """

    freq: int
    kept: int
    exact: Array
    approximate: Array
    true_mask: NDArray[np.bool_]
    mask: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    true: Array
    asm: Array
    apx: Array
    accuracy: float
    asm_error: float
    apx_error: float
    own: Mapping[str, tuple[Array, float]]


@dataclass(frozen=True)
class Block:
    """A block that is to be shown, and what is done to it."""

    source: str
    seed: int
    trial: int
    operation: str
    values: Array
    spectrum: Array
    measured: Operation
    ranks: NDArray[np.int64]
    own: tuple[Choice, ...]

    @property
    def title(self) -> str:
        """What is shown."""
        size = len(self.values)
        return (
            f"{self.operation}, {self.source} block {self.trial} of seed {self.seed}, "
            f"{size} x {size}"
        )

    @property
    def last(self) -> int:
        """The smallest n that keeps everything."""
        return int(self.ranks.max())

    def at(self, freq: int) -> Example:
        """The block with `freq` spatial frequencies kept."""
        block, measured = self.values, self.measured
        approximate = asm_core.approximate(self.spectrum, freq, self.ranks)
        true_mask, mask = measured.mask(block), measured.mask(approximate)
        true, asm = measured.exact(block), measured.masked(block, mask)
        apx = measured.exact(approximate)
        one = asm_core.measure(
            block[None], [freq], [measured], selection=self.ranks, coefficients=self.spectrum[None]
        )
        return Example(
            freq=freq,
            kept=asm_core.coefficients_kept(len(block), freq, self.ranks),
            exact=block, approximate=approximate, true_mask=true_mask, mask=mask,
            wrong=_wrong(block, true_mask, mask, true, asm),
            true=true, asm=asm, apx=apx,
            accuracy=float(one.mask_accuracy.item()),
            asm_error=float(asm_core.rmse(asm, true)), apx_error=float(asm_core.rmse(apx, true)),
            own=self._own(freq),
        )  # fmt: skip

    def _own(self, freq: int) -> dict[str, tuple[Array, float]]:
        """Result and error of each function of the user's own."""
        blocks, coefficients = self.values[None], self.spectrum[None]
        measured = self.measured.checked(len(self.values))
        batch = asm_core.Batch(blocks, coefficients, self.ranks <= freq, measured)
        # The error is the one that a sweep stores, where rounding is none.
        of_block = blocks, coefficients, [freq], [self.measured], self.ranks
        return {
            choice.name: (results_of(choice)(batch)[0], own_errors(choice, *of_block).item())
            for choice in self.own
        }


def _wrong(
    block: Array, true_mask: NDArray[np.bool_], mask: NDArray[np.bool_], true: Array, asm: Array
) -> NDArray[np.bool_]:
    """Where a choice is wrong: by value, so that of equal samples any is right."""
    if true.shape == block.shape:
        wrong: NDArray[np.bool_] = (mask != true_mask) & (block != 0)
        return wrong
    window = len(block) // len(true)
    windows: NDArray[np.bool_] = np.kron(asm != true, np.ones((window, window), dtype=bool))
    return mask & windows


def of_settings(settings: Settings, trial: int) -> Block:
    """Block `trial` of the source that is configured, and the functions that are shown with it.

    Raises
    ------
    UserError
        Where the configuration names more than one block, or the source has no such trial.
    """
    # Every tile of a stored source, in their natural order.
    shown = dataclasses.replace(settings, trials=AUTO, precision=None)
    plan = plan_of(shown)
    chosen = {axis: _only(axis, plan.labels[axis], None) for axis in CHOSEN}
    return _block(plan, chosen, trial)


def of_store(
    store: Store, wanted: Mapping[str, str], algorithm: str, freq: int, trial: int | str
) -> tuple[Block, NDArray[np.float32]]:
    """A block that a store has measured, by its number or by its error; and all of these errors.

    Parameters
    ----------
    wanted
        Values of the axes of CHOSEN, as text; they may be left out where there is only one.
    algorithm, freq
        Of the errors.
    trial
        A number, or "worst", "median" or "best".

    Returns
    -------
    tuple
        The block, and the errors (trials,) at that point, float32; NaN where not measured.

    Raises
    ------
    UserError
        For a value that an axis of the store has not, or one that must be chosen; where trials are
        not kept one by one; where what lies at a source's path has changed, or the code of a
        function of the user's own, or there is none.
    """
    chosen = {axis: _only(axis, store.labels[axis], wanted.get(axis)) for axis in CHOSEN}
    point = {**chosen, ALGORITHM: algorithm, FREQ: freq}
    at = positions(store.labels, {axis: [value] for axis, value in point.items()})
    with naming_damage(store.location):
        errors = store.read_values("error", at, 0, store.kept_trials).reshape(-1)
    known = np.flatnonzero(~np.isnan(errors))
    if not known.size:
        raise UserError(f"{store} keeps no trials of this curve one by one: choose another")
    number = _by_error(errors, known, trial) if isinstance(trial, str) else trial
    if number not in known:
        raise UserError(
            f"trial={number} is not among the {known.size:,} blocks of this curve that {store} "
            f"keeps: use one of {known[0]} .. {known[-1]}"
        )
    plan = _plan_of(store, {**chosen, ALGORITHM: algorithm})
    return _block(plan, chosen, number), errors


def _only(axis: str, values: Sequence[Any], wanted: str | None) -> Any:
    """The value of an axis that is wanted, or the only one that there is."""
    if wanted is not None:
        found = [value for value in values if str(value) == wanted]
        if not found:
            raise UserError(f"there is no {axis}={wanted}: it is one of {_listed(values)}")
        return found[0]
    if len(values) > 1:
        raise UserError(
            f"example shows one block: choose one {axis}, {len(values)} are given: "
            f"{axis}={values[0]}"
        )
    return values[0]


def _listed(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _by_error(errors: NDArray[np.float32], known: NDArray[np.int64], which: str) -> int:
    """The first trial with the largest, the smallest, or the median error."""
    order = known[np.argsort(errors[known], kind="stable")]
    value = errors[{"worst": order[-1], "best": order[0]}.get(which, order[(len(order) - 1) // 2])]
    return int(np.flatnonzero(errors == value)[0])


def _plan_of(store: Store, chosen: Mapping[str, Any]) -> Plan:
    """The plan of the last run that measured a curve, by which its blocks are drawn again.

    Of entries it has those that are chosen: nothing is looked for of which no picture is made.
    """
    for run in reversed(store.record.runs):
        labels = run.wanted.labels
        if all(value in labels[axis] for axis, value in chosen.items()):
            settings = compose.recorded(run.config, config_dirs=run.config_dirs)
            entries = {axis: _entries(getattr(settings, axis), chosen[axis]) for axis in NAMED}
            plan = plan_of(dataclasses.replace(settings, **entries))
            if changed := changed_code(store.record.identity, plan.identity):
                raise UserError(f"{'; '.join(changed)}: put it back, {TEXT_IS_KEPT}")
            if chosen["source"] in changed_sources(store.record.identity, plan.identity):
                raise UserError(
                    f"what lies at the path of source {chosen['source']} is not what {store} was "
                    "made of: put it back"
                )
            return plan
    raise UserError(f"{store} does not say how its blocks are drawn: sweep it again")


def _entries(entries: dict[str, Any], chosen: str) -> Any:
    """The entry of a name; all of them for a source of several qualities, which makes its own."""
    return {chosen: entries[chosen]} if chosen in entries else entries


def _block(plan: Plan, chosen: Mapping[str, Any], trial: int) -> Block:
    size = chosen["block_size"]
    source = next(each for each in plan.sources if each.name == chosen["source"])
    operation = next(each for each in plan.operations if each.name == chosen["operation"])
    selection = next(each for each in plan.selections if each.name == chosen["selection"])
    if source.available and trial >= source.available[size]:
        raise UserError(
            f"trial={trial} is not among the {source.available[size]} blocks of {size} x {size} "
            f"that source {source.name} has: use at most {source.available[size] - 1}"
        )
    blocks, known = kinds.draw_pair(source, plan.seed, size, trial, 1)
    return Block(
        source=source.name, seed=plan.seed, trial=trial, operation=operation.name, values=blocks[0],
        spectrum=asm_core.block_dct(blocks[0]) if known is None else known[0],
        measured=Operation(operation.kind, **operation.parameters),
        ranks=ranks(selection.identity, size),
        own=tuple(each for each in plan.algorithms if each.function),
    )  # fmt: skip
