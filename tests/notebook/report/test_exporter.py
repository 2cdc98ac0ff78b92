"""A report holds everything, is made twice alike, and leaves the notebook alone."""

from __future__ import annotations

import base64
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest

import workbench as wb
from tests.notebook.report import notebooks as nb
from workbench.engine.errors import WorkbenchError
from workbench.notebook.report import Report

WIDGETS = "application/vnd.jupyter.widget-state+json"
PNG = base64.b64encode(b"\x89PNG\r\n" + bytes(range(256)) * 8).decode()


class Loads(HTMLParser):
    """Gathers what a page would ask of the network."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            loads = name in ("src", "srcset", "poster", "data") or (tag == "link" and name == "href")
            if loads and not (value or "").startswith("data:"):
                self.found.append(f"{tag} {name}={value}")


def loads(page: str) -> list[str]:
    parser = Loads()
    parser.feed(page)
    return parser.found


def block(page: str, name: str) -> Any:
    found = re.search(rf'<script type="application/json" id="{name}">(.*?)</script>', page, re.DOTALL)
    return None if found is None else json.loads(found.group(1))


@pytest.fixture
def rich(tmp_path: Path) -> Path:
    """Return a notebook with one output of each kind."""
    clip = nb.video(b"mp4!" * 300)
    html = f'<div class="wb"><p>1 event</p><figure><div data-wb-view="v0">{clip}</div></figure>'
    html += '<div data-wb-view="v1"><svg></svg></div></div>'
    figure = {"data": [{"type": "scatter", "y": [1, 2]}], "layout": {"title": {"text": "rates <b>"}}}
    cells = [
        nb.text("# Title\n\nWords and $a^2$ ![x](https://example.org/a.png) <script>x()</script>"),
        nb.code(nb.QUERY, [nb.ours(html, [nb.player(), nb.timeline()])], 1),
        nb.code("fig", [nb.display({nb.PLOTLY: figure, "text/html": "<script>plotly</script>"})], 2),
        nb.code("plt.plot()", [nb.display({"image/png": PNG, "text/plain": "<Figure size 2x2>"})], 3),
        nb.code("w", [nb.display({"application/vnd.jupyter.widget-view+json": {"model_id": "1"},
                                  "text/plain": "IntSlider(value=0)"})], 4),
        nb.code("d", [nb.display({"text/html": "<b onclick='x()'>bold</b><script>bad()</script>"})], 7),
        nb.code("m", [nb.display({"text/markdown": "*emphasis*"}), nb.display({"text/latex": "$\\alpha$"})], 8),
        nb.code("j", [nb.display({"application/javascript": "alert('</script>')"})], 9),
        nb.code("print(1)", [nbformat.v4.new_output("stream", name="stdout", text="a <b> \x1b[31mred\x1b[0m\n")], 10),
    ]  # fmt: skip
    return nb.write(
        tmp_path / "rich.ipynb", cells, widgets={"application/vnd.jupyter.widget-state+json": {"state": {}}}
    )


def test_every_output_has_its_form(rich: Path) -> None:
    made = wb.report(rich)
    page = made.path.read_text("utf-8")
    assert made.path == rich.with_suffix(".html")
    assert os.fspath(made) == str(made.path)
    assert made.bytes == len(page.encode())
    assert loads(page) == []
    [views] = block(page, "wb-bundles")
    assert [view["module"] for view in views] == ["player", "timeline"]
    assert views[0]["state"]["asset"] == "a0"
    assert sorted(block(page, "wb-modules")) == ["player", "timeline"]
    assert page.count("bXA0IW1wNCFtcDQh") == 100  # 900 bytes of the clip, once
    [plot] = block(page, "wb-plots")
    assert plot["data"][0]["y"] == [1, 2]
    assert 'aria-label="rates &lt;b&gt;"' in page
    assert PNG in page
    assert "IntSlider(value=0)" in page
    assert "widget-state" not in page
    assert "<b>bold</b>" in page
    assert "<em>emphasis</em>" in page
    assert "$\\alpha$" in page
    assert "a &lt;b&gt;" in page
    assert "uuid" not in page


def test_the_table_of_assets(rich: Path) -> None:
    assets = wb.report(rich).assets
    assert list(assets.columns) == ["kind", "name", "cell", "bytes", "included"]
    assert [str(kind) for kind in assets.dtypes] == ["str", "str", "int64", "int64", "bool"]
    rows = {(row.kind, row.name): row for row in assets.itertuples()}
    assert (rows["clip", "red #1"].cell, rows["clip", "red #1"].bytes) == (1, 1200)
    assert rows["view", "player v0"].cell == 1
    assert rows["plot", "cell 2, output 1"].cell == 2
    assert rows["image", "cell 3, output 1"].bytes == 6 + 2048
    assert rows["script", "runtime.js"].cell == -1
    assert assets["included"].all()


def test_only_our_scripts_run(rich: Path) -> None:
    page = wb.report(rich).path.read_text("utf-8")
    head = page[page.index("<head>") : page.index("<meta", page.index("<head>") + 60)]
    assert "Content-Security-Policy" in head.split(">")[1]
    scripts = re.findall(r"<script([^>]*)>", page)
    running = [attributes for attributes in scripts if "type=" not in attributes]
    assert len(running) == 2  # plotly and the runtime
    assert page.count("'sha256-") == 2
    assert "https://cdn" not in page.split("wb-plots")[0]


def test_warnings_name_the_cell(rich: Path) -> None:
    warnings = wb.report(rich).warnings
    assert "Cell 7 has a script of another library; it is off in the report.\nTurn it on: --trust-outputs" in warnings
    assert any(text.startswith("Cell 1 shows something that is not in the notebook") for text in warnings)


def test_trusted_outputs_keep_their_scripts(rich: Path) -> None:
    page = wb.report(rich, trust_outputs=True).path.read_text("utf-8")
    assert "<script>bad()</script>" in page
    assert page.count("'sha256-") == 5  # ours, the output's, the JavaScript output's, the text cell's


def test_equal_notebooks_give_equal_bytes(rich: Path, tmp_path: Path) -> None:
    before = rich.read_bytes()
    first, second = wb.report(rich, tmp_path / "1.html"), wb.report(rich, tmp_path / "2.html")
    assert first.path.read_bytes() == second.path.read_bytes()
    assert rich.read_bytes() == before


def test_a_notebook_without_ids_is_made_alike_too(tmp_path: Path) -> None:
    old = {"cells": [{"cell_type": "markdown", "metadata": {}, "source": "# x"}], "metadata": {}, "nbformat": 4,
           "nbformat_minor": 4}  # fmt: skip
    (tmp_path / "old.ipynb").write_text(json.dumps(old))
    pages = [wb.report(tmp_path / "old.ipynb").path.read_bytes() for _ in range(2)]
    assert pages[0] == pages[1]
    assert b"cell-id=cell-0" in pages[0]


def test_query_cells_are_coloured(rich: Path) -> None:
    page = wb.report(rich).path.read_text("utf-8")
    assert '<span class="cp">%%vquery</span>' in page
    assert '<span class="na">-o</span>' in page
    assert '<span class="nc">Car</span>' in page
    assert '<span class="k">where</span>' in page


def test_code_can_be_hidden(rich: Path) -> None:
    page = wb.report(rich, hide_code=True).path.read_text("utf-8")
    assert "%%vquery" not in page
    assert "jp-InputPrompt" not in page.split("<main>")[1]
    assert "1 event" in page


def test_the_title(rich: Path) -> None:
    assert "<title>rich</title>" in wb.report(rich).path.read_text("utf-8")
    assert "<title>A &lt;b&gt;</title>" in wb.report(rich, title="A <b>").path.read_text("utf-8")


def test_clips_over_the_limit_are_left_out_by_rank_then_cell(tmp_path: Path) -> None:
    mebibyte = 2**20

    def result(name: str, sizes: list[int]) -> Any:
        poster = "data:image/jpeg;base64,AA=="
        clips = [nb.video(bytes([65 + i]) * (size * mebibyte), f"a{i}", f"{name} #{i + 1}", poster)
                 for i, size in enumerate(sizes)]  # fmt: skip
        html = "".join(f'<div data-wb-view="v{i}">{clip}</div>' for i, clip in enumerate(clips))
        return nb.ours(html, [nb.player(f"v{i}", f"a{i}") for i in range(len(sizes))])

    path = nb.write(
        tmp_path / "big.ipynb", [nb.code("1", [result("red", [2, 3, 1])]), nb.code("2", [result("blue", [4, 1])])]
    )
    made = wb.report(path, limit="8MiB")
    clips = made.assets[made.assets["kind"] == "clip"]
    assert dict(zip(clips["name"], clips["included"], strict=True)) == {
        "red #1": True, "red #2": False, "red #3": True, "blue #1": True, "blue #2": True,
    }  # fmt: skip
    assert made.warnings == [
        "Left out 1 clip (3 MiB) over the limit of 8 MiB; largest: red #2 (3 MiB).\nMore: --limit 16MiB"
    ]
    page = made.path.read_text("utf-8")
    assert [view["id"] for view in block(page, "wb-bundles")[0]] == ["v0", "v2"]
    assert 'alt="Left out: red #2 (3 MiB)."' in page
    assert loads(page) == []


def test_a_clip_that_is_stored_twice_counts_once(tmp_path: Path) -> None:
    clip = nb.video(b"x" * 2**20)
    cells = [nb.code("1", [nb.ours(clip, [nb.player()])]), nb.code("2", [nb.ours(clip, [nb.player()])])]
    made = wb.report(nb.write(tmp_path / "twice.ipynb", cells), limit="1MiB")
    assert made.warnings == []
    assert made.assets.query("kind == 'clip'")["included"].tolist() == [True, True]


def test_a_player_without_clip_and_video_keeps_its_poster(tmp_path: Path) -> None:
    html = '<img data-wb-asset="a0" src="data:image/jpeg;base64,AA==" alt="poster">'
    made = wb.report(nb.write(tmp_path / "gone.ipynb", [nb.code("1", [nb.ours(html, [nb.player(), nb.timeline()])])]))
    assert made.warnings == [
        "Cell 1 has no clip of cam.mp4 and the video is not here; its poster is shown.\n"
        "Run the cell again, or write the report where the video is."
    ]
    assert [view["module"] for view in block(made.path.read_text("utf-8"), "wb-bundles")[0]] == ["timeline"]


def test_a_player_without_clip_gets_one_cut_from_its_video(tmp_path: Path, counted: Path) -> None:
    state = {"source": counted.name, "hits": [{"start": 2.0, "end": 2.4, "label": "car"}]}
    cells = [nb.code("1", [nb.ours("<p>1 event</p>", [nb.player(**state)])])]
    made = wb.report(nb.write(tmp_path / "cut.ipynb", cells))
    assert made.warnings == []
    [[view]] = block(made.path.read_text("utf-8"), "wb-bundles")
    assert view["state"]["offset"] == pytest.approx(1.0)
    assert view["state"]["asset"] == "a0"
    assert made.assets.query("kind == 'clip'")["bytes"].item() > 1000
    assert 'src="data:video/mp4;base64,' in made.path.read_text("utf-8")


def test_other_plots_bring_all_of_plotly(tmp_path: Path) -> None:
    figure = {"data": [{"type": "heatmap", "z": [[1, 2]]}], "layout": {}}
    made = wb.report(nb.write(tmp_path / "heat.ipynb", [nb.code("1", [nb.display({nb.PLOTLY: figure})])]))
    assert made.assets.query("kind == 'script'")["name"].tolist() == ["plotly.min.js", "runtime.js"]


def test_no_plot_brings_no_plotly(tmp_path: Path) -> None:
    made = wb.report(nb.write(tmp_path / "plain.ipynb", [nb.text("# x")]))
    assert made.assets["name"].tolist() == ["runtime.js"]
    assert made.bytes < 400_000


def test_images_beside_the_notebook_are_embedded_and_others_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "plot.png").write_bytes(b"inside")
    (tmp_path / "secret.png").write_bytes(b"outside")
    html = '<img src="plot.png" alt="p"><img src="../secret.png" alt="s">'
    cells = [nb.text("![m](plot.png)"), nb.code("1", [nb.display({"text/html": html})])]
    page = wb.report(nb.write(tmp_path / "in" / "n.ipynb", cells)).path.read_text("utf-8")
    assert page.count(base64.b64encode(b"inside").decode()) == 2
    assert base64.b64encode(b"outside").decode() not in page


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("00_tou.ipynb", "No notebook at {0}/00_tou.ipynb.", "Did you mean 00_tour.ipynb?"),
        ("quite_another", "No notebook at {0}/quite_another.", "Give the path of an .ipynb file."),
        ("broken.ipynb", "{0}/broken.ipynb is not a notebook.", "Give the path of an .ipynb file."),
    ],
)
def test_missing_notebooks(tmp_path: Path, name: str, message: str, hint: str) -> None:
    nb.write(tmp_path / "00_tour.ipynb", [])
    (tmp_path / "broken.ipynb").write_text("{")
    with pytest.raises(WorkbenchError) as caught:
        wb.report(tmp_path / name)
    assert caught.value.lines() == [message.format(tmp_path), hint]


def test_missing_folders(tmp_path: Path) -> None:
    (tmp_path / "reports").mkdir()
    path = nb.write(tmp_path / "n.ipynb", [])
    with pytest.raises(WorkbenchError) as caught:
        wb.report(path, tmp_path / "report" / "n.html")
    assert caught.value.lines() == [f"No folder at {tmp_path}/report.", "Did you mean reports?"]


def test_the_limit_of_the_notebooks_settings_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.notebook import config

    settings = config.Workbench()
    settings.report_limit = "1KiB"
    monkeypatch.setattr(config, "_settings", settings)
    path = nb.write(tmp_path / "n.ipynb", [nb.code("1", [nb.ours(nb.video(b"x" * 2000), [nb.player()])])])
    assert wb.report(path).warnings[0].startswith("Left out 1 clip (1.95 KiB) over the limit of 1 KiB;")
    assert wb.report(path, limit="1MiB").warnings == []


def test_a_bare_number_is_no_limit(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="limit"):
        wb.report(nb.write(tmp_path / "n.ipynb", []), limit="20")


def test_nothing_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = nb.write(tmp_path / "n.ipynb", [])

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(WorkbenchError, match="No space left on device"):
        wb.report(path)
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["n.ipynb"]


def test_repr_is_one_line(tmp_path: Path) -> None:
    made = wb.report(nb.write(tmp_path / "n.ipynb", []))
    assert isinstance(made, Report)
    assert "\n" not in repr(made)
