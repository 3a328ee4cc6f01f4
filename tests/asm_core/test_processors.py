"""What decides a stored number has the same bits on every processor and with every libm."""

import ast
import hashlib
import inspect
import json
import math
import os
import pathlib
import platform
import subprocess
import sys

import numpy as np
from numba import config
from numpy._core import _multiarray_umath as umath

import asm_core
from asm_core import Operation, sources
from asm_core.moments import moments_of
from asm_core.validate import ALGORITHMS

# The cosines of 32 and 64 differ in another libm, those of the larger ones without FMA.
SIZES = (8, 32, 64, 72, 144, 174, 210, 224, 226)
OPERATIONS = [Operation("max_pool"), Operation("relu")]

# Without what processors differ in: for glibc, whose names were other ones before 2.33; for NumPy,
# which chooses its loops as it is imported; and for numba.
PLAIN = {
    "GLIBC_TUNABLES": "glibc.cpu.hwcaps="
    + ",".join(
        f"-{name},-{name}_Usable" for name in ("FMA", "FMA4", "AVX2", "AVX512F", "AVX512VL")
    ),
    "NPY_DISABLE_CPU_FEATURES": " ".join(
        name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]
    ),
    "NUMBA_CPU_NAME": "generic",
    "NUMBA_CPU_FEATURES": "",
}


def numbers():
    """(name, array) of whatever decides what a store holds."""
    for size in SIZES:
        yield f"basis {size}", asm_core.dct_basis(size)
        yield f"energy ranks {size}", asm_core.frequency_rank(size, "energy")
    for name, draw in inspect.getmembers(sources, inspect.isfunction):
        if draw.__module__ == sources.__name__ and not name.startswith("_"):
            # A million words: seven of them had another quantile without FMA.
            yield f"{name} 8", draw(3, 8, 10**12, 20_000)
            yield f"{name} 144", draw(3, 144, 0, 3)
    blocks = sources.gaussian(0, 8, 0, 20)
    yield "quantised", asm_core.quantised_coefficients(blocks, 50)
    for size, freqs in ((8, range(15)), (144, (3, 90))):
        blocks = sources.gaussian(0, size, 0, 9)
        yield f"coefficients {size}", asm_core.block_dct(blocks)
        offsets = asm_core.mean_offsets(blocks, freqs, OPERATIONS)
        yield f"offsets {size}", offsets
        measures = asm_core.measure(blocks, freqs, OPERATIONS, ALGORITHMS, offsets=offsets)
        yield f"errors {size}", measures.error
        yield f"regrets {size}", measures.regret[0]
        yield f"moments {size}", moments_of(measures.error.astype(np.float32))


def digests():
    """Of each array its digest; and what shows that the settings of `PLAIN` were obeyed."""
    found = {name: digest(array) for name, array in numbers()}
    places = [k / 100 for k in range(1, 1000)]
    libm = [f(x) for f in (math.sin, math.cos, math.exp, math.log) for x in places]
    dispatched = [name for name in umath.__cpu_dispatch__ if umath.__cpu_features__[name]]
    return found, {"libm": digest(libm), "numpy": dispatched, "numba": config.CPU_NAME}


def digest(values):
    return hashlib.sha256(np.asarray(values).tobytes()).hexdigest()


ELSEWHERE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from test_processors import digests
print(json.dumps(digests()))
"""


def test_without_fused_multiply_add_every_bit_is_the_same():
    child = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, os.path.dirname(__file__)],
        env={**os.environ, **PLAIN},
        check=True,
        capture_output=True,
        text=True,
    )
    theirs, plain = json.loads(child.stdout)
    ours, here = digests()
    assert (plain["numpy"], plain["numba"]) == ([], "generic")
    if libm_obeys():
        # Else this test would show nothing.
        assert plain["libm"] != here["libm"]
    differing = [name for name in ours if ours[name] != theirs[name]]
    assert not differing, ", ".join(differing)


def libm_obeys():
    """Whether the C library is one that has functions with FMA and lets them be switched off."""
    library, version = platform.libc_ver()
    if (platform.machine(), library) != ("x86_64", "glibc"):
        return False
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    since = tuple(int(part) for part in version.split(".")[:2])
    return since >= (2, 33) and {"fma", "avx2"} <= set(flags)


# Of the functions of `math` these are exact, or made of operations that IEEE 754 rounds everywhere
# alike.
EXACT = {"copysign", "frexp", "fsum", "isfinite", "isqrt", "prod", "sqrt"}
# NumPy has these from a libm, or from loops of its own that differ between processors.
ROUNDED = {
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "cos", "cosh",
    "exp", "exp2", "expm1", "float_power", "geomspace", "hypot", "log", "log10", "log1p", "log2",
    "logspace", "power", "sin", "sinc", "sinh", "tan", "tanh",
}  # fmt: skip
# Intervals are computed from what is stored; the DCT domain uses BLAS and is not what is stored.
READERS = {"intervals.py", "dct_domain.py"}


def test_nothing_that_decides_a_number_calls_a_function_that_a_libm_rounds():
    modules = pathlib.Path(asm_core.__file__).parent.glob("*.py")
    decisive = {path.name: path.read_text() for path in modules if path.name not in READERS}
    assert len(decisive) > 10
    found = [
        f"{name}:{node.lineno}: {ast.unparse(node)}"
        for name, text in decisive.items()
        for node in ast.walk(ast.parse(text))
        if is_rounded(node)
    ]
    assert not found, "\n".join(found)


def is_rounded(node):
    """A function of a libm, of SciPy or of BLAS, or a power that is not of constants."""
    match node:
        case ast.Attribute(ast.Name("math"), name):
            return name not in EXACT
        case ast.Attribute(ast.Name("np"), name):
            return name in ROUNDED
        case ast.Import(names):
            return any(name.name.startswith("scipy") for name in names)
        case ast.ImportFrom(str(module)):
            return module in ("math", "numpy") or module.startswith("scipy")
        case ast.BinOp(_, ast.Pow(), power):
            return not isinstance(power, ast.Constant | ast.UnaryOp)
    return isinstance(node, ast.MatMult)
