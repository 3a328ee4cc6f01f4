"""`Lanes`, several trials side by side: the type of value that the loops of `kernels.py` work on.

A `Lanes` value is WIDTH doubles, one of each trial, in a processor's vector registers.  Its
operators act on every lane alike and no lane ever meets another, so that the bits of a trial depend
neither on its neighbours nor on WIDTH.  Loops written with it are plain loops whose numbers are
vectors: running sums stay in registers, and nothing is left to an optimiser that has to prove that
arrays do not overlap.  (Loops over lanes that LLVM vectorised by itself took three times as long:
it gives up beyond about eight pointers, and checks all pairs of them before each loop.)

Every function here also runs uncompiled, on arrays of WIDTH numbers in place of a `Lanes` value:
with NUMBA_DISABLE_JIT=1 the kernels are ordinary Python, which a test compares bit by bit.
"""

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, models, register_model, type_callable

# One register of AVX-512, two of AVX2.  With 16, AVX-512 took 10 to 20 % less up to N = 10 and 3 to
# 8 % more beyond; AVX2, whose registers they fill, 5 to 40 % more.
WIDTH = 8

# llvmlite's, which numba brings.
ir = cgutils.ir  # type: ignore[attr-defined]

_ALIGNMENT = 8 * WIDTH
_VECTOR = ir.VectorType(ir.DoubleType(), WIDTH)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)
_INDEX = ir.IntType(32)


class _Lanes(types.Type):
    """WIDTH doubles."""


class _Flags(types.Type):
    """WIDTH truth values, from comparing `Lanes`."""


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, _VECTOR)


@register_model(_Flags)
class _FlagsModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, ir.VectorType(ir.IntType(1), WIDTH))


_LANES, _FLAGS = _Lanes("Lanes"), _Flags("Flags")


def rows(count: int) -> np.ndarray:
    """(count, WIDTH) float64, not initialised, each row at an address that `load` may assume.

    A row that crosses a cache line would cost two accesses each time.
    """
    raw = np.empty((count + 1) * WIDTH)
    skip = -raw.ctypes.data // 8 % WIDTH
    return raw[skip : skip + count * WIDTH].reshape(count, WIDTH)


def load(array, r):
    """Row r of `rows`; no index is checked, here and below."""
    return array.reshape(-1, WIDTH)[r].copy()


def store(array, r, value):
    """Set row r of `rows`."""
    array.reshape(-1, WIDTH)[r] = value


def gather(array, start, stride):
    """Elements start, start + stride, ... of a C-contiguous array, one for each lane."""
    return array.reshape(-1)[start + stride * np.arange(WIDTH)]


def take(array, start):
    """WIDTH consecutive elements of a C-contiguous array of float64 or float32."""
    return array.reshape(-1)[start : start + WIDTH].astype(np.float64)


def put(array, start, value):
    """Set WIDTH consecutive elements of a C-contiguous array."""
    array.reshape(-1)[start : start + WIDTH] = value


def spread(number):
    """The same number in every lane."""
    return np.full(WIDTH, number)


def choose(flags, a, b):
    """Lane by lane a where the flag is set, b elsewhere."""
    return np.where(flags, a, b)


def copysign(size, sign):
    """Lane by lane the magnitude of `size` with the sign of `sign`; that of -0.0 is negative."""
    return np.copysign(size, sign)


def sqrt(a):
    """Square roots, correctly rounded."""
    return np.sqrt(a)


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


def _compile(
    function: Callable[..., Any],
    kinds: Sequence[Any],
    result: types.Type,
    emit: Callable[..., Any],
) -> None:
    """Let compiled code call `function` on arguments of these kinds.

    emit(builder, *arguments) gives the value; of an array it gets the address of its data.
    """

    @type_callable(function)
    def typed(context):
        def typer(*given):
            fits = len(given) == len(kinds) and all(map(_is, given, kinds))
            return result if fits else None

        # numba binds arguments by the names that it finds here.
        typer.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        return typer

    @lower_builtin(function, *kinds)
    def lowered(context, builder, signature, given):
        values = [
            context.make_array(kind)(context, builder, value).data
            if isinstance(kind, types.Array)
            else value
            for kind, value in zip(signature.args, given, strict=True)
        ]
        emitted = emit(builder, *values)
        return context.get_dummy_value() if result == types.none else emitted


