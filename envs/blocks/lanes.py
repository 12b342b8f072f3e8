"""Eight numbers at once inside compiled functions: vectors of LLVM, which the processor works on as wholes.

The compiler alone makes vectors of simple loops only; here a loop says itself what it does with eight neighbours:
``a = load(memory, at)``, ``a * b + 1.0``, ``choose(a < b, a, b)``. Every lane computes exactly what the same
sum of Python floats would (no fused or reordered operations), on every processor.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.cgutils import get_or_insert_function
from numba.core.imputils import lower_builtin, lower_cast
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic as _intrinsic
from numba.extending import models, register_model
from numba.np.arrayobj import make_array
from numpy.typing import NDArray

LANES = 8
intrinsic: Any = _intrinsic  # its first parameter is the compiler's, which a checker of types cannot know


class Lanes(types.Type):
    """The type of eight numbers: ``real`` (float64), ``whole`` (int32) or ``truth`` (one bit)."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        super().__init__(name=f"Lanes({kind})")


REALS, WHOLES, TRUTHS = Lanes("real"), Lanes("whole"), Lanes("truth")
_VECTOR = {
    REALS: ir.VectorType(ir.DoubleType(), LANES),
    WHOLES: ir.VectorType(ir.IntType(32), LANES),
    TRUTHS: ir.VectorType(ir.IntType(1), LANES),
}


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, kind: Lanes) -> None:
        super().__init__(manager, kind, _VECTOR[kind])


def _spread(builder: Any, value: Any, kind: Any) -> Any:
    vector = builder.insert_element(ir.Constant(kind, ir.Undefined), value, ir.IntType(32)(0))
    order = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(vector, ir.Constant(kind, ir.Undefined), order)


@lower_cast(types.Float, REALS)
@lower_cast(types.Integer, REALS)
def _number_to_reals(context: Any, builder: Any, given: Any, wanted: Any, value: Any) -> Any:
    return _spread(builder, context.cast(builder, value, given, types.float64), _VECTOR[REALS])


@lower_cast(types.Integer, WHOLES)
def _number_to_wholes(context: Any, builder: Any, given: Any, wanted: Any, value: Any) -> Any:
    return _spread(builder, context.cast(builder, value, given, types.int32), _VECTOR[WHOLES])


def _operator(of: Any, kind: Lanes, result: Lanes, make: Callable[..., Any]) -> None:
    """Let an operator take two Lanes of a kind, or one and a number."""

    def generic(self: Any, args: Any, kws: Any) -> Any:
        fits = all(a is kind or (kind is not TRUTHS and isinstance(a, types.Number)) for a in args)
        return signature(result, kind, kind) if fits and kind in args else None

    infer_global(of)(type(f"_{of.__name__}_{kind.kind}", (AbstractTemplate,), {"generic": generic}))
    lower_builtin(of, kind, kind)(lambda context, builder, sig, args: make(builder, *args))


def _compare(sign: str) -> Callable[..., Any]:
    return lambda builder, a, b: builder.fcmp_ordered(sign, a, b)


for _of, _name in (("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv")):
    _operator(getattr(operator, _of), REALS, REALS, lambda b, x, y, name=_name: getattr(b, name)(x, y))
for _of, _name in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
    _operator(getattr(operator, _of), REALS, TRUTHS, _compare(_name))
for _of, _name in (("and_", "and_"), ("or_", "or_"), ("xor", "xor")):
    _operator(getattr(operator, _of), TRUTHS, TRUTHS, lambda b, x, y, name=_name: getattr(b, name)(x, y))
for _of, _name in (("and_", "and_"), ("rshift", "lshr")):
    _operator(getattr(operator, _of), WHOLES, WHOLES, lambda b, x, y, name=_name: getattr(b, name)(x, y))
for _of, _name in (("ge", ">="), ("eq", "==")):
    _operator(
        getattr(operator, _of), WHOLES, TRUTHS, lambda b, x, y, name=_name: b.icmp_signed(name, x, y)
    )


def _place(context: Any, builder: Any, sig: Any, args: Any, kind: Lanes = REALS) -> Any:
    """Pointer to eight neighbours in a flat array, from an operation's first two arguments."""
    data = make_array(sig.args[0])(context, builder, args[0]).data
    at = context.cast(builder, args[1], sig.args[1], types.intp)
    return builder.bitcast(builder.gep(data, [at]), _VECTOR[kind].as_pointer())


@intrinsic
def spread(typingctx, number):  # type: ignore[no-untyped-def]
    """The same number in all lanes."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return context.cast(builder, args[0], sig.args[0], REALS)

    return REALS(number), make


@intrinsic
def load(typingctx, array, at):  # type: ignore[no-untyped-def]
    """Eight neighbours of a flat float64 array, from a place on."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.load(_place(context, builder, sig, args), align=8)

    return REALS(array, at), make


