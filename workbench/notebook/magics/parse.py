"""From a magic's line to a `Call`: options, positionals and the errors for what is wrong with them."""

from __future__ import annotations

import argparse
import keyword
from collections.abc import Iterable
from typing import Any

from workbench.engine.errors import WorkbenchError, did_you_mean
from workbench.notebook.magics.base import Argument, Call, MagicSpec, Option
from workbench.notebook.magics.line import Scope, Token, quote, split, split_items

__all__ = ["parse", "write_line"]

_MISSING = object()  # an option that stands last, without its value


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:  # argparse would print and exit
        raise WorkbenchError(message)


def _parser(spec: MagicSpec) -> argparse.ArgumentParser:
    parser = _Parser(spec.name, exit_on_error=False, add_help=False, allow_abbrev=False)
    for option in spec.all_options:
        if option.kind == "flag":
            parser.add_argument(*option.flags, dest=option.key, action="store_const", const=True, default=None)
        elif option.kind in ("list", "sql"):
            parser.add_argument(*option.flags, dest=option.key, nargs="*", default=None)
        else:
            parser.add_argument(*option.flags, dest=option.key, nargs="?", const=_MISSING, default=None)
    return parser


def parse(spec: MagicSpec, line: str, body: str, scope: Scope) -> Call | None:
    """Read a magic's line; None if it asks for help.

    Raises
    ------
    WorkbenchError
        The two lines of the design's table for what is wrong.
    """
    tokens = split(line)
    if any(token.text in ("-h", "--help") and token.dashed for token in tokens):
        return None
    _refuse_shift(spec, tokens)
    given, rest = _sort_out(spec, tokens)
    if given["help"]:  # among other letters: `-qh`
        return None
    options = {option.key: _value(spec, option, given.pop(option.key), scope) for option in spec.all_options}
    if options["background"] and not spec.background:
        raise WorkbenchError(
            f"{spec.title} cannot run in the background: its body runs in this notebook.", "Drop --background."
        )
    arguments = _arguments(spec, rest, scope)
    if spec.body == "required" and _blank(body):
        raise WorkbenchError(f"{spec.title}: the cell is empty.", spec.first_line)
    out, background, quiet = (options.pop(key) for key in ("out", "background", "quiet"))
    options.pop("help")
    return Call(spec, scope, arguments, options, body, _name(out), background, quiet)


def _refuse_shift(spec: MagicSpec, tokens: list[Token]) -> None:
    # `red << ...` is how IPython assigns a line magic's value; for a cell magic it would be a source named "red".
    for position, token in enumerate(tokens[:2]):
        if token.text.startswith("<<") and not token.quoted[0]:
            name = tokens[0].text if position else "result"
            raise WorkbenchError(f'{spec.title} does not take "<<".', f"To keep the result, write -o {name}.")


def _sort_out(spec: MagicSpec, tokens: list[Token]) -> tuple[dict[str, Any], list[Token]]:
    """Return for each option the tokens of its value (None: not given), and the positional tokens.

    argparse sees placeholders for all but option names, so no value is ever taken for an option.
    """
    parser = _parser(spec)
    known: dict[str, Option] = {flag: option for option in spec.all_options for flag in option.flags}
    places: dict[str, Token] = {}

    def place(token: Token) -> str:
        key = f"\0{len(places)}"
        places[key] = token
        return key

    shown: list[str] = []
    rest: list[Token] = []
    for position, token in enumerate(tokens):
        if token.text == "--" and token.dashed:
            rest = tokens[position + 1 :]
            break
        if not token.dashed:
            shown.append(place(token))
            continue
        name, equals, _ = token.text.partition("=")
        short = known.get(token.text[:2]) if not token.text.startswith("--") else None
        if short is not None and short.kind == "flag" and len(name) > 2:
            letters = [f"-{letter}" for letter in token.text[1:]]
            if not all(letter in known and known[letter].kind == "flag" for letter in letters):
                raise _unknown(spec, name)
            shown += letters
        elif short is not None and len(token.text) > 2:
            if not equals and f"-{token.text}" in known:
                raise _unknown(spec, name)  # `-out` is no `-o ut`
            shown += [token.text[:2], place(token.cut(3 if token.text[2] == "=" else 2))]
        elif name not in known:
            raise _unknown(spec, name)
        elif equals and known[name].kind == "flag":
            raise WorkbenchError(f"{name} takes no value.", f"Write {name} alone.")
        elif equals:
            shown += [name, place(token.cut(len(name) + 1))]
        else:
            shown.append(name)
    parsed, extra = parser.parse_known_args(shown)
    given: dict[str, Any] = {}
    for option in spec.all_options:
        value = getattr(parsed, option.key)
        written = next((flag for flag in option.flags if flag in shown), f"--{option.name}")
        if value is _MISSING or value == []:
            raise WorkbenchError(f"{written} needs a value.", f"Example: {spec.first_line}")
        if option.kind in ("list", "sql") and value is not None:
            given[option.key] = [places[item] for item in value]
        else:
            given[option.key] = places[value] if isinstance(value, str) else value
    return given, [places[item] for item in extra] + rest