def _is(given: types.Type, kind: Any) -> bool:
    return isinstance(given, kind) if isinstance(kind, type) else given == kind


def _vector_at(builder, data, start, vector=_VECTOR):
    return builder.bitcast(builder.gep(data, [start]), vector.as_pointer())


def _row_at(builder, data, r):
    return _vector_at(builder, data, builder.mul(r, r.type(WIDTH)))


def _emit_take(builder, data, start):
    if data.type.pointee == ir.FloatType():
        single = ir.VectorType(ir.FloatType(), WIDTH)
        value = builder.load(_vector_at(builder, data, start, single), align=4)
        return builder.fpext(value, _VECTOR)
    return builder.load(_vector_at(builder, data, start), align=8)


def _emit_gather(builder, data, start, stride):
    vector = _UNDEFINED
    for lane in range(WIDTH):
        element = builder.load(builder.gep(data, [start]))
        vector = builder.insert_element(vector, element, _INDEX(lane))
        start = builder.add(start, stride)
    return vector


def _emit_spread(builder, number):
    first = builder.insert_element(_UNDEFINED, number, _INDEX(0))
    return builder.shuffle_vector(
        first, _UNDEFINED, ir.Constant(ir.VectorType(_INDEX, WIDTH), [0] * WIDTH)
    )


def _emit_call(name: str) -> Callable[..., Any]:
    """A call of LLVM's own function on vectors."""

    def emit(builder, *vectors):
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * len(vectors))
        full = f"llvm.{name}.v{WIDTH}f64"
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, full), vectors)

    return emit


_compile(
    load, (types.Array, types.Integer), _LANES,
    lambda builder, data, r: builder.load(_row_at(builder, data, r), align=_ALIGNMENT),
)  # fmt: skip
_compile(
    store, (types.Array, types.Integer, _LANES), types.none,
    lambda builder, data, r, value: builder.store(value, _row_at(builder, data, r), _ALIGNMENT),
)  # fmt: skip
_compile(
    put, (types.Array, types.Integer, _LANES), types.none,
    lambda builder, data, start, value: builder.store(value, _vector_at(builder, data, start), 8),
)  # fmt: skip
_compile(take, (types.Array, types.Integer), _LANES, _emit_take)
_compile(gather, (types.Array, types.Integer, types.Integer), _LANES, _emit_gather)
_compile(spread, (types.Float,), _LANES, _emit_spread)
_compile(choose, (_FLAGS, _LANES, _LANES), _LANES, lambda builder, *given: builder.select(*given))
_compile(copysign, (_LANES, _LANES), _LANES, _emit_call("copysign"))
_compile(sqrt, (_LANES,), _LANES, _emit_call("sqrt"))
_TWO = (_LANES, _LANES)
_compile(
    rounding_of_product, _TWO, _LANES,
    lambda builder, a, b: _emit_call("fma")(builder, a, b, builder.fneg(builder.fmul(a, b))),
)  # fmt: skip
_compile(operator.add, _TWO, _LANES, lambda builder, a, b: builder.fadd(a, b))
_compile(operator.sub, _TWO, _LANES, lambda builder, a, b: builder.fsub(a, b))
_compile(operator.mul, _TWO, _LANES, lambda builder, a, b: builder.fmul(a, b))
_compile(operator.truediv, _TWO, _LANES, lambda builder, a, b: builder.fdiv(a, b))
_compile(operator.gt, _TWO, _FLAGS, lambda builder, a, b: builder.fcmp_ordered(">", a, b))
_compile(operator.ne, (_FLAGS, _FLAGS), _FLAGS, lambda builder, a, b: builder.xor(a, b))
