"""The words that queries are written with: types, `Query`, `prop`, shapes, and inert functions.

``from workbench.video import *`` gives these. Classes derived from them keep where they were written, so that the
compiler can read their source; what Python computes in their bodies is dropped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.engine.units import Dimension, parse_quantity
from workbench.video.language import catalogue
from workbench.video.language.inert import Inert, InertNamespace, Word
from workbench.video.language.shapes import Line, Region, Scale
from workbench.video.language.source import Origin
from workbench.video.language.tree import Window

__all__ = [
    "Animal", "Bag", "Ball", "Bicycle", "Bird", "Bus", "Car", "Cat", "Dog", "Horse", "Line", "Motorcycle", "Object",
    "Person", "Query", "Region", "Scale", "Scene", "Truck", "Vehicle", "before", "count", "during", "every", "first",
    "known", "last", "lasts", "mean", "never", "prop", "sequence",
]  # fmt: skip


class Prop(Inert):
    """A property of one's own: a function and how it is called. Made by `prop`.

    Inert, as the `where` of the query that it stands in may compare it.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        window: Window | None = None,
        once: bool = False,
        batch: int | None = None,
        partial: bool = False,
        version: str | None = None,
    ) -> None:
        self.function = function
        self.window, self.once, self.batch, self.partial, self.version = window, once, batch, partial, version
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as it was written, to try it out."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<property {self.__name__}>"


def prop(
    function: Callable[..., Any] | None = None,
    *,
    window: Any = None,
    once: bool = False,
    batch: int | None = None,
    partial: bool = False,
    version: str | None = None,
) -> Any:
    """Make a function of a type a property.

    Parameters
    ----------
    function : callable
        ``def name(self, argument, ...)``: each argument's name is the property that it needs; ``image`` is the crop
        (BGR), ``images`` (with `once`) all the best crops.
    window : str, optional
        ``"1s"`` or ``"5frames"``: arguments are arrays of this much of the past, oldest first.
    once : bool
        One value for the whole track.
    batch : int, optional
        Arguments are lists of up to this many; a list of the same length is returned.
    partial : bool
        Call it also before the window is full.
    version : str, optional
        Stands for the function's code in cache keys.

    Raises
    ------
    WorkbenchError
        For an option that cannot be.
    """
    span = _window(window)
    _flag("once", once)
    _flag("partial", partial)
    if batch is not None and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise WorkbenchError(f"batch must be a whole number of at least 1, got {batch!r}.", "Use batch=16.")
    if version is not None and not isinstance(version, str):
        raise WorkbenchError(f"version is text, got {version!r}.", 'Write version="1".')
    if once and window is not None:
        raise WorkbenchError("once= and window= exclude each other.", "A once-property sees the whole track.")
    if partial and window is None:
        raise WorkbenchError("partial= is for properties with window=.", 'Write @prop(window="1s", partial=True).')

    def wrap(function: Callable[..., Any]) -> Prop:
        if not callable(function) or not hasattr(function, "__code__"):
            raise WorkbenchError("@prop stands above a function.", "Write @prop, then def name(self, image): ...")
        return Prop(function, window=span, once=once, batch=batch, partial=partial, version=version)

    return wrap if function is None else wrap(function)


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise WorkbenchError(f"{name} is True or False, got {value!r}.", f"Write @prop({name}=True).")


def _window(value: Any) -> Window | None:
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise WorkbenchError(f"window needs a unit, got {value:g}.", f'Write "{value:g}s" or "{value:g}frames".')
    quantity = parse_quantity(value) if isinstance(value, str) else None
    if quantity is not None and quantity.value > 0:
        if quantity.dimension == Dimension(s=1):
            return Window(seconds=quantity.value)
        if quantity.dimension == Dimension(frames=1) and quantity.value == int(quantity.value):
            return Window(rows=int(quantity.value))
    raise WorkbenchError(f"window is a time or a number of frames; got {value!r}.", 'Write "1s" or "5frames".')


# -------------------------------------------------------------------------------------------------------------- types


