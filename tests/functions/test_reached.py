"""Whatever a function reaches of the user's code decides its identity; and nothing else does."""

import importlib
import os
import subprocess
import sys

import pytest

from pipeline.errors import UserError
from pipeline.functions import code
from pipeline.functions.code import code_of

# Modules, of which `m.f` is the function; each `2` is a place where a change must be seen.
REACHED = {
    "a submodule by its dotted name": {
        "p/__init__": "", "p/sub": "K = 2", "m": "import p.sub\ndef f(b): return p.sub.K * b",
    },
    "a submodule that its package imports": {
        "p/__init__": "from . import sub", "p/sub": "K = 2",
        "m": "import p\ndef f(b): return p.sub.K",
    },
    "a module reached through another": {
        "q": "import inner", "inner": "K = 2", "m": "import q\ndef f(b): return q.inner.K",
    },
    "a helper under a decorator of NumPy": {
        "m": "import numpy as np\n@np.errstate(all='ignore')\ndef g(x): return x * 2\n"
        "def f(b): return g(b)",
    },
    "the function under such a decorator": {
        "m": "import numpy as np\n@np.errstate(all='ignore')\ndef f(b): return b * 2",
    },
    "a context manager": {
        "m": "from contextlib import contextmanager\n@contextmanager\ndef g(): yield 2\n"
        "def f(b):\n    with g() as k: return k * b",
    },
    "one of several by type": {
        "m": "from functools import singledispatch\n@singledispatch\ndef g(x): return x\n"
        "@g.register\ndef _(x: int): return x * 2\ndef f(b): return g(b)",
    },
    "an import in the body": {
        "h": "K = 2", "m": "def f(b):\n    from h import K\n    return K * b",
    },
    "a relative import in the body": {
        "p/__init__": "", "p/sub": "K = 2",
        "p/m": "def f(b):\n    from .sub import K\n    return K",
    },
    "a module from a package in the body": {
        "p/__init__": "", "p/sub": "K = 2",
        "m": "def f(b):\n    from p import sub\n    return sub.K",
    },
    "a relative import at the top": {
        "p/__init__": "", "p/sub": "K = 2", "p/m": "from .sub import K\ndef f(b): return K * b",
    },
    "everything of a module": {"h": "K = 2", "m": "from h import *\ndef f(b): return K * b"},
    "what NumPy calls for each sample": {
        "m": "import numpy as np\ndef k(x): return x * 2\nu = np.frompyfunc(k, 1, 1)\n"
        "def f(b): return u(b)",
    },
    "what numba calls for each sample": {
        "m": "import numba\n@numba.vectorize\ndef u(x): return x * 2\ndef f(b): return u(b)",
    },
    "an option of the compiler": {
        "m": "import numba\nFM = bool(2 - 2)\n@numba.njit(fastmath=FM)\ndef f(b): return b",
    },
    "a decorator that is an object": {
        "m": "import functools\nclass D:\n    def __init__(self, g):\n"
        "        self.g, self.k = g, 2\n"
        "        functools.update_wrapper(self, g)\n    def __call__(self, x): return self.g(x)\n"
        "@D\ndef g(x): return x\ndef f(b): return g(b)",
    },
    "another name of a value": {
        "m": "P = [1.0, 2.0]\nQ = [3.0]\nT = P if 2 > 2 else Q\n"
        "def f(b): return b * T[0] + P[0] + Q[0]",
    },
    "a default of a method": {
        "m": "S = 2\nclass C:\n    def g(self, x, k=S): return k * x\ndef f(b): return C().g(b)",
    },
    "a property that is kept": {
        "m": "from functools import cached_property\nclass C:\n    @cached_property\n"
        "    def k(self): return 2\ndef f(b): return C().k * b",
    },
    "a class within a class": {
        "m": "class C:\n    class D:\n        k = 2\ndef f(b): return C.D.k * b",
    },
    "an attribute that is set later": {
        "m": "class C:\n    k = 1\nC.k = 2\ndef f(b): return C.k * b",
    },
    "a class above it": {
        "m": "class A:\n    def k(self): return 2\nclass B(A): pass\ndef f(b): return B().k() * b",
    },
    "a tuple with names": {
        "m": "from typing import NamedTuple\nclass C(NamedTuple):\n    a: float = 1.0\n"
        "    def g(self): return self.a * 2\nCFG = C()\ndef f(b): return CFG.g() * b",
    },
    "a number with a name": {
        "m": "from enum import IntEnum\nclass E(IntEnum):\n    A = 2\ndef f(b): return E.A * b",
    },
    "an attribute of the function": {"m": "def f(b): return f.k * b\nf.k = 2"},
    "a method of a table": {"m": "TABLE = {1: 2}\nget = TABLE.get\ndef f(b): return get(1) * b"},
    "a module handed on": {
        "h": "K = 2", "m": "import h\ndef g(x): return x.K\ndef f(b): return g(h)",
    },
    "a module as a default": {"h": "K = 2", "m": "import h\ndef f(b, *, _m=h): return _m.K"},
    "a module in a list": {"h": "K = 2", "m": "import h\nL = [h]\ndef f(b): return L[0].K"},
    "an attribute by its text": {
        "h": "K = 2", "m": "import h\ndef f(b): return getattr(h, 'K')",
    },
    "what follows a docstring on its line": {
        "m": "def f(b):\n    '''a'''; k = 2\n    return k * b",
    },
    "a text with empty lines": {"m": "T = '''\n\n 2\n'''\ndef f(b): return len(T) * int(T)"},
    "a docstring that is read": {"m": "def f(b):\n    '''2'''\n    return len(f.__doc__)"},
    "a lambda on lines of its own": {
        "m": "def ident(x): return x\ng = ident(\n    lambda x:\n    x * 2,\n)\n"
        "def f(b): return g(b)",
    },
    "a table that is filled in a loop": {
        "m": "TABLE = {}\nfor k in range(3):\n    TABLE[k] = k * 2\ndef f(b): return TABLE[1] * b",
    },
    "a list that a call changes": {"m": "L = [1]\nL.append(2)\ndef f(b): return L[-1] * b"},
    "an attribute that is set by its name": {
        "m": "class C: k = 1\nsetattr(C, 'k', 2)\ndef f(b): return C.k * b",
    },
    "what a function of the user's changes": {
        "m": "class C: k = 1\ndef fill(c, k): c.k = k\nfill(C, 2)\ndef f(b): return C.k * b",
    },
    "one of two definitions": {
        "m": "if 2 > 1:\n    def g(x): return x\nelse:\n    def g(x): return -x\n"
        "def f(b): return g(b)",
    },
    "what is made by a function": {
        "m": "def make(k):\n    def inner(b): return k * b\n    return inner\nf = make(2)",
    },
    "a file that was read into an array": {
        "m": "import numpy as np\nW = np.loadtxt('w.txt')\ndef f(b): return W * b",
        "w.txt": "2\n1\n",
    },
    "a file that was read into a table": {
        "m": "import json\nwith open('w.txt') as s: W = json.load(s)\ndef f(b): return W['k'] * b",
        "w.txt": '{"k": 2}',
    },
}  # fmt: skip


