"""LazyTensor: a lazy array with torch's names, defaults and promotion, that gives a tensor when it is computed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.capture import storage
from workbench.fusion.capture.array import LazyArray, now
from workbench.fusion.errors import dtype_unsupported, requires_grad
from workbench.fusion.expr import Expr
from workbench.fusion.ops import supported

if TYPE_CHECKING:
    import torch

__all__ = ["LazyTensor", "lazy_tensor", "numpy_dtype"]

_UNSET: Any = object()


class LazyTensor(LazyArray):
    """A tensor that is computed when it is asked for.

    It has the operators, methods and functions of a torch tensor, with their defaults (`dim=`, `var` with correction
    1). What is not known to it runs in torch on computed inputs, and is told in the plan. float16 and bfloat16 compute
    in float32, and are stored in their own type at the end.
    """

    __slots__ = ("_array", "_dtype", "_original", "_tensor")

    def __init__(self, array: LazyArray, dtype: torch.dtype, original: torch.Tensor | None = None) -> None:
        #: the same values to NumPy
        self._array = array
        self._dtype = dtype
        #: whose values were taken over, where memory is not shared: of 16 bits
        self._original = original
        #: the array's value and the tensor over it, once they are computed
        self._tensor: tuple[Any, Any] = (_UNSET, None)
        self._plan = None

    # it is its array, to whatever looks at it as a LazyArray

    @property
    def _expr(self) -> Expr:
        return self._array._expr

    @_expr.setter
    def _expr(self, expr: Expr) -> None:
        self._array._expr = expr

    @property
    def _store(self) -> Any:  # type: ignore[override]
        return self._array._store

    @property
    def _value(self) -> Any:
        return self._over(self._array._value)

    def _over(self, value: Any) -> Any:
        """Return the tensor over a value of the array: the same one each time."""
        if self._tensor[0] is not value:
            self._tensor = (value, tensor_of(value, self._dtype))
        return self._tensor[1]

    # what it is

    @property
    def shape(self) -> Any:
        """Lengths, as a `torch.Size`."""
        import torch

        return torch.Size(self._array.shape)

    @property
    def dtype(self) -> Any:
        """The dtype that torch gives."""
        return self._dtype

    @property
    def device(self) -> Any:
        """Where its memory is."""
        import torch

        return torch.device("cpu")

    @property
    def T(self) -> Any:
        """The transposed tensor, a view."""
        return LazyTensor(self._array.T, self._dtype)

    @property
    def requires_grad(self) -> bool:
        """Whether autograd follows it: never."""
        return False

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self._dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._array.size * self.itemsize

    def size(self, dim: int | None = None) -> Any:  # type: ignore[override]
        """Return the lengths, or that of one dimension."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """Return the number of dimensions."""
        return self.ndim

    def numel(self) -> int:
        """Return the number of elements."""
        return self._array.size

    # computing

    def _parts(self) -> list[Expr]:
        return [now(self._array)]

    def _finish(self, values: Sequence[Any]) -> Any:
        return values[0]

    def _keep(self, value: Any) -> None:
        self._array._keep(value)

    def compute(
        self, device: str = "auto", threads: int | None = None, exact: bool = False, check: bool = False
    ) -> Any:
        """Return the value, a tensor.

        Parameters
        ----------
        device, threads, exact, check
            As those of a LazyArray.
        """
        value = self._array.compute(device, threads, exact, check)
        self._plan = self._array._plan
        return self._over(value) if value is self._array._value else tensor_of(value, self._dtype)

    def to_numpy(self, dtype: Any = None, copy: bool = False) -> Any:
        """Return the value as an ndarray."""
        return self._array.to_numpy(dtype, copy)

    def numpy(self) -> Any:
        """Return the value as an ndarray."""
        return self.compute().numpy()

    def item(self, *args: Any) -> Any:
        """Return the only element as a Python number."""
        return self.compute().item(*args)

    def tolist(self) -> Any:
        """Return the value as nested lists."""
        return self.compute().tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        found = self.compute().numpy()
        return found.astype(dtype) if dtype is not None and found.dtype != dtype else found

    def __iter__(self) -> Any:
        return iter(self.compute())

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.compute(),)

    # torch's protocol, and NumPy's

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        from workbench.fusion.capture import torchfunctions

        return torchfunctions.call(function, args, kwargs or {})

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _as_tensors(getattr(ufunc, method)(*[_plain(each) for each in inputs], **kwargs))

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _as_tensors(function(*[_plain(each) for each in args], **{k: _plain(v) for k, v in kwargs.items()}))

    def __getattr__(self, name: str) -> Any:
        import torch

        if (name.startswith("__") and name.endswith("__")) or not hasattr(torch.Tensor, name):
            raise AttributeError(f"'LazyTensor' object has no attribute {name!r}")
        found = getattr(torch.Tensor, name)
        if not callable(found):
            return getattr(self.compute(), name)
        return functools.partial(_method, found, self)

    def __getitem__(self, key: Any) -> Any:
        from workbench.fusion.capture import torchfunctions

        return torchfunctions.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        from workbench.fusion.capture import torchfunctions

        torchfunctions.setitem(self, key, value)

    def __len__(self) -> int:
        return len(self._array)

    def transpose(self, *axes: Any) -> Any:
        """Return the tensor with two dimensions swapped, a view."""
        return self.__getattr__("transpose")(*axes)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """Return the tensor in another shape."""
        return self.__getattr__("reshape")(*shape, **kwargs)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """Tensors have no such method."""
        raise AttributeError("'LazyTensor' object has no attribute 'astype'")

    def copy(self, order: str = "C") -> Any:
        """Return a copy."""
        return LazyTensor(self._array.copy(), self._dtype)


def numpy_dtype(dtype: torch.dtype) -> np.dtype | None:
    """Return the dtype that kernels compute a tensor in, None for those that they do not know."""
    name = str(dtype).removeprefix("torch.")
    name = "float32" if name in ("float16", "bfloat16") else name
    try:
        found = np.dtype(name)
    except TypeError:
        return None
    return found if supported(found) else None


def lazy_tensor(x: torch.Tensor, copy: bool = False, name: str = "") -> LazyTensor:
    """Return a lazy tensor over a tensor, which is borrowed.

    Raises
    ------
    FusionTypeError
        If autograd follows it, or for another dtype.
    """
    if x.requires_grad:
        raise requires_grad()
    if numpy_dtype(x.dtype) is None:
        raise dtype_unsupported(str(x.dtype).removeprefix("torch."))
    data, shared = values_of(x)
    leaf = storage.leaf_of(data.copy() if copy and shared else data)
    leaf.name = name
    if shared and not copy:
        leaf.attrs = (("sample", storage.sample(data)),)
    found = LazyArray(leaf)
    if shared and not copy:
        found._store = storage.store_of(data, leaf)
    return LazyTensor(found, x.dtype, None if shared or copy else x)


def values_of(x: torch.Tensor) -> tuple[np.ndarray, bool]:
    """Return a tensor's values as kernels compute with them, and whether they are in its own memory."""
    data = x.detach().cpu().resolve_neg()
    half = str(x.dtype) in ("torch.float16", "torch.bfloat16")
    return (data.float() if half else data).numpy(), not half and x.device.type == "cpu" and not x.is_neg()