class _Written(type):
    """Base of the metaclasses: runs class bodies inertly and remembers where they were written."""

    @classmethod
    def __prepare__(mcls, name: str, bases: tuple[type, ...], /, **options: Any) -> InertNamespace:
        return InertNamespace(sys._getframe(1))

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> Any:
        origin = options.pop("origin", None)
        if origin is None and isinstance(namespace, InertNamespace) and namespace.get("__module__") != __name__:
            origin = Origin.of_frame(sys._getframe(1), name)
        kept = mcls._keep(dict(namespace))
        if origin is not None:
            kept["__origin__"] = origin
        return super().__new__(mcls, name, bases, kept)

    def __init__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, **options: Any) -> None:
        super().__init__(name, bases, namespace)

    @staticmethod
    def _keep(namespace: dict[str, Any]) -> dict[str, Any]:
        """Keep what means something after the class: its names, its text and its properties."""
        return {
            name: value
            for name, value in namespace.items()
            if (name.startswith("__") and name.endswith("__")) or isinstance(value, Prop) or callable_function(value)
        }


def callable_function(value: Any) -> bool:
    """Return whether this is a function that stands in a class body without @prop."""
    return hasattr(value, "__code__") and not isinstance(value, Prop)


class ObjectMeta(_Written):
    """Metaclass of the types of objects."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], /, label: Any = None, **options: Any
    ) -> Any:
        cls = super().__new__(mcls, name, bases, namespace, **options)
        if label is not None:
            cls.__labels__ = _labels(label)
        return cls

    def __iter__(cls) -> Iterator[Any]:
        # `any(... for p in Person)` in a class body asks for an iterator before it is thrown away
        return iter(())

    def __repr__(cls) -> str:
        return f"<type {cls.__name__} of video queries>"


def _labels(label: Any) -> tuple[str, ...]:
    labels = (label,) if isinstance(label, str) else label
    if not isinstance(labels, (tuple, list)) or not labels or not all(isinstance(one, str) and one for one in labels):
        raise WorkbenchError(
            f"label is a text or several, got {label!r}.", 'Write label="forklift" or label=("car", "truck").'
        )
    return tuple(labels)


class Object(metaclass=ObjectMeta):
    """Anything that the detector finds."""

    __labels__: tuple[str, ...] | None = None


def _builtin(name: str) -> Any:
    known = catalogue.TYPES[name]
    parent: type = globals()[known.parent]
    text = {"__doc__": known.text[0].upper() + known.text[1:] + ".", "__module__": __name__, "__labels__": known.labels}
    return ObjectMeta(name, (parent,), text)


Scene = _builtin("Scene")
Person = _builtin("Person")
Bicycle = _builtin("Bicycle")
Animal = _builtin("Animal")
Dog = _builtin("Dog")
Cat = _builtin("Cat")
Bird = _builtin("Bird")
Horse = _builtin("Horse")
Ball = _builtin("Ball")
Vehicle = _builtin("Vehicle")
Car = _builtin("Car")
Truck = _builtin("Truck")
Bus = _builtin("Bus")
Motorcycle = _builtin("Motorcycle")
Bag = _builtin("Bag")


class QueryMeta(_Written):
    """Metaclass of queries."""

    __compiled__: Any
    __exports__: dict[str, Any]
    __scale__: Any
    __origin__: Any

    def __repr__(cls) -> str:
        return f"<query {cls.__name__}>"

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        """Stand inertly for the query inside another query's body."""
        return Word(cls.__name__)


class Query(metaclass=QueryMeta):
    """Base of queries: variables with their types, `where`, and optionally `group` and `select`.

    Examples
    --------
    >>> class RedCars(Query):
    ...     car: Car
    ...     where = car.color == "red" and car.score > 0.5
    """


# -------------------------------------------------------------------------------------------------------------- words


def _word(name: str) -> Any:
    return Word(name)


lasts = _word("lasts")
sequence = _word("sequence")
before = _word("before")
during = _word("during")
never = _word("never")
every = _word("every")
count = _word("count")
mean = _word("mean")
first = _word("first")
last = _word("last")
known = _word("known")
start = _word("start")
end = _word("end")
duration = _word("duration")

#: everything that a name in a query may mean when neither query, cell nor notebook knows it
NAMES: dict[str, Any] = {name: globals()[name] for name in (*__all__, "start", "end", "duration")}
