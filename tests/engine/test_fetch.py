from __future__ import annotations

import functools
import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.engine import fetch as fetch_module
from workbench.engine.errors import WorkbenchError, WorkbenchWarning
from workbench.engine.fetch import Asset, assets, available, fetch
from workbench.engine.store import store

CONTENT = b"weights" * 100
TOY = Asset(
    name="toy",
    path="models/toy.onnx",
    bytes=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
    licence="Apache-2.0",
    url="",
)


@pytest.fixture(autouse=True)
def manifest(monkeypatch: pytest.MonkeyPatch) -> dict[str, Asset]:
    known = {"toy": TOY}
    monkeypatch.setattr(fetch_module, "_manifest", lambda: known)
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    return known


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "mirror"
    (folder / "models").mkdir(parents=True)
    (folder / "models" / "toy.onnx").write_bytes(CONTENT)
    monkeypatch.setenv("WORKBENCH_MIRROR", str(folder))
    return folder


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def server(mirror: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=mirror)) as site:
        thread = threading.Thread(target=site.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{site.server_address[1]}"
        site.shutdown()
        thread.join()


def test_from_a_mirror_folder_then_from_the_store(mirror: Path) -> None:
    assert available("toy")
    path = fetch("toy")
    assert path.read_bytes() == CONTENT
    assert path.suffix == ".onnx"
    assert path.name == "toy.onnx"
    assert store().root in path.resolve().parents
    (mirror / "models" / "toy.onnx").unlink()
    assert available("toy")
    assert fetch("toy") == path
    assert store().entries()["kind"].tolist() == ["asset"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_from_a_mirror_at_a_url(server: str, monkeypatch: pytest.MonkeyPatch, slash: str) -> None:
    monkeypatch.setenv("WORKBENCH_MIRROR", server + slash)
    assert not available("toy")  # nothing is asked over the network
    assert fetch("toy").read_bytes() == CONTENT
    assert available("toy")


def test_from_upstream(server: str, manifest: dict[str, Asset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_MIRROR")
    manifest["toy"] = Asset(**{**_fields(TOY), "url": f"{server}/models/toy.onnx"})
    assert fetch("toy").read_bytes() == CONTENT


def test_upstream_where_the_mirror_lacks_it(
    server: str, mirror: Path, manifest: dict[str, Asset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest["toy"] = Asset(**{**_fields(TOY), "url": f"{server}/models/toy.onnx"})
    monkeypatch.setenv("WORKBENCH_MIRROR", str(tmp_path / "empty"))
    assert fetch("toy").read_bytes() == CONTENT


def test_a_wrong_hash_is_an_error_and_nothing_is_kept(mirror: Path) -> None:
    wrong = b"other" * 100
    (mirror / "models" / "toy.onnx").write_bytes(wrong)
    with pytest.raises(WorkbenchError) as caught:
        fetch("toy")
    assert caught.value.lines() == [
        "toy from the mirror has the wrong hash; nothing was kept.",
        f"Expected sha256 {TOY.sha256[:16]}..., got {hashlib.sha256(wrong).hexdigest()[:16]}...; get the file anew.",
    ]
    assert len(store().entries()) == 0
    assert not store().has(TOY.key)


def test_no_network_and_no_mirror(manifest: dict[str, Asset]) -> None:
    manifest["toy"] = Asset(**{**_fields(TOY), "url": "http://127.0.0.1:9/toy.onnx"})  # the discard port: refused
    with pytest.raises(WorkbenchError) as caught:
        fetch("toy")
    assert caught.value.lines() == [
        "toy cannot be had: upstream does not answer, and no mirror is set.",
        "Run workbench fetch toy, or set WORKBENCH_MIRROR.",
    ]


def test_not_in_the_mirror_and_none_upstream(mirror: Path) -> None:
    (mirror / "models" / "toy.onnx").unlink()
    assert not available("toy")
    with pytest.raises(
        WorkbenchError, match=r"toy cannot be had: the mirror does not have it, and it is only in mirrors\."
    ) as caught:
        fetch("toy")
    assert caught.value.hint == "Run workbench fetch toy, or set WORKBENCH_MIRROR."


def test_only_to_be_had_from_a_mirror() -> None:
    assert not available("toy")
    with pytest.raises(WorkbenchError, match="toy cannot be had: it is only in mirrors, and no mirror is set"):
        fetch("toy")


def test_gone_upstream(server: str, manifest: dict[str, Asset], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_MIRROR")
    manifest["toy"] = Asset(**{**_fields(TOY), "url": f"{server}/nothing"})
    with pytest.raises(WorkbenchError, match="upstream does not have it"):
        fetch("toy")


def test_a_store_that_cannot_keep_it_leaves_the_file_of_the_mirror(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "file"))
    with pytest.warns(WorkbenchWarning, match="cannot be written"):
        assert fetch("toy") == mirror / "models" / "toy.onnx"


def test_an_unknown_name() -> None:
    with pytest.raises(WorkbenchError) as caught:
        fetch("toi")
    assert caught.value.lines() == ["No asset is named 'toi'.", "Did you mean 'toy'?"]
    with pytest.raises(WorkbenchError, match="workbench fetch --list"):
        available("zzzzzz")


def test_a_derived_asset_is_made_where_it_is_not_to_be_had(
    mirror: Path, manifest: dict[str, Asset], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = CONTENT[::-1]
    monkeypatch.setattr(fetch_module, "symbolic_size", lambda content: content[::-1])
    manifest["made"] = Asset(
        name="made",
        path="models/made.onnx",
        bytes=len(made),
        sha256=hashlib.sha256(made).hexdigest(),
        licence="Apache-2.0",
        made_from="toy",
    )
    assert available("made")
    assert fetch("made").read_bytes() == made
    (mirror / "models" / "toy.onnx").unlink()
    store().clear()
    assert not available("made")
    with pytest.raises(WorkbenchError, match="toy cannot be had"):
        fetch("made")


def test_the_manifest_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    table = assets()
    assert list(table.columns) == ["name", "path", "bytes", "sha256", "licence", "url"]
    assert {"yolox-nano", "yolox-nano-dynamic", "car-detection", "pedestrians"} <= set(table["name"])
    assert table["sha256"].str.fullmatch("[0-9a-f]{64}").all()
    assert (table["bytes"] > 0).all()
    assert table["licence"].str.len().gt(0).all()
    with_url = table[table["url"] != ""]
    assert with_url["url"].str.fullmatch(r"https://raw\.githubusercontent\.com/[^/]+/[^/]+/[0-9a-f]{40}/.+").all()


def _fields(asset: Asset) -> dict[str, object]:
    return {name: getattr(asset, name) for name in asset.__dataclass_fields__}
