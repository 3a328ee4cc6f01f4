"""`python -m pipeline`, and the console script."""

import gc
import sys

from pipeline.cli import main as cli


def main() -> int:
    """One command line, from the start of a process to its end."""
    # A sweep imports a million objects that stay.  Looking through them for garbage, again and
    # again during the imports and once more at the end, took 0.1 and 0.5 of three seconds.
    gc.set_threshold(200_000)
    status = cli.main()
    gc.freeze()
    return status


if __name__ == "__main__":
    sys.exit(main())
