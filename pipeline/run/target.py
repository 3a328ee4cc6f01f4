"""Any class or function that gives a Dask cluster, named as Hydra has it: `_target_`, arguments."""

import importlib
import importlib.util
import inspect
import logging
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dask

from pipeline.errors import ClusterUnfitError, did_you_mean
from pipeline.functions.naming import TARGET
from pipeline.run import calls, here, stopping
from pipeline.run.connection import Connection, no_words, nothing, refilling

if TYPE_CHECKING:
    from distributed import Client

_OURS = ("workers", "wait")
_SECONDS_TO_START = 60.0
# Batch systems take a second to cancel jobs, and a cloud more.
_SECONDS_TO_CLOSE, _SECONDS_TO_CLOSE_AT_ONCE = 20.0, 5.0
_SECONDS_FOR_QUEUE = 10.0
# What Dask waits for before it starts another worker in the place of one that is gone, and for how
# long it expects the tasks that there are to take before it starts more.  Ours are never more than
# a window of tasks, for which its five seconds would mean a single worker.
_FOR_UNITS = {
    "distributed.deploy.lost-worker-timeout": "1s",
    "distributed.adaptive.target-duration": "200ms",
}
_LOGGERS = ("distributed", "dask_jobqueue", "tornado", "asyncio", "asyncssh", "hydra")


@contextmanager
def started(settings: dict[str, Any], logs: Path | None) -> Iterator[Connection]:
    """The cluster that an entry of conf/cluster describes by its class; it is closed at the end.

    Parameters
    ----------
    settings
        `_target_`, the arguments of that class, `workers` and `wait`.
    logs
        A folder for what jobs of a batch system print, which is removed at the end; an entry that
        has `log_directory`, or Dask's configuration, comes before it.

    Raises
    ------
    ClusterUnfitError
        For a class that is not there, or that does not take its arguments, or does not start.
    """
    name = settings[TARGET]
    arguments = {key: value for key, value in settings.items() if key not in _OURS}
    here.quiet_tracker()
    with ExitStack() as stack:
        stack.enter_context(here.environment_kept())
        log = stack.enter_context(_logged(name))
        function = _function_of(name)
        stack.enter_context(dask.config.set(_unless_set(_FOR_UNITS)))
        folder = logs if _needs_log(function, arguments) else None
        stack.enter_context(_removed(folder))
        if folder is not None:
            arguments["log_directory"] = str(folder)
        seconds = max(_SECONDS_TO_START, settings["wait"])
        cluster = _made(name, function, arguments, seconds, log)
        with calls.ending(partial(_close, cluster)):
            client = _client_of(cluster, name)
            with calls.left(client):
                yield _connected(client, cluster, settings, log, folder)


def _close(cluster: Any, *, at_once: bool) -> None:
    """End a cluster; one that does not end in time is left, and its workers by their own limits."""
    seconds = _SECONDS_TO_CLOSE_AT_ONCE if at_once else _SECONDS_TO_CLOSE
    with suppress(Exception):
        calls.in_time(seconds, cluster.close)
    # Dask would ask it again as the process ends, and wait for ten seconds.
    with suppress(AttributeError):
        cluster.shutdown_on_close = False


def job_script(settings: dict[str, Any]) -> str:
    """The script that a batch system is given for each job; empty for other clusters.

    Raises
    ------
    ClusterUnfitError
        As `started`.
    """
    name = settings[TARGET]
    arguments = {key: value for key, value in settings.items() if key not in _OURS}
    with _logged(name) as log:
        function = _function_of(name)
        if not hasattr(function, "job_script"):
            return ""
        cluster = _made(name, function, arguments, _SECONDS_TO_START, log)
        with calls.ending(partial(_close, cluster)):
            return str(cluster.job_script())


def _function_of(name: str) -> Any:
    """The class or function of this name."""
    from hydra.utils import get_object

    package = name.partition(".")[0]
    try:
        there = importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        there = False
    if not there:
        raise ClusterUnfitError(
            f"cluster.{TARGET}={name}: there is no package {package} here: "
            f"pip install {package.replace('_', '-')}, or add its folder to PYTHONPATH"
        )
    with stopping.handlers_kept():
        try:
            found = get_object(name)
        except Exception as error:
            raise ClusterUnfitError(f"cluster.{TARGET}={name}: {_why_not_there(name)}") from error
    if not callable(found):
        raise ClusterUnfitError(f"cluster.{TARGET}={name} is no class and no function")
    return found


