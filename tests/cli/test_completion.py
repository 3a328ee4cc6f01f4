"""What the shells offer."""

import shutil
import subprocess
import sys

import pytest
from click.shell_completion import get_completion_class
from helpers.program import run_console_script

from pipeline.cli import commands, completion

completion.register()


def offered(*words, shell="zsh"):
    """What a shell that leaves words whole is offered for the last one."""
    *given, incomplete = words
    complete = get_completion_class(shell)(commands.PROGRAM, {}, "asm-sweep", "_ASM_SWEEP_COMPLETE")
    return [item.value for item in complete.get_completions(given, incomplete)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["s"], ["status", "summary", "sweep"]),
        (["--v"], ["--version"]),
        (["sweep", "--c"], ["--cfg", "--config-dir"]),
        (["sweep", "fre"], ["freqs="]),
        (["sweep", "freqs=0..4", "fre"], []),
        (["sweep", "source=uniform,ga"], ["source=uniform,gaussian"]),
        (["sweep", "source=uniform,gaussian,uni"], ["source=uniform,gaussian,uniform_signed"]),
        (["sweep", "algorithm=asm,"], ["algorithm=asm,apx", "algorithm=asm,apx_offset"]),
        (
            ["plan", "cluster=s"],
            [f"cluster={name}" for name in ("scheduler", "sge", "slurm", "ssh")],
        ),
        (
            ["sweep", "cluster=slurm", "cluster.w"],
            ["cluster.wait=", "cluster.walltime=", "cluster.workers="],
        ),
        (["sweep", "experiment=p"], ["experiment=paper_relu", "experiment=photograph"]),
        (["sweep", "extend="], ["extend=false", "extend=true"]),
        (["sweep", "cluster.dashboard=t"], ["cluster.dashboard=true"]),
        (["sweep", "source.uniform.l"], ["source.uniform.low="]),
        (
            ["sweep", "source=images", "source."],
            ["source.images.path=", "source.images.quality=", "source.images.recursive="],
        ),
        (["sweep", "source=w", "source.w.kind=uniform", "source.w.l"], ["source.w.low="]),
        (["sweep", "cluster=scheduler", "cluster.a"], ["cluster.address="]),
        (["example", "matr"], ["matrices="]),
        (["example", "matrices=t"], ["matrices=true"]),
        (["example", "algo"], ["algorithm="]),
        (["example", "unit"], []),
        (["claims", "algorithm="], []),
        (["rerun", "c"], ["cluster="]),
        (["plot", "l"], ["lines=", "log="]),
        (["plot", "log="], ["log=false", "log=true"]),
        (["sweep", "nonsense="], []),
        (["sweep", "source.nothing.x="], []),
    ],
)
def test_what_is_typed_is_completed(elsewhere, words, expected):
    assert sorted(offered(*words)) == expected


def test_a_store_is_one_of_the_results_folder_or_a_path(elsewhere):
    for place in ("results/one.zarr", "other/two.zarr", "other/deep"):
        (elsewhere / place).mkdir(parents=True)
    assert "results/one.zarr" in offered("summary", "")
    assert offered("summary", "oth") == ["other/"]
    assert offered("summary", "other/") == ["other/deep/", "other/two.zarr"]
    assert offered("summary", "results=other", "other/t") == ["other/two.zarr"]
    assert offered("verify", "against=results/") == ["against=results/one.zarr"]


def test_places_are_completed(elsewhere):
    (elsewhere / "pictures").mkdir()
    (elsewhere / "file").write_text("")
    assert offered("plot", "to=p") == ["to=pictures/"]
    assert offered("sweep", "source.images.path=") == [
        "source.images.path=file",
        "source.images.path=pictures/",
    ]
    assert offered("sweep", "--config-dir", "") == ["pictures/"]


