"""One matcher for IPython's completer: options, values and variables on a magic's line, words and names in its body.

It answers from names that are already known: no disk, no cluster, no network. Files are left to IPython's own matcher.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from workbench.notebook.magics.base import MagicSpec, Option, specs
from workbench.notebook.magics.workbench import COMMANDS

__all__ = ["complete_body", "complete_line", "complete_tta", "install", "known_detectors"]

_FILES = {"IPCompleter.file_matcher"}
_MOST = 500
#: members of `workbench.tta.Tracker` and kinds of its spans; a test holds them together
_TRACKER = ("eval", "span", "log", "plan", "note", "stop", "resume", "run", "status", "seed", "resumed",
            "checkpoint_dir")  # fmt: skip
_SPANS = ("init", "data", "compile", "warmup", "train", "eval", "checkpoint", "other")
#: those of `video.models.builtin`, which is too heavy to import for a completion; a test holds them together
_BUILTIN = ("yolox-nano", "nanodet", "fastestdet", "light-person", "hog-person", "motion")
#: text, kind
Found = tuple[str, str]


def install(shell: Any) -> Callable[[], None]:
    """Add the matcher to a shell's completer; the returned function takes it away."""
    from IPython.core.completer import SimpleCompletion, context_matcher

    @context_matcher(  # type: ignore[untyped-decorator]
        identifier="workbench", priority=200
    )
    def matcher(context: Any) -> Any:
        found, fragment, alone, files = _complete(context, shell.user_ns)
        # IPython replaces a suffix of its own token; ours may begin before it (`--detector=mo`).
        extra = max(0, len(fragment) - len(context.token))
        return {
            "completions": [SimpleCompletion(text=text[extra:], type=kind) for text, kind in found[:_MOST]],
            "matched_fragment": fragment[extra:],
            "suppress": alone,
            "do_not_suppress": _FILES if files else set(),
            "ordered": True,
        }

    shell.Completer.custom_matchers.append(matcher)

    def remove() -> None:
        shell.Completer.custom_matchers.remove(matcher)

    return remove


def _complete(context: Any, namespace: dict[str, Any]) -> tuple[list[Found], str, bool, bool]:
    """Return completions, the text they replace, whether ours are the only ones, and whether files fit too."""
    lines = context.full_text.split("\n")
    at = context.cursor_line
    before = lines[at][: context.cursor_position] if at < len(lines) else ""
    head = re.match(r"\s*(%%?)(\w+)(?=\s)", f"{lines[0]}\n" if at > 0 else before)
    on_line = re.match(r"\s*%(\w+)(?=\s)", before)
    if on_line and (spec := specs().get(on_line[1])) and "line" in spec.kinds:
        found, fragment, files = complete_line(spec, before[on_line.end() :], namespace, lines[at])
        return found, fragment, True, files
    spec = specs().get(head[2]) if head and head[1] == "%%" else None
    if spec is None or "cell" not in spec.kinds:
        return [], "", False, False
    if at == 0:
        assert head is not None
        found, fragment, files = complete_line(spec, before[head.end() :], namespace, context.full_text)
        return found, fragment, True, files
    body = "\n".join(lines[1:])
    if spec.name in ("outliers", "diff"):
        from workbench.notebook.completion_sql import complete_sql

        if reference := re.search(r"(\{|\$)(\w*)\Z", before):
            return _references(namespace, reference), reference[2], True, False
        until = "\n".join([*lines[1:at], before])
        found, fragment = complete_sql(spec, body, until, namespace, lines[0].split()[1:])
        return found, fragment, True, False
    if spec.name == "tta":
        found, fragment = complete_tta(lines[0], before)
        return found, fragment, bool(found), False
    if spec.name != "vquery":
        return [], "", False, False
    found, fragment, alone = complete_body(body, before, namespace, at - 1)
    return found, fragment, alone and bool(found), False


# ------------------------------------------------------------------------------------------------------------ the line


def complete_line(
    spec: MagicSpec, before: str, namespace: dict[str, Any], text: str = ""
) -> tuple[list[Found], str, bool]:
    """Complete the line of a magic.

    Parameters
    ----------
    spec : MagicSpec
    before : str
        The line from after the magic's name to the cursor.
    namespace : dict
        Variables of the notebook.
    text : str
        The whole cell: it may name the table whose columns fit.

    Returns
    -------
    list of (text, kind), str, bool
        What fits, the text that it replaces, and whether a file name fits as well.
    """
    words = before.split()
    word = "" if not words or before[-1].isspace() else words[-1]
    earlier = words[:-1] if word else words
    if found := re.search(r"(\{|\$)(\w*)\Z", word):
        return _references(namespace, found), found[2], False
    options = {flag: option for option in _offered(spec) for flag in option.flags}
    if word.startswith("--") and "=" in word:
        name, _, value = word.partition("=")
        option = options.get(name)
        if option is not None and option.columns:
            return *_column(spec, option, value, text or before, namespace), False
        return (_values(option, value, namespace) if option else [], value, False)
    if word.startswith("-"):
        used = {options[one].name for one in earlier if one in options}
        flags = [flag for flag, option in options.items() if flag.startswith(word) and option.name not in used]
        if word == "-":
            flags = [flag for flag in flags if flag.startswith("--")]
        return [(flag, "option") for flag in flags], word, False
    place, last = _open_option(earlier, options)
    if last is not None and last.columns:
        return *_column(spec, last, before[_offset(before, place) :], text or before, namespace), False
    if last is not None and last.kind != "flag":
        return _values(last, word, namespace), word, False
    if spec.name == "workbench":
        return _commands(earlier, word), word, False
    taken = sum(1 for _ in _positionals(earlier, options))
    if taken >= len(spec.positionals):
        return [(flag, "option") for flag in options if flag.startswith("--")] if not word else [], word, False
    return _variables(namespace, word), word, True


