"""Indexing of lazy arrays: views, masks, positions, and writes through them."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture import storage
from workbench.fusion.capture.array import LazyArray, lazy, now, settle_sizes
from workbench.fusion.capture.ndinputs import as_expr, force_in, run_in_numpy, settled
from workbench.fusion.expr import Expr, Size
from workbench.fusion.ops import OPS
from workbench.fusion.positions import here

__all__ = ["assign", "buffered", "getitem", "reshape", "setitem", "take_rows", "transpose", "viewed"]


def known(x: LazyArray) -> Expr:
    """Return an array's expression with its lengths known: what depends on a filter is computed."""
    found = now(x)
    if any(isinstance(d, Size) for d in found.shape):
        x.compute()
        found = now(x)
    return found


def buffered(x: LazyArray) -> LazyArray:
    """Return an array with a buffer, which views look at and writes go to: from now on a single value is no number."""
    if x._store is None:
        base = now(x)
        x._store = storage.Store(base, None) if (memory := _memory(base)) is None else storage.store_of(memory, base)
    return x


def _memory(base: Expr) -> np.ndarray | None:
    return base.data if base.kind == "Leaf" and isinstance(base.data, np.ndarray) else None


def viewed(x: LazyArray, how: str, spec: Any, shape: Any, where: Any) -> LazyArray:
    """Return a view of an array, that sees writes to it and is seen by it; of a number of NumPy it is one of a copy."""
    x = buffered(x.copy() if x._store is None and not x._expr.shape else x)
    assert x._store is not None
    base = now(x)
    found = LazyArray(ir.view(base, how, spec, shape, where))
    found._store, found._seen = x._store, x._store.version
    found._chain = (*x._chain, (how, spec, shape, where))
    return found


# reading


def getitem(x: LazyArray, key: Any) -> Any:
    """Return `x[key]`."""
    where = here(3)
    if type(key) is not tuple:
        kind = type(key)
        if kind is LazyArray or kind is np.ndarray or kind is list:
            return _picked(x, key, where)
        key = (key,)
    if not all(each is None or each is Ellipsis or isinstance(each, slice | int | np.integer) for each in key) or any(
        isinstance(each, bool) for each in key
    ):
        parts = [each for each in key if each is not Ellipsis and not (isinstance(each, slice) and each == slice(None))]
        if len(key) == 1:
            return _picked(x, key[0], where)
        del parts
        return run_in_numpy("getitem", np.ndarray.__getitem__, (x, key), {})
    spec, shape = basic(known(x).shape, key)
    if not shape and not any(each is Ellipsis for each in key):
        return lazy(ir.view(now(x), "index", spec, shape, where))  # a number, which later writes do not change
    return viewed(x, "index", spec, shape, where)


