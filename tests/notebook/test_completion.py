"""What is offered on the line and in the body of a magic, and how soon."""

from __future__ import annotations

import time
from typing import Any

import pytest

from workbench.notebook import completion
from workbench.notebook.completion import complete_body, complete_line
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
