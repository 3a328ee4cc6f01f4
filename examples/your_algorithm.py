"""Three ideas of examples/my_masks.py against ASM, each on a page of its own.

python examples/your_algorithm.py [FOLDER]; the pages and stores go into FOLDER, or nowhere.
"""

import sys
import tempfile
from functools import partial
from pathlib import Path

import my_masks

from pipeline import compare_results, report, summarize, sweep

TRIALS = 20_000
TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.4)


def measured(folder: Path, name: str, **settings) -> str:
    """Sweep all n at N = 8, write the page, and say which is better where; returns the store."""
    freqs = settings.pop("freqs", range(15))
    store = sweep(freqs=freqs, trials=TRIALS, results=folder, **settings).attrs["store"]
    report(store, to=folder / f"{name}.html")
    return store


def tell(store: str, *names: str) -> None:
    """Print the mean errors of some algorithms, and the verdict on the first two."""
    curves = summarize(store).mean_error.squeeze(drop=True).sel(algorithm=list(names))
    print(curves.transpose("freq", "algorithm").to_pandas().round(4).to_string())
    print(compare_results(store, algorithm=names[:2]).attrs["verdict"], end="\n\n")


with tempfile.TemporaryDirectory() as temporary:
    folder = Path(sys.argv[1] if sys.argv[1:] else temporary)

    # The temperature is chosen on the blocks of another seed than it is judged on.
    soft = {f"soft_{k}": {"_target_": my_masks.soft_max_pool, "temperature": t}
            for k, t in enumerate(TEMPERATURES)}  # fmt: skip
    tried = summarize(sweep(algorithm=soft, freqs=range(14), trials=5000, seed=1, results=folder))
    best = TEMPERATURES[int(tried.mean_error.squeeze().mean("freq").argmin("algorithm"))]
    print(f"soft: temperature {best}, of {', '.join(map(str, TEMPERATURES))}")
    chosen = ["asm", partial(my_masks.soft_max_pool, temperature=best)]
    tell(measured(folder, "soft", algorithm=chosen), "soft_max_pool", "asm")

    own = ["asm", "apx", "apx_offset", my_masks.apx_with_offset]
    tell(measured(folder, "offset", algorithm=own), "apx_with_offset", "asm", "apx_offset", "apx")

    # The best mask that the kept coefficients of such blocks allow.
    own = ["asm", my_masks.conditional_mean]
    store = measured(folder, "conditional", algorithm=own, source="autoregressive")
    tell(store, "conditional_mean", "asm")
    means = summarize(store).mean_error.squeeze(drop=True).isel(freq=slice(0, -1))
    ratio = means.sel(algorithm="asm") / means.sel(algorithm="conditional_mean")
    print(
        f"ASM over the conditional mean: {ratio[0]:.3f} at n = 0, {ratio[1]:.3f} at n = 1,", end=" "
    )
    print(f"{ratio[2:].max():.3f} at most from n = 2 on")