def basic(shape: Any, key: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Return a key with one entry for each axis, and the shape that it gives.

    Raises
    ------
    IndexError
        As NumPy does.
    """
    if any(each is Ellipsis for each in key):
        at = next(k for k, each in enumerate(key) if each is Ellipsis)
        taken = sum(each is not None and each is not Ellipsis for each in key)
        key = (*key[:at], *[slice(None)] * (len(shape) - taken), *key[at + 1 :])
        if any(each is Ellipsis for each in key):
            raise IndexError("an index can only have a single ellipsis ('...')")
    taken = sum(each is not None for each in key)
    if taken > len(shape):
        raise IndexError(f"too many indices for array: array is {len(shape)}-dimensional, but {taken} were indexed")
    key = (*key, *[slice(None)] * (len(shape) - taken))
    spec: list[Any] = []
    found: list[int] = []
    axis = 0
    for each in key:
        if each is None:
            spec.append(None)
            found.append(1)
            continue
        size = shape[axis]
        if isinstance(each, slice):
            # the numbers themselves: what counts from the end would be of another length the next time
            each = slice(
                *[None if part is None else int(part) for part in force_in((each.start, each.stop, each.step))]
            )
            spec.append(("slice", each.start, each.stop, each.step))
            found.append(len(range(*each.indices(size))))
        else:
            number = int(each)
            if not -size <= number < size:
                raise IndexError(f"index {number} is out of bounds for axis {axis} with size {size}")
            spec.append(number)
        axis += 1
    return tuple(spec), tuple(found)


def _picked(x: LazyArray, key: Any, where: Any) -> Any:
    """Return elements by a mask or by positions."""
    picks = as_expr(key)
    if picks is None or not isinstance(key, LazyArray | np.ndarray | list):
        return run_in_numpy("getitem", np.ndarray.__getitem__, (x, key), {})
    if picks.dtype == np.bool_:
        return _masked(x, key, picks, where)
    if picks.dtype.kind not in "iu":
        if isinstance(key, list) and not key:
            picks = ir.leaf(np.zeros(0, np.int64))
        else:
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
    return take_rows(x, picks, where)


def take_rows(x: LazyArray, picks: Expr, where: Any) -> Any:
    """Return rows by position."""
    if not known(x).shape:
        raise IndexError("too many indices for array: array is 0-dimensional, but 1 were indexed")
    if not picks.shape:
        return run_in_numpy("getitem", np.ndarray.__getitem__, (x, lazy(picks)), {})
    from workbench.fusion.capture import ndtake

    return ndtake.taken(x, picks, where=where)


def _masked(x: LazyArray, key: Any, mask: Expr, where: Any) -> Any:
    base = now(x)
    if not mask.shape:
        return run_in_numpy("getitem", np.ndarray.__getitem__, (x, key), {})
    fits = len(mask.shape) <= len(base.shape) and all(
        a is b or a == b for a, b in zip(mask.shape, base.shape, strict=False)
    )
    if not fits and any(isinstance(d, Size) for d in (*mask.shape, *base.shape)):
        base = known(x)
        mask = known(key) if isinstance(key, LazyArray) else mask
        fits = mask.shape == base.shape[: len(mask.shape)]
    if not fits:
        sizes = list(zip(base.shape, mask.shape, strict=False))
        axis = next((k for k, (a, b) in enumerate(sizes) if a != b), None)
        if axis is None:
            raise IndexError(
                f"too many indices for array: array is {len(base.shape)}-dimensional, "
                f"but {len(mask.shape)} were indexed"
            )
        raise IndexError(
            f"boolean index did not match indexed array along axis {axis}; size of axis is {sizes[axis][0]} "
            f"but size of corresponding boolean axis is {sizes[axis][1]}"
        )
    if len(mask.shape) == 1 < len(base.shape):
        from workbench.fusion.capture import ndtake

        return ndtake.taken(x, places(mask, where), 0, where, inside=True)
    if len(mask.shape) > 1:
        if len(mask.shape) < len(base.shape):
            return run_in_numpy("getitem", np.ndarray.__getitem__, (x, key), {})
        total = int(np.prod(settle_sizes(base.shape), dtype=np.int64))
        base = ir.view(base, "reshape", (total,), (total,), where)
        mask = ir.view(mask, "reshape", (total,), (total,), where)
    return lazy(ir.filter_(base, mask, _size_of(mask), where))


def places(mask: Expr, where: Any) -> Expr:
    """Return the positions at which a 1-d mask holds."""
    found = ir.filter_(ir.rows(mask), mask, _size_of(mask), where)
    found.calls = 0
    return found


def _size_of(mask: Expr) -> Size:
    """Return the size of a filter: one for each mask, so that what two filters give can be used together."""
    if mask.rows is None:
        mask.rows = Size(f"count#{mask.number}", mask, mask.shape[0])
    return mask.rows


def transpose(x: LazyArray, axes: Any) -> LazyArray:
    """Return a view with axes in another order."""
    base = known(x)
    many = len(base.shape)
    order = tuple(range(many))[::-1] if axes is None else tuple([int(each) % many if many else 0 for each in axes])
    if sorted(order) != list(range(many)):
        np.transpose(np.empty((0,) * many), axes)
        raise ValueError("axes don't match array")
    return viewed(x, "transpose", order, tuple([base.shape[axis] for axis in order]), here(3))


def reshape(x: LazyArray, shape: Any) -> LazyArray:
    """Return the array in another shape: a view, as far as NumPy gives one."""
    base = known(x)
    wanted = tuple([int(d) for d in shape]) if isinstance(shape, tuple | list) else (int(shape),)
    total = int(np.prod(settle_sizes(base.shape), dtype=np.int64))
    if -1 in wanted:
        rest = int(np.prod([d for d in wanted if d != -1], dtype=np.int64))
        if wanted.count(-1) > 1 or rest == 0 or total % rest:
            np.reshape(np.broadcast_to(np.zeros((), np.int8), settle_sizes(base.shape)), wanted)
        wanted = tuple([total // rest if d == -1 else d for d in wanted])
    if int(np.prod(wanted, dtype=np.int64)) != total or any(d < 0 for d in wanted):
        raise ValueError(f"cannot reshape array of size {total} into shape {wanted}")
    where = here(3)
    if _is_view(x, wanted):
        return viewed(x, "reshape", wanted, wanted, where)
    copied = ir.cast(ir.view(base, "reshape", wanted, wanted, where), base.dtype, where)
    copied.calls = 0
    return lazy(copied)


def _is_view(x: LazyArray, shape: tuple[int, ...]) -> bool:
    """Return whether NumPy looks at an array's memory in another shape; it copies where strides do not allow that."""
    base = x._expr if x._store is None else x._store.expr
    memory = _memory(base) if x._store is None or x._store.memory is None else x._store.memory
    if memory is None:
        if not x._chain:
            return True
        memory = np.empty(settle_sizes(base.shape), np.int8)  # what a plan computes; only its strides count
    return np.may_share_memory(np.reshape(storage.look(memory, x._chain), shape), memory)


# writing


def assign(x: LazyArray, value: Any, same_kind: str | None = None) -> None:
    """Write `value` over all of an array: `x[...] = value`.

    Parameters
    ----------
    x : LazyArray
    value : LazyArray or anything that is broadcast to it
    same_kind : str, optional
        Of an operator in place: its name, for the error when the result does not fit the dtype.
    """
    base = known(x)
    found = as_expr(value)
    if found is None:
        found = ir.leaf(np.asarray(force_in(value)))
    found = settled(found)
    if same_kind and not np.can_cast(found.dtype, base.dtype, "same_kind"):
        ufunc = OPS[same_kind].function
        raise np._core._exceptions._UFuncOutputCastingError(ufunc, "same_kind", found.dtype, base.dtype, 0)  # type: ignore[attr-defined]
    if found.shape != base.shape:
        if same_kind:
            raise ValueError(
                f"non-broadcastable output operand with shape {base.shape} "
                f"doesn't match the broadcast shape {found.shape}"
            )
        found = _spread(found, base.shape, here(3))
    _store_whole(x, ir.cast(found, base.dtype, here(3)) if found.dtype != base.dtype else found)


def _spread(value: Expr, shape: Any, where: Any) -> Expr:
    extra = len(value.shape) - len(shape)
    if extra > 0 and all(d == 1 for d in value.shape[:extra]):
        value = ir.view(value, "reshape", value.shape[extra:], value.shape[extra:], where)
    try:
        whole = ir.broadcast_shapes(value.shape, shape)
    except ValueError:
        whole = ()
    if whole != shape:
        raise ValueError(f"could not broadcast input array from shape {value.shape} into shape {shape}")
    return ir.view(value, "broadcast", shape, shape, where) if value.shape != shape else value


def _store_whole(x: LazyArray, value: Expr) -> None:
    """Replace all that an array looks at, in its buffer."""
    store = buffered(x)._store
    assert store is not None
    if any(how == "broadcast" for how, *_ in x._chain):
        raise ValueError("assignment destination is read-only")
    if x._chain:
        value = _put_through(store.expr, x._chain, value)
    store.write(value)
    now(x)


def _put_through(base: Expr, chain: tuple[Any, ...], value: Expr) -> Expr:
    """Return the base with what a chain of views sees replaced."""
    steps = tuple([(how, spec) for how, spec, _, _ in chain])
    found = Expr(
        "Extern", "setitem", (base, value), (("views", steps),), base.dtype, base.shape, value.where, _Put(steps)
    )
    found.calls = 0
    return found


class _Put:
    """Copy an array and write to a view of it."""

    def __init__(self, steps: tuple[Any, ...]) -> None:
        self.steps = steps

    def __call__(self, base: Any, value: Any) -> Any:
        found = np.array(base, order="C")
        part = self.seen(found)
        if np.may_share_memory(part, found):
            part[...] = value
        else:  # the user's memory is in another order, in which this shape is a view
            found.reshape(-1)[self.seen(np.arange(found.size).reshape(found.shape))] = value
        return found

    def seen(self, array: Any) -> Any:
        from workbench.fusion.eager import view_of

        for how, spec in self.steps:
            array = view_of(array, how, spec)
        return array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Put) and self.steps == other.steps

    def __hash__(self) -> int:
        return hash(self.steps)