@pytest.mark.parametrize(
    ("words", "whole", "uncounted"),
    [
        (["sweep", "source", "=", "uni"], ["sweep", "source=uni"], "source="),
        (["sweep", "source", "="], ["sweep", "source="], "source="),
        (["sweep", "source=uni"], ["sweep", "source=uni"], ""),
        (["freqs", "=", "0..4", "tri"], ["freqs=0..4", "tri"], ""),
        (["out", "=", "s3", ":", "//b"], ["out=s3://b"], "out=s3:"),
        ([""], [""], ""),
    ],
)
def test_words_that_bash_has_split_are_glued(words, whole, uncounted):
    assert completion.glued(words) == (whole, uncounted)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["asm-sweep", "swe"], ["sweep"]),
        (["asm-sweep", "sweep", "fre"], ["freqs="]),
        # As bash splits source=uniform,ga and source=.
        (["asm-sweep", "sweep", "source", "=", "uniform,ga"], ["uniform,gaussian"]),
        (["asm-sweep", "sweep", "cluster", "=", "l"], ["local", "lsf"]),
        (["asm-sweep", "sweep", "seed", "=", "1", "cluster", "=", "p"], ["pbs", "processes"]),
        # As bash leaves them where its COMP_WORDBREAKS has no =.
        (["asm-sweep", "sweep", "source=uniform,ga"], ["source=uniform,gaussian"]),
    ],
)
def test_a_real_bash_completes(tmp_path, words, expected):
    # The program stands in a folder of the PATH, as after an installation.
    place = tmp_path / "asm-sweep"
    place.write_text(
        f"#!{sys.executable}\nimport sys\nfrom pipeline.__main__ import main\nsys.exit(main())\n"
    )
    place.chmod(0o755)
    script = run_console_script([], tmp_path, _ASM_SWEEP_COMPLETE="bash_source")
    quoted = " ".join(f"'{word}'" for word in words)
    done = subprocess.run(
        [shutil.which("bash"), "--norc", "-c", f"PATH={tmp_path}:$PATH\n{script}\n"
         f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
         "_asm_sweep_completion asm-sweep; printf '%s\\n' \"${COMPREPLY[@]}\"\n"
         "complete -p asm-sweep >&2"],
        capture_output=True, text=True, cwd=tmp_path, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == expected
    assert done.stderr == "complete -o nosort -F _asm_sweep_completion asm-sweep\n"


def test_zsh_gets_whole_words(tmp_path):
    printed = run_console_script(
        [], tmp_path, _ASM_SWEEP_COMPLETE="zsh_complete",
        COMP_WORDS="asm-sweep sweep source=uniform,ga", COMP_CWORD="2",
    )  # fmt: skip
    assert printed.splitlines() == ["plain", "source=uniform,gaussian", "_"]


def test_the_script_of_zsh_puts_no_space_behind_a_key(tmp_path):
    script = run_console_script([], tmp_path, _ASM_SWEEP_COMPLETE="zsh_source")
    assert "compadd -U -S '' -V unsorted -a completions" in script


def test_fish_gets_words_with_commas_whole_and_purposes_of_verbs(tmp_path):
    def complete(line, word):
        return run_console_script(
            [], tmp_path, _ASM_SWEEP_COMPLETE="fish_complete", COMP_WORDS=line, COMP_CWORD=word
        )

    word = "source=uniform,ga"
    assert complete(f"asm-sweep sweep {word}", word) == "source=uniform,gaussian\n"
    assert complete("asm-sweep swe", "swe").startswith("sweep\trun a sweep, or what its")
    script = run_console_script([], tmp_path, _ASM_SWEEP_COMPLETE="fish_source")
    assert "--command asm-sweep" in script


def test_a_configuration_that_cannot_be_read_offers_nothing(elsewhere):
    (elsewhere / "source").mkdir()
    (elsewhere / "source" / "bad.yaml").write_text("bad: [a")
    assert offered("sweep", "--config-dir=.", "source=bad", "source.") == []
    assert offered("sweep", "--config-dir=nowhere", "source=") == []
