"""The command line does what the Python functions do, and its exit codes say how it went."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.notebook.report import notebooks as nb
from workbench import cli, doctor
from workbench.engine.store import key, store


def test_wrong_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], ["nonsense"], ["report"], ["report", "n.ipynb", "--execut"], ["cache", "--json", "--", "x"],
                  ["demo", "--timeout", "-1"], ["report", "n.ipynb", "-p", "name"]):  # fmt: skip
        assert cli.main(words) == 2, words
    assert "Traceback" not in capsys.readouterr().err


def test_help_and_version_are_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("workbench 0.")
    for command in ("demo", "lab", "report", "doctor", "fetch", "cache"):
        assert command in shown
        assert cli.main([command, "--help"]) == 0
    assert "[-- JUPYTERLAB ARGUMENTS]" in capsys.readouterr().out


def test_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = nb.write(tmp_path / "n.ipynb", [nb.code("x", [nb.display({"text/html": "<script>x</script>"})])])
    assert cli.main(["report", str(path), "-o", str(tmp_path / "out.html"), "--title", "T", "--hide-code"]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"{tmp_path}/out.html (")
    assert told.err.splitlines() == [
        "Cell 1 has a script of another library; it is off in the report.", "Turn it on: --trust-outputs",
    ]  # fmt: skip
    assert "<title>T</title>" in (tmp_path / "out.html").read_text("utf-8")


def test_the_program_writes_a_report_without_loading_what_it_does_not_need(tmp_path: Path) -> None:
    path = nb.write(tmp_path / "n.ipynb", [nb.code("1 + 1")])
    program = f"import sys; sys.argv[1:] = ['report', {str(path)!r}]; from workbench.cli import main; code = main(); "
    program += "print([name for name in ('pandas', 'lark', 'dask', 'torch') if name in sys.modules]); sys.exit(code)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert path.with_suffix(".html").is_file()


def test_errors_are_two_lines_and_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nb.write(tmp_path / "00_tour.ipynb", [])
    assert cli.main(["report", str(tmp_path / "00_tou.ipynb")]) == 1
    assert capsys.readouterr().err == f"No notebook at {tmp_path}/00_tou.ipynb.\nDid you mean 00_tour.ipynb?\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("1.5", 1.5), ('"a b"', "a b"), ("a b", "a b"), ("[1, 2]", [1, 2]), ('{"a": null}', {"a": None}),
        ("true", True), ("True", True), ("False", False), ("None", None), ("null", None), ("NaN", "NaN"), ("", ""),
        ("-1", -1), ("01", "01"),
    ],
)  # fmt: skip
def test_values_of_parameters(text: str, value: object) -> None:
    got = cli.parameter(text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.slow
def test_parameters_run_the_notebook(tmp_path: Path) -> None:
    path = nb.write(tmp_path / "n.ipynb", [nb.code("a = 0; b = ''", tags=["parameters"]), nb.code("print(b * a)")])
    assert cli.main(["report", str(path), "-p", "a", "3", "-p", "b", "x"]) == 0
    assert "xxx" in path.with_suffix(".html").read_text("utf-8")


def test_cache(capsys: pytest.CaptureFixture[str]) -> None:
    store().put_json(key("one"), {"a": 1}, kind="sample", cost_s=2.0)
    assert cli.main(["cache"]) == 0
    shown = capsys.readouterr().out
    assert "sample" in shown
    assert "1 artefact, " in shown
    assert cli.main(["cache", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["kind"] for entry in listed["entries"]] == ["sample"]
    assert listed["bytes"] == listed["entries"][0]["bytes"] > 0
    assert cli.main(["cache", "--clear"]) == 0
    assert "1 artefact, " in capsys.readouterr().out
    assert cli.main(["cache"]) == 0
    assert capsys.readouterr().out.startswith("0 artefacts, 0 B, in ")


def test_fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    assert cli.main(["fetch", "--list"]) == 0
    assert "yolox-nano" in capsys.readouterr().out
    assert cli.main(["fetch", "yolox-nan"]) == 1
    assert "Did you mean" in capsys.readouterr().err


def test_fetch_without_a_network_does_not_advise_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", refused)
    assert cli.main(["fetch", "yolox-nano"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "yolox-nano cannot be had: upstream does not answer, and no mirror is set.",
        "Try again with a network, or set WORKBENCH_MIRROR to what holds models/yolox_nano_416.onnx.",
    ]


def test_fetch_with_a_wrong_hash_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from workbench.engine.fetch import asset, available

    wrong = tmp_path / asset("fastestdet").path
    wrong.parent.mkdir(parents=True)
    wrong.write_bytes(b"not the model")
    monkeypatch.setenv("WORKBENCH_MIRROR", str(tmp_path))
    assert cli.main(["fetch", "fastestdet"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
    wrong.unlink()
    assert not available("fastestdet")


def test_doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [doctor.Row("a", True, True, "1"), doctor.Row("b", False, False, "no b")]
    monkeypatch.setattr(doctor, "rows", lambda: rows)
    assert cli.main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "ok": True,
        "rows": [{"name": "a", "found": True, "required": True, "detail": "1"},
                 {"name": "b", "found": False, "required": False, "detail": "no b"}],
    }  # fmt: skip
    assert cli.main(["doctor"]) == 0
    assert capsys.readouterr().out.endswith("\nNothing that is required is missing.\n")
    rows.append(doctor.Row("c", False, True, "missing.\npip install c"))
    assert cli.main(["doctor"]) == 1
    told = capsys.readouterr()
    assert "NO" in told.out
    assert told.out.endswith("\n1 required part is missing.\n")
    assert told.err == "c: missing.\npip install c\n"


def test_lab_hands_its_arguments_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda path, words: called.append(words))
    monkeypatch.setattr("subprocess.call", lambda words: 0)
    cli.main(["lab", str(tmp_path), "--port", "9000", "--no-browser", "--", "--ServerApp.token=x", "-y"])
    assert called == [
        [
            sys.executable,
            "-m",
            "jupyterlab",
            str(tmp_path),
            "--port",
            "9000",
            "--no-browser",
            "--ServerApp.token=x",
            "-y",
        ]
    ]
    assert cli.main(["lab", str(tmp_path / "nowhere")]) == 1


def test_sections_are_headings_and_what_follows(capsys: pytest.CaptureFixture[str]) -> None:
    cells = [
        nb.text("# Tour\nwords"),
        nb.code("1"),
        nb.text("no heading"),
        nb.code("2"),
        nb.text("## Two"),
        nb.code("3"),
    ]
    sections = cli.Sections(cells)
    for index in range(len(cells)):
        sections.reach(index)
    sections.end()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["Tour", "Two"]
    assert all(line.endswith(" s") for line in lines)


def test_the_tour_is_the_clones_own() -> None:
    assert cli.tour() == Path(__file__).parents[1] / "notebooks" / "00_tour.ipynb"


def test_python_m_workbench_is_the_same_program() -> None:
    made = subprocess.run([sys.executable, "-m", "workbench", "--version"], capture_output=True, text=True, check=True)
    assert made.stdout.startswith("workbench 0.")


@pytest.mark.slow
def test_demo_runs_the_tour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "notebooks"
    folder.mkdir()
    tour = nb.write(
        folder / "00_tour.ipynb", [nb.text("# One"), nb.code("print('ran')"), nb.text("# Two"), nb.code("2")]
    )
    monkeypatch.setattr(cli, "tour", lambda: tour)
    assert cli.main(["demo", "-o", str(tmp_path / "tour.html")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[:2]] == ["One", "Two"]
    assert lines[2].startswith(f"{tmp_path}/tour.html (")
    assert "ran" in (tmp_path / "tour.html").read_text("utf-8")
    nb.write(tour, [nb.text("# One"), nb.code("raise ValueError('x')")])
    assert cli.main(["demo", "-o", str(tmp_path / "other.html")]) == 1
    assert not (tmp_path / "other.html").exists()