def _references(namespace: dict[str, Any], found: re.Match[str]) -> list[Found]:
    """Return what may follow `{` or `$`."""
    return [(f"{name}}}" if found[1] == "{" else name, kind) for name, kind in _variables(namespace, found[2])]


def _column(
    spec: MagicSpec, option: Option, value: str, text: str, namespace: dict[str, Any]
) -> tuple[list[Found], str]:
    """Complete a column of the table that the cell names."""
    from workbench.notebook.completion_sql import complete_column, table_columns

    head, _, body = text.partition("\n")
    tables = table_columns(spec, re.split(r"[\s,]+", head), body, namespace)
    others = _variables(namespace, value) if option.name == "labels" else []
    return complete_column(option.name, value, tables, others)


def _open_option(earlier: list[str], options: dict[str, Option]) -> tuple[int, Option | None]:
    """Return the option whose value the next word is, and its place among the words: a list runs to the next option."""
    for place in range(len(earlier) - 1, -1, -1):
        option = options.get(earlier[place])
        if option is not None:
            many = option.kind in ("list", "sql") or place == len(earlier) - 1
            return place, option if many and option.kind != "flag" else None
    return 0, None


def _offset(text: str, place: int) -> int:
    """Return where the word of this number ends, with the blank after it."""
    ends = [found.end() for found in re.finditer(r"\S+", text)]
    return ends[place] + 1


def _offered(spec: MagicSpec) -> list[Option]:
    return [option for option in spec.all_options if spec.background or option.name != "background"]


def _positionals(words: Iterable[str], options: dict[str, Option]) -> Iterable[str]:
    """Yield the words that are no option and no option's value."""
    waiting = False
    for word in words:
        if word.startswith("-"):
            option = options.get(word)
            waiting = option is not None and option.kind != "flag"
        elif waiting:
            waiting = False
        else:
            yield word


def _values(option: Option, word: str, namespace: dict[str, Any]) -> list[Found]:
    if option.name == "out":
        return [(name, kind) for name, kind in _variables(namespace, word) if kind == "instance"]
    choices = list(option.choices()) if option.choices is not None else []
    found = [(choice, "value") for choice in choices if choice.startswith(word)]
    return found + (_variables(namespace, word) if option.choices is not None or not found else [])


def _commands(earlier: list[str], word: str) -> list[Found]:
    if not earlier:
        return [(name, "command") for name in COMMANDS if name.startswith(word)]
    if earlier == ["cache"]:
        return [("clear", "command")] if "clear".startswith(word) else []
    if earlier == ["cancel"]:
        from workbench.notebook import runs

        active = [record["run_id"] for record in runs.own_records() if record["state"] not in runs.ENDED]
        return [(run_id, "run") for run_id in active if run_id.startswith(word)]
    return []


def _variables(namespace: dict[str, Any], word: str) -> list[Found]:
    """Return the reader's own variables: no private ones, no modules, none of IPython's."""
    hidden = {"In", "Out", "exit", "quit", "get_ipython", "open"}
    found = []
    for name, value in namespace.items():
        if name.startswith(word) and not name.startswith("_") and name not in hidden:
            kind = type(value).__name__
            if kind not in ("module",):
                found.append((name, "function" if kind == "function" else "instance"))
    return sorted(found)


def known_detectors() -> list[str]:
    """Return the names of the detectors that are known without looking anything up."""
    loaded = sys.modules.get("workbench.video.models.registry")
    registered = list(getattr(loaded, "_REGISTERED", ())) if loaded is not None else []
    return list(dict.fromkeys([*_BUILTIN, *registered]))


# ------------------------------------------------------------------------------------------------------------ the body


