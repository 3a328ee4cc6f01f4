"""Claims about why max pooling is harder to approximate than ReLU."""

from collections.abc import Mapping

import xarray as xr

from pipeline.analysis.claim import (
    Claim,
    Lines,
    all_positive,
    of_asm,
    on_signed,
    relative,
    single,
    square,
    trials_of,
)
from pipeline.analysis.datasets import ratio_trials
from pipeline.analysis.verdicts import interval, interval_of_sizes, signs, verdict, verdicts

# A threshold beside claim 6: less than half of the error of a mask that knows nothing is "good".
GOOD = 0.5
# How many samples the results of pooling and of ReLU have for an 8 x 8 block.
_WINDOWS, _SIGNS = 16, 64


def a_wrong_choice_weighs_more(drawn: xr.Dataset) -> Claim:
    """Claim 4: that a wrong choice weighs more, and that few samples make the error larger."""
    pooling, relu = (on_signed(drawn, operation) for operation in ("max_pool", "relu"))
    # The mean square error of a block: how often the mask is wrong, times what that costs.
    wrong = {"max pooling": 1 - pooling.mask_accuracy, "ReLU": 1 - relu.mask_accuracy}
    squares = {"max pooling": square(pooling.error), "ReLU": square(relu.error)}
    costs = {name: ratio_trials(squares[name], wrong[name]) for name in wrong}
    often, dear, total = (
        ratio_trials(parts["max pooling"], parts["ReLU"]) for parts in (wrong, costs, squares)
    )
    plain = ratio_trials(pooling.error, relu.error)
    weight = dear * (_SIGNS / _WINDOWS)
    more_samples = interval(_with_as_many_samples_as_relu(pooling.error) - 1)
    tests = {
        "share of wrong choices": interval(often - 1),
        "cost of a wrong choice": interval(dear - 1),
        "weight of a wrong choice": interval(weight - 1),
        "64 windows in place of 16": more_samples,
    }
    at_six = [float(ratio.sel(freq=6).mean()) for ratio in (often, dear, total, plain)]
    weighs = verdict(tests["weight of a wrong choice"])
    fewer, mean = _effect_of_few(more_samples)
    return Claim(
        title="Why it is so bad, first reason: the result is only (N/2)^2 samples, so one wrong "
        "sample weighs more",
        said="notebook",
        experiment=f"ASM max pooling and ReLU of the same {trials_of(pooling.error)} blocks, "
        "uniform on [-1, 1), 8 x 8. Mean square error = share of wrong choices x mean square "
        "cost of a wrong one; one wrong choice adds its cost / 16 to the mean square of a pooled "
        "block, cost / 64 to that of a ReLU block: its weight. Shown and tested: the ratio of max "
        "pooling to ReLU, and that ratio minus 1. Also tested: the mean error where four blocks "
        "are taken as one result of 64 windows, over that of 16 windows, minus 1",
        unit="max pooling / ReLU",
        curves={
            ("share of wrong choices",): interval_of_sizes(often),
            ("cost of a wrong choice",): interval_of_sizes(dear),
            ("weight of a wrong choice",): interval_of_sizes(weight),
            ("mean square error",): interval_of_sizes(total),
        },
        tests=single(tests),
        details={
            (part, name): interval_of_sizes(values)
            for part, each in {"share wrong": wrong, "cost": costs}.items()
            for name, values in each.items()
        },
        verdict=f"that a wrong choice weighs more: {weighs}; that the small number of samples "
        f"makes the error larger: {fewer}",
        remark="The result of max pooling has a quarter of the samples: each weighs four times as "
        "much, but there are four times fewer to be wrong, and in the mean square their number "
        "drops out of the product. The notebook's metric is the mean of the root mean squares, "
        f"which depends on it: {mean}. At n = 6 choices are wrong {at_six[0]:.2f} times as often "
        f"and a wrong one costs {at_six[1]:.2f} times as much, which makes the mean square error "
        f"{at_six[2]:.2f} times that of ReLU (and the mean error {at_six[3]:.2f} times).",
        level=1.0,
    )


