"""Clusters of every kind give the same bits; those that cannot be used are refused."""

from contextlib import contextmanager

import dask
import distributed
import pytest
from distributed import Client, LocalCluster
from helpers.sweeps import assert_same, counted

from pipeline import UserError, sweep
from pipeline.errors import ClusterUnfitError
from pipeline.run import cluster, fitness
from pipeline.sources import kinds

CURVES = ["block_size=4,8", "operation=max_pool,relu", "algorithm=asm,apx", "freqs=0..14..3"]


def test_processes_give_the_same_bits(tmp_path):
    arguments = [*CURVES, "trials=300", "unit_trials=50"]
    local = sweep([*arguments, f"out={tmp_path}/a.zarr"])
    processes = ["cluster=processes", "cluster.workers=2", "cluster.dashboard=false"]
    assert_same(local, sweep([*arguments, *processes, f"out={tmp_path}/b.zarr"]))


def test_a_running_cluster_gives_the_same_bits(tmp_path, shared_scheduler, photograph):
    arguments = [
        *CURVES, "source=uniform,images", f"source.images.path={photograph}", "trials=300",
        "unit_trials=50",
    ]  # fmt: skip
    local = sweep([*arguments, f"out={tmp_path}/a.zarr"])
    assert_same(local, sweep([*arguments, *shared_scheduler.keys, f"out={tmp_path}/b.zarr"]))


def test_workers_of_another_version_are_refused(tmp_path, shared_scheduler, monkeypatch):
    monkeypatch.setattr(fitness, "KERNEL_VERSION", 99)
    with pytest.raises(UserError, match=r"kernel version is [0-9]+ and not 99: install the same"):
        sweep([*shared_scheduler.keys, f"out={tmp_path}/s.zarr"])
    assert list(tmp_path.iterdir()) == []


def test_workers_that_do_not_see_the_store_are_refused(shared_scheduler):
    with pytest.raises(UserError, match="does not see memory://unseen"):
        sweep([*shared_scheduler.keys, "out=memory://unseen/s.zarr"])


def test_a_scheduler_that_does_not_answer_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(UserError, match=r"cluster\.address=tcp://127\.0\.0\.1:9 does not answer"):
        sweep(["cluster=scheduler", "cluster.address=tcp://127.0.0.1:9", "cluster.timeout=0.5",
               f"out={tmp_path}/s.zarr"])  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    # The caller's own computations do not wait for that scheduler.
    assert dask.delayed(sum)([1, 2]).compute() == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "cluster=scheduler needs to know where it is: give cluster.address=tcp://HOST:8786"),
        (["cluster.address=tcp://a:1", "cluster.scheduler_file=b"], "are two ways to say it"),
        (["cluster.address=tcp://a"], "is no address of a scheduler: write for example"),
        (["cluster.address=tcp://a:1", "cluster.timeout=0"], "cluster.timeout must be more than 0"),
        (["cluster.address=tcp://a:1", "cluster.wait=-1"], "cluster.wait must be more than 0"),
    ],
)
def test_a_scheduler_that_is_not_named_as_one_is_refused(tmp_path, words, message):
    with pytest.raises(UserError, match=message) as refusal:
        sweep(["cluster=scheduler", *words, f"out={tmp_path}/new/s.zarr"])
    assert not isinstance(refusal.value, ClusterUnfitError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [None, "{", "[]", '{"id": 1}'])
def test_a_file_that_no_scheduler_has_written_is_refused_in_time(tmp_path, content):
    file = tmp_path / "scheduler.json"
    if content is not None:
        file.write_text(content)
    words = [f"cluster.scheduler_file={file}", "cluster.timeout=0.3"]
    with pytest.raises(
        ClusterUnfitError, match=r"scheduler\.json (has not been written|is not what)"
    ):
        sweep(["cluster=scheduler", *words, f"out={tmp_path}/s.zarr"])
    assert not (tmp_path / "s.zarr").exists()


def test_a_scheduler_without_workers_is_refused(tmp_path, scheduler):
    message = r"has had no worker for 1 s: start one with dask worker tcp://127\.0\.0\.1:"
    with pytest.raises(ClusterUnfitError, match=message):
        sweep([*scheduler.keys[:2], "cluster.wait=1", f"out={tmp_path}/s.zarr"])
    assert not (tmp_path / "s.zarr").exists()