def _unknown(spec: MagicSpec, name: str) -> WorkbenchError:
    options = [option for option in spec.all_options if spec.background or option.name != "background"]
    near = did_you_mean(name.lstrip("-"), [option.name for option in options])
    hint = f"Did you mean --{near}?" if near else f"{spec.title} --help lists all options."
    return WorkbenchError(f"No option {name}.", hint)


def _value(spec: MagicSpec, option: Option, given: Any, scope: Scope) -> Any:
    if given is None:
        return option.initial
    if option.kind == "flag":
        return True
    if option.kind == "list":
        return _list_value(option, given, scope)
    if option.kind == "sql":
        return _sql_value(option, given, scope)
    value, referred = scope.resolve(given)
    return _converted(option, value, referred)


def _list_value(option: Option, tokens: list[Token], scope: Scope) -> Any:
    values = [scope.resolve(item) for item in split_items(tokens)]
    if len(values) == 1 and values[0][1] and isinstance(values[0][0], (list, tuple)):
        return list(values[0][0])  # `--by {columns}`: the list itself
    return [_converted(option, value, referred) for value, referred in values]


def _sql_value(option: Option, tokens: list[Token], scope: Scope) -> Any:
    """Return a condition: all up to the next option, its own quotes kept unless they enclose the whole."""
    if len(tokens) == 1:
        value, referred = scope.resolve(tokens[0]) if tokens[0].referring else (None, False)
        if referred:
            return _converted(option, value, referred)
    whole = len(tokens) == 1 and all(tokens[0].quoted)
    text = tokens[0].text if whole else " ".join(token.raw or token.text for token in tokens)
    from workbench.notebook.magics.sql import bind

    return _converted(option, bind(text, scope).text, False)


def _converted(option: Option, value: Any, referred: bool) -> Any:
    try:
        return option.convert(value)
    except (ValueError, TypeError):
        shown = f'"{value}"' if isinstance(value, str) else _short(value)
        raise WorkbenchError(
            f"--{option.name} is {option.says}; got {shown}.", f"Example: --{option.name} {option.example}"
        ) from None


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else type(value).__name__


def _arguments(spec: MagicSpec, tokens: list[Token], scope: Scope) -> tuple[Argument, ...]:
    arguments = tuple(Argument(*scope.resolve(token)) for token in tokens)
    needed = [positional for positional in spec.positionals if positional.required]
    if len(tokens) < len(needed):
        missing = spec.positionals[len(tokens)]
        article = "an" if missing.name[0] in "AEIO" else "a"
        raise WorkbenchError(
            f"{spec.title} needs {article} {missing.name}: {missing.says}.", f"Example: {spec.first_line}"
        )
    if len(tokens) > len(spec.positionals):
        extra = tokens[len(spec.positionals)].text
        raise WorkbenchError(f'{spec.title} does not take "{extra}".', f"Example: {spec.first_line}")
    return arguments


def _name(out: Any) -> str | None:
    if out is None:
        return None
    if not isinstance(out, str) or not out.isidentifier() or keyword.iskeyword(out):
        shown = out if isinstance(out, str) else _short(out)
        raise WorkbenchError(f'-o needs a variable name; got "{shown}".', "Example: -o result")
    return out


def _blank(body: str) -> bool:
    return all(not line.strip() or line.strip().startswith("#") for line in body.splitlines())


def write_line(spec: MagicSpec, arguments: Iterable[str], options: dict[str, Any]) -> str:
    """Return the line that `parse` reads back as these arguments and options (text values only)."""
    parts = [quote(argument) for argument in arguments]
    for option in spec.all_options:
        value = options.get(option.key, option.initial)
        if value == option.initial:
            continue
        parts.append(f"--{option.name}")
        if option.kind == "list":
            parts.append(", ".join(quote(item) for item in value))
        elif option.kind == "value":
            parts.append(quote(str(value)))
        elif option.kind == "sql":
            parts.append('"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"')
    return " ".join(parts)
