"""Workers that do not compute as their sweep does store nothing, and its units go to others."""

import re
import shutil
from pathlib import Path

import pytest
from distributed import Client
from helpers.sweeps import LONG, Striking, assert_same_bits, execute, sweep, wait_for

import asm_core
from asm_core import KERNEL_VERSION
from pipeline.errors import ClusterLostError, ClusterUnfitError, UserError
from pipeline.run import tasks, workers

pytestmark = pytest.mark.slow

# What another program has in a file, in place of what ours has.
CHANGES = {
    "version": (
        "asm_core/__init__.py", f"KERNEL_VERSION = {KERNEL_VERSION}\n", "KERNEL_VERSION = 99\n",
    ),
    # As after a pull on one machine, of a change that raised no version.
    "lanes": ("asm_core/tracing.py", '(other, "fsub", "sub")', '(other, "fadd", "sub")'),
}  # fmt: skip
# What else may be another on a worker, run there before anything else.
SCRIPTS = {
    "table": """
import numpy as np
from asm_core import dct

# Dask runs this twice.
if not hasattr(dct, "original"):
    dct.original = dct.basis_of

def basis_of(size):
    basis = dct.original(size).copy()
    basis[1, 0] = np.nextafter(basis[1, 0], 2.0)
    basis.flags.writeable = False
    return basis

dct.basis_of = basis_of
""",
    "stream": """
import numpy as np

class Other(np.random.PCG64DXSM):
    def advance(self, words):
        return super().advance(words + 1)

np.random.PCG64DXSM = Other
""",
    "nothing": """
import sys
sys.modules["pipeline"] = None
""",
}
SAID = {
    "version": f"its kernel version is 99 and not {KERNEL_VERSION}",
    "table": "its cosine tables differ, its measured errors differ",
    "stream": "its blocks of source uniform differ",
    "lanes": "its measured errors differ",
    "nothing": "cannot load this program: ModuleNotFoundError",
}


@pytest.fixture
def start(scheduler, tmp_path, cluster_of):
    """Start a worker that is unlike this program in one of these ways, and wait until it is there.

    Returns its address.
    """

    def start(way):
        before = cluster_of()
        if way in CHANGES:
            scheduler.add_workers(1, cwd=program(tmp_path / "program", *CHANGES[way]))
        else:
            path = tmp_path / "preload.py"
            path.write_text(SCRIPTS[way])
            scheduler.add_workers(1, "--preload", path)
        wait_for(lambda: len(cluster_of()) > len(before))
        (address,) = cluster_of() - before
        return address

    return start


def program(folder, file, old, new):
    """A copy of the program with a change in one file."""
    for name in ("asm_core", "pipeline"):
        source = Path(asm_core.__file__).parent.parent / name
        shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / file).read_text()
    assert text.count(old) == 1
    (folder / file).write_text(text.replace(old, new))
    return folder


@pytest.fixture
def cluster_of(scheduler):
    """The addresses of the workers of the scheduler, each time it is called."""
    with Client(scheduler.address, set_as_default=False) as client:
        yield lambda: set(client.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.workers]))


@pytest.mark.parametrize("way", [way for way in SAID if way != "nothing"])
def test_one_that_joins_in_the_middle_of_a_sweep_is_named_and_gets_no_more_units(
    way, path, undisturbed, scheduler, start, monkeypatch
):
    # To be refused is no attempt of a unit's.
    monkeypatch.setattr(tasks, "RETRIES", 0)
    scheduler.add_workers(1)
    joined, refused = [], []
    refuse = workers.Workers.refuse
    monkeypatch.setattr(
        workers.Workers, "refuse", lambda self, error: (refused.append(error), refuse(self, error))
    )
    observer = Striking(lambda: joined.append(start(way)))
    outcome = execute([*LONG, *scheduler.keys, f"out={path}"], observer)
    assert outcome.failures == []
    assert outcome.computed == 100_000
    (line,) = [line for line in observer.lines if line.startswith("Refused")]
    assert line.startswith(f"Refused: worker {joined[0]} does not compute as this sweep does, ")
    assert SAID[way] in line
    assert "install the same version on both, or restart that worker" in line
    # No more than were in flight when it was found out: a window for each of two threads.
    assert 1 <= len(refused) <= 2 * tasks._TASKS_PER_THREAD
    assert_same_bits(path, undisturbed)


def test_one_that_has_not_this_program_joins_and_no_unit_fails(path, undisturbed, scheduler, start):
    # Dask closes it, since it cannot read the tasks that it is sent.
    scheduler.add_workers(1)
    outcome = execute([*LONG, *scheduler.keys, f"out={path}"], Striking(lambda: start("nothing")))
    assert outcome.failures == []
    assert_same_bits(path, undisturbed)


@pytest.mark.parametrize("way", SAID)
def test_one_that_is_there_before_a_sweep_is_refused_and_nothing_is_written(
    way, path, scheduler, start
):
    address = start(way)
    scheduler.add_workers(1)
    with pytest.raises(UserError) as refusal:
        execute([*LONG, *scheduler.keys, f"out={path}"], Striking(lambda: None))
    assert address in str(refusal.value)
    assert SAID[way] in str(refusal.value)
    assert not path.exists()


