"""Lanes: each operation against numpy, and no bit of a kernel depends on their number."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
from numba import njit

import asm_core
from asm_core import Operation, kernels, sources, transforms
from asm_core.lanes import (
    choose,
    copysign,
    counted,
    gather,
    integer,
    larger,
    lesser,
    load,
    put,
    rounding_of_product,
    rows,
    scatter,
    spread,
    spread_of,
    sqrt,
    store,
    take,
    tally,
)
from asm_core.moments import MOMENTS, RESULTS, moments_of
from asm_core.tracing import WIDTH, Variable, loop, traced

OPERATIONS = [Operation("max_pool"), Operation("max_pool", 4), Operation("min_pool"),
              Operation("relu"), Operation("leaky_relu", slope=0.3)]  # fmt: skip


@traced(returns=0)
def arithmetic(work):
    a, b = load(work, 0), load(work, 1)
    store(work, 2, a + b)
    store(work, 3, a - b)
    store(work, 4, a * b)
    store(work, 5, a / b)
    store(work, 6, sqrt(a * a))
    store(work, 7, copysign(a, b))
    store(work, 8, choose(a > b, a, b))
    store(work, 9, spread(2.0) - 3.0 * (1.0 + a))
    store(work, 10, rounding_of_product(a, b))
    store(work, 11, -choose(b < spread(0.5), larger(a, b), 1.5))
    store(work, 12, counted(tally(tally(tally(spread(0.0), a), b), a * b)))


@njit
def compiled_arithmetic(work):
    arithmetic(work)


def test_every_operation_is_that_of_numpy_bit_by_bit():
    work = rows(13)
    work[:2] = np.random.default_rng(0).normal(size=(2, WIDTH))
    work[0, :3], work[1, :3] = (1.0, -0.0, 1.5), (-0.5, 2.0, 1.5)
    work[1, 3], work[0, 4] = -0.25, -0.0
    a, b = work[:2].copy()
    compiled_arithmetic(work)
    negative = sum(np.signbit(each).astype(float) for each in (a, b, a * b))
    expected = [
        a + b, a - b, a * b, a / b, abs(a), np.copysign(a, b), np.maximum(a, b),
        2.0 - 3.0 * (1.0 + a), -np.where(b < 0.5, np.maximum(a, b), 1.5), negative,
    ]  # fmt: skip
    found = work[[*range(2, 10), 11, 12]]
    assert np.array_equal(found.view(np.int64), np.array(expected).view(np.int64))


def test_what_the_rounding_of_a_product_leaves_out_is_exact():
    work = rows(13)
    work[:2] = np.random.default_rng(2).normal(size=(2, WIDTH)) * 10.0 ** np.arange(-40, 40, 10)
    compiled_arithmetic(work)
    for a, b, product, rest in zip(*work[[0, 1, 4, 10]].tolist(), strict=True):
        assert Fraction(rest) == Fraction(a) * Fraction(b) - Fraction(product)
    assert work[10].any()


@njit
def move(flat, single, out):
    put(out, 3, gather(flat, 2, 5))
    put(out, 3 + WIDTH, take(flat, 7))
    put(out, 3 + 2 * WIDTH, take(single, 9))
    scatter(out, 3 + 3 * WIDTH, 3, spread_of(flat, 5))


def test_elements_are_gathered_taken_and_put_where_they_belong():
    flat, single = np.arange(100.0), np.arange(100, dtype=np.float32) / 3
    out = np.full(7 * WIDTH, np.nan)
    move(flat, single, out)
    strided = flat[2 : 2 + 5 * WIDTH : 5]
    expected = [strided, flat[7 : 7 + WIDTH], single[9 : 9 + WIDTH].astype(float)]
    assert np.array_equal(out[3 : 3 + 3 * WIDTH], np.concatenate(expected))
    assert np.isnan(out[:3]).all()
    rest = out[3 + 3 * WIDTH : 3 * (1 + 2 * WIDTH)].reshape(WIDTH, 3)
    assert (rest[:, 0] == 5.0).all()
    assert np.isnan(rest[:, 1:]).all()
    assert np.isnan(out[3 * (1 + 2 * WIDTH) :]).all()


def test_compiled_and_uncompiled_operations_are_one():
    work = rows(13)
    work[:2] = np.random.default_rng(1).normal(size=(2, WIDTH))
    other = work.copy()
    compiled_arithmetic(work)
    arithmetic(other)
    assert np.array_equal(work, other)


def polynomial(work, numbers, count, x):
    total, last = Variable(work, spread(0.0)), Variable(work, x)
    for k in loop(1, count):
        for _ in loop(lesser(k, integer(numbers, 0)), integer(numbers, k), 2):
            last.value = last.value * load(work, 0)
        total.add(last.value)
    return total.value, last.value


whole, halves = (traced(returns=2, split=split)(polynomial) for split in (False, True))


@pytest.mark.parametrize("function", [whole, halves])
def test_loops_and_variables_are_those_of_python(function):
    @njit
    def compiled(work, numbers, count):
        a, b = function(work, numbers, count, load(work, 1))
        store(work, 2, a)
        store(work, 3, b)

    work, numbers = rows(4), np.array([3, 1, 4, 9, 2, 6, 0, 12])
    work[:2] = np.random.default_rng(4).normal(size=(2, WIDTH))
    compiled(work, numbers, len(numbers))
    total, last = np.zeros(WIDTH), work[1].copy()
    for k in range(1, len(numbers)):
        for _ in range(min(k, numbers[0]), numbers[k], 2):
            last = last * work[0]
        total = total + last
    assert np.array_equal(work[2:], [total, last])
    uncompiled = polynomial(work, numbers, len(numbers), work[1].copy())
    assert np.array_equal(uncompiled, [total, last])


@pytest.mark.parametrize("count", [1, 2, 7, 64])
def test_rows_begin_at_cache_lines(count):
    work = rows(count)
    assert work.shape == (count, WIDTH)
    assert work.ctypes.data % (8 * WIDTH) == 0


ELSEWHERE = """
import sys, pathlib, types
import numpy as np
# The module as it is, with another number of lanes.
spec = __import__("importlib.util").util.find_spec("asm_core.tracing")
source = pathlib.Path(spec.origin).read_text()
assert source.count("WIDTH = 8\\n") == 1
module = types.ModuleType("asm_core.tracing")
module.__file__ = spec.origin
sys.modules["asm_core.tracing"] = module
exec(compile(source.replace("WIDTH = 8\\n", f"WIDTH = {sys.argv[1]}\\n"), spec.origin, "exec"),
     module.__dict__)
