"""From a line to a call: every message, and the round trip of any options."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notebook.slow import ECHO
from workbench.notebook.magics.line import Scope
from workbench.notebook.magics.parse import parse, write_line
from workbench.notebook.magics.vquery import SPEC

ERRORS = [
    ("%%vquery a.mp4 --acuracy 0.9\nx", ["No option --acuracy.", "Did you mean --accuracy?"]),
    ("%%vquery a.mp4 --zzz\nx", ["No option --zzz.", "%%vquery --help lists all options."]),
    ("%%vquery a.mp4 --acc 0.9\nx", ["No option --acc.", "%%vquery --help lists all options."]),
    ("%%vquery a.mp4 -out red\nx", ["No option -out.", "Did you mean --out?"]),
    ("%%vquery a.mp4 --lim=3\nx", ["No option --lim.", "Did you mean --limit?"]),
    (
        "%%here -b\nx",
        ["%%here cannot run in the background: its body runs in this notebook.", "Drop --background."],
    ),
    ("%%vquery a.mp4 --limit\nx", ["--limit needs a value.", "Example: %%vquery cam1.mp4 -o red"]),
    ("%%vquery a.mp4 -o\nx", ["-o needs a value.", "Example: %%vquery cam1.mp4 -o red"]),
    ("%%vquery a.mp4 --limit -b\nx", ["--limit needs a value.", "Example: %%vquery cam1.mp4 -o red"]),
    ("%%slow 3 --by\nx", ["--by needs a value.", "Example: %%slow 20 -o counted"]),
    ("%%slow 3 --top ten\nx", ['--top is a number from 0 to 1; got "ten".', "Example: --top 0.01"]),
    ("%%slow 3 --top 2\nx", ['--top is a number from 0 to 1; got "2".', "Example: --top 0.01"]),
    ("%%slow 3 --top {a_list}\nx", ["--top is a number from 0 to 1; got [1, 2].", "Example: --top 0.01"]),
    ("%%vquery a.mp4 --every ten\nx", ['--every is a whole number of at least 1; got "ten".', "Example: --every 2"]),
    ("%%vquery a.mp4 --fresh=1\nx", ["--fresh takes no value.", "Write --fresh alone."]),
    (
        "%%vquery\nx",
        ["%%vquery needs a SOURCE: a path, a glob or a variable.", "Example: %%vquery cam1.mp4 -o red"],
    ),
    ("%%vquery a.mp4 b.mp4\nx", ['%%vquery does not take "b.mp4".', "Example: %%vquery cam1.mp4 -o red"]),
    ("%%vquery a.mp4 -o 2x\nx", ['-o needs a variable name; got "2x".', "Example: -o result"]),
    ("%%vquery a.mp4 -o class\nx", ['-o needs a variable name; got "class".', "Example: -o result"]),
    ("%%vquery a.mp4 -o a.b\nx", ['-o needs a variable name; got "a.b".', "Example: -o result"]),
    ("%%vquery red << a.mp4\nx", ['%%vquery does not take "<<".', "To keep the result, write -o red."]),
    ("%%vquery a.mp4\n  \n# nothing\n", ["%%vquery: the cell is empty.", "%%vquery cam1.mp4 -o red"]),
    ("%%vquery a.mp4", ["%%vquery: the cell is empty.", "%%vquery cam1.mp4 -o red"]),
    ("%%vquery", ["%%vquery needs a SOURCE: a path, a glob or a variable.", "Example: %%vquery cam1.mp4 -o red"]),
    ("%%vquery {flihgts}\nx", ['No variable named "flihgts" in this notebook.', 'Did you mean "flights"?']),
    (
        "%%vquery {a b}\nx",
        ["Only names fit in braces: {cam} or {args.path}.", "Compute the value in a cell above and use its name."],
    ),
    ("%%vquery 'a.mp4\nx", ["A quote ' is not closed.", "Close it, or write \\' for a quote itself."]),
]


@pytest.mark.parametrize(("cell", "lines"), ERRORS)
def test_n05_n06_n28_every_message_word_for_word(front: Any, cell: str, lines: list[str]) -> None:
    front.shell.user_ns.update(flights=1, a_list=[1, 2])
    assert front.error(cell) == lines
    assert front.shown == []


def test_n26_the_chain_is_kept_and_short_errors_can_be_turned_off(front: Any) -> None:
    front.value("%config Workbench.short_errors = False")
    assert any("Traceback" in line for line in front.error("%%vquery a.mp4 --zzz\nx"))
    front.value("%config Workbench.short_errors = True")
    assert len(front.error("%%vquery a.mp4 --zzz\nx")) == 2


def test_tb_shows_the_whole_chain(front: Any, capsys: pytest.CaptureFixture[str]) -> None:
    front.error("%%vquery a.mp4 --zzz\nx")
    capsys.readouterr()
    front.run("%tb")
    assert "Traceback" in capsys.readouterr().out
    assert len(front.error("%%vquery a.mp4 --zzz\nx")) == 2


def echo(line: str, **names: Any) -> Any:
    call = parse(ECHO, line, "", Scope({}, names))
    assert call is not None
    return call


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--limit 3", {"limit": 3}),
        ("--limit=3", {"limit": 3}),
        ("--limit -3", {"limit": -3}),
        ("--metric -5", {"metric": "-5"}),
        ('--metric "--fast"', {"metric": "--fast"}),
        ("--metric a --metric b", {"metric": "b"}),
        ("-m 0.5", {"min_support": "0.5"}),
        ("-m0.5", {"min_support": "0.5"}),
        ("-m=0.5", {"min_support": "0.5"}),
        ("-fq", {"fast": True}),
        ("--by a, b", {"by": ["a", "b"]}),
        ('--by Segment, "Ship Mode" --fast', {"by": ["Segment", "Ship Mode"], "fast": True}),
        ("--by {columns}", {"by": ["x", "y z"]}),
        ("--by {columns}, b", {"by": [["x", "y z"], "b"]}),
        ("--metric {evil}", {"metric": "--limit 0"}),
        ("--metric={evil}", {"metric": "--limit 0"}),
        ("--limit {n}", {"limit": 4}),
        ("--limit {text}", {"limit": 5}),
    ],
)
def test_options(line: str, expected: dict[str, Any]) -> None:
    call = echo(line, columns=["x", "y z"], evil="--limit 0", n=4, text="5")
    defaults = {"metric": None, "by": None, "min_support": None, "limit": None, "fast": False}
    assert call.options == defaults | expected


def test_positionals_stand_anywhere_and_are_never_options() -> None:
    call = echo("--limit 3 {evil} --fast -- -x", evil="--fast")
    assert [argument.value for argument in call.arguments] == ["--fast", "-x"]
    assert [argument.referred for argument in call.arguments] == [True, False]


def test_a_reference_passes_the_object_itself() -> None:
    thing = object()
    assert echo("{thing} $thing", thing=thing).arguments[0].value is thing


words = st.text(max_size=12)
option_dicts = st.fixed_dictionaries(
    {},
    optional={
        "metric": words,
        "min_support": words,
        "by": st.lists(words, min_size=1, max_size=4),
        "limit": st.integers(-(10**6), 10**6),
        "fast": st.just(True),
        "out": st.from_regex(r"[a-z_]{3}[a-z0-9_]{0,5}x", fullmatch=True),
        "quiet": st.just(True),
    },
)


@given(option_dicts, st.lists(words, max_size=2))
def test_n02_any_options_written_as_a_line_read_back_equal(options: dict[str, Any], arguments: list[str]) -> None:
    # A quoted positional may not follow a list, which runs to the next option: `write_line` puts positionals first.
    call = parse(ECHO, write_line(ECHO, arguments, options), "", Scope({}, {}))
    assert call is not None
    got = {key: value for key, value in call.options.items() if value is not None and value is not False}
    got |= {"out": call.out} if call.out else {}
    got |= {"quiet": True} if call.quiet else {}
    assert got == options
    assert [argument.value for argument in call.arguments] == arguments


def test_vquery_line_as_written_in_the_design() -> None:
    call = parse(SPEC, "yard/*.mp4 --background --from 30s --every 2 -o run", "x", Scope({}, {}))
    assert call is not None
    assert (call.background, call.out, call.quiet) == (True, "run", False)
    assert call.options == {
        "start": "30s", "end": None, "every": 2, "limit": None, "accuracy": None, "detector": None, "explain": False,
        "fresh": False, "live": False,
    }  # fmt: skip
