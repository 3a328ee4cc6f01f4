"""`python -m pipeline`, and the console script."""

import gc
import sys
import warnings

from pipeline.cli import main as cli
from pipeline.cli import streams
from pipeline.run import stopping


def main() -> int:
    """Run the command line of this process; returns its exit code."""
    # A sweep imports a million objects that live until the end.  Searching them for garbage took
    # 0.1 s of three during the imports, and 0.5 s more when the process ended.
    gc.set_threshold(200_000)
    # What libraries and the kernels warn of, as any other line.
    warnings.formatwarning = lambda message, *place, **line: f"note: {message}\n"
    stopping.catch_signals()
    streams.make_forgiving()
    status = cli.main()
    gc.freeze()
    return status


if __name__ == "__main__":
    sys.exit(main())
