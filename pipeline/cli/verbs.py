"""The verbs, each declared once: help, checks and completion are derived from the declaration."""

from pipeline.cli import claims, examples, results, stores, sweeps
from pipeline.cli.declaration import (
    FOLDER,
    ONE_OR_TWO_STORES,
    ONE_STORE,
    OPTIONAL_STORE,
    STORES,
    TWO_STORES,
    Key,
    Verb,
)
from pipeline.config import notation

_RESULTS = Key(
    "results", "folder or URL whose last used store is taken without STORE", default="results"
)

_DECLARED = (
    Verb(
        "sweep",
        "run a sweep, or what its store lacks of it, and show the table",
        run=sweeps.sweep,
        config=sweeps.config,
        sweep_keys="all",
        goes_on=True,
    ),
    Verb(
        "plan",
        "show axes, units, files, bytes and estimated time of a sweep; runs nothing",
        run=sweeps.plan,
        config=sweeps.config,
        sweep_keys="all",
    ),
    Verb(
        "check",
        "decode every image file that a sweep would read, and name the bad ones",
        run=sweeps.check,
        config=sweeps.config,
        sweep_keys="all",
    ),
    Verb(
        "summary",
        "show the table of a store: error, interval, mask accuracy",
        run=results.summary,
        config=stores.config,
        places=ONE_STORE,
        keys=(
            Key(
                "below",
                "also from which n on the error is below it, and ASM's below the others'",
                value="NUMBER",
                read=results.threshold,
            ),
            _RESULTS,
        ),
    ),
    Verb(
        "plot",
        "draw mean error against frequencies: PNG and SVG, or PDF and others by to=",
        run=results.plot,
        config=stores.config,
        places=STORES,
        keys=(
            Key("to", "where the picture goes, fig.pdf (default: beside the store)", value="FILE"),
            Key(
                "x",
                "what it is drawn against: freq, phi, freq_share, coefficients_kept, share_kept or "
                "block_size",
                value="AXIS",
                read=results.x_axis,
            ),
            Key(
                "lines",
                "axes whose values are lines: block_size,algorithm or store",
                value="AXES",
                read=results.line_axes,
            ),
            Key(
                "columns",
                "axes whose values are panels (default: operation)",
                value="AXES",
                read=results.line_axes,
            ),
            Key(
                "log",
                "draw errors on a logarithmic axis, without those of 0",
                default="false",
                read=notation.truth,
            ),
            _RESULTS,
        ),
    ),
    Verb(
        "status",
        "show how far a store is, also while another process sweeps it",
        run=stores.status,
        config=stores.config,
        places=ONE_STORE,
        keys=(_RESULTS,),
    ),
    Verb(
        "verify",
        "look for whatever is not as it was written; repair=true queues it",
        run=stores.verify,
        config=stores.config,
        places=ONE_STORE,
        keys=(
            Key(
                "sample",
                "share of the units that are computed again, or all; 0 for none",
                default="0.01",
                read=stores.share_of_units,
            ),
            Key(
                "repair",
                "count what is bad as missing, and remove leftovers: sweep then mends it",
                default="false",
                read=notation.truth,
            ),
            Key(
                "against",
                "compare with another store, by bits (default: the one it is a rerun of)",
                value="STORE",
            ),
            _RESULTS,
        ),
    ),
    Verb(
        "rerun",
        "run again what a store was made with, and compare the bits",
        run=sweeps.rerun,
        config=stores.config,
        places=ONE_STORE,
        keys=(Key("out", "a new store", value="STORE", needed=True), _RESULTS),
        sweep_keys=("cluster",),
        goes_on=True,
    ),
    Verb(
        "example",
        "work one block through, drawn or of a store (trial=worst): masks, results, error",
        run=examples.example,
        config=sweeps.config,
        places=OPTIONAL_STORE,
        keys=(
            Key("freqs", "spatial frequencies kept, n", default="6", read=notation.integer),
            Key(
                "trial",
                "which block: a number; of a STORE also worst, median or best, by its error",
                default="0",
                read=examples.which_trial,
            ),
            Key(
                "strip",
                "draw every n beside each other; to=FILE.gif or .html draws them after each other",
                default="false",
                read=notation.truth,
            ),
            Key(
                "colours",
                "diverging, or notebook: red, green and blue",
                default="diverging",
                read=examples.colours,
            ),
            Key(
                "matrices",
                "print every matrix with three decimals",
                default="false",
                read=notation.truth,
            ),
            Key("to", "where the pictures go", default="results/example", value="FILE"),
        ),
        sweep_keys="all",
        not_taken=("trials", "out", "results", "unit_trials", "cluster"),
        refusal="example shows one block, and keeps nothing: leave {key} out",
    ),
    Verb(
        "claims",
        "run what the claims of notebook and paper need, and settle them",
        run=claims.claims,
        config=claims.config,
        keys=(
            Key(
                "to",
                "write CLAIMS.md, claims.html and pictures (default: print only)",
                value="FOLDER",
            ),
            Key(
                "trials",
                "of the blocks that are drawn (default: 1e5, and 1e7 of the paper's)",
                value="NUMBER",
            ),
        ),
        sweep_keys=("seed", "unit_trials", "results", "cluster"),
        refusal="claims decides on its own experiments: leave {key}={value} out; it takes {taken}",
        goes_on=True,
    ),
    Verb(
        "ls",
        "list the stores of a folder or URL: what is in each, how far it is, how large",
        run=stores.ls,
        config=stores.no_config,
        places=FOLDER,
        keys=(Key("results", "the folder where none is given", default="results"),),
    ),
    Verb(
        "compare",
        "say whether two stores have the same errors, but for chance: exit code 0, or 1; or which "
        "of two algorithms of one store is better",
        run=results.compare,
        config=stores.no_config,
        places=ONE_OR_TWO_STORES,
        keys=(
            Key(
                "algorithm",
                "of one STORE: the first against the second, on the same blocks",
                value="FIRST,SECOND",
            ),
            Key(
                "to",
                "also write a page, .html, or the table: .csv .parquet .nc .tex .md",
                value="FILE",
            ),
        ),
    ),
    Verb(
        "diff",
        "say in words what differs in how two stores were made: exit code 0 for nothing, or 1",
        run=results.diff,
        config=stores.no_config,
        places=TWO_STORES,
    ),
    Verb(
        "report",
        "write one page about stores, that opens from a disk and can be sent: curves, table ...",
        run=results.report,
        config=stores.no_config,
        places=STORES,
        keys=(
            Key("to", "where the page goes, page.html (default: beside the store)", value="FILE"),
            _RESULTS,
        ),
    ),
    Verb(
        "export",
        "write the table of a store, or its trials, to a file: CSV, Parquet, netCDF, LaTeX ...",
        run=results.export,
        config=stores.config,
        places=STORES,
        keys=(
            Key("to", "a file: .csv .parquet .nc .tex .md", value="FILE", needed=True),
            Key("what", "summary, or trials one by one", default="summary"),
            _RESULTS,
        ),
    ),
)
VERBS = {verb.name: verb for verb in _DECLARED}
