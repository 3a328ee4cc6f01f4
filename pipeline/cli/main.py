"""From the command line of a process to its exit code.

Each verb imports what it needs when it runs: xarray, zarr, dask and numba take a second, and
`--help` and refusals do without them.
"""

import os
import sys
from collections.abc import Sequence

from pipeline.cli import commands
from pipeline.errors import (
    ClusterLostError,
    ClusterUnfitError,
    Stopped,
    StoreLostError,
    UserError,
    cannot,
)
from pipeline.run import stopping


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line.

    Returns
    -------
    int
        Exit code: 0 done, 1 the cluster or the disk was lost, or a store is damaged or was not all
        checked, 2 refused (one line on standard error), 3 some units failed, 4 the cluster is not
        fit for a sweep (one line), 130 stopped by Ctrl-C, 143 by SIGTERM, 129 by SIGHUP.
    """
    try:
        if arguments is None and (instruction := os.environ.get(commands.COMPLETION_VARIABLE)):
            return commands.complete(instruction)
        return commands.run(sys.argv[1:] if arguments is None else arguments)
    except ClusterUnfitError as error:
        _refuse(str(error))
        return 4
    except UserError as error:
        return _refuse(str(error))
    except (ClusterLostError, StoreLostError) as error:
        _refuse(f"{error}: what was stored is safe, and the same command goes on from there")
        return 1
    except OSError as error:
        # A folder or file of the user's that cannot be read or written.
        return _refuse(cannot("read or write", "input or output", error))
    except KeyboardInterrupt as error:
        print("Stopped.", *getattr(error, "__notes__", ()), file=sys.stderr)
        if not isinstance(error, Stopped):
            # A second one: an ordinary exit would wait for units in flight.
            sys.stderr.flush()
            os._exit(stopping.exit_code(error))
        return stopping.exit_code(error)


def _refuse(message: str) -> int:
    print("error: " + " ".join(message.splitlines()), file=sys.stderr)
    return 2