def _why_not_there(name: str) -> str:
    """Why a name cannot be imported, where its package can be found."""
    module, _, word = name.rpartition(".")
    try:
        known = dir(importlib.import_module(module))
    except Exception as error:
        return f"{module} cannot be imported ({_text(error)}): see that all it needs is installed"
    clusters = [each for each in known if "Cluster" in each]
    return f"there is no {word} in {module}: {did_you_mean(word, clusters or known)}"


def _made(
    name: str, function: Callable[..., Any], arguments: dict[str, Any], seconds: float, log: "_Log"
) -> Any:
    """What a class of clusters gives with these arguments."""
    walltime = arguments.get("walltime")
    if isinstance(walltime, int):
        raise ClusterUnfitError(
            f"cluster.walltime={walltime} is a number, as YAML reads 10:00:00: write it in quotes, "
            'walltime: "10:00:00"'
        )
    others = here.children()
    try:
        made = calls.in_time(seconds, partial(_called, arguments), lambda late: late.close())
    except TimeoutError as error:
        calls.kill_children(others)
        raise ClusterUnfitError(
            f"{name} has not started within {seconds:g} s{log.last()}: raise cluster.wait"
        ) from error
    except ClusterUnfitError:
        raise
    except Exception as error:
        calls.kill_children(others)
        if found := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
            hint = did_you_mean(found[1], _parameters(function))
            raise ClusterUnfitError(
                f"cluster.{found[1]}: {name} does not take it: {hint}"
            ) from error
        raise ClusterUnfitError(
            f"{name} does not start with these arguments ({_text(error)}){log.last()}: see "
            "cluster=..., and the documentation of that class"
        ) from error
    if not hasattr(made, "scheduler_address"):
        raise ClusterUnfitError(
            f"cluster.{TARGET}={name} gives {type(made).__name__}, which is no Dask cluster"
        )
    return made


def _called(value: Any) -> Any:
    """What a `_target_` gives with its arguments, each of which may have one of its own.

    Not `hydra.utils.instantiate`, which fills in text once more: a ${USER} that is meant for a
    job's shell, and that the configuration escapes, would not come through.
    """
    if isinstance(value, list):
        return [_called(each) for each in value]
    if not isinstance(value, dict):
        return value
    arguments = {key: _called(each) for key, each in value.items()}
    if TARGET not in arguments:
        return arguments
    function = _function_of(arguments.pop(TARGET))
    given = arguments.pop("_args_", [])
    is_partial = arguments.pop("_partial_", False)
    return partial(function, *given, **arguments) if is_partial else function(*given, **arguments)


def _parameters(function: Callable[..., Any]) -> set[str]:
    """The arguments that a class, those that it is derived from, and its jobs take."""
    classes: list[Any] = [function]
    for each in (function, getattr(function, "job_cls", None)):
        classes += getattr(each, "__mro__", ())
    known: set[str] = set()
    for each in classes:
        with suppress(TypeError, ValueError):
            known |= {
                name
                for name, parameter in inspect.signature(each).parameters.items()
                if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
            }
    return known


def _client_of(cluster: Any, name: str) -> "Client":
    from distributed import Client

    try:
        make = partial(Client, cluster, set_as_default=False)
        return calls.in_time(_SECONDS_TO_START, make, calls.leave)
    except Exception as error:
        raise ClusterUnfitError(
            f"the scheduler of {name} does not answer ({_text(error)}): see that this machine "
            "reaches its address"
        ) from error


def _connected(
    client: "Client", cluster: Any, settings: dict[str, Any], log: "_Log", folder: Path | None
) -> Connection:
    """Ask a cluster for its workers."""
    name, workers = settings[TARGET], settings["workers"]
    least, dots, most = str(workers).partition("..")
    if workers is not None:
        # Private, and the only way to ask: Dask fails later, in a thread of its own.
        if not getattr(cluster, "_supports_scaling", True):
            raise ClusterUnfitError(
                f"cluster.workers={workers}: {name} has the workers that its arguments name, and "
                "no more can be asked for: leave cluster.workers out"
            )
        ask = (
            partial(cluster.adapt, minimum=int(least), maximum=int(most))
            if dots
            else partial(cluster.scale, int(workers))
        )
        try:
            calls.in_time(_SECONDS_TO_START, ask)
        except Exception as error:
            raise ClusterUnfitError(
                f"{name} does not start cluster.workers={workers} ({_text(error)}): see its limits"
            ) from error

    def reason() -> str:
        known = [_queue(cluster), log.text, _end_of_log(folder)]
        return "; ".join(filter(None, known))

    def failure() -> str:
        # A batch system has refused the first job: the others are the same.
        refused = hasattr(cluster, "job_script") and log.text and not _job_ids(cluster)
        return log.text if refused else ""

    return Connection(
        client, name, "see its queue and logs, or wait for longer: cluster.wait=...",
        settings["wait"], int(most or 0),
        nothing if dots else refilling(cluster, workers), reason, failure,
        getattr(cluster, "job_script", no_words),
    )  # fmt: skip