def complete_tta(line: str, before: str) -> tuple[list[Found], str]:
    """Complete the tracker in the body of `%%tta`: it is there only while the cell runs, so no object can be asked.

    Parameters
    ----------
    line, before : str
        The cell's first line; the line of the cursor, up to it.
    """
    if found := re.search(r"(?<![\w.])tta\.(\w*)\Z", before):
        return [(name, "function") for name in _TRACKER if name.startswith(found[1])], found[1]
    if found := re.search(r"""(?<![\w.])tta\.span\(\s*["'](\w*)\Z""", before):
        return [(kind, "value") for kind in _SPANS if kind.startswith(found[1])], found[1]
    if found := re.search(r"(?<![\w.])tta\.eval\((?:[^()]*,)?\s*(\w*)\Z", before):
        metric = re.search(r"([^\W\d]\w*)\s*[<>]=", line)
        words = [f"{metric[1]}=" if metric else "", "step=", "n=", "epoch="]
        named = [(word, "param") for word in words if word and word.startswith(found[1]) and word not in before]
        return named, found[1]
    return [], ""


def complete_body(body: str, before: str, namespace: dict[str, Any], line: int = 0) -> tuple[list[Found], str, bool]:
    """Complete a place in the body of `%%vquery`.

    Parameters
    ----------
    body : str
        The whole body, perhaps unfinished.
    before : str
        The line of the cursor, up to it.
    namespace : dict
    line : int
        Number of that line in the body, from 0.

    Returns
    -------
    list of (text, kind), str, bool
        What fits, the text that it replaces, and whether nothing else does.
    """
    from workbench.video.language import catalogue

    if found := re.search(r"(\{|\$)(\w*)\Z", before):
        return _references(namespace, found), found[2], True
    if found := re.search(r"""(\w+)\.(\w+)\s*(?:==|!=|in\s*[(\[{])[^"'\n]*["']([\w ]*)\Z""", before):
        return _choices(found[2], found[3]), found[3], True
    names = catalogue.names_in(body)
    if found := re.search(r"(\w+)\.(\w*)\Z", before):
        return _attributes(catalogue, body, names, found[1], found[2])
    found = re.search(r"(\w*)\Z", before)
    word = found[1] if found else ""
    start = before[: len(before) - len(word)]
    types = [*names["types"], *catalogue.type_names()]
    if re.search(r"^\s+\w+\s*:\s*\Z", start) or re.search(r"\bfor\s+\w+\s+in\s+\Z", start):
        return _starting(types, word, "class"), word, True
    if re.search(r"^\s*class\s+\w+\s*\([^)]*\Z", start):
        return _starting(["Query", *names["queries"], *types], word, "class"), word, True
    if re.search(r"^\s+def\s+\w+\s*\(self[^)]*\Z", start):
        return _starting(_arguments(catalogue, body, line), word, "property"), word, True
    if re.search(r"^\s*@\Z", start):
        return _starting(["prop"], word, "function"), word, True
    if not word:
        return [], "", False
    groups = (
        (names["variables"], "instance"), (names["regions"], "instance"), (names["lines"], "instance"),
        (names["queries"], "class"), (types, "class"), (catalogue.words(), "keyword"), (names["names"], "instance"),
    )  # fmt: skip
    known = [item for group, kind in groups for item in _starting(group, word, kind)]
    seen = {text for text, _ in known}
    known += [(name, kind) for name, kind in _variables(namespace, word) if name not in seen]
    return list(dict(known).items()), word, False


def _attributes(catalogue: Any, body: str, names: Any, owner: str, word: str) -> tuple[list[Found], str, bool]:
    if owner in names["regions"] or owner == "Region":
        return _starting(["rect"] if owner == "Region" else [], word, "function"), word, owner == "Region"
    if owner not in names["variables"] and not re.search(rf"\bfor\s+{re.escape(owner)}\s+in\s+(\w+)", body):
        return [], word, False
    kind = owner
    if owner not in names["variables"]:
        loop = re.search(rf"\bfor\s+{re.escape(owner)}\s+in\s+(\w+)", body)
        kind = loop[1] if loop else owner
    methods = set(catalogue.method_names())
    found = [
        (name, "function" if name in methods else "property")
        for name in catalogue.cell_property_names(body, kind)
        if name.startswith(word) and not keyword.iskeyword(name)
    ]
    return found, word, True


def _arguments(catalogue: Any, body: str, line: int) -> list[str]:
    """Return the properties that a function of the class around the cursor may ask for."""
    inside = [one for one in catalogue.classes_in(body) if one.lines[0] <= line < one.lines[1]]
    if not inside:
        return list(catalogue.property_names("Object"))
    methods = set(catalogue.method_names())
    return [name for name in catalogue.cell_property_names(body, inside[-1].name) if name not in methods]


def _choices(name: str, word: str) -> list[Found]:
    from workbench.video.language import catalogue

    known = getattr(catalogue, "PROPERTIES", {}).get(name)
    return _starting(getattr(known, "choices", None) or (), word, "value")


def _starting(names: Iterable[str], word: str, kind: str) -> list[Found]:
    return [(name, kind) for name in dict.fromkeys(names) if name.startswith(word)]
