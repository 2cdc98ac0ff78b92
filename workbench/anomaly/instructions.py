"""The inner loops of the kernels, written as instructions: 64 comparisons at once, set bits, tables of counts.

numba has no word for a comparison of 64 codes that gives 64 bits, nor for counting the bits that are set. Written out,
these loops also compile in a tenth of the time. All addresses and numbers are int64.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "add_keys",
    "and_count",
    "and_into",
    "clear",
    "count_codes",
    "count_pairs",
    "mark_codes",
    "match_code",
    "sum_marked",
]

_I1, _I16, _I32, _I64 = (ir.IntType(bits) for bits in (1, 16, 32, 64))
_SIZES = (1, 2, 4)
#: words that are worked on at a time
_LANES = 8

Builder = Any


def _number(value: int) -> Any:
    return ir.Constant(_I64, value)


def _instruction(arguments: int, result: bool = False) -> Callable[[Callable[..., Any]], Any]:
    """Make an intrinsic of int64 arguments from `build(builder, *arguments)`; it gives an int64 or nothing."""

    def decorate(build: Callable[..., Any]) -> Any:
        def generate(context: Any, builder: Builder, signature: Any, values: Any) -> Any:
            found = build(builder, *values)
            return found if result else context.get_dummy_value()

        def typed(context: Any, *given: Any) -> Any:
            return (types.int64 if result else types.void)(*[types.int64] * arguments), generate

        # numba reads the number of arguments from the function's own signature
        names = ["context", *(f"a{i}" for i in range(arguments))]
        plain = inspect.Parameter.POSITIONAL_OR_KEYWORD
        typed.__signature__ = inspect.Signature([inspect.Parameter(name, plain) for name in names])  # type: ignore[attr-defined]
        typed.__name__ = build.__name__
        return intrinsic(typed)

    return decorate


@contextmanager
def _loop(b: Builder, start: Any, stop: Any, step: int = 1) -> Iterator[Any]:
    with cgutils.for_range_slice(b, start, stop, _number(step), intp=_I64) as (index, _):
        yield index


def _at(b: Builder, address: Any, index: Any, kind: Any) -> Any:
    """Return the pointer to element `index` of an array."""
    return b.gep(b.inttoptr(address, kind.as_pointer()), [index])


def _code(b: Builder, address: Any, size: int, row: Any) -> Any:
    return b.zext(b.load(_at(b, address, row, ir.IntType(8 * size))), _I64)


def _by_size(b: Builder, size: Any, build: Callable[[int], None]) -> None:
    """Write the instructions for each size of codes, and run those of the one there is."""
    for each in _SIZES:
        with b.if_then(b.icmp_signed("==", size, _number(each))):
            build(each)


def _add_one(b: Builder, table: Any, index: Any) -> None:
    cell = _at(b, table, index, _I32)
    b.store(b.add(b.load(cell), ir.Constant(_I32, 1)), cell)


@_instruction(5)
def count_codes(b: Builder, address: Any, size: Any, begin: Any, end: Any, table: Any) -> None:
    """Add one to the int32 `table[code]` for each row."""

    def loop(width: int) -> None:
        with _loop(b, begin, end) as row:
            _add_one(b, table, _code(b, address, width, row))

    _by_size(b, size, loop)


@_instruction(8)
def count_pairs(
    b: Builder, one: Any, size: Any, other: Any, other_size: Any, step: Any, begin: Any, end: Any, table: Any
) -> None:
    """Add one to the int32 `table[code * step + other_code]` for each row."""

    def outer(width: int) -> None:
        def inner(second: int) -> None:
            with _loop(b, begin, end) as row:
                key = b.mul(_code(b, one, width, row), step)
                _add_one(b, table, b.add(key, _code(b, other, second, row)))

        _by_size(b, other_size, inner)

    _by_size(b, size, outer)


@_instruction(6)
def match_code(b: Builder, address: Any, size: Any, begin: Any, end: Any, value: Any, out: Any) -> None:
    """Write the bitmap of the rows begin..end that have a code; bits beyond the last row are 0."""
    words = b.lshr(b.sub(end, begin), _number(6))
    done = b.add(begin, b.shl(words, _number(6)))

    def loop(width: int) -> None:
        kind = ir.IntType(8 * width)
        lanes = ir.VectorType(kind, 64)
        nothing, zeros = ir.Constant(lanes, ir.Undefined), ir.Constant(ir.VectorType(_I32, 64), [0] * 64)
        single = b.insert_element(nothing, b.trunc(value, kind), ir.Constant(_I32, 0))
        wanted = b.shuffle_vector(single, nothing, zeros)
        start = b.add(address, b.mul(begin, _number(width)))
        with _loop(b, _number(0), words) as word:
            place = b.inttoptr(b.add(start, b.mul(word, _number(64 * width))), lanes.as_pointer())
            same = b.icmp_unsigned("==", b.load(place, align=1), wanted)
            b.store(b.bitcast(same, _I64), _at(b, out, word, _I64))
        with b.if_then(b.icmp_signed("<", done, end)):
            last = cgutils.alloca_once_value(b, _number(0))
            with _loop(b, done, end) as row:
                hit = b.zext(b.icmp_unsigned("==", _code(b, address, width, row), value), _I64)
                b.store(b.or_(b.load(last), b.shl(hit, b.sub(row, done))), last)
            b.store(b.load(last), _at(b, out, words, _I64))

    _by_size(b, size, loop)


@_instruction(7)
def mark_codes(b: Builder, address: Any, size: Any, begin: Any, end: Any, slots: Any, maps: Any, words: Any) -> None:
    """Set each row's bit in the bitmap `slots[code]` (int32) of those at `maps`, of `words` words each."""

    def loop(width: int) -> None:
        with _loop(b, begin, end) as row:
            slot = b.zext(b.load(_at(b, slots, _code(b, address, width, row), _I32)), _I64)
            bit = b.sub(row, begin)
            word = _at(b, maps, b.add(b.mul(slot, words), b.lshr(bit, _number(6))), _I64)
            b.store(b.or_(b.load(word), b.shl(_number(1), b.and_(bit, _number(63)))), word)

    _by_size(b, size, loop)


