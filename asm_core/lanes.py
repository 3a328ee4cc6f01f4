"""Operations on `Lanes`, several trials side by side (see `tracing.py`).

They act on every lane alike and no lane ever meets another, so that the bits of a trial depend
neither on its neighbours nor on WIDTH.  Each is here twice: for arrays of WIDTH numbers, and as the
instructions that it is compiled to.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import cgutils

from asm_core.tracing import DOUBLE, INDEX, WHOLE, WIDTH, Symbol, emitting, ir, shuffled, value_of


def rows(count: int) -> np.ndarray:
    """(count, WIDTH) float64, not initialised, each row at an address that `load` may assume.

    A row that crosses a cache line would cost two accesses each time.
    """
    raw = np.empty((count + 1) * WIDTH)
    skip = -raw.ctypes.data // 8 % WIDTH
    return raw[skip : skip + count * WIDTH].reshape(count, WIDTH)


def _emit_load(part, array, r):
    return part.builder.load(part.at(array, r * WIDTH), align=8 * part.count)


@emitting(1, _emit_load)
def load(array, r):
    """Row r of `rows`; no index is checked, here and below."""
    return array.reshape(-1, WIDTH)[r].copy()


def _emit_store(part, array, r, value):
    place = part.at(array, r * WIDTH)
    return part.builder.store(value_of(value, part.vector), place, align=8 * part.count)


@emitting(0, _emit_store)
def store(array, r, value):
    """Set row r of `rows`."""
    array.reshape(-1, WIDTH)[r] = value


def _elements(part, array, start, stride):
    for lane in range(part.count):
        place = start + stride * (part.first + lane)
        yield lane, part.builder.gep(array.value, [value_of(place, WHOLE)])


def _emit_gather(part, array, start, stride):
    vector = ir.Constant(part.vector, ir.Undefined)
    for lane, place in _elements(part, array, start, stride):
        vector = part.builder.insert_element(vector, part.builder.load(place), INDEX(lane))
    return vector


@emitting(1, _emit_gather)
def gather(array, start, stride):
    """Elements start, start + stride, ... of a C-contiguous array, one for each lane."""
    return array.reshape(-1)[start + stride * np.arange(WIDTH)]


def _emit_scatter(part, array, start, stride, value):
    for lane, place in _elements(part, array, start, stride):
        part.builder.store(part.builder.extract_element(value.value, INDEX(lane)), place)


@emitting(0, _emit_scatter)
def scatter(array, start, stride, value):
    """Set elements start, start + stride, ... of a C-contiguous array, one for each lane."""
    array.reshape(-1)[start + stride * np.arange(WIDTH)] = value


def _emit_take(part, array, start):
    if array.value.type.pointee == ir.FloatType():
        single = ir.VectorType(ir.FloatType(), part.count)
        value = part.builder.load(part.at(array, start, single), align=4)
        return part.builder.fpext(value, part.vector)
    return part.builder.load(part.at(array, start), align=8)


@emitting(1, _emit_take)
def take(array, start):
    """WIDTH consecutive elements of a C-contiguous array of float64 or float32."""
    return array.reshape(-1)[start : start + WIDTH].astype(np.float64)


def _emit_put(part, array, start, value):
    return part.builder.store(value_of(value, part.vector), part.at(array, start), align=8)


@emitting(0, _emit_put)
def put(array, start, value):
    """Set WIDTH consecutive elements of a C-contiguous array."""
    array.reshape(-1)[start : start + WIDTH] = value


def _emit_element(part, array, k):
    return part.builder.load(part.builder.gep(array.value, [value_of(k, WHOLE)]))


def integer(array, k):
    """Element k of a C-contiguous array of integers, in traced functions."""
    if isinstance(array, Symbol):
        return Symbol(array.part, _emit_element(array.part, array, k))
    return array.reshape(-1)[k]


def lesser(a, b):
    """The smaller of two integers, the first of which is an argument of the traced function."""
    if isinstance(a, Symbol):
        smaller = (a < b).value
        return Symbol(a.part, a.part.builder.select(smaller, a.value, value_of(b, WHOLE)))
    return min(a, b)


def _emit_spread(part, number):
    undefined = ir.Constant(part.vector, ir.Undefined)
    first = part.builder.insert_element(undefined, value_of(number, DOUBLE), INDEX(0))
    return shuffled(part.builder, first, undefined, [0] * part.count)


@emitting(1, _emit_spread)
def spread(number):
    """The same number in every lane."""
    return np.full(WIDTH, number)


def _emit_spread_of(part, array, k):
    return _emit_spread(part, Symbol(part, _emit_element(part, array, k)))


@emitting(1, _emit_spread_of)
def spread_of(array, k):
    """Element k of a C-contiguous array of float64, in every lane."""
    return np.full(WIDTH, array.reshape(-1)[k])


def _emit_choose(part, flags, a, b):
    return part.builder.select(flags.value, value_of(a, part.vector), value_of(b, part.vector))


@emitting(1, _emit_choose)
def choose(flags, a, b):
    """Lane by lane a where the flag is set, b elsewhere."""
    return np.where(flags, a, b)


def larger(a, b):
    """Lane by lane the larger one."""
    return choose(b > a, b, a)


def _emit_tally(part, total, value):
    bits = part.builder.bitcast(value_of(value, part.vector), part.whole)
    sign = part.builder.lshr(bits, ir.Constant(part.whole, [63] * part.count))
    total = part.builder.bitcast(value_of(total, part.vector), part.whole)
    return part.builder.bitcast(part.builder.add(total, sign), part.vector)


@emitting(1, _emit_tally)
def tally(total, value):
    """Count lanes with a negative sign, that of -0.0 too; `counted` gives the number.

    A total begins as zeros, and its bits are an integer: one instruction less than adding 1.0.
    """
    return (total.view(np.int64) + np.signbit(value)).view(np.float64)


def _emit_counted(part, total):
    return part.builder.sitofp(part.builder.bitcast(total.value, part.whole), part.vector)


@emitting(1, _emit_counted)
def counted(total):
    """What `tally` has counted."""
    return total.view(np.int64).astype(np.float64)


def _emit_call(name: str) -> Callable[..., Any]:
    """A call of LLVM's own function on vectors."""

    def emit(part, *vectors):
        kind = ir.FunctionType(part.vector, [part.vector] * len(vectors))
        full = f"llvm.{name}.v{part.count}f64"
        function = cgutils.get_or_insert_function(part.builder.module, kind, full)
        return part.builder.call(function, [value_of(vector, part.vector) for vector in vectors])

    return emit


@emitting(1, _emit_call("copysign"))
def copysign(size, sign):
    """Lane by lane the magnitude of `size` with the sign of `sign`; that of -0.0 is negative."""
    return np.copysign(size, sign)


@emitting(1, _emit_call("sqrt"))
def sqrt(a):
    """Square roots, correctly rounded."""
    return np.sqrt(a)


def _emit_rounding(part, a, b):
    product = Symbol(part, part.builder.fneg((a * b).value))
    return _emit_call("fma")(part, a, b, product)


@emitting(1, _emit_rounding)
def rounding_of_product(a, b):
    """Lane by lane a b minus the double a * b, which is a double too (unless it underflows).

    Compiled it is one fused multiplication (a call of the C library where a processor has none),
    here Dekker's product with Veltkamp's splitting (*A floating-point technique for extending the
    available precision*, Numer. Math. 18 (1971)).  Both are exact, and hence the same bits.
    """
    split = 134217729.0
    a_high, b_high = (x * split - (x * split - x) for x in (a, b))
    a_low, b_low = a - a_high, b - b_high
    return a_low * b_low - (((a * b - a_high * b_high) - a_low * b_high) - a_high * b_low)