@pytest.fixture
def blind(scheduler, cluster_of):
    """Start a worker to which a folder is empty, as on a machine that does not share it.

    Returns its address.
    """

    def start(folder):
        before = cluster_of()
        mount = 'mount -t tmpfs none "$0" && exec "$@"'
        scheduler.add_workers(1, within=("unshare", "--mount", "sh", "-c", mount, str(folder)))
        wait_for(lambda: len(cluster_of()) > len(before))
        (address,) = cluster_of() - before
        return address

    return start


@pytest.fixture
def words(tmp_path, photograph):
    """A sweep of 96 units over two files."""
    (tmp_path / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        shutil.copy(photograph, tmp_path / "images" / name)
    (tmp_path / "results").mkdir()
    return [
        "source=images", f"source.images.path={tmp_path}/images", "freqs=3,14", "unit_trials=100",
        f"out={tmp_path}/results/s.zarr",
    ]  # fmt: skip


UNSEEN = {
    "results": "does not see .*s.zarr.*: results must be a folder that all share, or a URL",
    "images": r"cannot read blocks of source images \(.*a\.jpg.*\): it must see the same files",
}


@pytest.mark.parametrize("name", UNSEEN)
def test_one_that_does_not_see_a_folder_is_refused_before_the_first_unit(
    name, words, tmp_path, scheduler, blind
):
    address = blind(tmp_path / name)
    scheduler.add_workers(1)
    with pytest.raises(ClusterUnfitError, match=f"worker {address} {UNSEEN[name]}"):
        execute([*words, *scheduler.keys], Striking(lambda: None))
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.parametrize("name", UNSEEN)
def test_one_that_does_not_see_a_folder_and_joins_later_gets_no_units(
    name, words, tmp_path, scheduler, blind, cluster_of, monkeypatch
):
    monkeypatch.setattr(tasks, "RETRIES", 0)
    other = tmp_path / "other" / "s.zarr"
    assert sweep(*words[:-1], f"out={other}")[0] == 0
    scheduler.add_workers(1)
    wait_for(cluster_of)
    joined = []
    observer = Striking(lambda: joined.append(blind(tmp_path / name)))
    assert execute([*words, *scheduler.keys], observer).failures == []
    (line,) = [line for line in observer.lines if line.startswith("Refused")]
    assert re.match(f"Refused: worker {joined[0]} {UNSEEN[name]}", line)
    assert_same_bits(tmp_path / "results" / "s.zarr", other)


def test_one_without_a_package_that_a_source_needs_is_refused(
    tmp_path, photograph, path, scheduler
):
    (tmp_path / "preload.py").write_text("import sys\nsys.modules['jpeglib'] = None\n")
    scheduler.add_workers(1, "--preload", tmp_path / "preload.py")
    words = ["source=jpeg", f"source.jpeg.path={photograph}", f"out={path}", *scheduler.keys]
    with pytest.raises(ClusterUnfitError, match=r"cannot read blocks of source jpeg \(.*jpeglib"):
        execute(words, Striking(lambda: None))
    assert not path.exists()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(workers, "_SECONDS_BETWEEN_CHECKS", 0.5)
    monkeypatch.setattr(workers, "_SECONDS_WITHOUT_FIT_WORKER", 2.0)


def test_where_no_other_is_left_the_sweep_ends_and_the_same_command_goes_on(
    path, undisturbed, scheduler, start, impatient
):
    scheduler.add_workers(1)
    (fit,) = scheduler.workers

    def strike():
        start("version")
        fit.kill()

    observer = Striking(strike)
    with pytest.raises(ClusterLostError, match=r"no fit worker is left: worker tcp://.* is 99 and"):
        execute([*LONG, *scheduler.keys, f"out={path}"], observer)
    code, said = sweep(*LONG, f"out={path}")
    assert code == 0
    assert "are in the store" in said
    assert_same_bits(path, undisturbed)


def test_units_that_were_kept_for_a_fit_worker_that_dies_go_to_the_next_one(
    path, undisturbed, scheduler, start, impatient, monkeypatch
):
    monkeypatch.setattr(workers, "_SECONDS_WITHOUT_FIT_WORKER", 60.0)
    scheduler.add_workers(1)
    (first,) = scheduler.workers

    def replace():
        # With units in flight that name it, and no other one.
        first.kill()
        scheduler.add_workers(1)

    # Between the two, the other one is found out.
    observer = Striking(lambda: start("version"))
    then = Striking(replace, after=60)
    observer.advance = lambda trials, one=observer.advance: (one(trials), then.advance(trials))
    outcome = execute([*LONG, *scheduler.keys, f"out={path}"], observer)
    assert outcome.failures == []
    assert any(line.startswith("Refused") for line in observer.lines)
    assert_same_bits(path, undisturbed)
