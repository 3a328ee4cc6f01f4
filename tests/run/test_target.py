"""Any class or function that gives a Dask cluster, named by an entry of a user's own."""

import logging
import os
import signal
from contextlib import suppress

import dask
import psutil
import pytest
from helpers import clusters
from helpers.sweeps import assert_same, execute, open_store, rows_of, start, wait_for
from helpers.sweeps import sweep as sweep_process

from pipeline import UserError, sweep
from pipeline.cli.main import main
from pipeline.config import compose
from pipeline.errors import ClusterLostError, ClusterUnfitError
from pipeline.run import target, workers

ARGUMENTS = ["block_size=4,8", "trials=300", "unit_trials=50"]
ENTRY = """# A cluster of a test's own.
_target_: helpers.clusters.Recording
workers: {workers}
wait: 20.0
listed: [1, null, [x, "007"]]
nothing: null
mapping: {{a: {{b: 1}}, c: "${{oc.env:HOME}}"}}
text: "1e3"
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """An entry cluster=mine, in a folder of a user's own."""

    def write(text):
        (tmp_path / "conf" / "cluster").mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / "cluster" / "mine.yaml").write_text(text)

    write(ENTRY.format(workers=2))
    monkeypatch.setenv("ASM_SWEEP_CONFIG_DIR", str(tmp_path / "conf"))
    return write


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """What the arguments give on threads of this process."""
    return sweep([*ARGUMENTS, f"out={tmp_path_factory.mktemp('local')}/s.zarr"])


def test_a_class_gets_its_arguments_as_they_are_and_gives_the_same_bits(mine, tmp_path, local):
    words = ["cluster=mine", r"cluster.mapping.d=a ${HOME}", "cluster.mapping.e=[1,true,null]"]
    assert_same(local, sweep([*ARGUMENTS, *words, f"out={tmp_path}/s.zarr"]))
    given = dict(clusters.GIVEN)
    assert given.pop("cluster").status.name == "closed"
    assert given == {
        "listed": [1, None, ["x", "007"]], "nothing": None, "text": "1e3",
        "mapping": {
            "a": {"b": 1}, "c": os.environ["HOME"], "d": "a ${HOME}", "e": [1, True, None],
        },
    }  # fmt: skip
    assert type(given["mapping"]) is type(given["mapping"]["a"]) is dict
    assert type(given["listed"]) is list


@pytest.mark.parametrize("workers", [None, 1, "0..2", "2..2"])
def test_workers_are_asked_for_as_the_entry_says(mine, tmp_path, local, workers):
    mine(ENTRY.format(workers="null" if workers is None else workers))
    assert_same(local, sweep([*ARGUMENTS, "cluster=mine", f"out={tmp_path}/s.zarr"]))


def test_a_whole_entry_can_be_given_from_python_and_is_repeated_as_json(tmp_path, local):
    entry = {"_target_": "helpers.clusters.made", "workers_at_first": 2}
    assert_same(local, sweep(ARGUMENTS, out=tmp_path / "s.zarr", cluster=entry))
    settings = compose.load(ARGUMENTS, values={"cluster": {**entry, "text": "007"}})
    assert compose.load(settings.words()) == settings
    assert compose.recorded(settings.to_yaml()).cluster == settings.cluster


def test_what_a_caller_has_set_stays(mine, tmp_path):
    before = dask.config.config, logging.getLogger("distributed").handlers[:]
    sweep(["trials=20", "cluster=mine", f"out={tmp_path}/s.zarr"])
    assert (dask.config.config, logging.getLogger("distributed").handlers) == before


def test_what_a_user_has_set_for_dask_comes_before_what_suits_units():
    key = "distributed.adaptive.target-duration"
    assert target._unless_set({key: "200ms"}) == {key: "200ms"}
    with dask.config.set({key: "1 minute"}):
        assert target._unless_set({key: "200ms"}) == {}


