"""Functions on `Lanes` that are compiled by being traced.

A `Lanes` value is WIDTH doubles, one of each trial, in a processor's vector registers.  To compile
a `traced` function it is called once, with symbols in place of its arguments, and whatever is done
to a symbol adds its instructions to the compiled function that calls it.  Loops are `loop` there,
and what changes in them is a `Variable`; a Python loop over a tuple is written out.  numba sees one
call where it would have to find out the types of a hundred operations: it compiles in 60 % of the
time, and nothing is left to an optimiser that has to prove that arrays do not overlap.  (Loops over
lanes that LLVM vectorised by itself took three times as long: it gives up beyond about eight
pointers, and checks all pairs of them before each loop.)

Called with arrays of WIDTH numbers in place of `Lanes`, a traced function is ordinary Python: with
NUMBA_DISABLE_JIT=1 the kernels are, which a test compares bit by bit.
"""

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.extending import lower_builtin, models, register_model, type_callable

# One register of AVX-512, two of AVX2.  With 16, AVX-512 took 10 to 20 % less up to N = 10 and 3 to
# 8 % more beyond; AVX2, whose registers they fill, 5 to 40 % more.
WIDTH = 8
# Lanes in a register of AVX2.  It has 16 of them, and a function that needs more than eight values
# at once took a quarter less time when it was called for each half of the lanes.
_NARROW = 4

# llvmlite's, which numba brings.
ir = cgutils.ir  # type: ignore[attr-defined]

DOUBLE, WHOLE, INDEX = ir.DoubleType(), ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(DOUBLE, WIDTH)


class _Lanes(types.Type):
    """WIDTH doubles."""


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: types.Type) -> None:
        super().__init__(manager, kind, _VECTOR)


_LANES = _Lanes("Lanes")


class Symbol:
    """What stands for lanes, flags, an integer, a number or an array while a loop is compiled."""

    # Arrays of NumPy leave operators to the symbol.
    __array_ufunc__ = None

    def __init__(self, part: "Part", value: Any) -> None:
        self.part, self.value = part, value

    def _with(self, other: Any, floats: str, integers: str, *first: str) -> "Symbol":
        whole = isinstance(self.value.type, ir.IntType)
        emit = getattr(self.part.builder, integers if whole else floats)
        return Symbol(self.part, emit(*first, self.value, value_of(other, self.value.type)))

    def __add__(self, other: Any) -> "Symbol":
        return self._with(other, "fadd", "add")

    def __sub__(self, other: Any) -> "Symbol":
        return self._with(other, "fsub", "sub")

    def __mul__(self, other: Any) -> "Symbol":
        return self._with(other, "fmul", "mul")

    def __truediv__(self, other: Any) -> "Symbol":
        return self._with(other, "fdiv", "")

    def __neg__(self) -> "Symbol":
        return Symbol(self.part, self.part.builder.fneg(self.value))

    def __gt__(self, other: Any) -> "Symbol":
        return self._with(other, "fcmp_ordered", "icmp_signed", ">")

    def __lt__(self, other: Any) -> "Symbol":
        return self._with(other, "fcmp_ordered", "icmp_signed", "<")

    __radd__, __rmul__ = __add__, __mul__

    def __rsub__(self, other: Any) -> "Symbol":
        return Symbol(self.part, value_of(other, self.value.type)) - self


def value_of(given: Any, kind: Any) -> Any:
    """The value of LLVM that a symbol stands for; of a number a constant of that type."""
    if isinstance(given, Symbol):
        return given.value
    if isinstance(kind, ir.VectorType):
        given = np.broadcast_to(given, WIDTH)[: kind.count].tolist()
    return ir.Constant(kind, given)


class Part:
    """Some of the lanes, for which a traced function is called."""

    def __init__(self, builder: Any, first: int, count: int) -> None:
        self.builder, self.first, self.count = builder, first, count
        self.vector = ir.VectorType(ir.DoubleType(), count)
        self.whole = ir.VectorType(WHOLE, count)

    def of(self, given: Any) -> Any:
        """The value of an argument; of Lanes, these lanes."""
        if given.type == _VECTOR and self.count < WIDTH:
            return shuffled(self.builder, given, given, range(self.first, self.first + self.count))
        return given

    def at(self, array: Any, start: Any, kind: Any = None) -> Any:
        """A pointer to elements of an array, for these lanes where it begins at lane 0."""
        place = self.builder.gep(array.value, [value_of(start + self.first, WHOLE)])
        return self.builder.bitcast(place, (kind or self.vector).as_pointer())


