"""How `layout_4.zip` was made, by version 1.0: it is never made again, since it is what users have.

`python tests/helpers/layout_4.py` in an empty folder writes `layout_4.zip` there.  Drawn and
stored sources, trials of which some are kept, a growth along three axes and of the trials, and a
unit in quarantine.
"""

import shutil
import sys
import zipfile
from pathlib import Path

from pipeline.cli.main import main
from pipeline.run import rounds
from pipeline.run.worker import run_unit

NAME = "layout_4.zarr"
BEFORE = [
    "source=uniform,photograph", "block_size=4,8", "operation=max_pool,relu", "algorithm=asm",
    "freqs=1..5", "trials=40", "unit_trials=16", "store_trials=24", "seed=7",
]  # fmt: skip
AFTER = [
    "source=uniform,photograph,autoregressive", "block_size=4,8",
    "operation=max_pool,min_pool,relu", "algorithm=asm,apx", "freqs=0..5", "trials=64",
    "unit_trials=16", "store_trials=24", "seed=7", "extend=true",
]  # fmt: skip


def failing(store: str, session: str, missing: object) -> None:
    """Measure and store a unit, but for one."""
    unit = missing.unit  # type: ignore[attr-defined]
    if (unit.source, unit.block_size, unit.number) == ("autoregressive", 8, 2):
        raise OSError(5, "Input/output error")
    run_unit(store, session, missing)  # type: ignore[arg-type]


def make() -> int:
    """Write the store, and pack it."""
    codes = [main(["sweep", *BEFORE, f"out={NAME}"])]
    rounds.run_unit = failing
    codes.append(main(["sweep", *AFTER, f"out={NAME}"]))
    with zipfile.ZipFile("layout_4.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(Path(NAME).rglob("*")):
            if path.is_file():
                packed.write(path)
    shutil.rmtree(NAME)
    return int(codes != [0, 3])


if __name__ == "__main__":
    sys.exit(make())