def setitem(x: LazyArray, key: Any, value: Any) -> None:
    """Do `x[key] = value`."""
    where = here(3)
    base = known(x)
    if isinstance(key, LazyArray | np.ndarray) and key.dtype == np.bool_ and key.shape == base.shape and base.shape:
        mask, new = as_expr(key), as_expr(value)
        if mask is not None and new is not None and not new.shape:
            new = ir.cast(new, base.dtype, where) if new.kind != "Const" else _constant(new, base.dtype)
            _store_whole(x, ir.select(mask, new, base, where, "setitem"))
            return
    parts = key if type(key) is tuple else (key,)
    if all(
        each is None or each is Ellipsis or (isinstance(each, slice | int | np.integer) and not isinstance(each, bool))
        for each in parts
    ):
        spec, shape = basic(base.shape, parts)
        assign(viewed(buffered(x), "index", spec, shape, where), value)
        now(x)
        return
    _written(x, base, force_in(key), value, where)


def _fitting(value: Any, dtype: np.dtype) -> Any:
    """Return a number as NumPy would store it; raises what NumPy raises."""
    one = np.zeros(1, dtype)
    one[0] = value
    return one[0]


def _constant(node: Expr, dtype: np.dtype) -> Expr:
    return ir.const(_fitting(node.data, dtype), dtype)


def _written(x: LazyArray, base: Expr, key: Any, value: Any, where: Any) -> None:
    new = as_expr(value)
    if new is None:
        new = ir.leaf(np.asarray(force_in(value)))

    def put(array: Any, values: Any) -> Any:
        found = np.array(array)
        found[key] = values
        return found

    # NumPy's errors come at the call
    shape = settle_sizes(base.shape)
    probe = np.broadcast_to(np.zeros((), base.dtype), shape)[key].shape
    new = settled(new)
    np.broadcast_to(np.broadcast_to(np.zeros((), np.int8), settle_sizes(new.shape)), probe)
    _store_whole(x, ir.extern("setitem", put, (base, new), base.dtype, base.shape, where))
