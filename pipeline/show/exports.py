"""Results as a file for other programs and for papers."""

import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import xarray as xr

from pipeline.analysis.datasets import summarize
from pipeline.analysis.opening import Place, open_results
from pipeline.errors import UserError, cannot
from pipeline.planning.axes import BATCH, CURVE_NAMES, FREQ, METRICS, NAMES, TRIAL
from pipeline.show.numbers import with_interval
from pipeline.show.tables import rounded
from pipeline.store.damage import naming_damage
from pipeline.store.location import Location, path_text

SUMMARY, TRIALS = "summary", "trials"
WHATS = (SUMMARY, TRIALS)
_ENDINGS = (".csv", ".parquet", ".nc", ".tex", ".md")
_FOR_PEOPLE = (".tex", ".md")
# Columns beside the axes, before the statistics.
_COST = ("phi", "coefficients_kept", "share_kept")
_NOT_RESULTS = (
    "this dataset has neither the errors of a store nor a summary of them: give the path of a "
    "store, or write it with its own to_netcdf or to_dataframe"
)
# So many rows are made at a time, in 50 MB.
_ROWS_AT_ONCE = 1 << 18
# netCDF 3, which SciPy writes, has no larger variable, and integers of 32 bits.
_MOST_BYTES_OF_OLD_NETCDF = 2**31 - 4


def export(
    path: Place | Iterable[Place] | xr.Dataset,
    to: str | os.PathLike[str],
    what: Literal["summary", "trials"] = "summary",
) -> str:
    """Write results to a file: what it is is decided by the ending of its name.

    Parameters
    ----------
    path
        As `open_results` takes it; or a dataset that was opened, and whatever was selected of it;
        or a summary, or a comparison of two stores.
    to
        ``.csv``, ``.parquet``, ``.nc`` (netCDF): every number in full; ``.tex`` (LaTeX, booktabs),
        ``.md`` (Markdown): a table for people, rounded as the intervals allow.  A file that is
        there is replaced.
    what
        ``summary``, a row for each point of the curves that was measured, or ``trials``, one for
        each trial of each point; not as .tex or .md.

    Returns
    -------
    str
        The path of the file.

    Raises
    ------
    UserError
        Where there is no such store; for another ending, a table of trials for people, a package
        that is missing, or a file that cannot be written.

    Examples
    --------
    >>> import pandas, pipeline
    >>> dataset = pipeline.sweep(freqs=range(3), trials=100)
    >>> pipeline.export(dataset.attrs["store"], "curve.csv")
    'curve.csv'
    >>> pandas.read_csv("curve.csv")["freq"].tolist()
    [0, 1, 2]
    """
    target = path_text(to)
    check(target, what)
    ending = Path(target).suffix.lower()
    if what == TRIALS:
        if isinstance(path, xr.Dataset) and not {*METRICS} <= {*path}:
            raise UserError(_NOT_RESULTS)
        dataset = path if isinstance(path, xr.Dataset) else open_results(path)
        dataset = dataset[list(METRICS)].drop_vars(BATCH, errors="ignore")
    elif isinstance(path, xr.Dataset) and "mean_error" in path:
        dataset = path
    elif isinstance(path, xr.Dataset) and "error" not in path:
        raise UserError(_NOT_RESULTS)
    elif isinstance(path, str | os.PathLike):
        dataset = summarize(path)
    else:
        dataset = summarize(path if isinstance(path, xr.Dataset) else open_results(path))
    if what == TRIALS and not dataset.sizes.get(TRIAL):
        raise UserError("no trials are kept one by one here: export what=summary")
    with whole_file(target) as partial:
        _write(dataset, partial, ending)
    return target


@contextmanager
def whole_file(target: str) -> Iterator[str]:
    """A path to write to, which becomes the file at the end, as a whole or not at all.

    Raises
    ------
    UserError
        Where the file, or its folder, cannot be written.
    """
    partial = f"{target}.{uuid.uuid4().hex[:8]}.partial"
    try:
        os.makedirs(Path(target).absolute().parent, exist_ok=True)
        yield partial
        os.replace(partial, target)
    except OSError as error:
        # Without the name of the file that becomes it.
        unnamed = OSError(error.errno, error.strerror or str(error))
        raise UserError(cannot("write", target, unnamed, "choose another to=...")) from error
    finally:
        with suppress(OSError):
            os.remove(partial)


def check(to: str, what: str) -> None:
    """Refuse a file that cannot be written, before anything is computed for it."""
    ending = Path(to).suffix.lower()
    if what not in WHATS:
        raise UserError(f"what must be one of {', '.join(WHATS)}, got {what}")
    if ending not in _ENDINGS or not Path(to).stem:
        raise UserError(f"to={to} must be a file that ends in one of {', '.join(_ENDINGS)}")
    if what == TRIALS and ending in _FOR_PEOPLE:
        raise UserError(
            f"to={to} is a table for people, and trials are too many for one: write them to .csv, "
            ".parquet or .nc"
        )
    if ending == ".parquet" and find_spec("pyarrow") is None:
        raise UserError(f"to={to} needs a package that is not here: pip install pyarrow")


