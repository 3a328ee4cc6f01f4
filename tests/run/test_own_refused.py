"""Functions of the user's own that are refused before anything runs."""

import functools
import subprocess
import sys
import threading

import numpy as np
import pytest
from helpers import own

from pipeline import sweep
from pipeline.errors import UserError
from pipeline.functions import naming

CHECKED = {
    "def f(batch): return np.random.default_rng().random(batch.blocks.shape)[:, ::2, ::2]": (
        "gives other results for the same blocks"
    ),
    "def f(batch): return batch.operation.exact(batch.blocks - batch.blocks.mean())": (
        "gives other results for blocks that come in two parts"
    ),
    "def f(batch): return batch.operation.exact(batch.blocks) * 1.01": (
        "is not exact where everything is kept: .* f.exact = False"
    ),
    "def f(batch): return batch.blocks": "results must have shape",
    "def f(batch): return batch.operation.exact(batch.blocks) / 0 * 0": "results must be finite",
    "def f(batch): return [x for x in batch.nothing]": (
        r"AttributeError: 'Batch' object has no attribute 'nothing' \(.*own_masks.py, line 2\)"
    ),
    "def f(batch): batch.blocks[:] = 0": "assignment destination is read-only",
    "def f(batch, needed): return batch": (
        r"the function needs needed: give algorithm.mine.needed=\.\.\."
    ),
    "def f(): return 1": "too many positional arguments",
    "class f: pass": "is a class: give a function",
    "f = 3": "is no function",
    "import nothing_there\ndef f(batch): pass": (
        r"its module cannot be imported: ModuleNotFoundError: .*own_masks.py, line 2\)"
    ),
    "def f(batch) return 1": r"cannot be imported: SyntaxError: .*own_masks.py, line 2\)",
    "def g(batch): return 1": "there is no f in own_masks",
    "R = np.random.default_rng()\ndef f(batch): return R.random()": "uses R, a Generator",
    "import sys\ndef f(batch): sys.exit(0)": r"SystemExit: 0 \(.*own_masks.py, line 3\)",
    "import sys\nsys.exit(4)": "cannot be imported: SystemExit: 4",
    "class E(BaseException): pass\ndef f(batch): raise E('x')": r"own_masks.f: E: x \(",
    "class E(Exception):\n    def __str__(self): 1 / 0\n"
    "def f(batch): raise E": r"own_masks.f: E \(",
    "def f(batch): raise ValueError('a\\x1b\\0b')": r"ValueError: a\?\?b",
    "def f(batch): return np.ma.zeros((7, 4, 4))": "a masked array has no numbers",
    "def f(batch): return [[1], [1, 2]]": "ValueError: setting an array element with a sequence",
    "def f(batch): batch.approximate()": (
        r"got None, as a function without return gives \(.*own_masks.py, line 2\)"
    ),
    "def f(batch): batch.coefficients.setflags(write=True)": "cannot set WRITEABLE flag to True",
}


@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning", "ignore:invalid value")
@pytest.mark.parametrize("text", CHECKED)
def test_an_algorithm_is_looked_at_before_anything_runs(tmp_path, text):
    (tmp_path / "results").mkdir()
    with (
        own.module(tmp_path, f"import numpy as np\n{text}\n"),
        pytest.raises(UserError, match=CHECKED[text]),
    ):
        sweep([*own.entry("algorithm", "f"), "trials=50"], results=tmp_path / "results")
    assert list((tmp_path / "results").iterdir()) == []


SOURCES = {
    "def f(first, count, block_size): return np.random.default_rng().random((count, 8, 8))": (
        "gives other blocks for the same trials: draw them from words"
    ),
    "def f(first, count, block_size): return np.full((count, 8, 8), count)": (
        "gives other blocks for trials that are drawn in two parts"
    ),
    "def f(first, count, block_size): return np.zeros((count, 4, 4))": "must give real blocks",
    "def f(first, count, block_size): return np.full((count, 8, 8), 1e40)": (
        r"must give finite samples of at most 1e\+30: those of trial 3 are not"
    ),
    "def f(first, count, block_size): raise KeyError('x')": r"KeyError: 'x' \(.*own_masks.py",
    "def f(block_size): return 1": "too many positional arguments",
    "def f(first, count, block_size): return [[1], [1, 2]]": "ValueError: setting an array element",
    "def f(first, count, block_size): return np.ma.zeros((count, 8, 8))": "a masked array has no",
}


SELECTIONS = {
    "def f(block_size): return np.zeros((4, 4), int)": "ranks must be integers of shape",
    "def f(block_size): return np.ones((8, 8), int)": "that of the DC 0",
    "def f(block_size): return np.zeros((8, 8))": "ranks must be integers",
    "def f(block_size): return np.full((8, 8), 2**63, 'u8')": "ranks must be at most 2\\^53",
    "def f(block_size): return 1 / 0": r"ZeroDivisionError: division by zero \(.*own_masks.py",
}


@pytest.mark.parametrize(
    ("group", "text", "words"),
    [
        *(("source", text, words) for text, words in SOURCES.items()),
        *(("selection", text, words) for text, words in SELECTIONS.items()),
    ],
)
def test_sources_and_selections_are_looked_at_before_anything_runs(tmp_path, group, text, words):
    with (
        own.module(tmp_path, f"import numpy as np\n{text}\n"),
        pytest.raises(UserError, match=words),
    ):
        sweep([*own.entry(group, "f"), "trials=50"], results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            {"a": own.local_function(1), "b": own.local_function(2)},
            "two functions that are both called",
        ),
        (lambda batch: batch, "must be a function with a name"),
        ([np.add, "asm"], "must be a function with a name"),
        ([own.local_function, own.local_function], "has two functions named local_function"),
        (functools.partial(own.local_function, 1), "parameters must be given by name"),
    ],
)
def test_what_has_no_name_is_refused(value, words):
    with pytest.raises(UserError, match=words):
        sweep(algorithm=value, trials=5)


