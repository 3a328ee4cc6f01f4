"""The program itself, saying on standard error when it reached what; used by `run.py`.

`python benchmarks/startup.py sweep results=FOLDER`
"""

import time

BEGAN = time.perf_counter()

import sys  # noqa: E402

from pipeline import __main__  # noqa: E402
from pipeline.config import compose  # noqa: E402
from pipeline.sources import kinds  # noqa: E402


def mark(name):
    """A stage has ended."""
    print(f"stage {time.perf_counter() - BEGAN:.4f} {name}", file=sys.stderr)


def around(module, function, after, before=None):
    """End a stage when module.function returns, and one when it is called."""
    inner = getattr(module, function)

    def wrapped(*arguments, **options):
        if before:
            mark(before)
        result = inner(*arguments, **options)
        mark(after)
        return result

    setattr(module, function, wrapped)


mark("import Hydra, NumPy and numba")
from pipeline.run import rounds, worker  # noqa: E402
from pipeline.store.store import Store  # noqa: E402
from pipeline.store.writer import UnitWriter  # noqa: E402

mark("import distributed and zarr")
from pipeline.analysis import curves  # noqa: E402
from pipeline.show import tables  # noqa: E402

mark("import rich")
around(compose, "load", "compose the configuration")
around(kinds, "resolve", "plan")
around(Store, "open_journal", "create the store")
around(rounds, "load_kernels", "load or compile the kernel")
around(worker, "measure_unit", "compute", "start the cluster")
around(UnitWriter, "write", "write")
around(rounds, "execute", "close the cluster")
around(curves, "of_store", "read the ledger")
around(tables, "print_curves", "print the table")
result = __main__.main()
mark("clear up")
# The peak of this process alone, and not of the one that started it as wait4 has it.
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(f"peak {peak[0]}", file=sys.stderr)
sys.exit(result)
