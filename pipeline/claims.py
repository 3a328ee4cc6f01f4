"""The claims of the notebook and the paper, settled by measurement: datasets -> verdicts.

A claim is put as a quantity that is positive where the claim holds, computed trial by trial on the
same blocks, and decided at each number of frequencies by the 95 % interval of its mean.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from pipeline.results import ratio_trials, summarize

# Sweeps of conf/experiment that the claims are decided by.
EXPERIMENTS = ("claims", "paper_relu", "photograph")
# "Pretty high": more than a tenth of the error of a mask that knows nothing (n = 0).
HIGH = 0.1
# "Good": less than half of it.
GOOD = 0.5
_BLOCK = 64
_WINDOWS = 16


@dataclass(frozen=True)
class Claim:
    """One claim: what was measured, and what it says.

    `curves` and `tests` hold summaries along `freq` by name; a test is positive where the claim
    holds.
    """

    title: str
    said: str
    experiment: str
    unit: str
    curves: dict[str, xr.Dataset]
    tests: dict[str, xr.Dataset]
    verdict: str
    remark: str = ""


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
        _asm_beats_apx(drawn, paper),
        _error_is_high(drawn),
        _random_is_worst(drawn, photograph),
        _a_wrong_choice_weighs_more(drawn),
        _order_is_harder_than_sign(drawn),
        _six_is_good(drawn),
    ]


def _asm_beats_apx(drawn: xr.Dataset, paper: xr.Dataset) -> Claim:
    pooling = drawn.error.sel(source="uniform", operation="max_pool")
    curves: dict[str, xr.Dataset] = {}
    tests: dict[str, xr.Dataset] = {}
    for name, errors in (("max pooling", pooling), ("ReLU", paper.error)):
        asm, apx = errors.sel({"method": "asm"}), errors.sel({"method": "apx"})
        curves |= {f"{name}, ASM": _interval(asm), f"{name}, APX": _interval(apx)}
        # With everything kept both are exact, but for APX's rounding.
        tests[name] = _interval((apx - asm).isel(freq=slice(0, -1)))
    return Claim(
        title="ASM is more accurate than using the approximated image directly",
        said="notebook, of max pooling; paper, of ReLU at every phi = n + 1",
        experiment=f"max pooling of {_trials(pooling)} uniform blocks on [0, 1); ReLU of "
        f"{_trials(paper.error)} upsampled blocks (the paper's experiment); 8 x 8. Tested: error "
        "of APX minus error of ASM. At n = 14 both are exact",
        unit="mean error (RMSE per block)",
        curves=curves,
        tests=tests,
        verdict=_verdicts(tests),
    )


def _error_is_high(drawn: xr.Dataset) -> Claim:
    errors = _asm(drawn, "uniform", "max_pool").error
    relative = _relative(errors)
    above_zero = _interval(errors.isel(freq=slice(0, -1)))
    tests = {f"above {HIGH:.0%}": _interval((relative - HIGH).isel(freq=slice(0, -1)))}
    return Claim(
        title='The max-pooling error is "pretty high, right up to the full 14 spatial frequencies"',
        said="notebook",
        experiment=f"ASM max pooling of {_trials(errors)} uniform blocks on [0, 1), 8 x 8. The "
        f"error is high where it is more than {HIGH:.0%} of the error at n = 0, where the mask "
        "knows nothing and keeps the first sample of each window. Tested: that ratio minus "
        f"{HIGH:g}",
        unit="error / error at n = 0",
        curves={"max pooling": _interval(relative)},
        tests=tests,
        verdict=_verdicts(tests),
        remark=f"The error itself is above zero: {verdict(above_zero)}.",
    )


def _random_is_worst(drawn: xr.Dataset, photograph: xr.Dataset) -> Claim:
    photo = photograph.error.sel({"method": "asm"})
    relative = {
        "uniform": _relative(_asm(drawn, "uniform", "max_pool").error),
        "upsampled, shifted": _relative(_asm(drawn, "upsampled_shifted", "max_pool").error),
        "autoregressive": _relative(_asm(drawn, "autoregressive", "max_pool").error),
        "photograph": _relative(photo),
    }
    random = relative["uniform"]
    inner = slice(1, -1)
    tests = {
        name: _interval((random - values).isel(freq=inner))
        for name, values in relative.items()
        if name != "uniform"
    }
    return Claim(
        title="Random blocks are a worst case; blocks with image statistics do better",
        said="paper",
        experiment=f"ASM max pooling, 8 x 8: {_trials(random)} uniform blocks against as many "
        "shifted upsampled and autoregressive (rho = 0.95) ones, and against the "
        f"{_trials(photo)} tiles of a photograph, taken as independent. Errors are relative to "
        "those at n = 0, which takes the contrast of a source out. Tested: relative error of "
        "uniform blocks minus that of the others, trial by trial",
        unit="error / error at n = 0",
        curves={name: _interval(values) for name, values in relative.items()},
        tests=tests,
        verdict=_verdicts(tests),
    )


def _a_wrong_choice_weighs_more(drawn: xr.Dataset) -> Claim:
    pooling, relu = (_on_signed(drawn, operation) for operation in ("max_pool", "relu"))
    # Of the mean square error of a block: how often the mask is wrong, times what that costs.
    costs = {
        name: ratio_trials(part.error.astype(np.float64) ** 2, 1 - part.mask_accuracy)
        for name, part in (("max pooling", pooling), ("ReLU", relu))
    }
    wrong = {"max pooling": 1 - pooling.mask_accuracy, "ReLU": 1 - relu.mask_accuracy}
    tests = {
        "weight of a wrong choice": _interval(
            costs["max pooling"] / _WINDOWS - costs["ReLU"] / _BLOCK
        ),
        "its cost alone": _interval(costs["max pooling"] - costs["ReLU"]),
    }
    often, dear = (
        float(parts["max pooling"].sel(freq=6).mean() / parts["ReLU"].sel(freq=6).mean())
        for parts in (wrong, costs)
    )
    return Claim(
        title="Why it is so bad, first reason: the result is only (N/2)^2 samples, so one wrong "
        "sample weighs more",
        said="notebook",
        experiment=f"ASM max pooling and ReLU of the same {_trials(pooling.error)} blocks, "
        "uniform on [-1, 1), 8 x 8. Mean square error = share of wrong choices x mean square "
        "cost of a wrong one; one wrong choice adds its cost / 16 to the mean square of a pooled "
        "block, cost / 64 to that of a ReLU block: its weight. Tested: max pooling minus "
        "ReLU, of the weight and of the cost",
        unit="share of wrong choices; mean square cost of one",
        curves={f"{name}, share wrong": _interval(values) for name, values in wrong.items()}
        | {f"{name}, cost": _interval(values) for name, values in costs.items()},
        tests=tests,
        verdict=_verdicts(tests),
        remark=f"At n = 6 the mean square error of max pooling is {often * dear:.2f} times that of "
        f"ReLU: its choices are wrong {often:.2f} times as often, and a wrong one costs "
        f"{dear:.2f} times as much. That the result has a quarter of the samples makes each weigh "
        "four times as much, but there are four times fewer to be wrong: their number drops out of "
        "the product. What is left to raise the error are those two factors.",
    )


def _order_is_harder_than_sign(drawn: xr.Dataset) -> Claim:
    # Chance: one of four samples is the largest, one of two signs is right.
    skill = {
        "max pooling": (_on_signed(drawn, "max_pool").mask_accuracy - 1 / 4) / (1 - 1 / 4),
        "ReLU": (_on_signed(drawn, "relu").mask_accuracy - 1 / 2) / (1 - 1 / 2),
    }
    tests = {"ReLU minus max pooling": _interval(skill["ReLU"] - skill["max pooling"])}
    return Claim(
        title="Second reason: the order of four samples must survive, not one sign",
        said="notebook",
        experiment=f"The same {_trials(skill['ReLU'])} blocks as for the first reason. Mask "
        "accuracy corrected for chance: (accuracy - chance) / (1 - chance), chance being 1/4 for "
        "the largest of four samples and 1/2 for a sign. Tested: skill of ReLU minus skill of max "
        "pooling",
        unit="mask accuracy corrected for chance",
        curves={name: _interval(values) for name, values in skill.items()},
        tests=tests,
        verdict=_verdicts(tests),
    )


def _six_is_good(drawn: xr.Dataset) -> Claim:
    blocks = {
        "uniform": "uniform_signed",
        "upsampled": "upsampled",
        "upsampled, shifted": "upsampled_shifted",
        "autoregressive": "autoregressive",
    }
    # Unshifted, every aligned window of an upsampled block is constant: nothing to be wrong about.
    both = [label for label in blocks if label != "upsampled"]
    relu = {k: _relative(_asm(drawn, blocks[k], "relu").error) for k in blocks}
    pooling = {k: _relative(_asm(drawn, blocks[k], "max_pool").error) for k in both}
    good = {k: _at_six(GOOD - values) == "++" for k, values in relu.items()}
    bad = {k: _at_six(GOOD - values) == "--" for k, values in pooling.items()}
    holds = [label for label in both if good[label] and bad[label]]
    if holds:
        decided = f"confirmed only for {' and '.join(holds)} blocks"
    elif good["upsampled"] and bad["uniform"]:
        decided = (
            "confirmed only for ReLU on the paper's upsampled blocks against max pooling on the "
            "notebook's uniform ones; on no kind of block where both are measured"
        )
    else:
        decided = "refuted"
    return Claim(
        title='"6 gave a good result for ReLU", and does not for max pooling',
        said="notebook, of the paper's phi; n = 5 is phi = 6",
        experiment=f"ASM, {_trials(drawn.error)} blocks of each kind, 8 x 8, zero mean. A result "
        f"is good where the error is less than {GOOD:.0%} of the error at n = 0; the claim holds "
        "on a kind of block where, at n = 5 and 6, ReLU is good and max pooling is not. Tested: "
        "relative error of max pooling minus that of ReLU on the same blocks",
        unit="error / error at n = 0",
        curves={f"ReLU, {label}": _interval(values) for label, values in relu.items()}
        | {f"max pooling, {label}": _interval(values) for label, values in pooling.items()},
        tests={k: _interval((pooling[k] - relu[k]).isel(freq=slice(1, -1))) for k in both},
        verdict=decided,
        remark=_spread(relu, pooling),
    )


def _spread(relu: Mapping[str, xr.DataArray], pooling: Mapping[str, xr.DataArray]) -> str:
    """How much the kind of block changes the relative error at n = 6, and the operation."""
    means = {label: float(values.sel(freq=6).mean()) for label, values in relu.items()}
    low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    apart = max(
        abs(float(values.sel(freq=6).mean()) - means[label]) for label, values in pooling.items()
    )
    return (
        f"At n = 6 the relative error of ReLU runs from {means[low]:.2f} ({low}) to "
        f"{means[high]:.2f} ({high}) with the kind of block; on the same blocks that of max "
        f"pooling differs from it by at most {apart:.2f}."
    )


def _at_six(values: xr.DataArray) -> str:
    """The signs at n = 5 and 6."""
    return _signs(_interval(values.sel(freq=[5, 6])))


def _squeezed(dataset: xr.Dataset) -> xr.Dataset:
    """Without the axes of a single value, but with `freq`, in memory only where it is used."""
    single = [
        name for name, size in dataset.sizes.items() if size == 1 and name not in ("freq", "trial")
    ]
    return dataset.squeeze(single, drop=True)


def _asm(drawn: xr.Dataset, source: str, operation: str) -> xr.Dataset:
    """Error and mask accuracy of ASM on one kind of block."""
    chosen = drawn[["error", "mask_accuracy"]].sel(source=source, operation=operation)
    # A mapping, because `method` is an option of sel.
    return chosen.sel({"method": "asm"})


def _on_signed(drawn: xr.Dataset, operation: str) -> xr.Dataset:
    """ASM on uniform blocks of zero mean, before the last frequency."""
    return _asm(drawn, "uniform_signed", operation).isel(freq=slice(0, -1))


def _relative(errors: xr.DataArray) -> xr.DataArray:
    """Errors over the mean error at n = 0, where a mask knows nothing."""
    return ratio_trials(errors, errors.sel(freq=0, drop=True))


def _interval(values: xr.DataArray) -> xr.Dataset:
    """Mean and 95 % interval over trials."""
    return summarize(xr.Dataset({"error": values}))[["mean", "ci_low", "ci_high", "count"]]


def _signs(test: xr.Dataset) -> str:
    """At each frequency +, - or 0, by the interval."""
    low, high = test["ci_low"].to_numpy(), test["ci_high"].to_numpy()
    return "".join("+" if a > 0 else "-" if b < 0 else "0" for a, b in zip(low, high, strict=True))


def _verdicts(tests: Mapping[str, xr.Dataset]) -> str:
    """The verdict of each test; of all together where they agree."""
    verdicts = {name: verdict(test) for name, test in tests.items()}
    if len(set(verdicts.values())) == 1:
        return next(iter(verdicts.values()))
    return "; ".join(f"{name}: {text}" for name, text in verdicts.items())


def verdict(test: xr.Dataset) -> str:
    """What a test along `freq` says: confirmed, refuted, or where it holds.

    Parameters
    ----------
    test
        `ci_low` and `ci_high` of what is positive where the claim holds.
    """
    signs = _signs(test)
    n = test["freq"].to_numpy()
    if set(signs) == {"+"}:
        return "confirmed"
    rest = "refuted" if set(signs) <= {"+", "-"} else "refuted or not decided"
    if "+" not in signs:
        return "refuted" if set(signs) == {"-"} else f"not confirmed: {rest} at every n"
    holds = [int(k) for k, sign in zip(n, signs, strict=True) if sign == "+"]
    fails = [int(k) for k, sign in zip(n, signs, strict=True) if sign != "+"]
    return f"confirmed only for n = {_runs(holds)} ({rest} for n = {_runs(fails)})"


def _runs(numbers: Sequence[int]) -> str:
    """0, 1, 2, 5 as 0..2, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}..{b}" for a, b in runs)


