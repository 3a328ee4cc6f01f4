"""The claims of the notebook and the paper, settled by measurement: datasets -> verdicts.

A claim is put as a quantity that is positive where the claim holds, computed trial by trial on the
same blocks, and decided at each number of frequencies by the 95 % interval of its mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from pipeline.analysis.datasets import ratio_trials
from pipeline.analysis.verdicts import (
    Name,
    apart,
    interval,
    interval_of_neighbours,
    signs,
    verdict,
    verdicts,
)

# The entries of conf/experiment whose sweeps decide the claims.
EXPERIMENTS = ("claims", "paper_relu", "photograph")
# Our reading of "pretty high": more than a tenth of the error of a mask that knows nothing (n = 0).
# Two other readings, a milder and a stricter one, are reported beside it.
HIGH, OTHER_HIGHS = 0.1, (0.05, 0.2)
# Our reading of "good": less than half of it.
GOOD = 0.5
# How many samples the results of pooling and of ReLU have for an 8 x 8 block.
_WINDOWS, _SIGNS = 16, 64

Lines = dict[Name, xr.Dataset]


@dataclass(frozen=True)
class Claim:
    """One claim: what was measured, and what it says.

    `curves`, `tests` and `details` hold summaries along `freq` by name.  A test is positive where
    the claim holds; details are numbers behind the curves.  The last part of a name is what is
    compared: ("uniform", "ASM").
    """

    title: str
    said: str
    experiment: str
    unit: str
    curves: Lines
    tests: Lines
    verdict: str
    remark: str = ""
    details: Lines = field(default_factory=dict)
    level: float | None = None
    """Drawn as a line beside the curves."""


def settle(datasets: Mapping[str, xr.Dataset]) -> list[Claim]:
    """Decide every claim.

    Parameters
    ----------
    datasets
        By name of EXPERIMENTS, as `open_results` opens them.
    """
    drawn = _squeezed(datasets["claims"])
    paper = _squeezed(datasets["paper_relu"])
    photograph = _squeezed(datasets["photograph"])
    return [
        _asm_beats_apx(drawn, paper, photograph),
        _error_is_high(drawn),
        _random_is_worst(drawn, photograph),
        _a_wrong_choice_weighs_more(drawn),
        _order_is_harder_than_sign(drawn),
        _six_is_good(drawn),
    ]


def _asm_beats_apx(drawn: xr.Dataset, paper: xr.Dataset, photograph: xr.Dataset) -> Claim:
    pooled = drawn.error.sel(operation="max_pool")
    measured = {
        ("max pooling", "uniform"): pooled.sel(source="uniform"),
        ("max pooling", "autoregressive"): pooled.sel(source="autoregressive"),
        ("max pooling", "photograph"): photograph.error,
        ("ReLU", "upsampled"): paper.error,
    }
    shifted = pooled.sel(source="upsampled_shifted")
    curves: Lines = {}
    tests: Lines = {}
    for name, errors in measured.items():
        of = interval_of_neighbours if "photograph" in name else interval
        for algorithm in ("asm", "apx"):
            curves[*name, algorithm.upper()] = of(errors.sel(algorithm=algorithm))
        tests[name] = of(_asm_gains(errors))
    return Claim(
        title="ASM is more accurate than using the approximated image directly",
        said="notebook, of max pooling; paper, of ReLU at every phi = n + 1",
        experiment=f"8 x 8 blocks. Max pooling of {_trials(pooled)} uniform blocks on [0, 1), as "
        f"many autoregressive ones (rho = 0.95) and the {_trials(photograph.error)} tiles of a "
        f"photograph; ReLU of {_trials(paper.error)} upsampled blocks, the paper's experiment. "
        "Tested: error of APX minus error of ASM. At n = 14 both are exact",
        unit="mean error (RMSE per block)",
        curves=curves,
        tests=tests,
        verdict=verdicts(tests),
        remark="Max pooling of shifted upsampled blocks: "
        f"{verdict(interval(_asm_gains(shifted)))}.",
    )


def _asm_gains(errors: xr.DataArray) -> xr.DataArray:
    """Error of APX minus error of ASM, before the last frequency, where both are exact."""
    difference = errors.sel(algorithm="apx") - errors.sel(algorithm="asm")
    return difference.isel(freq=slice(0, -1))


def _error_is_high(drawn: xr.Dataset) -> Claim:
    errors = _asm(drawn, "uniform", "max_pool").error
    relative = _relative(errors)
    # At n = 0 the ratio is 1 by definition.
    before = slice(1, -1)
    readings = {
        f"above {share:.0%}": interval((relative - share).isel(freq=before))
        for share in (HIGH, *OTHER_HIGHS)
    }
    decisive, *others = readings
    milder = "; ".join(f"{name} {verdict(readings[name])}" for name in others)
    return Claim(
        title='The max-pooling error is "pretty high, right up to the full 14 spatial frequencies"',
        said="notebook",
        experiment=f"ASM max pooling of {_trials(errors)} uniform blocks on [0, 1), 8 x 8. Our "
        f"reading of high: more than {HIGH:.0%} of the error at n = 0, where the mask knows "
        "nothing and keeps the first sample of each window. Tested: that ratio minus "
        f"{HIGH:g}, and minus what stricter and milder readings would have",
        unit="error / error at n = 0",
        curves={("max pooling",): interval(relative)},
        tests=_single(readings),
        verdict=verdict(readings[decisive]),
        remark=f"Other readings: {milder}.",
        level=HIGH,
    )


def _random_is_worst(drawn: xr.Dataset, photograph: xr.Dataset) -> Claim:
    photo = photograph.error.sel(algorithm="asm")
    relative = {
        "uniform": _relative(_asm(drawn, "uniform", "max_pool").error),
        "shifted upsampled": _relative(_asm(drawn, "upsampled_shifted", "max_pool").error),
        "autoregressive": _relative(_asm(drawn, "autoregressive", "max_pool").error),
        "photograph": _relative(photo),
    }
    measured = {
        name: (interval_of_neighbours if name == "photograph" else interval)(values)
        for name, values in relative.items()
    }
    random = relative["uniform"]
    tests: Lines = {
        (name,): apart(measured["uniform"], curve).isel(freq=slice(1, -1))
        for name, curve in measured.items()
        if name != "uniform"
    }
    return Claim(
        title="Random blocks are a worst case; blocks with image statistics do better",
        said="paper",
        experiment=f"ASM max pooling, 8 x 8: {_trials(random)} uniform blocks against as many "
        "shifted upsampled and autoregressive (rho = 0.95) ones, and against the "
        f"{_trials(photo)} tiles of a photograph. (Unshifted, every window "
        "of an upsampled block is constant, and the error 0.) Errors are relative to those at "
        "n = 0, which takes the contrast of a source out. Tested: relative error of uniform "
        "blocks minus that of the others; the blocks differ, so the samples are independent and "
        "not paired",
        unit="error / error at n = 0",
        curves=_single(measured),
        tests=tests,
        verdict=f"{verdicts(tests)}, against these three",
    )


def _a_wrong_choice_weighs_more(drawn: xr.Dataset) -> Claim:
    pooling, relu = (_on_signed(drawn, operation) for operation in ("max_pool", "relu"))
    # The mean square error of a block: how often the mask is wrong, times what that costs.
    wrong = {"max pooling": 1 - pooling.mask_accuracy, "ReLU": 1 - relu.mask_accuracy}
    squares = {"max pooling": _square(pooling.error), "ReLU": _square(relu.error)}
    costs = {name: ratio_trials(squares[name], wrong[name]) for name in wrong}
    often, dear, total = (
        ratio_trials(parts["max pooling"], parts["ReLU"]) for parts in (wrong, costs, squares)
    )
    plain = ratio_trials(pooling.error, relu.error)
    weight = dear * (_SIGNS / _WINDOWS)
    tests = {
        "share of wrong choices": interval(often - 1),
        "cost of a wrong choice": interval(dear - 1),
        "weight of a wrong choice": interval(weight - 1),
    }
    at_six = [float(ratio.sel(freq=6).mean()) for ratio in (often, dear, total, plain)]
    weighs = verdict(tests["weight of a wrong choice"])
    return Claim(
        title="Why it is so bad, first reason: the result is only (N/2)^2 samples, so one wrong "
        "sample weighs more",
        said="notebook",
        experiment=f"ASM max pooling and ReLU of the same {_trials(pooling.error)} blocks, "
        "uniform on [-1, 1), 8 x 8. Mean square error = share of wrong choices x mean square "
        "cost of a wrong one; one wrong choice adds its cost / 16 to the mean square of a pooled "
        "block, cost / 64 to that of a ReLU block: its weight. Shown and tested: the ratio of max "
        "pooling to ReLU, and that ratio minus 1",
        unit="max pooling / ReLU",
        curves={
            ("share of wrong choices",): interval(often),
            ("cost of a wrong choice",): interval(dear),
            ("weight of a wrong choice",): interval(weight),
            ("mean square error",): interval(total),
        },
        tests=_single(tests),
        details={
            (part, name): interval(values)
            for part, each in {"share wrong": wrong, "cost": costs}.items()
            for name, values in each.items()
        },
        verdict=f"that a wrong choice weighs more: {weighs}; that the small number of samples "
        "makes the error larger: refuted, it cancels",
        remark="The result of max pooling has a quarter of the samples: each weighs four times as "
        "much, but there are four times fewer to be wrong, and their number drops out of the "
        f"product. At n = 6 choices are wrong {at_six[0]:.2f} times as often and a wrong one costs "
        f"{at_six[1]:.2f} times as much, which makes the mean square error {at_six[2]:.2f} times "
        f"that of ReLU (and the mean error {at_six[3]:.2f} times).",
        level=1.0,
    )


def _order_is_harder_than_sign(drawn: xr.Dataset) -> Claim:
    # Chance: one of four samples is the largest, one of two signs is right.
    skill = {
        "max pooling": (_on_signed(drawn, "max_pool").mask_accuracy - 1 / 4) / (1 - 1 / 4),
        "ReLU": (_on_signed(drawn, "relu").mask_accuracy - 1 / 2) / (1 - 1 / 2),
    }
    # The DC alone has a sign, but no order: n = 0 says nothing of what survives.
    difference = (skill["ReLU"] - skill["max pooling"]).isel(freq=slice(1, None))
    tests: Lines = {("ReLU minus max pooling",): interval(difference)}
    return Claim(
        title="Second reason: the order of four samples must survive, not one sign",
        said="notebook",
        experiment=f"The same {_trials(skill['ReLU'])} blocks as for the first reason. Mask "
        "accuracy corrected for chance: (accuracy - chance) / (1 - chance), chance being 1/4 for "
        "the largest of four samples and 1/2 for a sign. Tested: that of ReLU minus that of max "
        "pooling",
        unit="mask accuracy corrected for chance",
        curves={(name,): interval(values) for name, values in skill.items()},
        tests=tests,
        verdict=verdicts(tests),
    )


def _six_is_good(drawn: xr.Dataset) -> Claim:
    blocks = {
        "uniform": "uniform_signed",
        "upsampled": "upsampled",
        "shifted upsampled": "upsampled_shifted",
        "autoregressive": "autoregressive",
    }
    # Unshifted, every window of an upsampled block is constant: nothing to be wrong about.
    both = [label for label in blocks if label != "upsampled"]
    relu = {k: _relative(_asm(drawn, blocks[k], "relu").error) for k in blocks}
    pooling = {k: _relative(_asm(drawn, blocks[k], "max_pool").error) for k in both}
    good = {k: interval(GOOD - values.sel(freq=[5, 6])) for k, values in relu.items()}
    bad = {k: interval(values.sel(freq=[5, 6]) - GOOD) for k, values in pooling.items()}
    holds = [k for k in both if _all_positive(good[k], bad[k])]
    undecided = [k for k in both if not (signs(good[k]).all() and signs(bad[k]).all())]
    if holds:
        decided = f"confirmed only for {' and '.join(holds)} blocks"
    elif undecided:
        decided = f"not decided for {' and '.join(undecided)} blocks, refuted on the others"
    else:
        decided = "refuted on each kind of block where both are measured"
        if _all_positive(good["upsampled"], bad["uniform"]):
            decided += (
                "; true only of ReLU on the paper's upsampled blocks against max pooling on the "
                "notebook's uniform ones"
            )
    return Claim(
        title='"6 gave a good result for ReLU", and does not for max pooling',
        said="notebook, of the paper's phi; n = 5 is phi = 6",
        experiment=f"ASM, {_trials(drawn.error)} blocks of each kind, 8 x 8, zero mean. Our "
        f"reading of good: an error of less than {GOOD:.0%} of that at n = 0. The claim holds on "
        f"a kind of block where, at n = 5 and 6, ReLU is good, tested as {GOOD:g} minus its "
        f"relative error, and max pooling is not, tested as its relative error minus {GOOD:g}",
        unit="error / error at n = 0",
        curves={
            (label, name): interval(values)
            for name, errors in {"ReLU": relu, "max pooling": pooling}.items()
            for label, values in errors.items()
        },
        tests={
            (label, name): test
            for name, each in {"ReLU is good": good, "max pooling is not": bad}.items()
            for label, test in each.items()
        },
        details={
            (label, "max pooling minus ReLU"): interval(pooling[label] - relu[label])
            for label in both
        },
        verdict=decided,
        remark=_spread(relu, pooling),
        level=GOOD,
    )


def _spread(relu: Mapping[str, xr.DataArray], pooling: Mapping[str, xr.DataArray]) -> str:
    """How much the kind of block changes the relative error at n = 6, and the operation."""
    means = {label: float(values.sel(freq=6).mean()) for label, values in relu.items()}
    low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    beside = ", ".join(
        f"{float(values.sel(freq=6).mean()):.2f} against {means[label]:.2f} ({label})"
        for label, values in pooling.items()
    )
    text = (
        f"At n = 6 the relative error of ReLU runs from {means[low]:.2f} ({low}) to "
        f"{means[high]:.2f} ({high}) with the kind of block. On the same blocks max pooling has, "
        f"against ReLU, {beside}."
    )
    for label, values in pooling.items():
        # Where one threshold parts the two at both n = 5 and 6.
        worst = float(relu[label].sel(freq=[5, 6]).mean("trial").max())
        best = float(values.sel(freq=[5, 6]).mean("trial").min())
        if worst < best:
            text += (
                f" On {label} blocks the claim would hold for a threshold between {worst:.3f} and "
                f"{best:.3f} in place of {GOOD:g}."
            )
    return text


def _single(lines: Mapping[str, xr.Dataset]) -> Lines:
    """Lines whose names have one part."""
    return {(name,): line for name, line in lines.items()}


def _all_positive(*tests: xr.Dataset) -> bool:
    return all(bool((signs(test) > 0).all()) for test in tests)


def _squeezed(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset without axes of a single value; `freq` and `trial` stay."""
    single = [
        name for name, size in dataset.sizes.items() if size == 1 and name not in ("freq", "trial")
    ]
    return dataset.squeeze(single, drop=True)


def _asm(drawn: xr.Dataset, source: str, operation: str) -> xr.Dataset:
    """Error and mask accuracy of ASM on one kind of block."""
    chosen = drawn[["error", "mask_accuracy"]].sel(source=source, operation=operation)
    return chosen.sel(algorithm="asm")


def _on_signed(drawn: xr.Dataset, operation: str) -> xr.Dataset:
    """Error and mask accuracy of ASM on uniform blocks of zero mean, but for the last frequency."""
    return _asm(drawn, "uniform_signed", operation).isel(freq=slice(0, -1))


def _square(errors: xr.DataArray) -> xr.DataArray:
    return errors.astype(np.float64) ** 2


def _relative(errors: xr.DataArray) -> xr.DataArray:
    """Errors over the mean error at n = 0, where a mask knows nothing."""
    return ratio_trials(errors, errors.sel(freq=0, drop=True))


def _trials(values: xr.DataArray) -> str:
    return f"{values.sizes['trial']:,}"
