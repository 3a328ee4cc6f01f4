"""The claims of the notebook and the paper, settled by measurement: datasets -> verdicts.

A claim is put as a quantity that is positive where the claim holds, computed trial by trial on the
same blocks, and decided at each number of frequencies by the 95 % interval of its mean.
"""

from collections.abc import Mapping

import xarray as xr

from pipeline.analysis import accuracy, reasons
from pipeline.analysis.claim import Claim, squeezed

# The entries of conf/experiment whose sweeps decide the claims.
EXPERIMENTS = ("claims", "paper_relu", "photograph")


def settle(datasets: Mapping[str, xr.Dataset]) -> list[Claim]:
    """Decide every claim.

    Parameters
    ----------
    datasets
        By name of EXPERIMENTS, as `open_results` opens them.
    """
    drawn = squeezed(datasets["claims"])
    paper = squeezed(datasets["paper_relu"])
    photograph = squeezed(datasets["photograph"])
    return [
        accuracy.asm_beats_apx(drawn, paper, photograph),
        accuracy.error_is_high(drawn),
        accuracy.random_is_worst(drawn, photograph),
        reasons.a_wrong_choice_weighs_more(drawn),
        reasons.order_is_harder_than_sign(drawn),
        reasons.six_is_good(drawn),
    ]