@_instruction(2)
def clear(b: Builder, address: Any, words: Any) -> None:
    """Set words to 0."""
    with _loop(b, _number(0), words) as word:
        b.store(_number(0), _at(b, address, word, _I64))


def _vector(b: Builder, address: Any, word: Any) -> Any:
    lanes = ir.VectorType(_I64, _LANES)
    return b.bitcast(_at(b, address, word, _I64), lanes.as_pointer())


@_instruction(4)
def and_into(b: Builder, one: Any, other: Any, out: Any, words: Any) -> None:
    """Write the words that two bitmaps share; `words` is a multiple of 8."""
    with _loop(b, _number(0), words, _LANES) as word:
        both = b.and_(b.load(_vector(b, one, word), align=8), b.load(_vector(b, other, word), align=8))
        b.store(both, _vector(b, out, word), align=8)


@_instruction(3, result=True)
def and_count(b: Builder, one: Any, other: Any, words: Any) -> Any:
    """Return how many bits two bitmaps share; `words` is a multiple of 8."""
    lanes = ir.VectorType(_I64, _LANES)
    total = cgutils.alloca_once_value(b, ir.Constant(lanes, [0] * _LANES))
    each = cgutils.get_or_insert_function(b.module, ir.FunctionType(lanes, [lanes]), f"llvm.ctpop.v{_LANES}i64")
    add = cgutils.get_or_insert_function(
        b.module, ir.FunctionType(_I64, [lanes]), f"llvm.vector.reduce.add.v{_LANES}i64"
    )
    with _loop(b, _number(0), words, _LANES) as word:
        both = b.and_(b.load(_vector(b, one, word), align=8), b.load(_vector(b, other, word), align=8))
        b.store(b.add(b.load(total), b.call(each, [both])), total)
    return b.call(add, [b.load(total)])


@_instruction(7)
def sum_marked(b: Builder, one: Any, other: Any, words: Any, numbers: Any, stride: Any, many: Any, out: Any) -> None:
    """Add the int64 numbers of the rows that two bitmaps share to `out`, for each of `many` arrays `stride` apart."""
    kind = ir.FunctionType(_I64, [_I64, _I1])
    lowest = cgutils.get_or_insert_function(b.module, kind, "llvm.cttz.i64")
    left = cgutils.alloca_once(b, _I64)
    with _loop(b, _number(0), words) as word:
        b.store(b.and_(b.load(_at(b, one, word, _I64)), b.load(_at(b, other, word, _I64))), left)
        test, body, after = (b.append_basic_block(f"bits.{name}") for name in ("test", "body", "after"))
        b.branch(test)
        b.position_at_end(test)
        bits = b.load(left)
        b.cbranch(b.icmp_signed("!=", bits, _number(0)), body, after)
        b.position_at_end(body)
        row = b.add(b.shl(word, _number(6)), b.call(lowest, [bits, ir.Constant(_I1, 1)]))
        b.store(b.and_(bits, b.sub(bits, _number(1))), left)
        with _loop(b, _number(0), many) as number:
            cell = _at(b, out, number, _I64)
            b.store(b.add(b.load(cell), b.load(_at(b, numbers, b.add(b.mul(number, stride), row), _I64))), cell)
        b.branch(test)
        b.position_at_end(after)


@_instruction(6)
def add_keys(b: Builder, address: Any, size: Any, begin: Any, end: Any, table: Any, keys: Any) -> None:
    """Add the int64 `table[code]` to the key of each row begin..end; a negative number makes it -1 for good."""

    def loop(width: int) -> None:
        with _loop(b, begin, end) as row:
            cell = _at(b, keys, b.sub(row, begin), _I64)
            key, more = b.load(cell), b.load(_at(b, table, _code(b, address, width, row), _I64))
            dead = b.icmp_signed("<", b.or_(key, more), _number(0))
            b.store(b.select(dead, _number(-1), b.add(key, more)), cell)

    _by_size(b, size, loop)