REFUSED = {
    "_target_=helpers.clusters.Recordin": "no Recordin in helpers.clusters: did you mean Recording",
    "_target_=nowhere_at_all.Cluster": "no package nowhere_at_all here: pip install nowhere-at-all",
    "_target_=helpers.clusters.GIVEN": "is no class and no function",
    "_target_=helpers.clusters.number": "gives int, which is no Dask cluster",
    "_target_=helpers.clusters.failing": "does not start with these arguments (OSError: no such",
    "txt=1": "cluster.txt: helpers.clusters.Recording does not take it: did you mean text?",
    "walltime=600": "cluster.walltime=600 is a number, as YAML reads 10:00:00: write it in quotes",
}  # fmt: skip


@pytest.mark.parametrize("word", REFUSED)
def test_what_cannot_be_made_is_refused_in_one_line_and_nothing_is_written(
    mine, tmp_path, capsys, word
):
    mine("_target_: helpers.clusters.Recording\n")
    words = ["cluster=mine", f"cluster.{word}", f"results={tmp_path}/results", "trials=20"]
    assert main(["sweep", *words]) == 4
    said = capsys.readouterr().err
    assert REFUSED[word] in said
    assert said.count("\n") == 1
    assert os.listdir(tmp_path) == ["conf"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("workers=3..2", "cluster.workers=3..2 is empty: write the lower end first"),
        ("workers=0", "cluster.workers must be at least 1, got 0"),
        ("workers=many", "cluster.workers must be an integer"),
        ("wait=0", "cluster.wait must be more than 0 seconds"),
        ("wait=soon", "cluster.wait must be a number"),
        ("_target_=nodots", "cluster._target_ must be a class or function"),
    ],
)
def test_what_is_ours_is_checked_before_anything_is_imported(mine, tmp_path, word, message):
    with pytest.raises(UserError, match=message) as error:
        sweep(["cluster=mine", f"cluster.{word}", f"out={tmp_path}/s.zarr"])
    assert not isinstance(error.value, ClusterUnfitError)


def test_a_class_that_has_the_workers_that_it_names_cannot_be_asked_for_more(tmp_path, local):
    fixed = {"_target_": "helpers.clusters.Fixed"}
    assert_same(local, sweep(ARGUMENTS, out=tmp_path / "s.zarr", cluster=fixed))
    with pytest.raises(
        ClusterUnfitError, match=r"cluster\.workers=3: helpers\.clusters\.Fixed has"
    ):
        sweep(ARGUMENTS, out=tmp_path / "t.zarr", cluster={**fixed, "workers": 3})


def test_one_that_does_not_start_in_time_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(target, "_SECONDS_TO_START", 0.2)
    entry = {"_target_": "helpers.clusters.late", "seconds": 3, "wait": 0.1}
    with pytest.raises(
        ClusterUnfitError, match=r"has not started within 0\.2 s: raise cluster\.wait"
    ):
        sweep(trials=20, out=tmp_path / "s.zarr", cluster=entry)
    # It is closed once it has.
    clusters.GIVEN.clear()
    wait_for(lambda: "cluster" in clusters.GIVEN)
    wait_for(lambda: clusters.GIVEN["cluster"].status.name == "closed")
    assert list(tmp_path.iterdir()) == []


def test_one_without_a_worker_is_refused_after_its_wait(mine, tmp_path, capsys):
    words = ["cluster.n_workers=0", "cluster.workers=null", "cluster.wait=1"]
    assert main(["sweep", "cluster=mine", *words, f"out={tmp_path}/s.zarr"]) == 4
    assert (
        "error: helpers.clusters.Recording has had no worker for 1 s: " in capsys.readouterr().err
    )
    assert os.listdir(tmp_path) == ["conf"]