@contextmanager
def client_of(**options):
    """A client of a caller's own, and its cluster."""
    with (
        LocalCluster(threads_per_worker=1, dashboard_address="127.0.0.1:0", **options) as made,
        Client(made, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture(params=["threads", "processes"])
def client(request):
    with client_of(n_workers=2, processes=request.param == "processes") as made:
        yield made


def test_a_caller_s_client_is_used_left_open_and_gives_the_same_bits(tmp_path, client, monkeypatch):
    arguments = [*CURVES, "trials=300", "unit_trials=50"]
    own = sweep([*arguments, f"out={tmp_path}/a.zarr"])
    with monkeypatch.context() as patch:
        # None but the caller's.
        patch.setattr(distributed.LocalCluster, "__init__", lambda *given, **options: 1 / 0)
        patch.setattr(distributed.Client, "__init__", lambda *given, **options: 1 / 0)
        assert_same(own, sweep([*arguments, f"out={tmp_path}/b.zarr"], client=client))
        # Again, for more trials.
        more = sweep([*arguments[:4], "trials=400", f"out={tmp_path}/b.zarr"], client=client)
        assert_same(own, more.isel(trial=slice(0, 300)))
    assert client.submit(sum, [1, 2]).result() == 3
    assert len(client.scheduler_info()["workers"]) == 2


def test_a_caller_s_client_comes_before_the_cluster_of_the_settings(tmp_path, client):
    nowhere = ["cluster=scheduler", "cluster.address=tcp://127.0.0.1:9", "cluster.timeout=0.5"]
    arguments = ["trials=20", *nowhere, f"out={tmp_path}/s.zarr"]
    assert counted(arguments, client=client).advanced == 20


def test_a_caller_s_client_is_left_open_where_units_fail(tmp_path, monkeypatch):
    monkeypatch.setattr(kinds, "draw_pair", lambda *arguments: 1 / 0)
    with client_of(n_workers=1, processes=False) as client:
        with pytest.raises(RuntimeError, match=r"1 unit failed; the first: .*ZeroDivisionError"):
            sweep(trials=20, out=tmp_path / "s.zarr", client=client)
        assert client.submit(sum, [1, 2]).result() == 3


def test_workers_of_a_caller_s_client_of_another_version_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fitness, "KERNEL_VERSION", 99)
    with client_of(n_workers=1) as client:
        with pytest.raises(
            UserError, match=r"kernel version is [0-9]+ and not 99: install the same"
        ):
            sweep(trials=20, out=tmp_path / "s.zarr", client=client)
        assert client.submit(sum, [1, 2]).result() == 3
    assert list(tmp_path.iterdir()) == []


def test_workers_of_a_caller_s_client_that_do_not_see_the_store_are_refused():
    with (
        client_of(n_workers=1) as client,
        pytest.raises(UserError, match="does not see memory://unseen"),
    ):
        sweep(trials=20, out="memory://unseen/s.zarr", client=client)


def test_a_caller_s_client_without_workers_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "SECONDS_FOR_A_WORKER", 0.5)
    with (
        client_of(n_workers=0, processes=False) as client,
        pytest.raises(ClusterUnfitError, match=r"has had no worker for 0\.5 s: "),
    ):
        sweep(trials=20, out=tmp_path / "s.zarr", client=client)
    assert list(tmp_path.iterdir()) == []


def test_a_kind_of_cluster_that_only_conf_knows_is_refused(tmp_path, monkeypatch):
    (tmp_path / "mine" / "cluster").mkdir(parents=True)
    (tmp_path / "mine" / "cluster" / "proceses.yaml").write_text("kind: proceses\nworkers: 2\n")
    monkeypatch.setenv("ASM_SWEEP_CONFIG_DIR", str(tmp_path / "mine"))
    message = r"cluster\.kind=proceses is not known: did you mean processes"
    with pytest.raises(UserError, match=message):
        sweep(["cluster=proceses", "trials=10", f"out={tmp_path}/s.zarr"])
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
