"""What `--help` prints: the verbs, and the keys of each."""

from pipeline.errors import UserError

PROGRAM = "python -m pipeline"

OVERVIEW = f"""\
Approximated spatial masking: error by number of spatial frequencies.

usage: {PROGRAM} VERB [key=value ...] [--help] [--cfg]

verbs
  sweep                 run a sweep (or what is missing of it), store it, show its table
  plan                  what a sweep would compute and cost; runs nothing
  summary [STORE]       the table of a store again; the newest one without an argument
  plot [STORE]          the curve with its interval, as PNG and SVG
  status [STORE]        units that are complete, running, missing; rate and time left
  verify [STORE]        look for whatever is not as it was written; repair=true queues it
  rerun STORE out=NEW   run again what a store was made with, and compare the bits
  example               the worked example for one block: masks, pooling, error
  claims                run what the six claims of notebook and paper need, and settle them

values
  freqs=0..14           both ends included; 0..14..2 steps, 0..4,8 mixes; also [0,4], range(0,15)
  trials=1e6            integers may be written 1e6 or 10_000

{PROGRAM} VERB --help     the keys of a verb
{PROGRAM} VERB --cfg      the composed configuration, nothing run
"""


USAGE = {
    "sweep": "sweep [key=value ...]",
    "plan": "plan [key=value ...]",
    "summary": "summary [STORE] [results=FOLDER]",
    "plot": "plot [STORE] [to=FILE] [log=true] [results=FOLDER]",
    "status": "status [STORE] [results=FOLDER]",
    "verify": "verify [STORE] [sample=0.01] [repair=true] [against=STORE] [results=FOLDER]",
    "rerun": "rerun STORE out=NEW [cluster=...]",
    "example": "example [key=value ...]",
    "claims": "claims [to=FOLDER] [key=value ...]",
}
PURPOSE = {
    "sweep": "Run a sweep, or what its store lacks of it, and show the table.",
    "plan": "Show axes, units, bytes and estimated time of a sweep; nothing is run or written.",
    "summary": "Show the table of a store: coefficients kept, mean error, interval, mask accuracy.",
    "plot": "Draw mean error against frequencies, a line for each curve, as PNG and SVG.",
    "status": "Show how far a store is, also while another process sweeps it.",
    "verify": "Check metadata, files, checksums, the ledger, and a sample of units anew.",
    "rerun": "Run again, into a new store, what a store was made with; says whether bits differ.",
    "claims": "Run (or resume) what the claims of the notebook and the paper need, print verdicts.",
    "example": "Work one block of the source through: masks, exact and approximate result, error.",
}
OWN_KEYS = {
    "summary": {"results=results": "folder whose newest store is shown without STORE"},
    "plot": {
        "to=FILE": "where the pictures go (default: beside the store)",
        "log=false": "draw errors on a logarithmic axis",
        "results=results": "folder whose newest store is drawn without STORE",
    },
    "status": {"results=results": "folder whose newest store is shown without STORE"},
    "verify": {
        "sample=0.01": "share of the units that are computed again, or all; 0 for none",
        "repair=false": "count what is bad as missing, and remove leftovers: sweep then mends it",
        "against=STORE": "compare with another store, by bits (default: the one it is a rerun of)",
        "results=results": "folder whose newest store is taken without STORE",
    },
    "rerun": {
        "out=NEW": "the new store",
        "cluster, cluster.*": "where to run (default: as it was)",
    },
    "example": {
        "freqs=6": "spatial frequencies kept, n",
        "trial=0": "which block of the source",
        "matrices=false": "print every matrix with three decimals",
        "to=results/example": "where the pictures go",
    },
    "claims": {
        "to=FOLDER": "write FOLDER/CLAIMS.md and pictures (default: print only)",
        "trials=...": "of the blocks that are drawn (default: 1e5, and 1e7 of the paper's)",
        "seed, unit_trials, results, cluster": "as of sweep",
    },
}
# What of a sweep's own keys leaves the claims' experiments what they are.
CLAIMS_KEYS = ("trials", "seed", "unit_trials", "results", "cluster")


def of_verb(verb: str) -> str:
    """Usage, purpose and keys of a verb."""
    lines = [f"usage: {PROGRAM} {USAGE[verb]}", "", f"  {PURPOSE[verb]}", ""]
    if OWN_KEYS.get(verb):
        lines += [
            "keys of this verb",
            *(f"  {key:<22}{text}" for key, text in OWN_KEYS[verb].items()),
            "",
        ]
    if verb in ("sweep", "plan", "example"):
        from pipeline.config import compose

        lines += ["keys and defaults"]
        lines += [f"  {line}" for line in compose.load([]).to_yaml().splitlines()]
        for group in compose.GROUPS:
            lines += ["", f"{group}=..."]
            lines += [
                f"  {name:<22}{_parameters(group, name)}".rstrip()
                for name in compose.options(group)
            ]
        lines += [
            "",
            "parameters of an entry: source.uniform.low=-1, cluster.threads=2; several entries:",
            "source=uniform,wide source.wide.kind=uniform source.wide.low=-1",
        ]
    return "\n".join(lines)


def _parameters(group: str, name: str) -> str:
    """An entry's parameters with their defaults; of an experiment, what it is."""
    from pipeline.config import compose

    if group == "experiment":
        return compose.described(name)
    try:
        entry = compose.entry_of(group, name)
    except UserError as error:
        return f"({error})"
    shown = {key: "null" if value is None else value for key, value in entry.items()}
    return " ".join(f"{key}={value}" for key, value in shown.items() if key != "kind")
