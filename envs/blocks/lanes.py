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
from numba.core.cgutils import alloca_once, get_or_insert_function
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


_results: dict[Any, dict[Lanes, Lanes]] = {}  # of operators, by what they take


def _operator(of: Any, kind: Lanes, result: Lanes, make: Callable[..., Any]) -> None:
    """Let an operator take two Lanes of a kind, or one and a number."""
    lower_builtin(of, kind, kind)(lambda context, builder, sig, args: make(builder, *args))
    if of in _results:
        _results[of][kind] = result
        return
    results = _results[of] = {kind: result}

    def generic(self: Any, args: Any, kws: Any) -> Any:
        kind = next((a for a in args if isinstance(a, Lanes)), None)
        fits = all(a is kind or (kind is not TRUTHS and isinstance(a, types.Number)) for a in args)
        return signature(results[kind], kind, kind) if fits and kind in results else None

    # By its target it is asked before numba's own meanings of the operator: they take long to say no.
    what = {"generic": generic, "metadata": {"target": "cpu"}}
    infer_global(of)(type(f"_{of.__name__}", (AbstractTemplate,), what))


def _compare(sign: str) -> Callable[..., Any]:
    return lambda builder, a, b: builder.fcmp_ordered(sign, a, b)


for _of, _name in (("add", "fadd"), ("sub", "fsub"), ("mul", "fmul"), ("truediv", "fdiv")):
    _operator(getattr(operator, _of), REALS, REALS, lambda b, x, y, name=_name: getattr(b, name)(x, y))
for _of, _name in (("lt", "<"), ("le", "<="), ("gt", ">"), ("ge", ">="), ("eq", "=="), ("ne", "!=")):
    _operator(getattr(operator, _of), REALS, TRUTHS, _compare(_name))
for _of, _name in (("and_", "and_"), ("or_", "or_"), ("xor", "xor")):
    _operator(getattr(operator, _of), TRUTHS, TRUTHS, lambda b, x, y, name=_name: getattr(b, name)(x, y))
for _of, _name in (
    ("add", "add"),
    ("mul", "mul"),
    ("and_", "and_"),
    ("or_", "or_"),
    ("lshift", "shl"),
    ("rshift", "lshr"),
):
    _operator(getattr(operator, _of), WHOLES, WHOLES, lambda b, x, y, name=_name: getattr(b, name)(x, y))
for _of, _name in (("gt", ">"), ("ge", ">="), ("eq", "==")):
    _operator(getattr(operator, _of), WHOLES, TRUTHS, lambda b, x, y, name=_name: b.icmp_signed(name, x, y))


_KEPT = {types.float64: REALS, types.float32: REALS, types.int32: WHOLES, types.uint8: WHOLES}


def _place(context: Any, builder: Any, sig: Any, args: Any, kind: Any) -> Any:
    """Pointer to eight neighbours in a flat array, from an operation's first two arguments."""
    data = make_array(sig.args[0])(context, builder, args[0]).data
    at = context.cast(builder, args[1], sig.args[1], types.intp)
    return builder.bitcast(builder.gep(data, [at]), ir.VectorType(kind, LANES).as_pointer())


@intrinsic
def spread(typingctx, number):  # type: ignore[no-untyped-def]
    """The same number in all lanes."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return context.cast(builder, args[0], sig.args[0], REALS)

    return REALS(number), make


@intrinsic
def load(typingctx, array, at):  # type: ignore[no-untyped-def]
    """Eight neighbours of a flat array, from a place on: real ones of float64 or float32, whole ones of int32."""
    if array.dtype not in _KEPT or array.dtype is types.uint8:
        return None

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        kind = context.get_data_type(sig.args[0].dtype)
        numbers = builder.load(_place(context, builder, sig, args, kind), align=4)
        return builder.fpext(numbers, _VECTOR[REALS]) if array.dtype is types.float32 else numbers

    return _KEPT[array.dtype](array, at), make


@intrinsic
def store(typingctx, array, at, value):  # type: ignore[no-untyped-def]
    """Put eight numbers into a flat array, from a place on: real ones of float64, whole ones of int32."""
    if array.dtype not in (types.float64, types.int32):
        return None

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        kind = context.get_data_type(sig.args[0].dtype)
        builder.store(args[2], _place(context, builder, sig, args, kind), align=4)
        return context.get_dummy_value()

    return types.void(array, at, _KEPT[array.dtype]), make


@intrinsic
def store_bytes(typingctx, array, at, value):  # type: ignore[no-untyped-def]
    """Put the three lowest bytes of eight whole numbers, lowest first, into a flat uint8 array, from a place on."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        short = ir.IntType(8)
        every = builder.bitcast(args[2], ir.VectorType(short, 4 * LANES))
        wanted = [4 * (i // 3) + i % 3 for i in range(3 * LANES)]
        order = ir.Constant(ir.VectorType(ir.IntType(32), 3 * LANES), wanted)
        three = builder.shuffle_vector(every, ir.Constant(every.type, ir.Undefined), order)
        data = make_array(sig.args[0])(context, builder, args[0]).data
        first = builder.gep(data, [context.cast(builder, args[1], sig.args[1], types.intp)])
        builder.store(three, builder.bitcast(first, three.type.as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(array, at, WHOLES), make


@intrinsic
def take(typingctx, array, places):  # type: ignore[no-untyped-def]
    """One number from each of eight places of a flat array: real ones of float64, whole ones of uint8 or int32.

    One after another, by way of memory: the instruction that some processors have for it is slower.
    """
    if array.dtype not in _KEPT or array.dtype is types.float32:
        return None
    result = _KEPT[array.dtype]

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        data = make_array(sig.args[0])(context, builder, args[0]).data
        kept = alloca_once(builder, _VECTOR[WHOLES])
        builder.store(args[1], kept)
        nothing = ir.FunctionType(ir.VoidType(), [kept.type])
        builder.asm(nothing, "", "r,~{memory}", [kept], True)  # the compiler must not see what is in there
        first = builder.bitcast(kept, ir.IntType(32).as_pointer())
        out = ir.Constant(ir.VectorType(data.type.pointee, LANES), ir.Undefined)
        for lane in range(LANES):
            at = builder.zext(builder.load(builder.gep(first, [ir.IntType(32)(lane)])), ir.IntType(64))
            out = builder.insert_element(out, builder.load(builder.gep(data, [at])), ir.IntType(32)(lane))
        return out if out.type == _VECTOR[result] else builder.zext(out, _VECTOR[result])

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


@intrinsic
def bits(typingctx, condition):  # type: ignore[no-untyped-def]
    """A whole number whose lowest eight bits say in which lanes a condition holds."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.zext(builder.bitcast(args[0], ir.IntType(LANES)), ir.IntType(64))

    return types.int64(TRUTHS), make


@intrinsic
def truths(typingctx, number):  # type: ignore[no-untyped-def]
    """The condition that holds where a whole number has bits, its lowest eight."""

    def make(context, builder, sig, args):  # type: ignore[no-untyped-def]
        return builder.bitcast(builder.trunc(args[0], ir.IntType(LANES)), _VECTOR[TRUTHS])

    return TRUTHS(types.int64), make


def memory(count: int) -> NDArray[np.float64]:
    """Zeros float64 (count,) that begin where the processor's cache lines do: eight numbers never lie in two."""
    spare = np.zeros(count + LANES)
    skip = (-spare.ctypes.data % (8 * LANES)) // 8
    return spare[skip : skip + count]
