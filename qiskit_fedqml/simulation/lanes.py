"""Eight numbers that a processor works on at once, as a type of compiled loops.

Numba leaves it to LLVM whether a loop over samples fills vector registers; of short loops through memory that may
overlap it makes code that takes ten times as long. So these loops say what they mean: a value is eight numbers, one
for each sample, that are loaded, added, multiplied and stored together. Where registers are shorter LLVM takes several.
Each lane is rounded as a number of its own is, and nothing is fused: lanes change no bit.
"""

import operator
from typing import Any, ClassVar

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

LANES = 8
"""Numbers in a value: a register of AVX-512, two of AVX2, four of SSE2 and NEON."""
SLACK = LANES - 1
"""Numbers that a room has more than it needs, so that it can begin at a boundary."""
_BYTES_OF_NUMBER = 8
_VECTOR = ir.VectorType(ir.DoubleType(), LANES)


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name="Lanes")


_lanes = _Lanes()


@register_model(_Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, numba_type: Any) -> None:
        super().__init__(manager, numba_type, _VECTOR)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = cgutils.create_struct_proxy(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _VECTOR.as_pointer())


def _is_flat(array: Any) -> bool:
    return isinstance(array, types.Array) and array.ndim == 1 and array.layout == "C" and array.dtype == types.float64


@intrinsic
def load(_: Any, array: Any, index: Any) -> Any:
    """Return the numbers of a flat float64 array from an index on, which must lie in it: nothing is checked."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(pointer, align=_BYTES_OF_NUMBER)

    return (_lanes(array, types.intp), code) if _is_flat(array) and isinstance(index, types.Integer) else None


@intrinsic
def store(_: Any, array: Any, index: Any, value: Any) -> Any:
    """Write the numbers to a flat float64 array from an index on, which must lie in it: nothing is checked."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, at, numbers = arguments
        pointer = _pointer(context, builder, signature.args[0], target, at)
        builder.store(numbers, pointer, align=_BYTES_OF_NUMBER)
        return context.get_dummy_value()

    is_valid = _is_flat(array) and isinstance(index, types.Integer) and isinstance(value, _Lanes)
    return (types.void(array, types.intp, value), code) if is_valid else None


@intrinsic
def boundary(_: Any, array: Any) -> Any:
    """Return the first index of a flat float64 array at which a value lies in one line of the processor's cache.

    The memory of arrays begins anywhere, and values in two lines take a quarter more of the sweeps' time.
    """

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(context, builder, arguments[0]).data
        address = builder.ptrtoint(data, ir.IntType(64))
        missing = builder.and_(builder.neg(address), ir.IntType(64)(LANES * _BYTES_OF_NUMBER - 1))
        return builder.udiv(missing, ir.IntType(64)(_BYTES_OF_NUMBER))

    return (types.int64(array), code) if _is_flat(array) else None


@intrinsic
def splat(_: Any, number: Any) -> Any:
    """Return a number in each lane."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        first = ir.IntType(32)(0)
        one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), arguments[0], first)
        everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), everywhere)

    return _lanes(types.float64), code


def _define(operation: Any, instruction: str) -> None:
    """Let two values be combined by an operator, lane by lane."""

    class Template(ConcreteTemplate):
        cases: ClassVar = [signature(_lanes, _lanes, _lanes)]

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return getattr(builder, instruction)(*arguments)

    infer_global(operation)(Template)
    lower_builtin(operation, _lanes, _lanes)(code)


_define(operator.add, "fadd")
_define(operator.sub, "fsub")
_define(operator.mul, "fmul")
