"""The command line as a user meets it."""

import subprocess
import sys

import pytest
import xarray as xr
import yaml

from pipeline import open_results
from pipeline.cli.main import VERBS, main
from pipeline.config import compose
from pipeline.plan.plan import make_plan
from pipeline.run import worker
from pipeline.sources import kinds
from pipeline.store import provenance, store


def run(arguments, cwd, seconds=120):
    """A process of its own: exit code, what it printed, what it said on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True, text=True, cwd=cwd, timeout=seconds, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A folder in which one sweep was run, with what it printed."""
    folder = tmp_path_factory.mktemp("swept")
    return folder, *run(["sweep", "freqs=0..14", "trials=100,1000"], folder)


def test_a_sweep_prints_its_table_and_says_how_to_open_the_store(swept):
    folder, code, printed, said = swept
    assert code == 0
    store = next((folder / "results").glob("*.zarr"))
    assert f"Store: {store}" in printed
    assert f'Open it: import xarray; xarray.open_zarr("{store}")' in printed
    assert ": 100 trials" in printed
    assert ": 1,000 trials" in printed
    rows = [line.split() for line in printed.splitlines() if line.strip()[:2].strip().isdigit()]
    assert [row[:2] for row in rows[-15:]] == [
        [str(n), str(kept)]
        for n, kept in enumerate([1, 3, 6, 10, 15, 21, 28, 36, 43, 49, 54, 58, 61, 63, 64])
    ]
    mean = open_results(str(store)).error.mean("trial", dtype="float64").values.squeeze()
    assert [float(row[2]) for row in rows[-15:]] == pytest.approx(mean, abs=6e-6)
    assert "Measuring 1,000 trials at 15 frequencies" in said
    assert "trials/s" in said


def test_piped_output_has_no_escape_sequences_and_no_bar(swept):
    _, _, printed, said = swept
    assert "\x1b" not in printed + said
    assert "\r" not in printed + said
    assert len(said.splitlines()) == 2


def test_the_printed_way_to_open_the_store_works_without_our_code(swept):
    folder, _, printed, _ = swept
    line = next(line for line in printed.splitlines() if line.startswith("Open it: "))
    code = (
        line.removeprefix("Open it: ").replace("xarray.open_zarr", "print(xarray.open_zarr") + ")"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    assert "freq: 15, trial: 1000" in done.stdout
    assert done.stderr == ""


def test_the_same_sweep_again_says_that_there_is_nothing_to_do(swept):
    folder, _, printed, _ = swept
    code, again, said = run(["sweep", "freqs=0..14", "trials=100,1000"], folder)
    assert (code, again) == (0, printed)
    assert said == "Nothing to compute: all 1,000 trials are in the store.\n"


def test_summary_without_a_store_shows_the_newest(swept, monkeypatch, capsys):
    folder, _, printed, _ = swept
    monkeypatch.chdir(folder)
    assert main(["summary"]) == 0
    table = capsys.readouterr().out
    assert table.splitlines()[:-1] == printed.splitlines()[:-2]
    assert main(["summary", str(next((folder / "results").glob("*.zarr")))]) == 0
    assert capsys.readouterr().out == table


def test_summary_of_an_unfinished_sweep_says_so(elsewhere, capsys):
    plan = make_plan(compose.load(["trials=50", "unit_trials=20"]), kinds.resolve)
    path = str(elsewhere / "s.zarr")
    settings = compose.load(["trials=50", "unit_trials=20"])
    store.prepare(path, plan, provenance.at_start(settings, plan, ["trials=50"], {}))
    first = next(plan.units())
    store.write_unit(path, "test", plan, first, [(plan, worker.measure_unit(plan, first))])
    assert main(["summary", "s.zarr"]) == 0
    printed, said = capsys.readouterr()
    assert ": 20 trials" in printed
    assert said == "Unfinished: 20 of 50 trials are stored; the same sweep goes on.\n"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("zarr.json", b""),
        ("zarr.json", b"[]"),
        ("zarr.json", b'{"zarr_format": 3, "node_type": "group", "attributes": {"identity": "x"}}'),
        ("ledger/error/c/0/0/0/0/0/0/0/0", b"noise"),
        ("coefficients_kept/c/0/0/0", b"noise"),
    ],
)
@pytest.mark.parametrize("verb", ["sweep", "summary", "plot"])
def test_a_damaged_store_is_named_in_one_line(elsewhere, capsys, verb, file, content):
    assert main(["sweep", "trials=10", "out=s.zarr"]) == 0
    place = elsewhere / "s.zarr" / file
    assert place.exists()
    place.write_bytes(content)
    capsys.readouterr()
    assert main([verb, "trials=20", "out=s.zarr"] if verb == "sweep" else [verb, "s.zarr"]) == 2
    said = capsys.readouterr().err
    assert said.splitlines()[-1].startswith("error: ")
    assert "s.zarr" in said


