"""What the functions of one module share."""

from __future__ import annotations

from workbench.fusion.cpu import vmath
from workbench.fusion.cpu.ir import Code, Value

__all__ = ["Module"]

#: lines of elementary functions beyond which those that are called more than so many times do not stand in line
INLINED, OFTEN = 300, 4


class Module:
    """What the functions of one module share: the elementary functions and declarations that they use.

    Parameters
    ----------
    target : vmath.Target
        What the processor offers.
    exact : bool
        Scalar library functions.
    """

    def __init__(self, target: vmath.Target, exact: bool = False) -> None:
        self.target, self.exact = target, exact
        self.definitions: dict[str, str] = {}
        self.declared: set[str] = set()

    def elementary(self, code: Code, name: str, arguments: list[Value]) -> Value:
        """Return an elementary function of vectors."""
        x = arguments[0]
        symbol = vmath.symbol(name, x.kind, x.lanes, self.exact)
        if symbol not in self.definitions:
            text, declared = vmath.define(name, x.kind, x.lanes, self.target, self.exact)
            self.definitions[symbol] = text
            self.declared |= declared
        return code.call(x.kind, x.lanes, symbol, *arguments)

    def inlined(self, callers: str) -> list[str]:
        """Return the definitions: those that are called often stand for themselves where LLVM would take long."""
        calls = {symbol: callers.count(f"@{symbol}(") for symbol in self.definitions}
        lines = {symbol: calls[symbol] * text.count("\n") for symbol, text in self.definitions.items()}
        total, found = sum(lines.values()), dict(self.definitions)
        for symbol in sorted(lines, key=lambda each: -lines[each]):
            if total > INLINED and calls[symbol] > OFTEN:
                found[symbol] = found[symbol].replace(" alwaysinline ", " noinline ")
                total -= lines[symbol]
        return list(found.values())

    def scalar(self, code: Code, name: str, arguments: list[Value]) -> Value:
        """Return a function of libm (`fmod`) lane by lane."""
        x = arguments[0]
        function = name + ("f" if x.kind == "f32" else "")
        kind = {"f64": "double", "f32": "float"}[x.kind]
        self.declared.add(f"declare {kind} @{function}({', '.join([kind] * len(arguments))})")
        result = "poison"
        for lane in range(x.lanes):
            parts = []
            for each in arguments:
                part = code.value(x.kind, 0, f"extractelement {each.type} {each.ref}, i32 {lane}")
                parts.append(f"{kind} {part.ref}")
            one = code.value(x.kind, 0, f"call {kind} @{function}({', '.join(parts)})")
            result = code.value(x.kind, x.lanes, f"insertelement {x.type} {result}, {kind} {one.ref}, i32 {lane}").ref
        return Value(code, result, x.kind, x.lanes)