def tensor_of(value: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor over an array, in its memory where that can be."""
    import torch

    array = np.asarray(value)
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    return torch.from_numpy(array).to(dtype)


def _method(function: Any, *args: Any, **kwargs: Any) -> Any:
    from workbench.fusion.capture import torchfunctions

    return torchfunctions.call(function, args, kwargs)


def _plain(value: Any) -> Any:
    if isinstance(value, LazyTensor):
        return value._array
    return type(value)([_plain(each) for each in value]) if type(value) in (list, tuple) else value


def _as_tensors(value: Any) -> Any:
    import torch

    if type(value) is LazyArray:
        return LazyTensor(value, getattr(torch, value.dtype.name))
    return type(value)([_as_tensors(each) for each in value]) if type(value) in (list, tuple) else value


def _unpickled(value: torch.Tensor) -> LazyTensor:
    return lazy_tensor(value)


def _operator(name: str) -> Any:
    def operate(self: LazyTensor, *others: Any) -> Any:
        from workbench.fusion.capture import torchfunctions

        return torchfunctions.operate(name, (self, *others))

    return operate


def _install() -> None:
    both = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift", "matmul")
    for name in both:
        for form in (name, f"r{name}", f"i{name}"):
            setattr(LazyTensor, f"__{form}__", _operator(form))
    for name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
        setattr(LazyTensor, f"__{name}__", _operator(name))


_install()
# an identity, as tensors have
LazyTensor.__hash__ = object.__hash__  # type: ignore[assignment]