def _trials(values: xr.DataArray) -> str:
    return f"{values.sizes['trial']:,}"


def report(claims: Iterable[Claim], figure: str | None = None) -> str:
    """All claims as Markdown: what was said, the experiment, numbers, verdict.

    Parameters
    ----------
    claims
        As `settle` gives them.
    figure
        Where the picture of claim k is, with {k} for its number; none are linked without it.
    """
    parts = ["# The claims of the notebook and the paper, measured", _PREFACE]
    for k, claim in enumerate(claims, 1):
        parts += [
            f"## {k}. {claim.title}",
            f"**Verdict: {claim.verdict}.**",
            f"Said by: {claim.said}. {claim.experiment}.",
        ]
        if claim.remark:
            parts.append(claim.remark)
        if figure:
            parts.append(f"![Claim {k}]({figure.format(k=k)})")
        parts += [_table(claim.unit, claim.curves), _table("Tested", claim.tests)]
    return "\n\n".join(parts) + "\n"


_PREFACE = (
    "`python -m pipeline claims` runs what it needs and prints this; `make claims` also writes it "
    "here. Numbers are means with their 95 % intervals (Student's t, each n by itself). A test is "
    "positive where the claim holds, and decides at each n by its interval: paired, trial by trial "
    "on the same blocks. n = 0 .. 14 spatial frequencies are kept, n = 0 is the DC alone."
)


def _table(heading: str, columns: Mapping[str, xr.Dataset]) -> str:
    """Markdown; a row for every n that any of the columns has."""
    rows = sorted({int(n) for column in columns.values() for n in column["freq"].to_numpy()})
    lines = [
        f"{heading}:\n",
        "| n | " + " | ".join(columns) + " |",
        "|--:|" + "--:|" * len(columns),
    ]
    for n in rows:
        cells = [_cell(column, n) for column in columns.values()]
        lines.append(f"| {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(column: xr.Dataset, n: int) -> str:
    if n not in column["freq"]:
        return ""
    point = column.sel(freq=n)
    mean, low, high = (float(point[name]) for name in ("mean", "ci_low", "ci_high"))
    # As many digits as the interval lets stand, and two of the interval.
    width = high - low
    digits = min(8, max(0, 1 - int(np.floor(np.log10(width))))) if width > 0 else 4
    return f"{mean:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"
