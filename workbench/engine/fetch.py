"""Named assets: model weights and sample clips, from the store, a mirror or upstream, checked by their hash."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import uuid
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.onnx_size import symbolic_size
from workbench.engine.store import home, key, store
from workbench.engine.units import format_bytes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Asset", "asset", "assets", "available", "fetch"]

#: bytes per second at which a download is reckoned when the store weighs what to evict
DOWNLOAD_SPEED = 1e6

#: seconds without an answer after which a server is taken to be out of reach
TIMEOUT = 15.0


@dataclass(frozen=True)
class Asset:
    """A named file of the manifest.

    Attributes
    ----------
    name, path : str
        Its name, and where it lies below a mirror.
    bytes : int
    sha256, licence : str
    url : str
        Where it comes from; "" if it is only to be had from a mirror.
    made_from : str
        The asset that it can be made from, "" if it cannot.
    note : str
    """

    name: str
    path: str
    bytes: int
    sha256: str
    licence: str
    url: str = ""
    made_from: str = ""
    note: str = ""

    @property
    def key(self) -> str:
        """Its key in the store."""
        return key("asset", self.name, self.sha256)


def fetch(name: str) -> Path:
    """Return the path of a named asset, fetched if it is not in the store yet.

    Looked up in the store, then in `WORKBENCH_MIRROR` (a folder or the start of a URL), then upstream.

    Parameters
    ----------
    name : str
        One of `assets()`.

    Returns
    -------
    Path
        A file whose sha256 is the manifest's; not to be written to.

    Raises
    ------
    WorkbenchError
        For an unknown name, a wrong hash (nothing is kept), or an asset that cannot be had.
    """
    wanted = asset(name)
    kept = store().get_file(wanted.key)
    if kept is not None:
        return _by_name(wanted, kept)
    mirror = os.environ.get("WORKBENCH_MIRROR", "").strip()
    reasons: list[str] = []
    for origin, place in _places(wanted, mirror):
        try:
            content = _read(place)
        except (OSError, ValueError, ImportError) as error:
            reasons.append(_reason(origin, error))
            continue
        _check(wanted, content, origin)
        # The store may be unable to keep it, but a mirror's own file will do.
        return _keep(wanted, content, None if "://" in place else Path(place))
    if wanted.made_from:
        content = symbolic_size(fetch(wanted.made_from).read_bytes())
        _check(wanted, content, wanted.made_from)
        return _keep(wanted, content, None)
    if not wanted.url:
        reasons.append("it is only in mirrors")
    if not mirror:
        reasons.append("no mirror is set")
    raise WorkbenchError(
        f"{name} cannot be had: {', and '.join(reasons)}.", f"Run workbench fetch {name}, or set WORKBENCH_MIRROR."
    )


def available(name: str) -> bool:
    """Return whether an asset is in the store or in a mirror folder: nothing is asked over the network."""
    wanted = asset(name)
    if store().has(wanted.key):
        return True
    mirror = os.environ.get("WORKBENCH_MIRROR", "").strip()
    if mirror and "://" not in mirror and (Path(mirror).expanduser() / wanted.path).is_file():
        return True
    return bool(wanted.made_from) and available(wanted.made_from)


def asset(name: str) -> Asset:
    """Return the manifest's entry for a name."""
    known = _manifest()
    if name not in known:
        raise WorkbenchError(
            f"No asset is named {name!r}.", suggest(name, known, "workbench fetch --list shows them all.")
        )
    return known[name]


def assets() -> pd.DataFrame:
    """Return the manifest: name, path, bytes, sha256, licence, url."""
    import pandas as pd

    columns = ["name", "path", "bytes", "sha256", "licence", "url"]
    rows = [[getattr(item, column) for column in columns] for item in _manifest().values()]
    return pd.DataFrame(rows, columns=columns)


@functools.cache
def _manifest() -> dict[str, Asset]:
    text = resources.files("workbench.engine").joinpath("manifest.json").read_text(encoding="utf-8")
    return {entry["name"]: Asset(**entry) for entry in json.loads(text)["assets"]}


def _places(wanted: Asset, mirror: str) -> list[tuple[str, str]]:
    """Return (what the reader calls it, path or URL), in the order in which they are tried."""
    places = []
    if mirror:
        joined = f"{mirror.rstrip('/')}/{wanted.path}"
        places.append(("the mirror", joined if "://" in mirror else str(Path(mirror).expanduser() / wanted.path)))
    if wanted.url:
        places.append(("upstream", wanted.url))
    return places


def _read(place: str) -> bytes:
    if "://" not in place:
        return Path(place).read_bytes()
    if place.startswith(("http://", "https://")):
        # The standard library follows the proxy settings of the environment.
        import urllib.request

        with urllib.request.urlopen(place, timeout=TIMEOUT) as answer:
            return answer.read()
    import fsspec

    with fsspec.open(place, "rb") as file:
        return file.read()


def _reason(origin: str, error: Exception) -> str:
    missing = isinstance(error, FileNotFoundError) or getattr(error, "code", None) in (404, 410)
    return f"{origin} does not have it" if missing else f"{origin} does not answer"


def _check(wanted: Asset, content: bytes, origin: str) -> None:
    found = hashlib.sha256(content).hexdigest()
    if found != wanted.sha256:
        raise WorkbenchError(
            f"{wanted.name} from {origin} has the wrong hash; nothing was kept.",
            f"Expected sha256 {wanted.sha256[:16]}..., got {found[:16]}...; get the file anew.",
        )


def _keep(wanted: Asset, content: bytes, otherwise: Path | None) -> Path:
    cost = wanted.bytes / DOWNLOAD_SPEED
    path = store().put_file(wanted.key, content, suffix=Path(wanted.path).suffix, kind="asset", cost_s=cost)
    path = path or otherwise
    if path is None:
        raise WorkbenchError(
            f"{wanted.name} was fetched, but the store could not keep it.",
            f"Make {format_bytes(wanted.bytes)} of room, or set WORKBENCH_HOME to a folder on another disk.",
        )
    return path if path == otherwise else _by_name(wanted, path)


def _by_name(wanted: Asset, path: Path) -> Path:
    """Return a link to a file of the store that bears the asset's name: what people see in tables and messages."""
    link = home() / "assets" / f"{wanted.name}{path.suffix}"
    try:
        if link.is_symlink() and link.readlink() == path:
            return link
        link.parent.mkdir(exist_ok=True)
        fresh = link.with_name(f".{link.name}.{uuid.uuid4().hex}")
        fresh.symlink_to(path)
        fresh.replace(link)
    except OSError:  # no links on this system, or no room: the file itself will do
        return path
    return link
