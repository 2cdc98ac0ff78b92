"""What is offered on the line and in the body of a magic, and how soon."""

from __future__ import annotations

import time
from typing import Any

import pandas as pd
import pytest

from workbench.notebook import completion
from workbench.notebook.completion import complete_body, complete_line
from workbench.notebook.completion_sql import complete_sql
from workbench.notebook.magics.base import MagicSpec
from workbench.notebook.magics.diff import SPEC as DIFF
from workbench.notebook.magics.outliers import SPEC as OUTLIERS
from workbench.notebook.magics.vquery import SPEC

NAMES: dict[str, Any] = {"clip": "cam1.mp4", "clips": [], "yard": object(), "_x": 1, "In": [], "time": time, "f": len}


def line(text: str) -> list[str]:
    return [name for name, _ in complete_line(SPEC, text, NAMES)[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (" a.mp4 --o", ["--out"]),
        (" a.mp4 --l", ["--limit", "--live"]),
        (" a.mp4 --limit 3 --l", ["--live"]),
        (" a.mp4 --detector mo", ["motion"]),
        (" a.mp4 --detector=mo", ["motion"]),
        (" a.mp4 --detector y", ["yolox-nano", "yard"]),
        (" cl", ["clip", "clips"]),
        (" {cl", ["clip}", "clips}"]),
        (" clips/$cl", ["clip", "clips"]),
        (" a.mp4 --every {cli", ["clip}", "clips}"]),
        (" a.mp4 -o ya", ["yard"]),
        (" a.mp4 --acuracy", []),
    ],
)
def test_the_line(text: str, expected: list[str]) -> None:
    assert line(text) == expected


def test_after_the_source_all_options_are_offered() -> None:
    assert set(line(" a.mp4 ")) == {f"--{option.name}" for option in SPEC.all_options}
    assert line(" a.mp4 --") == line(" a.mp4 ")


def test_the_source_may_be_a_file_too() -> None:
    assert complete_line(SPEC, " ca", NAMES)[2] is True
    assert complete_line(SPEC, " a.mp4 --det", NAMES)[2] is False


def test_detectors_are_those_of_the_registry() -> None:
    from workbench.video.models.builtin import builtin_names
    from workbench.video.models.registry import _REGISTERED

    assert builtin_names() == completion._BUILTIN
    _REGISTERED["mine-too"] = None  # type: ignore[assignment]
    try:
        assert line(" a.mp4 --detector mine") == ["mine-too"]
    finally:
        del _REGISTERED["mine-too"]


BODY = """door = Line((0, 0), (9, 9))
class Taxi(Car):
    @prop(once=True)
    def yellow(self, image): return True
    @prop
    def jerk(self, sp): return 0.0
class Fast(Query):
    taxi: Taxi
    person: Per
    where = taxi.ye"""


def body(before: str, text: str = BODY) -> list[str]:
    return [name for name, _ in complete_body(text, before, NAMES, line=5)[0]]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("    where = taxi.ye", ["yellow"]),
        ("    where = taxi.col", ["color"]),
        ("    where = taxi.insi", ["inside"]),
        ("    where = person.cross", ["crossed_to", "crosses"]),
        ("    person: Per", ["Person"]),
        ("    person: Ta", ["Taxi"]),
        ("class X(Qu", ["Query"]),
        ("class X(Fa", ["Fast"]),
        ("    def jerk(self, sp", ["speed"]),
        ("    def jerk(self, yel", ["yellow"]),
        ("    @pr", ["prop"]),
        ("    where = las", ["lasts", "last"]),
        ("    where = taxi.crosses(do", ["door"]),
        ("    where = taxi.inside(ya", ["yard"]),
        ("    where = taxi.inside({ya", ["yard}"]),
        ('    where = taxi.color == "re', ["red"]),
        ("    where = any(p.near(taxi, '2m') for p in Per", ["Person"]),
        ("    where = any(p.nea for p in Person", ["Person"]),
        ("    where = unknown.x", []),
        ("    where = ", []),
    ],
)
def test_the_body(before: str, expected: list[str]) -> None:
    assert sorted(body(before)) == sorted(expected)