def test_plot_writes_png_and_svg_beside_the_store(swept, monkeypatch, capsys):
    folder, *_ = swept
    monkeypatch.chdir(folder)
    assert main(["plot"]) == 0
    png, svg = capsys.readouterr().out.split()
    with open(png, "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    with open(svg) as file:
        text = file.read()
    assert "<svg" in text
    assert main(["plot", "to=pictures/curve.png"]) == 0
    assert capsys.readouterr().out.split() == ["pictures/curve.png", "pictures/curve.svg"]
    # The same numbers draw the same file.
    assert (folder / "pictures" / "curve.svg").read_text() == text


def test_plan_shows_axes_units_bytes_and_time_and_writes_nothing(elsewhere, capsys):
    assert main(["plan", "block_size=4,8", "trials=1e6", "algorithm=asm,apx"]) == 0
    printed = capsys.readouterr().out
    for text in ("4, 8", "apx, asm", "0 .. 999,999", "16 of up to 131,072 trials, 2 cells",
                 "16 to compute",
                 "480 MB uncompressed", "about ", "/results/sweep-"):  # fmt: skip
        assert text in printed
    assert list(elsewhere.iterdir()) == []


def test_frequencies_that_the_defaults_leave_out_are_said(elsewhere, capsys):
    assert main(["sweep", "trials=2", "block_size=4,16"]) == 0
    assert "the first of 31 frequencies: freqs=0..30 has all" in capsys.readouterr().err
    for arguments in (["block_size=4,16", "freqs=0..3"], ["block_size=8"]):
        assert main(["sweep", "trials=2", *arguments]) == 0
        assert "the first of" not in capsys.readouterr().err


def test_plan_counts_what_the_store_already_has(swept, monkeypatch, capsys):
    monkeypatch.chdir(swept[0])
    assert main(["plan", "freqs=0..14", "trials=1000"]) == 0
    assert "0 to compute" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], *[[verb] for verb in VERBS]])
def test_help_of_every_verb(elsewhere, capsys, arguments):
    assert main([*arguments, "--help"]) == 0
    printed = capsys.readouterr().out
    assert "usage: python -m pipeline" in printed
    assert list(elsewhere.iterdir()) == []


def test_help_of_sweep_shows_groups_and_keys(capsys):
    main(["sweep", "--help"])
    printed = capsys.readouterr().out
    for text in (
        "images                path=??? quality",
        "uniform_signed        low=-1.0 high=1.0",
        "max_pool_4            window=4",
        "energy                rho=0.95",
        "paper_relu            The paper",
        "scheduler             address=???",
        "unit_trials: 131072",
    ):
        assert text in printed


@pytest.mark.parametrize("verb", ["sweep", "plan", "example"])
def test_cfg_prints_the_composed_configuration(elsewhere, capsys, verb):
    assert main([verb, "--cfg", "block_size=4,8", "source.uniform.low=-1"]) == 0
    printed = capsys.readouterr().out
    assert "block_size: [4, 8]" in printed
    assert yaml.safe_load(printed)["source"]["uniform"]["low"] == -1.0
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("verb", ["summary", "plot"])
def test_cfg_of_a_store_prints_what_it_was_made_with(swept, monkeypatch, capsys, verb):
    monkeypatch.chdir(swept[0])
    assert main([verb, "--cfg"]) == 0
    assert "trials: [100, 1000]" in capsys.readouterr().out