def _job_ids(cluster: Any) -> list[str]:
    jobs = list(getattr(cluster, "workers", {}).values())
    return [str(job.job_id) for job in jobs if getattr(job, "job_id", None)]


def _queue(cluster: Any) -> str:
    """What a batch system says of the jobs of a cluster: for Slurm state and reason."""
    ids = _job_ids(cluster)
    if not ids or not hasattr(cluster, "job_script"):
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        said = subprocess.run(
            ["squeue", "--noheader", "--jobs", ",".join(ids), "--format", "job %i is %T, %r"],
            capture_output=True, text=True, timeout=_SECONDS_FOR_QUEUE, check=True,
        ).stdout.splitlines()  # fmt: skip
        lines = [line.strip().removesuffix(", None") for line in said]
        return ", ".join(lines) or f"ended: {_jobs(ids)}"
    return _jobs(ids)


def _jobs(ids: list[str]) -> str:
    return f"job{'s' * (len(ids) > 1)} {', '.join(ids)}"


def _end_of_log(folder: Path | None) -> str:
    """The last line that a job has printed."""
    for path in sorted(folder.glob("*")) if folder else ():
        with suppress(OSError):
            if lines := path.read_text(errors="replace").split("\n"):
                last = [line.strip() for line in lines if line.strip()][-1:]
                if last:
                    return f"its log ends: {last[0]}"
    return ""


def _needs_log(function: Any, arguments: dict[str, Any]) -> bool:
    """Whether jobs of a batch system would leave their logs wherever the sweep was started."""
    job = getattr(function, "job_cls", None)
    if not hasattr(function, "job_script") or job is None or "log_directory" in arguments:
        return False
    with suppress(Exception):
        return not dask.config.get(f"jobqueue.{job.default_config_name()}.log-directory", None)
    return True


@contextmanager
def _removed(folder: Path | None) -> Iterator[None]:
    """A folder that is removed at the end, and the one that it is in where that was not there."""
    was_there = folder is None or folder.parent.exists()
    try:
        yield
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
            if not was_there:
                with suppress(OSError):
                    os.rmdir(folder.parent)


def _unless_set(wanted: dict[str, str]) -> dict[str, str]:
    """What of these a user has not set in Dask's configuration or its environment."""
    import distributed  # noqa: F401, as it has the defaults

    defaults = dask.config.merge(*dask.config.defaults)
    return {
        key: value
        for key, value in wanted.items()
        if dask.config.get(key) == dask.config.get(key, config=defaults)
    }


class _Log(logging.Handler):
    """Keeps the last error that Dask, or whoever starts workers for it, has logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep what it says; of an exception the message, and not the way to it."""
        # What processes on other machines print is logged as news, also why they do not start.
        if record.levelno < logging.ERROR and record.name != "distributed.deploy.ssh":
            return
        error = record.exc_info[1] if record.exc_info else None
        self.text = _text(error) if error else record.getMessage().strip().partition("\n")[0]

    def last(self) -> str:
        """It, as words to add to a message."""
        return f" ({self.text})" if self.text else ""


def _text(error: BaseException) -> str:
    """An error in one line; of a command that failed, what it printed last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if lines and "stderr:" in lines:
        return lines[-1]
    return f"{type(error).__name__}: {' '.join(lines)}".rstrip(": ")


@contextmanager
def _logged(name: str) -> Iterator[_Log]:
    """Collect what is logged, in place of printing it: whoever catches an error says it."""
    # With handlers of its own, which are those to be replaced.
    import distributed  # noqa: F401

    roots = {*_LOGGERS, name.partition(".")[0]}
    names = [*roots, *(each for each in logging.root.manager.loggerDict if "." in each)]
    found = [logging.getLogger(each) for each in names if each.partition(".")[0] in roots]
    before = [(logger, logger.handlers[:], logger.propagate) for logger in found]
    log = _Log()
    for logger in found:
        logger.handlers[:] = [log] if logger.name in roots else []
        logger.propagate = logger.name not in roots
    try:
        yield log
    finally:
        for logger, handlers, propagate in before:
            logger.handlers[:], logger.propagate = handlers, propagate
