# mypy: disable-error-code="untyped-decorator"
"""Kernels that make dense codes of text and of dictionaries, and hash memory; a row costs a few nanoseconds.

They do what Arrow's `dictionary_encode` and Python's `hash` do, in an eighth of the time. Arrow's memory comes as
addresses, so that one compiled function reads text with 32-bit or 64-bit offsets, text views and plain 8-byte words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, register_jitable

from workbench.anomaly.loading import kernel

__all__ = ["OFFSETS_32", "OFFSETS_64", "VIEWS", "WORDS", "dictionary_codes", "load", "memory_hash", "present", "recode"]

#: how items are laid out: text with offsets, text views of 16 bytes, plain words of 8 bytes
OFFSETS_32, OFFSETS_64, VIEWS, WORDS = 0, 1, 2, 3

_P1, _P2, _P3 = np.uint64(0x9E3779B185EBCA87), np.uint64(0xC2B2AE3D27D4EB4F), np.uint64(0x165667B19E3779F9)
_P4, _P5 = np.uint64(0x85EBCA77C2B2AE63), np.uint64(0x27D4EB2F165667C5)
_ZERO, _ONE, _EIGHT, _LOW = np.uint64(0), np.uint64(1), np.uint64(8), np.uint64(0xFFFFFFFF)

#: a key's second word has the length of short text in its top byte; this marks long text, and that null
_TOP, _LONG, _ALL = np.uint64(56), np.uint64(0x8000000000000000), np.uint64(0xFFFFFFFFFFFFFFFF)
_NULL = _ALL

#: items whose keys are made before they are looked up
_BLOCK = 256


def _loader(bits: int) -> Any:
    @intrinsic
    def load(context: Any, address: Any) -> Any:
        """Read memory at an address, aligned or not."""

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.IntType(bits)
            found = builder.load(builder.inttoptr(arguments[0], kind.as_pointer()), align=1)
            return found if bits == 64 else builder.zext(found, ir.IntType(64))

        return types.uint64(types.uint64), build

    return load


def _storer(bits: int) -> Any:
    @intrinsic
    def store(context: Any, address: Any, value: Any) -> Any:
        """Write memory at an address."""

        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind = ir.IntType(bits)
            value = arguments[1] if bits == 64 else builder.trunc(arguments[1], kind)
            builder.store(value, builder.inttoptr(arguments[0], kind.as_pointer()), align=1)
            return context.get_dummy_value()

        return types.void(types.uint64, types.uint64), build

    return store


_load1, _load2, _load4, _load8 = _loader(8), _loader(16), _loader(32), _loader(64)
_store1, _store2, _store4 = _storer(8), _storer(16), _storer(32)


@register_jitable
def _rotated(x: Any, bits: Any) -> Any:
    return (x << np.uint64(bits)) | (x >> np.uint64(64 - bits))


@register_jitable
def _bytes_at(address: Any, count: Any) -> Any:
    """Read up to 8 bytes, and nothing beyond them."""
    found = _ZERO
    for k in range(count):
        found |= _load1(address + np.uint64(k)) << np.uint64(8 * k)
    return found


@register_jitable
def _slot(low: Any, high: Any, shift: Any) -> Any:
    """Return the place in a table of 2^(64 - shift): the top bits, which all bits of a product reach."""
    return ((low ^ _rotated(high, 23)) * _P1) >> shift


@register_jitable
def _same(one: Any, other: Any, length: Any) -> Any:
    """Compare memory of more than 8 bytes."""
    k = 0
    while k + 8 <= length:
        if _load8(one + np.uint64(k)) != _load8(other + np.uint64(k)):
            return False
        k += 8
    return _load8(one + np.uint64(length - 8)) == _load8(other + np.uint64(length - 8))


@register_jitable
def _text_hash(address: Any, length: Any) -> Any:
    """Hash memory of 16 bytes or more."""
    found = np.uint64(length) * _P3
    k = 0
    while k + 8 <= length:
        found = _rotated(found ^ (_load8(address + np.uint64(k)) * _P2), 31) * _P1
        k += 8
    return _rotated(found ^ (_load8(address + np.uint64(length - 8)) * _P2), 29) * _P1


@register_jitable
def _valid(valid: Any, bit: Any) -> Any:
    return (_load1(valid + np.uint64(bit >> 3)) >> np.uint64(bit & 7)) & _ONE != _ZERO


@register_jitable
def _index(address: Any, width: Any, row: Any) -> Any:
    if width == 1:
        return _load1(address + np.uint64(row))
    if width == 2:
        return _load2(address + np.uint64(2 * row))
    if width == 4:
        return _load4(address + np.uint64(4 * row))
    return _load8(address + np.uint64(8 * row))


@register_jitable
def _key(address: Any, length: Any, rest: Any) -> Any:
    """Return two words for text: the bytes and the length themselves below 16 bytes, else a hash and the length.

    `rest` bytes can be read from `address` on.
    """
    if length <= 8 and rest >= 8:
        half = np.uint64(4 * (8 - length))  # shifting by 64 at once is undefined
        return _load8(address) & ((_ALL >> half) >> half), np.uint64(length) << _TOP
    if length < 8:
        return _bytes_at(address, length), np.uint64(length) << _TOP
    if length < 16:
        # The last 8 bytes hold those after the eighth; the others are shifted out.
        tail = _load8(address + np.uint64(length - 8)) >> np.uint64(8 * (15 - length) + 8) if length > 8 else _ZERO
        return _load8(address), tail | (np.uint64(length) << _TOP)
    return _text_hash(address, length), np.uint64(length) | _LONG


@register_jitable
def _keys_of_block(
    form: Any, items: Any, start: Any, rows: Any, buffers: Any, sizes: Any, valid: Any, bit: Any, keys: Any
) -> Any:
    """Fill `keys` (rows, 3): the two words that identify each item, and where its text is."""
    if form == WORDS:
        for k in range(rows):
            keys[k, 0], keys[k, 1], keys[k, 2] = _load8(items + np.uint64(8 * (start + k))), _ZERO, _ZERO
        return
    odd = 0
    if form == VIEWS:
        for k in range(rows):
            at = items + np.uint64(16 * (start + k))
            head, tail = _load8(at), _load8(at + _EIGHT)
            length = head & _LOW
            if length > 12 and (valid == 0 or _valid(valid, bit + start + k)):  # a null's view may be anything
                odd += 1  # by the loop below: this one stays short
                source, begin = np.int64(tail & _LOW), tail >> np.uint64(32)
                keys[k, 0] = np.uint64(sizes[source]) - begin
                keys[k, 1] = _LONG | length
                keys[k, 2] = buffers[source] + begin
            else:  # the text itself, and zeros after it
                keys[k, 0] = (head >> np.uint64(32)) | (tail << np.uint64(32))
                keys[k, 1] = (tail >> np.uint64(32)) | (length << _TOP)
                keys[k, 2] = at + np.uint64(4)
    else:
        text, room = buffers[0], sizes[0]
        for k in range(rows):
            if form == OFFSETS_32:
                at = items + np.uint64(4 * (start + k))
                begin, end = np.int64(_load4(at)), np.int64(_load4(at + np.uint64(4)))
            else:
                at = items + np.uint64(8 * (start + k))
                begin, end = np.int64(_load8(at)), np.int64(_load8(at + _EIGHT))
            length, place = end - begin, text + np.uint64(begin)
            if length > 8 or room - begin < 8:
                odd += 1
                keys[k, 0] = np.uint64(room - begin)
                keys[k, 1] = _LONG | np.uint64(length)
            else:
                half = np.uint64(4 * (8 - length))  # shifting by 64 at once is undefined
                keys[k, 0] = _load8(place) & ((_ALL >> half) >> half)
                keys[k, 1] = np.uint64(length) << _TOP
            keys[k, 2] = place
    if odd:
        for k in range(rows):
            if keys[k, 1] & _LONG:
                keys[k, 0], keys[k, 1] = _key(keys[k, 2], np.int64(keys[k, 1] ^ _LONG), np.int64(keys[k, 0]))


@kernel("Tuple((int64[::1], int64))(int64, uint64, int64, uint64[::1], int64[::1], uint64, int64, uint32[::1])")
def dictionary_codes(form: Any, items: Any, n: Any, buffers: Any, sizes: Any, valid: Any, bit: Any, codes: Any) -> Any:
    """Number the distinct items in the order in which they occur.

    Parameters
    ----------
    form : int
        Layout of the items.
    items : int
        Address of the first item: its offset, view or word.
    n : int
        Number of items.
    buffers, sizes : uint64 and int64 arrays
        Addresses of the text, and how many bytes are there; one for offsets, several for views.
    valid : int
        Address of the validity bitmap, 0 for none; `bit` is that of the first item.
    codes : uint32 array (n,)
        Filled.

    Returns
    -------
    first : int64 array
        For each code, the item where it occurs first.
    null : int
        The code of null; -1 for none.
    """
    room, bits = 1024, 12
    known, first = np.empty((room, 3), np.uint64), np.empty(room, np.int64)
    slots = np.zeros(1 << bits, np.uint32)  # code + 1; 0 is free
    keys = np.empty((_BLOCK, 3), np.uint64)
    count, null = 0, -1
    for start in range(0, n, _BLOCK):
        rows = min(_BLOCK, n - start)
        # Room for a block of new values is made before it: arrays that may change within the loop are read again for
        # each row.
        if count + _BLOCK > room:
            room *= 2
            known, first = _grown(known, first)
        if 4 * (count + _BLOCK) > 1 << bits:
            bits += 2
            slots = _slotted(known, count, bits)
        _keys_of_block(form, items, start, rows, buffers, sizes, valid, bit, keys)
        count, null = _look_up(keys, rows, start, valid, bit, known, first, slots, bits, count, null, codes)
    return first[:count].copy(), null


@register_jitable
def _look_up(
    keys: Any, rows: Any, start: Any, valid: Any, bit: Any, known: Any, first: Any, slots: Any, bits: Any, count: Any,
    null: Any, codes: Any,
) -> Any:  # fmt: skip
    """Find or add each key of a block; return how many values there are, and the code of null."""
    mask, shift = (_ONE << np.uint64(bits)) - _ONE, np.uint64(64 - bits)
    for k in range(rows):
        if valid != 0 and not _valid(valid, bit + start + k):
            if null < 0:  # takes a code, but no slot
                null, known[count, 1], first[count] = count, _NULL, start + k
                count += 1
            codes[start + k] = null
            continue
        low, high = keys[k, 0], keys[k, 1]
        slot = _slot(low, high, shift)
        code = np.int64(slots[slot]) - 1
        while code >= 0:
            if ((known[code, 0] ^ low) | (known[code, 1] ^ high)) == _ZERO and (
                high < _LONG or _same(known[code, 2], keys[k, 2], np.int64(high & _LOW))
            ):
                break
            slot = (slot + _ONE) & mask
            code = np.int64(slots[slot]) - 1
        if code < 0:
            code = count
            known[code, 0], known[code, 1], known[code, 2] = low, high, keys[k, 2]
            first[code] = start + k
            count += 1
            slots[slot] = count
        codes[start + k] = code
    return count, null


@register_jitable
def _slotted(known: Any, count: Any, bits: Any) -> Any:
    """Return a larger table of the codes there are."""
    slots = np.zeros(1 << bits, np.uint32)
    mask, shift = (_ONE << np.uint64(bits)) - _ONE, np.uint64(64 - bits)
    for code in range(count):
        if known[code, 1] != _NULL:
            slot = _slot(known[code, 0], known[code, 1], shift)
            while slots[slot] != 0:
                slot = (slot + _ONE) & mask
            slots[slot] = code + 1
    return slots


@register_jitable
def _grown(known: Any, first: Any) -> Any:
    count = first.shape[0]
    more, later = np.empty((2 * count, 3), np.uint64), np.empty(2 * count, np.int64)
    more[:count], later[:count] = known, first
    return more, later


@kernel("void(int64, uint64, int64, uint64, int64, uint8[::1])")
def present(width: Any, raw: Any, n: Any, valid: Any, bit: Any, found: Any) -> Any:
    """Set `found[code]` for each code of `width` bytes that occurs, and the last entry if a null does."""
    null = found.shape[0] - 1
    if valid == 0:
        for row in range(n):
            found[_index(raw, width, row)] = 1
    else:
        for row in range(n):
            found[_index(raw, width, row) if _valid(valid, bit + row) else np.uint64(null)] = 1


@kernel("void(int64, uint64, int64, uint64, int64, uint32[::1], int64, uint64)")
def recode(width: Any, raw: Any, n: Any, valid: Any, bit: Any, new: Any, into: Any, codes: Any) -> Any:
    """Write `new[code]` for each code, and the last entry of `new` for a null, as codes of `into` bytes."""
    null = np.uint64(new.shape[0] - 1)
    for row in range(n):
        code = _index(raw, width, row) if valid == 0 or _valid(valid, bit + row) else null
        if into == 1:
            _store1(codes + np.uint64(row), np.uint64(new[code]))
        elif into == 2:
            _store2(codes + np.uint64(2 * row), np.uint64(new[code]))
        else:
            _store4(codes + np.uint64(4 * row), np.uint64(new[code]))


@kernel("uint64(uint64, int64, uint64)")
def memory_hash(address: Any, size: Any, seed: Any) -> Any:
    """Return the XXH64 hash of memory."""
    at = 0
    if size >= 32:
        one, two, three, four = seed + _P1 + _P2, seed + _P2, seed, seed - _P1
        while at + 32 <= size:
            place = address + np.uint64(at)
            one = _rotated(one + _load8(place) * _P2, 31) * _P1
            two = _rotated(two + _load8(place + _EIGHT) * _P2, 31) * _P1
            three = _rotated(three + _load8(place + np.uint64(16)) * _P2, 31) * _P1
            four = _rotated(four + _load8(place + np.uint64(24)) * _P2, 31) * _P1
            at += 32
        found = _rotated(one, 1) + _rotated(two, 7) + _rotated(three, 12) + _rotated(four, 18)
        for lane in (one, two, three, four):
            found = (found ^ (_rotated(lane * _P2, 31) * _P1)) * _P1 + _P4
    else:
        found = seed + _P5
    found += np.uint64(size)
    while at + 8 <= size:
        found = _rotated(found ^ (_rotated(_load8(address + np.uint64(at)) * _P2, 31) * _P1), 27) * _P1 + _P4
        at += 8
    if at + 4 <= size:
        found = _rotated(found ^ (_load4(address + np.uint64(at)) * _P1), 23) * _P2 + _P3
        at += 4
    while at < size:
        found = _rotated(found ^ (_load1(address + np.uint64(at)) * _P5), 11) * _P1
        at += 1
    found = (found ^ (found >> np.uint64(33))) * _P2
    found = (found ^ (found >> np.uint64(29))) * _P3
    return found ^ (found >> np.uint64(32))


def load() -> None:
    """Have all kernels ready: loaded from disk, or compiled."""
    for each in (dictionary_codes, present, recode, memory_hash):
        each.load()