@pytest.fixture
def coded(tmp_path, monkeypatch):
    """Writes modules, imports the one with `f` anew, and gives what decides its numbers."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(tmp_path)
    known = set()

    def write(files):
        for name, text in files.items():
            place = tmp_path / (name if "." in name else f"{name}.py")
            place.parent.mkdir(exist_ok=True)
            place.write_text(text)
            known.add(name.removesuffix("/__init__").replace("/", "."))
        for name in known:
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        [name] = [name for name in files if name.split("/")[-1] == "m"]
        return code_of("algorithm.x", importlib.import_module(name.replace("/", ".")).f)

    yield write
    for name in known:
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore::numba.core.errors.NumbaWarning")
@pytest.mark.parametrize("what", REACHED)
def test_a_change_of_whatever_is_reached_is_seen(coded, what):
    files = REACHED[what]
    before = coded(files)
    assert coded(files).name == before.name
    changed = {name: text.replace("2", "3", 1) for name, text in files.items()}
    assert coded(changed).name != before.name


UNREACHED = {
    "another function": "def f(b): return b * 2\ndef g(b): return 1",
    "another value": "def f(b): return b * 2\nOTHER = [1]",
    "an attribute of the name of a global": "blocks = 1\ndef f(b): return b.blocks * 2",
    "what only a script runs": "def f(b): return b * 2\nif __name__ == '__main__':\n    f(1)",
    "a comment": "def f(b):\n    # 1\n    return b * 2",
    "a docstring": "def f(b):\n    '''1'''\n    return b * 2",
    "another module's": "import h\ndef f(b): return h.K * 2",
    "what is printed of it": "def f(b): return b * 2\nprint(f(1), 'x1')",
    "what a library does with it": "import gc\ndef f(b): return b * 2\ngc.is_tracked((f, 1))",
    "a value that is made of it": "def f(b): return b * 2\nOTHER = f(1)",
}


@pytest.mark.parametrize("what", UNREACHED)
def test_what_is_not_reached_does_not_count(coded, what):
    others = {"h": "K = 5\nL = 1"}
    before = coded({"m": UNREACHED[what], **others})
    after = {name: text.replace("1", "7") for name, text in others.items()}
    assert coded({"m": UNREACHED[what].replace("1", "7"), **after}).name == before.name


def test_a_cache_that_fills_does_not_count(coded):
    code = "C = {}\ndef f(b):\n    if b not in C: C[b] = 2 * b\n    return C[b]"
    before = coded({"m": code})
    sys.modules["m"].f(3)
    assert code_of("algorithm.x", sys.modules["m"].f).name == before.name


REFUSED = {
    "m = 1\ndef f(b): return open('x').read()": "uses open, by which",
    "import numpy as np\ndef f(b): return np.load('x')": "uses load, by which",
    "from pathlib import Path\ndef f(b): return Path('x').read_text()": "uses read_text, by which",
    "def g(): return eval('2')\ndef f(b): return g()": "uses eval, by which",
    "def f(b): return globals()['f']": "uses globals, by which",
    "import importlib\ndef f(b): return importlib.import_module('h').K": "uses import_module",
    "import numpy as np\nR = np.random.default_rng(0)\n"
    "def f(b): return R.random()": "uses R, a Generator",
    "import pickle\nopen('x', 'wb').write(pickle.dumps(object()))\n"
    "M = pickle.load(open('x', 'rb'))\ndef f(b): return M": (
        "uses M, a object that (load|open) has made of what is not in its code"
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_known_is_refused_unless_a_version_is_stated(coded, text):
    with pytest.raises(UserError, match=REFUSED[text]):
        coded({"m": text})
    assert coded({"m": f"{text}\nASM_SWEEP_VERSION = 3"}).name == "version 3"


def test_a_method_of_the_user_s_may_be_called_load(coded):
    coded({"m": "class R:\n    def load(self): return 2\ndef f(b): return R().load()"})


def test_it_is_the_same_in_every_process(coded, tmp_path):
    text = (
        "def low(x): return x\ndef high(x): return x + 1\nPICK = {low: 1, high: 2}\n"
        "S = {frozenset({'a', 'b'}), frozenset({'c', 'd', 'e'})}\n"
        "D = dict.fromkeys(S)\nE = {('a', frozenset('xyz')): 1}\n"
        "def f(b):\n    return b if b in {'u', 'v', 'w', 'x'} else PICK[low] + len(S) + len(E)"
    )
    name = coded({"m": text}).name
    code = (
        "from m import f; from pipeline.functions.code import code_of; print(code_of('x', f).name)"
    )
    for seed in "123":
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.stdout.strip() == name


def test_a_package_that_is_installed_may_have_the_function(coded, monkeypatch):
    files = {
        "p/__init__": "",
        "p/sub": "K = 2",
        "p/m": "from .sub import K\ndef f(b): return K * b",
    }
    monkeypatch.setattr(code, "is_library", lambda file: True)
    before = coded(files)
    assert "def f(b): return K * b" in before.text
    assert coded({**files, "p/sub": "K = 3"}).name != before.name


def test_a_function_of_the_library_is_refused():
    with pytest.raises(UserError, match="is a function of a library: give one of your own"):
        code_of("algorithm.x", os.path.join)