def test_what_is_no_entry_of_a_function_is_refused(tmp_path):
    other, both = "algorithm.x._target_=a.b", "algorithm.x.kind=asm"
    for words, said in [
        (["operation=x", "operation.x._target_=a.b"], "operation has kinds alone"),
        (["algorithm=x", "algorithm.x._target_=soft"], "must be a function in a module"),
        (["algorithm=x", other, both], "has both kind and _target_"),
        (
            ["algorithm=x", "algorithm.x._target_=no_such.b"],
            "no module no_such here: name the folder",
        ),
        (["source=x", "source.x._target_=a.b", "source.x.words=3"], "is what the program gives"),
        (["algorithm=asm", "algorithm.asm._target_=a.b"], "algorithm=asm is an entry already"),
        ({"algorithm": {"x": {"_target_": "a.b", "d": float("nan")}}}, "d must be finite, got nan"),
        ({"algorithm": {"x": {"_target_": "a.b", "d": [None, [float("nan")]]}}}, "must be finite"),
        (["algorithm=asm", other], "unknown algorithm 'x' in algorithm.x._target_"),
    ]:
        given = words if isinstance(words, dict) else {}
        words = [] if given else words
        with own.module(tmp_path, "def b(*a): pass", "a"), pytest.raises(UserError, match=said):
            sweep(words, trials=5, results=tmp_path / "results", **given)
    assert not (tmp_path / "results").exists()


def test_parameters_are_checked_by_the_function_s_own(masks):
    for words, said in [
        (
            own.entry("algorithm", "shifted", buy=1),
            r"algorithm.mine.buy is not a parameter .*: did you mean by\?",
        ),
        (
            own.entry("algorithm", "own_asm", by=1),
            "is not a parameter of the function: it has none",
        ),
        (own.entry("selection", "diagonals", shif=1), "did you mean shift"),
    ]:
        with pytest.raises(UserError, match=said):
            sweep(words, trials=5)


def test_a_parameter_that_is_text_is_named_where_it_is_taken_for_a_number(masks):
    with pytest.raises(UserError, match=r"UFuncTypeError.*; weight is the text 'abc' "):
        sweep(own.entry("algorithm", "mean", weight="abc"), trials=5)


def test_a_module_that_sweeps_when_it_is_imported_is_refused(tmp_path):
    text = f"{own.TEXT}\nfrom pipeline import sweep\nsweep(trials=5, freqs=[0])\n"
    with (
        own.module(tmp_path, text),
        pytest.raises(UserError, match=r"the module of own_masks.own_asm sweeps .*own_masks.py, l"),
    ):
        sweep(own.entry("algorithm", "own_asm"), trials=5, results=tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_module_that_waits_for_a_sweep_of_a_thread_is_no_hang(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(naming, "_SECONDS_TO_IMPORT", 0.5)
    call = f"sweep({own.entry('algorithm', 'own_asm')}, trials=5, freqs=[0])"
    text = f"{own.TEXT}\nfrom threading import Thread\nfrom pipeline import sweep\n"
    text += f"thread = Thread(target=lambda: {call})\nthread.start()\nthread.join()\n"
    monkeypatch.setattr(threading, "excepthook", lambda failed: refused.append(failed.exc_value))
    refused = []
    with own.module(tmp_path, text):
        sweep(own.entry("algorithm", "own_asm"), trials=5, results=tmp_path / "results")
    [error] = refused
    assert "if it sweeps in a thread, put that below if __name__" in str(error)


SCRIPT = """
from own_masks import own_asm
from pipeline import sweep

def run():
    options = {"trials": 3000, "freqs": [6], "cluster.workers": 2, "out": "a.zarr"}
    print(sweep(algorithm=["asm", own_asm], cluster="processes", **options).sizes["trial"])

"""


@pytest.mark.slow
@pytest.mark.parametrize("call", ["run()", "def all(): run()\nall()", "try: run()\nfinally: pass"])
def test_a_script_that_would_sweep_in_each_of_its_processes_is_refused(tmp_path, call):
    (tmp_path / "own_masks.py").write_text(own.TEXT)

    def run(text):
        (tmp_path / "script.py").write_text(text)
        return subprocess.run(
            [sys.executable, "script.py"], cwd=tmp_path, check=False, timeout=240,
            capture_output=True, text=True,
        )  # fmt: skip

    done = run(SCRIPT + call)
    line = (SCRIPT + call).split("\n").index(call.split("\n")[-1]) + 1 - call.count("finally")
    said = done.stderr.splitlines()[-1]
    assert f"imports {tmp_path}/script.py anew in every process, where its line {line} " in said
    assert not (tmp_path / "a.zarr").exists()
    indented = call.replace("\n", "\n    ")
    assert run(f'{SCRIPT}if __name__ == "__main__":\n    {indented}').stdout == "3000\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        '__name__ == "__main__" and run()',
        'match __name__:\n    case "__main__":\n        run()',
        'def main(first):\n    first and run()\nmain(__name__ == "__main__")',
    ],
)
def test_a_script_that_knows_its_name_is_run(tmp_path, call):
    (tmp_path / "own_masks.py").write_text(own.TEXT)
    (tmp_path / "script.py").write_text(SCRIPT + call)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, check=False, timeout=240,
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout == "3000\n", done.stderr
