"""From the classes of types to `ObjectType`s of the tree: labels, properties, what they need, cycles, fingerprints."""

from __future__ import annotations

import ast
import hashlib
import inspect

from workbench.engine.errors import WorkbenchError, suggest
from workbench.video.language import catalogue, vocabulary
from workbench.video.language.parse import Place, check_type
from workbench.video.language.scene import SCENE_PROPERTIES
from workbench.video.language.source import find_class
from workbench.video.language.tree import ObjectType, ScaleSpec, UserProperty
from workbench.video.language.vocabulary import Prop

#: arguments that stand for pixels
PIXELS = ("image", "images")


def object_type(cls: type, scale: ScaleSpec | None, warnings: list[tuple[str, str]]) -> ObjectType:
    """Return the tree's form of a type.

    Parameters
    ----------
    cls : type
        `Object` or a class derived from it.
    scale : ScaleSpec, optional
        The query's scale: values of properties that read speeds depend on it.
    warnings : list
        Gets a (message, hint) for each property that cannot be fingerprinted.

    Raises
    ------
    WorkbenchError
        For an argument that is no property, or properties that need each other.
    """
    kin = [one for one in cls.__mro__ if isinstance(one, vocabulary.ObjectMeta)]
    owners: dict[str, tuple[type, Prop]] = {}
    for one in reversed(kin):
        _check_written(one)
        for name, value in vars(one).items():
            if isinstance(value, Prop):
                owners[name] = (one, value)
    bases = tuple(one.__name__ for one in kin[1:])
    labels = cls.__labels__  # type: ignore[attr-defined]
    builtin = _builtin_names((cls.__name__, *bases))
    needs = {name: _arguments(cls, owner, name, own, owners, builtin) for name, (owner, own) in owners.items()}
    _check_cycles(owners, needs)
    prints: dict[str, str | None] = {}
    properties = tuple(
        UserProperty(
            name=name,
            owner=owner.__name__,
            function=own.function,
            arguments=needs[name],
            window=own.window,
            once=own.once,
            batch=own.batch,
            partial=own.partial,
            fingerprint=_fingerprint(name, owners, needs, scale, prints, warnings),
        )
        for name, (owner, own) in owners.items()
    )
    if "Scene" in (cls.__name__, *bases):
        properties += tuple(one for one in SCENE_PROPERTIES if one.name not in owners)
    return ObjectType(cls.__name__, labels, bases, properties)


def _builtin_names(kin: tuple[str, ...]) -> list[str]:
    return [one.name for one in catalogue.PROPERTIES.values() if one.owner in kin]


def _check_written(cls: type) -> None:
    """Check the class statement where there is a text; a type without one is what its properties say."""
    if cls.__module__ == vocabulary.__name__:
        return
    for name, value in vars(cls).items():
        if vocabulary.callable_function(value):
            place, node = _written(cls, name)
            raise place.error(node, f"{name}() is no property (line {_line(node)}).", "Write @prop above its def.")
    try:
        cell, node = find_class(vars(cls).get("__origin__"), cls.__name__)
    except WorkbenchError:
        return
    check_type(cell.place, node)


def _written(cls: type, name: str, argument: str = "") -> tuple[Place, ast.AST | None]:
    """Return where a function of a class, or one of its arguments, stands."""
    try:
        cell, node = find_class(vars(cls).get("__origin__"), cls.__name__)
    except WorkbenchError:
        return Place(()), None
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == name:
            for one in (*statement.args.posonlyargs, *statement.args.args, *statement.args.kwonlyargs):
                if one.arg == argument:
                    return cell.place, one
            return cell.place, statement
    return cell.place, node


def _line(node: ast.AST | None) -> int:
    return getattr(node, "lineno", 0)


def _arguments(
    cls: type, owner: type, name: str, own: Prop, owners: dict[str, tuple[type, Prop]], builtin: list[str]
) -> tuple[str, ...]:
    """Return the names of the properties that a function needs: its arguments without a default, less `self`."""
    parameters = list(inspect.signature(own.function).parameters.values())
    if not parameters or parameters[0].name != "self":
        place, node = _written(owner, name)
        given = ", ".join(["self", *(one.name for one in parameters)])
        raise place.error(node, f"{name}() has no self.", f"Write def {name}({given}):")
    found = []
    for parameter in parameters[1:]:
        place, node = _written(owner, name, parameter.name)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            stars = "*" if parameter.kind is parameter.VAR_POSITIONAL else "**"
            raise place.error(
                node,
                f"{name}() takes {stars}{parameter.name}, which names no property.",
                "Name each property that it needs.",
            )
        if parameter.default is not parameter.empty:
            continue
        if parameter.name == "images" and not own.once:
            raise place.error(
                node, f"{name}() needs 'images', which only a once-property has.", "Write @prop(once=True)."
            )
        if parameter.name not in owners and parameter.name not in builtin and parameter.name not in PIXELS:
            raise place.error(
                node,
                f"{name}() needs '{parameter.name}', which {cls.__name__} does not have.",
                suggest(parameter.name, [*builtin, *owners, *PIXELS], f"Properties: {', '.join(builtin[:8])}, ..."),
            )
        found.append(parameter.name)
    return tuple(found)


def _check_cycles(owners: dict[str, tuple[type, Prop]], needs: dict[str, tuple[str, ...]]) -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            ring = path[path.index(name) :]
            # named from the one that was written first, so that the text does not depend on where the walk began
            first = min(range(len(ring)), key=lambda i: list(owners).index(ring[i]))
            ring = (*ring[first:], *ring[:first])
            steps = [f"{one} needs {other}" for one, other in zip(ring, (*ring[1:], ring[0]), strict=True)]
            text = steps[0] if len(steps) == 1 else ", ".join(steps[:-1]) + " and " + steps[-1]
            place, node = _written(owners[ring[0]][0], ring[0])
            raise place.error(node, f"{text}.", "A property may use itself only with window=.")
        if name in done or name not in owners:
            return
        for need in needs[name]:
            if need == name and owners[name][1].window is not None:
                continue  # its own earlier values
            visit(need, (*path, name))
        done.add(name)

    for name in owners:
        visit(name, ())


def _fingerprint(
    name: str,
    owners: dict[str, tuple[type, Prop]],
    needs: dict[str, tuple[str, ...]],
    scale: ScaleSpec | None,
    prints: dict[str, str | None],
    warnings: list[tuple[str, str]],
) -> str | None:
    """Return a hash of the function, of how it is called, and of the properties that it needs."""
    from workbench.engine.fingerprint import Unfingerprintable, fingerprint

    if name in prints:
        return prints[name]
    own = owners[name][1]
    parts: list[str] = []
    if own.version is not None:
        parts.append(f"version:{own.version}")
    else:
        try:
            parts.append(fingerprint(own.function))
        except Unfingerprintable as error:
            warning = (
                f"{name} reads '{error.name}', which cannot be fingerprinted; not cached.",
                'Pass version="..." to @prop.',
            )
            if warning not in warnings:
                warnings.append(warning)
            prints[name] = None
            return None
    parts.append(repr((needs[name], own.window, own.once, own.batch, own.partial)))
    for need in needs[name]:
        if need == name:
            continue
        if need in owners:
            below = _fingerprint(need, owners, needs, scale, prints, warnings)
            if below is None:
                prints[name] = None
                return None
            parts.append(below)
        elif need in catalogue.PROPERTIES and catalogue.PROPERTIES[need].scaled:
            parts.append(repr(scale))
    prints[name] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return prints[name]