def _with_as_many_samples_as_relu(errors: xr.DataArray) -> xr.DataArray:
    """Ratio of the mean error of results of four blocks to that of single blocks, by group of four.

    Root mean square errors of four blocks together, over the mean of their four errors.
    """
    groups = square(errors).coarsen(trial=_SIGNS // _WINDOWS, boundary="trim")
    alone = errors.astype("float64").coarsen(trial=_SIGNS // _WINDOWS, boundary="trim").mean()
    return ratio_trials(groups.mean() ** 0.5, alone)


def _effect_of_few(more_samples: xr.Dataset) -> tuple[str, str]:
    """What the small number of samples does to the mean error, as a verdict and with numbers."""
    sign = signs(more_samples)
    if (sign > 0).all():
        fewer = "refuted, it makes the mean error smaller and the mean square no different"
    elif (sign < 0).all():
        fewer = "confirmed of the mean error; in the mean square it cancels"
    else:
        fewer = "not decided of the mean error at every n; in the mean square it cancels"
    first, last = (float(more_samples["mean_error"].isel(freq=k)) for k in (0, -1))
    return fewer, (
        f"with 64 windows in place of 16 it would be {first:+.1%} at n = 0 and {last:+.0%} at "
        f"n = {int(more_samples['freq'][-1])}"
    )


def order_is_harder_than_sign(drawn: xr.Dataset) -> Claim:
    """Claim 5, by mask accuracy corrected for chance."""
    # Chance: one of four samples is the largest, one of two signs is right.
    skill = {
        "max pooling": (on_signed(drawn, "max_pool").mask_accuracy - 1 / 4) / (1 - 1 / 4),
        "ReLU": (on_signed(drawn, "relu").mask_accuracy - 1 / 2) / (1 - 1 / 2),
    }
    # The DC alone has a sign, but no order: n = 0 says nothing of what survives.
    difference = (skill["ReLU"] - skill["max pooling"]).isel(freq=slice(1, None))
    tests: Lines = {("ReLU minus max pooling",): interval(difference)}
    return Claim(
        title="Second reason: the order of four samples must survive, not one sign",
        said="notebook",
        experiment=f"The same {trials_of(skill['ReLU'])} blocks as for the first reason. Mask "
        "accuracy corrected for chance: (accuracy - chance) / (1 - chance), chance being 1/4 for "
        "the largest of four samples and 1/2 for a sign. Tested: that of ReLU minus that of max "
        "pooling",
        unit="mask accuracy corrected for chance",
        curves={(name,): interval(values) for name, values in skill.items()},
        tests=tests,
        verdict=verdicts(tests),
    )


def six_is_good(drawn: xr.Dataset) -> Claim:
    """Claim 6, decided by the contrast of the operations on the same blocks."""
    blocks = {
        "uniform": "uniform_signed",
        "upsampled": "upsampled",
        "shifted upsampled": "upsampled_shifted",
        "autoregressive": "autoregressive",
    }
    # Unshifted, every window of an upsampled block is constant: nothing to be wrong about.
    both = [label for label in blocks if label != "upsampled"]
    relu = {k: relative(of_asm(drawn, blocks[k], "relu").error) for k in blocks}
    pooling = {k: relative(of_asm(drawn, blocks[k], "max_pool").error) for k in both}
    contrast: Lines = {
        (k, "max pooling minus ReLU"): interval((pooling[k] - relu[k]).sel(freq=[5, 6]))
        for k in both
    }
    good = {k: interval(GOOD - values.sel(freq=[5, 6])) for k, values in relu.items()}
    bad = {k: interval(values.sel(freq=[5, 6]) - GOOD) for k, values in pooling.items()}
    return Claim(
        title='"6 gave a good result for ReLU", and does not for max pooling',
        said="notebook, of the paper's phi; n = 5 is phi = 6",
        experiment=f"ASM, {trials_of(drawn.error)} blocks of each kind, 8 x 8, zero mean; errors "
        "relative to those at n = 0. Decided by the contrast, which needs no threshold: relative "
        "error of max pooling minus that of ReLU on the same blocks, at n = 5 and 6. Beside it: "
        f"whether ReLU's is less than {GOOD:g}, and max pooling's more",
        unit="error / error at n = 0",
        curves={
            (label, name): interval_of_sizes(values)
            for name, errors in {"ReLU": relu, "max pooling": pooling}.items()
            for label, values in errors.items()
        },
        tests=contrast,
        details={
            (label, name): test
            for name, each in {"ReLU is good": good, "max pooling is not": bad}.items()
            for label, test in each.items()
        },
        verdict="that ReLU does better than max pooling: "
        + verdicts({name[:-1]: test for name, test in contrast.items()}),
        remark=f"{_threshold(good, bad, both)} {_spread(relu, pooling)}",
        level=GOOD,
    )


def _threshold(
    good: Mapping[str, xr.Dataset], bad: Mapping[str, xr.Dataset], both: list[str]
) -> str:
    """Where "good" and "not good" hold, read as a relative error below and above GOOD."""
    holds = [k for k in both if all_positive(good[k], bad[k])]
    undecided = [k for k in both if not (signs(good[k]).all() and signs(bad[k]).all())]
    if holds:
        read = f"holds for {' and '.join(holds)} blocks only"
    elif undecided:
        read = f"is not decided for {' and '.join(undecided)} blocks, and wrong on the others"
    else:
        read = "is wrong on each kind of block where both are measured"
        if all_positive(good["upsampled"], bad["uniform"]):
            read += (
                ", and true only of ReLU on the paper's upsampled blocks against max pooling on "
                "the notebook's uniform ones"
            )
    return f"Read with a threshold of {GOOD:.0%}, the claim {read}."


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
