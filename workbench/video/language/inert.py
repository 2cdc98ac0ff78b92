"""What a class body is run with: placeholders that take part in anything and mean nothing.

Python runs the body of a query written in a module or an ordinary cell. Its values are of no use (`and` would drop a
side, a generator would not see the class's names), so everything that the body could ask is answered by one inert
object, and the query is compiled from its source instead.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

#: functions that would consume a generator or compare placeholders if the real ones ran
SHADOWED = frozenset({"any", "all", "sum", "min", "max", "abs", "len", "sorted"})


class Inert:
    """Answers every attribute, call, operator and comparison with itself."""

    __slots__ = ()
    # numpy and pandas then leave operators to this class
    __array_ufunc__ = None
    __hash__ = object.__hash__

    def __getattr__(self, name: str) -> Inert:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return self

    def __getitem__(self, key: Any) -> Inert:
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __contains__(self, item: Any) -> bool:
        return True

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "<a part of a query>"

    def _itself(self, *others: Any) -> Inert:
        return self

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _itself  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _itself
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _itself
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __lshift__ = __rlshift__ = _itself
    __rshift__ = __rrshift__ = __neg__ = __pos__ = __abs__ = __invert__ = __round__ = _itself


INERT = Inert()


class Word(Inert):
    """A word of the language: callable, inert, and known by its name to the compiler."""

    __slots__ = ("word",)

    def __init__(self, word: str) -> None:
        self.word = word

    def __call__(self, *args: Any, **kwargs: Any) -> Inert:
        return INERT

    def __repr__(self) -> str:
        return f"<{self.word}, a word of queries>"

    def __reduce__(self) -> Any:
        return _word, (self.word,)


def _word(name: str) -> Any:
    from workbench.video.language import vocabulary

    return getattr(vocabulary, name)


class InertNamespace(dict[str, Any]):
    """The namespace of a class body: unknown names are inert, known ones are what they are outside."""

    def __init__(self, frame: FrameType) -> None:
        super().__init__()
        self.outside = frame.f_globals

    def __missing__(self, name: str) -> Any:
        if name in SHADOWED:
            return INERT
        if name.startswith("__"):
            raise KeyError(name)
        body = sys._getframe(1)
        if name in body.f_code.co_freevars or name in self.outside or hasattr(builtins, name):
            raise KeyError(name)  # Python goes on to the enclosing function, the module and the builtins
        return INERT
