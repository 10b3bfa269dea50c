"""Ask the memory for an account's row some events before it is needed.

A row is some sixty cache lines, and with many accounts none of them is in a cache: asked for one by one as
the fold comes to them they cost a sixth of all its time.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

builders: Any = cgutils
CACHE_LINE_BYTES = 64
FOR_WRITING, KEEP_CLOSE, DATA = 1, 3, 1  # arguments of LLVM's prefetch


def _prefetch_row(typing_context: Any, array: Any, row: Any) -> Any:
    """Fetch all of `array[row]` into the caches, without waiting for it; reads and changes nothing."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source = context.make_array(signature.args[0])(context, builder, arguments[0])
        row_bytes = builders.unpack_tuple(builder, source.strides, signature.args[0].ndim)[0]
        address = ir.IntType(8).as_pointer()
        first = builder.gep(builder.bitcast(source.data, address), [builder.mul(arguments[1], row_bytes)])
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, number, number, number])
        prefetch = builders.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0i8")
        step = ir.Constant(row_bytes.type, CACHE_LINE_BYTES)
        begin = ir.Constant(row_bytes.type, 0)
        with builders.for_range_slice(builder, begin, row_bytes, step, row_bytes.type) as (at, _):
            hints = [number(FOR_WRITING), number(KEEP_CLOSE), number(DATA)]
            builder.call(prefetch, [builder.gep(first, [at]), *hints])
        return context.get_dummy_value()

    return types.void(array, types.int64), generate


prefetch_row: Any = intrinsic(_prefetch_row)