import asm_core
asm_core.tracing = module
sys.path.insert(0, sys.argv[2])
from test_lanes import everything
from asm_core import lanes
assert lanes.WIDTH == int(sys.argv[1])
np.save(sys.argv[3], everything())
"""


def everything():
    """All that the kernels give for a few blocks, and normal samples, as one array of bits."""
    found = [sources.gaussian(0, 8, 0, 9)]
    values = np.random.default_rng(0).normal(size=(2, 37))
    for numbers in (values, values.astype(np.float32)):
        found.append(moments_of(numbers)[:, [MOMENTS.index(name) for name in RESULTS]])
    # A constant and a general block size, groups that are full and that are not.
    for size, count in ((4, 19), (10, 3)):
        blocks = np.random.default_rng(size).normal(size=(count, size, size))
        blocks[1] = blocks[1].round()
        operations = [o for o in OPERATIONS if size % o.window == 0]
        found += asm_core.measure(blocks, range(2 * size - 1), operations)
        coefficients = asm_core.block_dct(blocks)
        found += [coefficients, asm_core.approximate(coefficients, size // 2)]
    return np.concatenate([values.ravel() for values in found]).view(np.int64)


@pytest.mark.parametrize(("width", "compiled"), [(4, True), (16, True), (8, False), (3, False)])
def test_the_bits_of_a_trial_do_not_depend_on_the_lanes_or_on_being_compiled(
    width, compiled, tmp_path
):
    # Uncompiled, the kernels are ordinary Python and numpy: nothing was fused or reordered.
    variables = {"NUMBA_CACHE_DIR": str(tmp_path)} if compiled else {"NUMBA_DISABLE_JIT": "1"}
    out = tmp_path / "bits.npy"
    subprocess.run(
        [sys.executable, "-c", ELSEWHERE, str(width), os.path.dirname(__file__), str(out)],
        env={**os.environ, **variables},
        check=True,
    )
    assert np.array_equal(np.load(out), everything())


def test_threads_at_the_same_time_give_the_bits_of_one_alone():
    batches = [np.random.default_rng(k).normal(size=(300, 8, 8)) for k in range(8)]

    def errors(blocks):
        return asm_core.measure(blocks, range(15), OPERATIONS).error

    with ThreadPoolExecutor(4) as pool:
        for together, blocks in zip(pool.map(errors, batches), batches, strict=True):
            assert np.array_equal(together, errors(blocks))


def test_arrays_that_are_used_again_hold_the_last_batch():
    blocks = np.random.default_rng(0).normal(size=(21, 8, 8))
    # 40 keeps everything as 14 does: two frequencies in one step.
    freqs, algorithms = [3, 14, 40], ["apx", "asm"]
    out = asm_core.empty_measures(len(OPERATIONS), 2, 3, 21)
    for part in (blocks, blocks[:5]):
        asm_core.measure_into(out, part, freqs, OPERATIONS, algorithms, "triangle")
        expected = asm_core.measure(part, freqs, OPERATIONS, algorithms)
        for values, wanted in zip(out, expected, strict=True):
            assert np.array_equal(values[..., : len(part)], wanted, equal_nan=True)


def test_every_kind_of_array_is_measured_by_the_same_kernel():
    def measure(blocks):
        coefficients = asm_core.block_dct(blocks)
        asm_core.measure(blocks, [1], OPERATIONS[:1], coefficients=coefficients)
        return asm_core.errors_by_frequency(blocks, [0, 3, 99])

    blocks = np.random.default_rng(0).normal(size=(10, 8, 8))
    expected = measure(blocks)
    for size in range(2, 20, 2):
        measure(np.zeros((1, size, size)))
    frozen = blocks.copy()
    frozen.flags.writeable = False
    askew = np.frombuffer(b"." + blocks.tobytes(), np.uint8)[1:].view(np.float64)
    for other in (frozen, askew.reshape(blocks.shape), blocks.repeat(2, axis=0)[::2],
                  np.asfortranarray(blocks)):  # fmt: skip
        assert np.array_equal(measure(other), expected)
    for compiled in (kernels.measure, transforms.forward, transforms.inverse):
        assert len(compiled.signatures) == 1


@pytest.mark.parametrize("count", [1, 7, 8, 9, 15])
def test_nothing_beyond_the_last_block_is_read(count, monkeypatch):
    blocks = np.full((24, 8, 8), np.nan)
    blocks[:count] = np.random.default_rng(0).normal(size=(count, 8, 8))
    coefficients = np.full_like(blocks, np.nan)
    coefficients[:count] = asm_core.block_dct(blocks[:count])
    # The kernel looks for values that are not finite as it reads; only then are they looked up.
    monkeypatch.setattr("asm_core.validate.finite", lambda name, array: pytest.fail(name))
    for known in (None, coefficients[:count]):
        measures = asm_core.measure(blocks[:count], [3], OPERATIONS[:1], coefficients=known)
        assert np.isfinite(measures.error).all()