def shuffled(builder: Any, a: Any, b: Any, order: Any) -> Any:
    """A vector of these elements of two vectors, those of b counted after those of a."""
    places = ir.Constant(ir.VectorType(INDEX, len(order)), list(order))
    return builder.shuffle_vector(a, b, places)


def traced(returns: int, split: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let compiled functions call one that gives so many Lanes, a tuple where they are several.

    Its arguments are Lanes, numbers, and arrays for the functions of `lanes.py`.  With `split` it
    is called for each half of the lanes where registers are narrow.
    """
    kind = _LANES if returns == 1 else types.UniTuple(_LANES, returns) if returns else types.none

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @type_callable(function)
        def typed(context):
            def typer(*given):
                return kind

            # numba binds arguments by the names that it finds here.
            typer.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
            return typer

        @lower_builtin(function, types.VarArg(types.Any))
        def lowered(context, builder, signature, given):
            values = [
                _argument(context, builder, argument, value)
                for argument, value in zip(signature.args, given, strict=True)
            ]
            narrow = split and "+avx512f" not in context.codegen().magic_tuple()[2]
            count = min(WIDTH, _NARROW) if narrow else WIDTH
            found = []
            for first in range(0, WIDTH, count):
                part = Part(builder, first, count)
                results = function(*(Symbol(part, part.of(value)) for value in values))
                results = (results,) if returns == 1 else results or ()
                found.append([value_of(result, part.vector) for result in results])
            joined = [_joined(builder, parts) for parts in zip(*found, strict=True)]
            if not returns:
                return context.get_dummy_value()
            return joined[0] if returns == 1 else context.make_tuple(builder, kind, joined)

        return function

    return decorate


def _joined(builder: Any, parts: Any) -> Any:
    while len(parts) > 1:
        order = range(2 * parts[0].type.count)
        parts = [
            shuffled(builder, a, b, order) for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]


def _argument(context: Any, builder: Any, kind: types.Type, value: Any) -> Any:
    """What a symbol has of an argument: of an array the address of its data."""
    if isinstance(kind, types.Array):
        return context.make_array(kind)(context, builder, value).data
    if isinstance(kind, types.Integer):
        return context.cast(builder, value, kind, types.int64)
    return value


def emitting(returns: int, emit: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function of arrays its instructions: emit(part, *arguments) where one is a symbol."""

    def decorate(plain: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(plain)
        def function(*given: Any) -> Any:
            for one in given:
                if isinstance(one, Symbol):
                    value = emit(one.part, *given)
                    return Symbol(one.part, value) if returns else None
            return plain(*given)

        return traced(returns)(function)

    return decorate


def loop(start: Any, stop: Any = None, step: int = 1) -> Iterator[Any]:
    """Like `range`, step > 0, in traced functions."""
    if stop is None:
        start, stop = 0, start
    part = next((bound.part for bound in (start, stop) if isinstance(bound, Symbol)), None)
    if part is None:
        yield from range(start, stop, step)
        return
    start, stop, step = (value_of(bound, WHOLE) for bound in (start, stop, step))
    with cgutils.for_range_slice(part.builder, start, stop, step, WHOLE) as (k, _):
        yield Symbol(part, k)


class Variable:
    """Lanes that change in a loop of a traced function; `of` is any of its arguments."""

    def __init__(self, of: Any, start: Any) -> None:
        self._part = of.part if isinstance(of, Symbol) else None
        if self._part:
            self._place = cgutils.alloca_once(self._part.builder, self._part.vector)
        self.value = start

    @property
    def value(self) -> Any:
        """As it is now."""
        if self._part:
            return Symbol(self._part, self._part.builder.load(self._place))
        return self._array

    @value.setter
    def value(self, value: Any) -> None:
        if self._part:
            self._part.builder.store(value_of(value, self._part.vector), self._place)
        else:
            self._array = value

    def add(self, value: Any) -> None:
        """Add to it."""
        self.value = self.value + value