def test_properties_by_type() -> None:
    assert "kind" in body("    where = taxi.") and "embedding" not in body("    where = taxi.")
    assert "embedding" in body("    where = person.", BODY.replace("Per\n", "Person\n"))


def complete(front: Any, text: str) -> tuple[str, list[str]]:
    """Ask the shell's completer, as a kernel does; the cursor stands at `|`."""
    from IPython.core.completer import provisionalcompleter

    at = text.index("|")
    front.shell.Completer.use_jedi = False  # IPython's own Python completion is slow and not ours to test
    with provisionalcompleter():
        found = list(front.shell.Completer.completions(text.replace("|", ""), at))
    return text[found[0].start : at] if found else "", [one.text for one in found]


@pytest.mark.parametrize(
    ("text", "fragment", "first"),
    [
        ("%%vquery a.mp4 --o|", "--o", ["--out"]),
        ("%%vquery a.mp4 --detector=mot|", "mot", ["motion"]),
        ("%%vquery a.mp4 --detector yolox-n|", "yolox-n", ["yolox-nano"]),
        ("%%vquery a.mp4\nclass Q(Query):\n    car: Car\n    where = car.colo|", "colo", ["color"]),
        ("%%vquery a.mp4\nclass Q(Query):\n    car: Ca|", "Ca", ["Cat", "Car"]),
        ("%workbench ca|", "ca", ["cancel", "cache"]),
        ("%workbench cache |", "", ["clear"]),
    ],
)
def test_through_the_shell_and_alone(front: Any, text: str, fragment: str, first: list[str]) -> None:
    got, names = complete(front, text)
    assert (got, names) == (fragment, first)


def test_other_cells_are_left_alone(front: Any) -> None:
    front.shell.user_ns["banana"] = 1
    assert "banana" in complete(front, "banan|")[1]
    assert "--out" not in complete(front, "%%timeit --o|")[1]
    assert "--out" not in complete(front, "%%vqueryx --o|")[1]


def test_files_for_the_source(front: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "camera.mp4").touch()
    monkeypatch.chdir(tmp_path)
    front.shell.user_ns["camel"] = "x"
    names = complete(front, "%%vquery cam|")[1]
    assert "camera.mp4" in names and "camel" in names


def test_answers_within_50_ms(front: Any) -> None:
    front.shell.user_ns.update({f"name_{number}": number for number in range(5000)})
    long = "%%vquery a.mp4\n" + BODY.replace("taxi.ye", "taxi.age > 3") + "\n" + "    # more\n" * 500 + "    x = taxi.|"
    complete(front, long)
    for text in (long, "%%vquery a.mp4 --l|", "%%vquery name_1|"):
        from types import SimpleNamespace

        source = text.replace("|", "")
        before = source.split("\n")[-1]
        context = SimpleNamespace(
            full_text=source,
            cursor_line=source.count("\n"),
            cursor_position=len(before),
            token=before.split()[-1],
            limit=None,
        )
        (matcher,) = [m for m in front.shell.Completer.custom_matchers if m.matcher_identifier == "workbench"]
        started = time.process_time()
        assert list(matcher(context)["completions"])
        assert time.process_time() - started < 0.05


# -------------------------------------------------------------------------------------------------- tables and columns

FLIGHTS = pd.DataFrame({"carrier": ["AA"], "arr_delay": [1.0], "Ship Mode": ["air"], "month": [1]})
TABLES = NAMES | {"flights": FLIGHTS, "log": pd.DataFrame({"host": ["a"], "latency": [1.0]}), "marks": [0, 1]}


def outliers(text: str, cell: str = "") -> tuple[list[str], str]:
    found, fragment, _ = complete_line(OUTLIERS, text, TABLES, cell or f"%%outliers{text}")
    return [name for name, _ in found], fragment


