"""The program itself, saying on standard error when it reached what; used by `run.py`.

`python benchmarks/startup.py sweep results=FOLDER`
"""

import time

BEGAN = time.perf_counter()

import sys  # noqa: E402

from pipeline import __main__, config, sources  # noqa: E402


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
from pipeline import run, store, unit  # noqa: E402

mark("import distributed and zarr")
from pipeline import curves, tables  # noqa: E402

mark("import rich")
around(config, "load", "compose the configuration")
around(sources, "resolve", "plan")
around(store, "prepare", "create the store")
around(unit, "measure_unit", "load or compile the kernel, compute", "start the cluster")
around(store, "write_unit", "write")
around(run, "execute", "close the cluster")
around(curves, "of_store", "read the ledger")
around(tables, "print_curves", "print the table")
result = __main__.main()
mark("clear up")
# The peak of this process alone, and not of the one that started it as wait4 has it.
peak = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(f"peak {peak[0]}", file=sys.stderr)
sys.exit(result)