def _write(dataset: xr.Dataset, path: str, ending: str) -> None:
    if ending == ".nc":
        _write_netcdf(dataset, path)
    elif ending == ".csv":
        for number, frame in enumerate(_frames(dataset)):
            frame.to_csv(path, mode="a", header=not number, index=False)
    elif ending == ".parquet":
        _write_parquet(_frames(dataset), path)
    else:
        write = _markdown if ending == ".md" else _latex
        Path(path).write_text(write(*table_of(dataset)), encoding="utf-8")


def _write_netcdf(dataset: xr.Dataset, path: str) -> None:
    modern = next((name for name in ("netCDF4", "h5netcdf") if find_spec(name)), None)
    if modern is None:
        largest = max(values.nbytes for values in dataset.data_vars.values())
        if largest > _MOST_BYTES_OF_OLD_NETCDF:
            raise UserError(
                f"netCDF files of more than 2 GiB, here {largest / 2**30:.1f}, need a package that "
                "is not here: pip install h5netcdf"
            )
        if "measured" in dataset:
            dataset = dataset.assign(measured=dataset["measured"].astype(np.float64))
    dataset.to_netcdf(path, engine="scipy" if modern is None else modern.lower())  # type: ignore[call-overload]


def _write_parquet(frames: Iterator[pd.DataFrame], path: str) -> None:
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    first = pa.Table.from_pandas(next(frames), preserve_index=False)
    with ParquetWriter(path, first.schema) as writer:
        writer.write_table(first)
        for frame in frames:
            writer.write_table(pa.Table.from_pandas(frame, first.schema, preserve_index=False))


def _frames(dataset: xr.Dataset) -> Iterator[pd.DataFrame]:
    """The rows of what was measured, a part of the trials at a time; at least one frame."""
    if TRIAL not in dataset.dims:
        yield _frame(dataset, "measured")
        return
    trials = dataset.sizes[TRIAL]
    step = max(1, _ROWS_AT_ONCE * trials // max(dataset["error"].size, 1))
    for start in range(0, max(trials, 1), step):
        yield _frame(_loaded(dataset.isel({TRIAL: slice(start, start + step)})), "error")


def _loaded(part: xr.Dataset) -> xr.Dataset:
    """A part of a dataset, read; a store that is damaged is named."""
    store = part.attrs.get("store", "")
    # Of several, nothing tells which one it is.
    single = store and "\n" not in store
    with naming_damage(Location.of(store)) if single else nullcontext():
        return part.load()


def _frame(dataset: xr.Dataset, measured: str) -> pd.DataFrame:
    """A row for each point that was measured, in the order of the axes."""
    # Selecting a single value drops the dimension, but keeps the coordinate.
    lost = [axis for axis in NAMES if axis in dataset.coords and axis not in dataset.dims]
    whole = dataset.expand_dims(lost)
    order = [axis for axis in (*NAMES, TRIAL) if axis in whole.dims]
    order += [str(axis) for axis in whole.dims if axis not in order]
    frame = whole.to_dataframe(dim_order=order).reset_index()
    beside = [name for name in _COST if name in frame]
    rest = [name for name in map(str, dataset.data_vars)]
    frame = frame[[*order, *beside, *rest]]
    return frame[frame[measured].fillna(0) > 0 if measured != "error" else frame[measured].notna()]


def rows_of(summary: xr.Dataset) -> list[dict[str, Any]]:
    """Each point of a summary that was measured, by the names of the columns of a file."""
    rows: list[dict[str, Any]] = _frame(summary, "measured").to_dict("records")
    return rows


def table_of(summary: xr.Dataset) -> tuple[list[str], list[list[str]]]:
    """Headings and rows for people: axes that vary, and numbers rounded as intervals allow."""
    frame = _frame(summary, "measured")
    if {*CURVE_NAMES, FREQ, "share_kept"} <= {*frame}:
        # Beyond the first frequency that keeps everything nothing changes.
        whole = frame[FREQ].where(frame["share_kept"] == 1)
        last = whole.groupby([frame["selection"], frame["block_size"]]).transform("min")
        frame = frame[~(frame[FREQ] > last)]
    axes = [axis for axis in CURVE_NAMES if axis in frame and frame[axis].nunique() > 1]
    # As the numbers of trials of a convergence.
    axes += [str(axis) for axis in summary.dims if axis not in NAMES]
    along = {FREQ: "n", "coefficients_kept": "kept"}
    along = {name: heading for name, heading in along.items() if name in frame and name not in axes}
    # Of a comparison, both means and what they come to.
    columns = {name: name for name in ("first", "second") if name in frame}
    error = "difference" if columns else "mean error"
    for heading, name in {"mask accuracy": "mask_accuracy", "regret": "regret"}.items():
        if name in frame and frame[name].notna().any():
            columns[heading] = name
    said = ["significant"] if "significant" in frame else []
    headings = [*axes, *along.values(), f"{error} (95 % interval)", *columns, *said]
    rows = [
        [
            *(str(row[axis]) for axis in axes),
            *(str(row[name]) for name in along),
            with_interval(row["mean_error"], row["ci_low"], row["ci_high"]),
            *(rounded(row[name]) for name in columns.values()),
            *("yes" if row[name] else "no" for name in said),
        ]
        for row in frame.to_dict("records")
    ]
    return headings, rows


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["--:"] * len(headings), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def _latex(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A tabular, whose lines are those of the package booktabs."""
    lines = [
        " & ".join(cell.replace("_", r"\_").replace("%", r"\%") for cell in cells) + r" \\"
        for cells in (headings, *rows)
    ]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{'r' * len(headings)}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )
