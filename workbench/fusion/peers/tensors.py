"""A function of whole arrays for engines that trace and compile one: torch's Inductor and JAX.

Such engines want shapes that do not depend on values. A filter is therefore a mask that goes along until a reduction
takes it, or until a result is cut out at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from workbench.fusion.expr import Expr, Size
from workbench.fusion.graph import walk
from workbench.fusion.peers.graph import (
    FUNCTIONS,
    INFIX,
    Groups,
    NotExpressible,
    groups_of,
    literal,
    masks_of,
)

__all__ = ["Traced"]

_TORCH = {
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arctan2": "atan2", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh", "rint": "round", "absolute": "abs", "fabs": "abs",
    "erf": "special.erf", "erfc": "special.erfc", "expit": "sigmoid", "ndtr": "special.ndtr",
    "invert": "bitwise_not",
}  # fmt: skip
_JAX = {
    "erf": "jax.scipy.special.erf", "erfc": "jax.scipy.special.erfc", "expit": "jax.scipy.special.expit",
    "ndtr": "jax.scipy.special.ndtr", "absolute": "jnp.abs", "fabs": "jnp.fabs", "invert": "jnp.invert",
}  # fmt: skip


class Traced:
    """The source of one function of the leaves.

    Parameters
    ----------
    exprs : sequence of Expr
    torch : bool
        For torch; else for JAX.

    Attributes
    ----------
    source : str
        `def traced(x0, x1, …)`, whose results `finish` takes.
    leaves : list of Expr
    """

    def __init__(self, exprs: Sequence[Expr], torch: bool) -> None:
        self.exprs, self.torch = list(exprs), torch
        order = walk(exprs)
        self.leaves = [node for node in order if node.kind == "Leaf"]
        self.names = {id(node): f"x{k}" for k, node in enumerate(self.leaves)}
        self.lines = [f"def traced({', '.join(self.names.values())}):"]
        self.groups: dict[int, tuple[Groups, int]] = {}
        self.results: list[str] = []
        for node in order:
            if node.kind not in ("Leaf", "Const", "Item"):
                self._emit(node)
        #: for each expression where its value is, and where the mask of its rows
        self.places: list[Any] = []
        for each in exprs:
            if each.kind == "Item":
                if id(each.inputs[0]) not in self.groups:
                    raise NotExpressible(each.name)
                self.places.append(("group", each.inputs[0], each.attr("index")))
                continue
            masks = [self._give(self._mask(masks_of(each.shape[0])))] if each.ndim and masks_of(each.shape[0]) else []
            self.places.append(("value", self._give(self._operand(each)), masks))
        self.lines.append(f"    return ({', '.join(self.results)},)")
        self.source = "\n".join(self.lines) + "\n"

    def finish(self, found: Sequence[Any]) -> list[Any]:
        """Return the values of the expressions from those of the function, as NumPy arrays."""
        from workbench.fusion.peers.numba import group_columns

        values = []
        columns: dict[int, list[Any]] = {}
        for place in self.places:
            if place[0] == "value":
                value = found[place[1]]
                values.append(value[found[place[2][0]]] if place[2] else value)
                continue
            _, node, index = place
            if id(node) not in columns:
                group, first = self.groups[id(node)]
                many = len(group.aggregates)
                rows, *rest = found[first : first + 1 + 2 * many]
                columns[id(node)] = group_columns(group, rows, rest[:many], rest[many:])
            values.append(columns[id(node)][index])
        return values

    def _give(self, text: str) -> int:
        self.results.append(text)
        return len(self.results) - 1

    def _operand(self, node: Expr) -> str:
        if node.kind == "Const":
            return literal(node.data)
        if node.kind == "Item":
            raise NotExpressible("groupby")
        return self.names[id(node)]

    def _tensor(self, node: Expr) -> str:
        """Return an operand for functions that take no Python numbers."""
        text = self._operand(node)
        if node.kind != "Const":
            return text
        kind = "bool" if isinstance(node.data, bool) else "float64" if node.dtype.kind == "f" else "int64"
        return f"torch.tensor({text}, dtype=torch.{kind})" if self.torch else text

    def _mask(self, masks: Sequence[Expr]) -> str:
        return " & ".join(self.names[id(each)] for each in masks)

    def _emit(self, node: Expr) -> None:
        name = f"v{len(self.names)}"
        if node.kind == "GroupReduce":
            self._group(node)
            return
        if node.kind == "Filter":
            if node.ndim > 1 or not masks_of(node.shape[0]):
                raise NotExpressible("filter")
            self.names[id(node)] = self._operand(node.inputs[0])
            return
        text = self._text(node)
        self.lines.append(f"    {name} = {text}")
        self.names[id(node)] = name

    def _text(self, node: Expr) -> str:
        kind, op = node.kind, node.name
        library = "torch" if self.torch else "jnp"
        if node.call is not None:
            raise NotExpressible(op)
        if kind == "Select":
            inputs = [self._operand(each) for each in node.inputs]
            return f"{library}.where({', '.join(inputs)})"
        if kind == "Cast":
            return self._cast(self._operand(node.inputs[0]), node.dtype.name)
        if kind == "Reduce":
            return self._reduced(node)
        if kind == "Scan" and op in ("cumsum", "cumprod") and not masks_of(node.shape[0]):
            axis = f"{'dim' if self.torch else 'axis'}={node.attr('axis')}"
            return f"{library}.{op}({self._operand(node.inputs[0])}, {axis})"
        if kind in ("View", "Broadcast"):
            return self._view(node)
        if kind != "Map":
            raise NotExpressible(op)
        return self._map(node, library)

    def _map(self, node: Expr, library: str) -> str:
        op = node.name
        inputs = [self._operand(each) for each in node.inputs]
        if node.dtype.kind == "f":  # torch would compute whole numbers in float32
            inputs = [
                self._cast(text, node.dtype.name) if each.dtype.kind in "iub" and each.kind != "Const" else text
                for each, text in zip(node.inputs, inputs, strict=True)
            ]
        if op in INFIX:
            if op.startswith("logical") and any(each.dtype != bool for each in node.inputs):
                raise NotExpressible(op)
            return INFIX[op].format(*inputs)
        if op == "logical_not" and node.inputs[0].dtype == bool:
            return f"(~{inputs[0]})"
        if op == "clip":
            return f"{library}.clip({', '.join(inputs)})"
        if not self.torch:
            if op not in FUNCTIONS and op not in _JAX:
                raise NotExpressible(op)
            return f"{_JAX.get(op, f'jnp.{op}')}({', '.join(inputs)})"
        if (op not in FUNCTIONS and op not in _TORCH) or op == "cbrt":
            raise NotExpressible(op)
        if len(node.inputs) > 1:
            inputs = [
                text if each.kind != "Const" else self._tensor(each)
                for each, text in zip(node.inputs, inputs, strict=True)
            ]
        return f"torch.{_TORCH.get(op, op)}({', '.join(inputs)})"

    def _cast(self, text: str, dtype: str) -> str:
        return f"{text}.to(torch.{dtype})" if self.torch else f"{text}.astype(jnp.{dtype})"

    def _view(self, node: Expr) -> str:
        text, spec = self._operand(node.inputs[0]), node.attr("spec")
        library = "torch" if self.torch else "jnp"
        if node.name in ("reshape", "broadcast"):
            if any(isinstance(d, Size) for d in spec):
                raise NotExpressible(node.name)
            return f"{library}.{'reshape' if node.name == 'reshape' else 'broadcast_to'}({text}, {tuple(spec)!r})"
        if node.name == "transpose":
            return f"{text}.permute({spec!r})" if self.torch else f"jnp.transpose({text}, {spec!r})"
        keys = []
        for each in spec:
            if isinstance(each, tuple) and each and each[0] == "slice":
                if each[3] is not None and each[3] < 0 and self.torch:
                    raise NotExpressible("a slice with a negative step")
                keys.append(f"slice({each[1]!r}, {each[2]!r}, {each[3]!r})")
            else:
                keys.append(repr(each))
        return f"{text}[{', '.join(keys)}]"

    # reductions

    def _reduced(self, node: Expr) -> str:
        x, op = node.inputs[0], node.name
        plain, floats = op.removeprefix("nan"), x.dtype.kind == "f"
        library = "torch" if self.torch else "jnp"
        axes, keep = node.attr("axes"), node.attr("keepdims")
        where = f"{'dim' if self.torch else 'axis'}={axes!r}, {'keepdim' if self.torch else 'keepdims'}={keep}"
        text = self._operand(x)
        masks = [self._mask(masks_of(x.shape[0]))] if masks_of(x.shape[0]) else []
        if floats and (op.startswith("nan") or op == "count"):
            masks.append(f"({text} == {text})")
        mask = " & ".join(masks)

        def filled(value: str) -> str:
            return f"{library}.where({mask}, {text}, {value})" if mask else text

        total = f"{library}.sum({filled('0')}, {where})"
        one = f"{library}.ones_like({text}, dtype={library}.int64)"
        count = f"{library}.sum({f'({mask})' if mask else one}, {where})"
        if plain == "sum":
            return total
        if plain == "prod" and len(axes) == x.ndim and not keep:
            return f"{library}.prod({filled('1')})"
        if op == "count":
            return count
        if op == "count_nonzero":
            return f"{library}.sum({f'({mask}) & ' if mask else ''}({text} != 0), {where})"
        if plain == "mean":
            return f"({total} / {count})"
        if plain in ("min", "max") and floats:
            edge = 'float("inf")' if plain == "min" else '-float("inf")'
            return f"{library}.a{plain}({filled(edge)}, {where})"
        if plain in ("any", "all") and x.dtype == bool and not masks and len(axes) == x.ndim and not keep:
            return f"{library}.{plain}({text})"
        if plain in ("var", "std") and len(axes) == x.ndim and not keep:
            off = f"({text} - {total} / {count})"
            squares = f"{library}.where({mask}, {off} * {off}, 0)" if mask else f"{off} * {off}"
            found = f"({library}.sum({squares}) / ({count} - {node.attr('ddof')}))"
            return f"{library}.sqrt({found})" if plain == "std" else found
        raise NotExpressible(op)

    def _group(self, node: Expr) -> None:
        group = groups_of(node)
        mask = self._mask(group.masks)
        k = len(self.groups)
        key = self._cast(f"({self._operand(group.key)} - {group.low})", "int64")
        # rows that are left out go to a place of their own
        where = "torch.where" if self.torch else "jnp.where"
        self.lines.append(f"    j{k} = {f'{where}({mask}, {key}, {group.span})' if mask else key}")
        first = self._give(self._scattered(k, group.span, "1", "int64"))
        sums, counts = [], []
        for name, value in group.aggregates:
            if value is None:
                sums.append(self.results[first])
                counts.append(self.results[first])
                continue
            if name in ("min", "max"):
                raise NotExpressible(name)
            text = self._operand(value)
            there = f"({text} == {text})" if value.dtype.kind == "f" else ""
            kind = value.dtype.name if value.dtype.kind == "f" else "int64"
            sums.append(self._scattered(k, group.span, f"{where}({there}, {text}, 0)" if there else text, kind))
            count = self._cast(there, "int64") if there else "1"
            counts.append(self._scattered(k, group.span, count, "int64") if name in ("mean", "count") else sums[-1])
        for each in (*sums, *counts):
            self._give(each)
        self.groups[id(node)] = group, first

    def _scattered(self, k: int, span: int, value: str, dtype: str) -> str:
        if self.torch:
            source = f"torch.ones_like(j{k})" if value == "1" else self._cast(f"({value})", dtype)
            return f"torch.zeros({span + 1}, dtype=torch.{dtype}).index_add(0, j{k}, {source})[:{span}]"
        return f"jnp.zeros({span + 1}, jnp.{dtype}).at[j{k}].add({value})[:{span}]"