def test_help_and_refusals_import_neither_dask_nor_numba():
    code = (
        "import sys; from pipeline.cli.main import main; main(['sweep', '--help']);"
        "main(['sweep', 'frq=1']); main(['sweep', 'block_size=7']);"
        "main(['sweep', 'source=images', 'source.images.path=no']);"
        "main(['sweep', 'source.uniform.quality=0']);"
        "main(['sweep', 'source.uniform.quality=9', 'block_size=16']);"
        "print([m for m in ('dask', 'distributed', 'numba', 'xarray', 'zarr') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


REFUSED = [
    ([], "no verb given: choose one of sweep, plan, summary, plot, status, verify"),
    (["swep"], "unknown verb 'swep': did you mean sweep?"),
    (["sweep", "--force"], "unknown option --force"),
    (["sweep", "freqs"], "'freqs' is not KEY=VALUE"),
    (["sweep", "freq=0..4"], "unknown key 'freq': did you mean freqs?"),
    (["sweep", "freqs=0", "freqs=1"], "freqs is given twice"),
    (["sweep", "freqs="], "freqs is empty"),
    (["sweep", "freqs=4..0"], "freqs=4..0 is empty"),
    (["sweep", "freqs=-1"], "freqs must be at least 0, got -1"),
    (["sweep", "freqs=nan"], "freqs must be an integer"),
    (["sweep", "trials=x"], "trials must be an integer"),
    (["sweep", "seed=1.5"], "seed must be an integer, got 1.5"),
    (["sweep", "block_size=7"], "block_size must be even and within 2..256, got 7"),
    (
        ["sweep", "operation.max_pool.window=3"],
        "operation.max_pool.window=3 does not divide block_size=8",
    ),
    (["sweep", "source.uniform.low=5"], "source.uniform: low must be less than high"),
    (["sweep", "source.uniform.low=nan"], "source.uniform.low must be finite"),
    (["sweep", "source=images", "source.images.path=nowhere"], "nowhere matches no file"),
    (["sweep", "source=images", "source.images.path=."], "holds no image"),
    (["sweep", "source=images", "source.images.path=../cut.png"], "cut.png is "),
    (["sweep", "results=../file"], "cannot write into "),
    (["sweep", "results=/proc/nowhere"], "cannot write "),
    (["sweep", "out=../file"], "is not a store of this program"),
    (["sweep", "results=nowhere://x"], "cannot open nowhere://x"),
    (["sweep", "cluster=scheduler", "cluster.address=nonsense"], "is no address of a scheduler"),
    (["plan", "trials=all"], "trials=all needs a source with an end"),
    (["summary"], "no store in results"),
    (["summary", "nowhere"], "nowhere is not a store"),
    (["summary", "a", "b"], "one store at a time, got 2"),
    (["summary", "colour=red"], "unknown key 'colour'"),
    (["plot", "."], "is not a store"),
    (["example", "freqs=1,2"], "freqs must be an integer"),
    (["example", "trial=-1"], "trial must be at least 0"),
    (["example", "block_size=4,8"], "choose one block_size, 2 are given"),
    (["example", "to=/proc/nowhere/x"], "cannot write /proc/nowhere/x.png"),
]


@pytest.mark.parametrize(("arguments", "message"), REFUSED)
def test_a_mistake_is_one_line_exit_code_2_and_nothing_written(
    tmp_path, monkeypatch, capsys, arguments, message
):
    (tmp_path / "file").write_text("")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert said.count("\n") == 1
    assert list((tmp_path / "here").iterdir()) == []


def test_a_mistake_in_a_process_of_its_own_has_no_traceback(tmp_path):
    code, printed, said = run(["sweep", "block_size=7"], tmp_path)
    assert (code, printed) == (2, "")
    assert said == "error: block_size must be even and within 2..256, got 7: use 6\n"


def test_units_that_fail_give_exit_code_3_and_are_named(elsewhere, monkeypatch, capsys):
    def draw(source, seed, size, first, count):
        if first == 20:
            raise ValueError("no such luck")
        return original(source, seed, size, first, count)

    original = kinds.draw_pair
    monkeypatch.setattr(kinds, "draw_pair", draw)
    assert main(["sweep", "trials=50", "unit_trials=20", "out=s.zarr"]) == 3
    said = capsys.readouterr().err
    assert "failed: source=uniform block_size=8 trials 20..39: ValueError: no such luck" in said
    assert "1 units failed 3 times and are set aside, all others are stored" in said
    assert xr.open_zarr("s.zarr").error.notnull().sum() == 30 * 15


def test_a_reader_who_has_seen_enough_is_no_error(swept):
    folder, *_ = swept
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m pipeline summary | head -1"],
        capture_output=True, text=True, cwd=folder, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("source=uniform")
    assert done.stderr == ""


@pytest.mark.parametrize(
    "argument", ["trials=5", "algorithm=apx", "out=x.zarr", "cluster.threads=1"]
)
def test_what_an_example_has_no_use_for_is_refused(elsewhere, capsys, argument):
    assert main(["example", argument]) == 2
    assert f"leave {argument.partition('=')[0]} out" in capsys.readouterr().err
    assert list(elsewhere.iterdir()) == []
