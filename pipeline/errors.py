"""What a run can end with that is no fault of the program."""


class UserError(ValueError):
    """What a user can mend: one line that names the value, the limit and the remedy."""


class ClusterLostError(RuntimeError):
    """The Dask scheduler went away; what was stored is safe."""


class StoreLostError(RuntimeError):
    """Nothing more can be written to the store; what was stored is safe."""


class UnitError(RuntimeError):
    """A unit that could not be measured or stored; says which."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C, after everything in flight was stored."""