@intrinsic
def load_wholes(typingctx, array, at):  # type: ignore[no-untyped-def]
    """Eight whole numbers that were put into a flat float64 array by ``store``."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.load(_place(context, builder, sig, args, WHOLES), align=8)

    return WHOLES(array, at), make


@intrinsic
def store(typingctx, array, at, value):  # type: ignore[no-untyped-def]
    """Put eight numbers into a flat float64 array, from a place on; whole ones take half the room."""
    kind = WHOLES if value is WHOLES else REALS

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        builder.store(args[2], _place(context, builder, sig, args, kind), align=8)
        return context.get_dummy_value()

    return types.void(array, at, kind), make


@intrinsic
def take(typingctx, array, places):  # type: ignore[no-untyped-def]
    """One number from each of eight places of a flat array: real ones of float64, whole ones of uint8.

    Of bytes, the processor reads four at once, of which the wanted one is the last: no place may be below 3.
    """
    if array.dtype not in (types.uint8, types.float64):
        return None
    bytes_ = array.dtype is types.uint8
    result, short = (WHOLES, "i32") if bytes_ else (REALS, "f64")

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        data = make_array(sig.args[0])(context, builder, args[0]).data
        at = args[1]
        if bytes_:
            at = builder.sub(at, ir.Constant(_VECTOR[WHOLES], [3] * LANES))
        longs = ir.VectorType(ir.IntType(64), LANES)
        width = ir.Constant(longs, [1 if bytes_ else 8] * LANES)
        first = _spread(builder, builder.ptrtoint(data, ir.IntType(64)), longs)
        kind = ir.VectorType(_VECTOR[result].element.as_pointer(), LANES)
        pointers = builder.inttoptr(builder.add(first, builder.mul(builder.sext(at, longs), width)), kind)
        name = f"llvm.masked.gather.v{LANES}{short}.v{LANES}p0"
        of = ir.FunctionType(_VECTOR[result], [kind, ir.IntType(32), _VECTOR[TRUTHS], _VECTOR[result]])
        everywhere = ir.Constant(_VECTOR[TRUTHS], [1] * LANES)
        out = builder.call(
            get_or_insert_function(builder.module, of, name),
            [
                pointers,
                ir.IntType(32)(1 if bytes_ else 8),
                everywhere,
                ir.Constant(_VECTOR[result], ir.Undefined),
            ],
        )
        return builder.lshr(out, ir.Constant(_VECTOR[WHOLES], [24] * LANES)) if bytes_ else out

    return result(array, WHOLES), make


@intrinsic
def choose(typingctx, condition, a, b):  # type: ignore[no-untyped-def]
    """``a`` in the lanes in which the condition holds, ``b`` in the others."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.select(*args)

    kind = WHOLES if WHOLES in (a, b) else REALS
    return kind(TRUTHS, kind, kind), make


def _function(name: str) -> Any:
    """An operation of LLVM on eight real numbers, lane by lane."""

    def make(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = ir.FunctionType(_VECTOR[REALS], [_VECTOR[REALS]])
        function = get_or_insert_function(builder.module, kind, f"llvm.{name}.v{LANES}f64")
        return builder.call(function, args)

    def typed(typingctx, a):  # type: ignore[no-untyped-def]
        return REALS(REALS), make

    return intrinsic(typed)


floor, root, size_of = _function("floor"), _function("sqrt"), _function("fabs")


@intrinsic
def least(typingctx, a, b):  # type: ignore[no-untyped-def]
    """The smaller one, lane by lane."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered("<", *args), *args)

    return REALS(REALS, REALS), make


@intrinsic
def most(typingctx, a, b):  # type: ignore[no-untyped-def]
    """The larger one, lane by lane."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return REALS(REALS, REALS), make


@intrinsic
def whole(typingctx, a):  # type: ignore[no-untyped-def]
    """Real numbers as whole ones, towards 0."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.fptosi(args[0], _VECTOR[WHOLES])

    return WHOLES(REALS), make


@intrinsic
def real(typingctx, a):  # type: ignore[no-untyped-def]
    """Whole numbers, or the number 1 where a condition holds, as real ones."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return (builder.uitofp if sig.args[0] is TRUTHS else builder.sitofp)(args[0], _VECTOR[REALS])

    return REALS(a), make


@intrinsic
def anywhere(typingctx, condition):  # type: ignore[no-untyped-def]
    """Whether a condition holds in any lane."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        bits = builder.bitcast(args[0], ir.IntType(LANES))
        return builder.icmp_unsigned("!=", bits, ir.IntType(LANES)(0))

    return types.boolean(TRUTHS), make


def memory(count: int) -> NDArray[np.float64]:
    """Zeros float64 (count,) that begin where the processor's cache lines do: eight numbers never lie in two."""
    spare = np.zeros(count + LANES)
    skip = (-spare.ctypes.data % (8 * LANES)) // 8
    return spare[skip : skip + count]