@pytest.mark.parametrize(
    ("text", "expected", "fragment"),
    [
        (" flights --metric ", ["arr_delay", "month"], ""),
        (" flights --metric arr_delay, mo", ["month"], "mo"),
        (" flights --by car", ["carrier"], "car"),
        (" flights --by carrier,mo", ["month"], "mo"),
        (" flights --by carrier, mo", ["month"], "mo"),
        (" flights --by ", ["carrier", "arr_delay", '"Ship Mode"', "month", "*"], ""),
        (' flights --by "Sh', ['Ship Mode"'], "Sh"),
        (" flights --by=car", ["carrier"], "car"),
        (" {flights} --by car", ["carrier"], "car"),
        (" flights --where carr", ["carrier"], "carr"),
        (" flights --where carrier = 'AA' AND mo", ["month"], "mo"),
        (" flights --labels ma", ["marks"], "ma"),
        (" flights --compare prev", ["prevalence_ratio", "prevalence_difference"], "prev"),
        (" flights --score ", ["mad", "mcd", "zscore", "rcov", "percentile", "seasonal"], ""),
        (" flights --tail h", ["high"], "h"),
        (" flights --by carrier --min-", ["--min-support", "--min-ratio"], "--min-"),
        (" fli", ["flights"], "fli"),
        (" nothing --by car", [], "car"),
    ],
)
def test_columns_of_the_table_that_is_named(text: str, expected: list[str], fragment: str) -> None:
    found, replaced = outliers(text)
    assert found[: len(expected)] == expected and replaced == fragment
    if text.endswith(("car", "mo", "Sh")):
        assert found == expected


def test_columns_of_the_table_in_the_body() -> None:
    assert outliers(" --by ho", "%%outliers --by ho\nSELECT * FROM log")[0] == ["host"]


def in_sql(spec: MagicSpec, text: str, words: tuple[str, ...] = ()) -> list[str]:
    """Complete an SQL body; the cursor stands at `|`."""
    until, _, after = text.partition("|")
    return [name for name, _ in complete_sql(spec, until + after, until, TABLES, words)[0]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT * FROM fl|", ["flights"]),
        ("SELECT * FROM |", ["flights", "log", "DIFF", "SPLIT", "SELECT"]),
        ("SELECT * FROM DIFF (SPLIT lo|", ["log"]),
        ("SELECT carr| FROM flights", ["carrier"]),
        ("SELECT ho| FROM flights", []),
        ("SELECT f.ca| FROM flights f", ["carrier"]),
        ("SELECT f.ca| FROM flights AS f", ["carrier"]),
        ("SELECT log.| FROM log", ["host", "latency"]),
        ('SELECT "Sh| FROM flights', ['Ship Mode"']),
        ("SELECT * FROM DIFF (SPLIT log WHERE latency > 3) ON |", ["host", "latency"]),
        ("SELECT * FROM DIFF (SPLIT log WHERE latency > 3) ON host comp|", ["compare by"]),
        ("SELECT * FROM DIFF (SPLIT log WHERE latency > 3) ON host COMPARE BY glo|", ["global_ratio"]),
        ("SELECT * FROM log ORDER BY ris|", ["risk_ratio"]),
        ("SELECT 'ca| FROM flights", []),
        ("SELECT * -- it's\nFROM fl|", ["flights"]),
        ("SELECT mad_| FROM flights", ["mad_score"]),
        ("SELECT |", []),
    ],
)
def test_the_body_of_diff(text: str, expected: list[str]) -> None:
    assert in_sql(DIFF, text) == expected


def test_the_body_of_outliers_has_no_words_of_diff() -> None:
    assert "COMPARE BY" not in in_sql(OUTLIERS, "SELECT * FROM log WHERE CO|")
    assert in_sql(OUTLIERS, "SELECT carr|", ("flights",)) == ["carrier"]


def test_c44_the_shell_completes_tables_and_columns(front: Any) -> None:
    front.shell.user_ns.update(flights=FLIGHTS, limit=3)
    assert complete(front, "%outliers flights --by Ca|")[1] == ["carrier"]
    assert complete(front, "%%diff\nSELECT * FROM flights WHERE arr_delay > $lim|")[1] == ["limit"]
    assert complete(front, "%%diff\nSELECT carr| FROM flights")[1] == ["carrier"]
    assert complete(front, "%%outliers\nSELECT * FROM fli|")[1] == ["flights"]