def test_one_that_loses_its_workers_is_waited_for_and_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "_SECONDS_BETWEEN_CHECKS", 0.2)
    said = []

    class Losing:
        """Ends the only worker once some units are stored."""

        def begin(self, plan, todo, done):
            self.stored = 0

        def advance(self, trials):
            self.stored += trials
            if self.stored == 3:
                clusters.GIVEN["cluster"].scale(0)

        def notify(self, line):
            said.append(line)

    entry = {"_target_": "helpers.clusters.Recording", "wait": 2}
    with pytest.raises(
        ClusterLostError, match=r"Recording has had no worker for 2 s: see its queue"
    ):
        execute(["trials=20000", "unit_trials=1", f"out={tmp_path}/s.zarr"], Losing(),
                values={"cluster": entry})  # fmt: skip
    assert "No worker is left: waiting for one to join, for at most 2 s; Ctrl-C stops." in said
    assert 3 <= open_store(tmp_path / "s.zarr").counts().any(axis=(3, 4, 5, 6)).sum() < 20000


BATCH = {
    "slurm": "#SBATCH -t 01:00:00", "pbs": "#PBS -l walltime=01:00:00", "sge": "#$ -l h_rt=01:00",
    "lsf": "#BSUB -W 01:00", "htcondor": "RequestCpus", "oar": "#OAR -l /nodes=1/core=1,walltime",
}  # fmt: skip


@pytest.mark.parametrize("name", BATCH)
def test_plan_prints_the_script_of_each_job_of_a_batch_system(name, tmp_path, capsys):
    assert main(["plan", f"cluster={name}", f"results={tmp_path}"]) == 0
    printed = capsys.readouterr().out
    assert BATCH[name] in printed
    assert "-m distributed.cli.dask_worker" in printed


def group_of(number):
    """The processes of a group."""
    found = []
    for each in psutil.pids():
        with suppress(ProcessLookupError):
            if os.getpgid(each) == number:
                found.append(each)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_its_processes_and_the_same_command_goes_on(tmp_path, number):
    entry = '{"_target_": "distributed.LocalCluster", "n_workers": 2, "threads_per_worker": 1}'
    words = [f"cluster={entry}", "cluster.dashboard_address=127.0.0.1:0", f"out={tmp_path}/s.zarr"]
    words += ["trials=2e6", "unit_trials=20000", "store_trials=none"]
    process = start(*words)
    wait_for(lambda: rows_of(tmp_path / "s.zarr") > 5)
    os.killpg(process.pid, number)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert "Traceback" not in said
    # It was the leader of a session: all that it has started is in its group.
    wait_for(lambda: group_of(process.pid) == [], 10)
    assert os.listdir(tmp_path) == ["s.zarr"]
    assert sweep_process(*words)[0] == 0


def test_a_class_that_a_store_names_is_not_run_by_a_rerun_but_shown(mine, tmp_path, capsys):
    path = tmp_path / "s.zarr"
    assert main(["sweep", "cluster=mine", "trials=20", f"out={path}"]) == 0
    clusters.GIVEN.clear()
    capsys.readouterr()
    assert main(["rerun", str(path), f"out={tmp_path}/again.zarr"]) == 0
    said = capsys.readouterr().err
    assert "Here on threads of this process. It was made with the cluster {" in said
    assert "'_target_': 'helpers.clusters.Recording'" in said
    assert clusters.GIVEN == {}
    assert main(["rerun", str(path), "cluster=mine", f"out={tmp_path}/third.zarr"]) == 0
    assert "Here on threads" not in capsys.readouterr().err
    assert clusters.GIVEN != {}


def test_handlers_of_signals_that_a_package_replaces_are_put_back(tmp_path, monkeypatch):
    # As dask-jobqueue does, whose Ctrl-C would be exit code 0.
    (tmp_path / "replacing.py").write_text(
        "import signal\n"
        "for number in (signal.SIGINT, signal.SIGTERM):\n"
        "    signal.signal(number, lambda *arguments: exit())\n"
        "from helpers.clusters import made\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    sweep(cluster={"_target_": "replacing.made"}, trials=10, freqs=2, out=tmp_path / "s.zarr")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
