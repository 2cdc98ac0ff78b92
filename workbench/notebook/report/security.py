"""What makes a report safe and offline: foreign HTML is made inert, inline scripts are hashed, nothing is loaded."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from html import escape
from html.parser import HTMLParser
from typing import Any

__all__ = ["Inert", "data_script", "inline_script", "make_inert", "policy", "script_hash"]

#: elements that load what their attribute names as soon as they are parsed
_LOADING = {
    "audio": ("src",), "body": ("background",), "embed": ("src",), "feimage": ("href", "xlink:href"), "frame": ("src",),
    "iframe": ("src", "srcdoc"), "image": ("href", "xlink:href"), "img": ("src", "srcset", "longdesc"),
    "input": ("src",), "object": ("data", "codebase"), "portal": ("src",), "script": ("src",),
    "source": ("src", "srcset"),
    "table": ("background",), "td": ("background",), "th": ("background",), "track": ("src",),
    "use": ("href", "xlink:href"), "video": ("src", "poster"),
}  # fmt: skip
#: elements that are nothing in a single offline page
_DROPPED = frozenset({"base", "link"})
_FRAMES = frozenset({"iframe", "frame", "embed", "object", "portal"})
_SCRIPTS = ("javascript", "ecmascript", "x-javascript", "jscript")
_JAVASCRIPT = {"", "module", "importmap", *(f"{kind}/{name}" for kind in ("text", "application") for name in _SCRIPTS)}
_URL = re.compile(r"""url\(\s*(?P<quote>["']?)(?!\s*(?:data:|blob:|\#))[^)]*\)""", re.IGNORECASE)
_IMPORT = re.compile(r"@import[^;]*(;|$)", re.IGNORECASE)
_WITHIN = re.compile(r"\s*(data:|blob:|#|$)", re.IGNORECASE)


class Inert(HTMLParser):
    """Copies HTML word for word, but for what would run or load something.

    Parameters
    ----------
    trust : bool
        Keep inline scripts; their hashes are gathered in `hashes`.
    embed : callable, optional
        `embed(src) -> str | None`: a data URI for a relative path, None if there is no such file.

    Attributes
    ----------
    scripts : int
        Inline or external scripts that were switched off.
    outside : list of str
        What the HTML wanted to load from elsewhere.
    hashes : list of str
        CSP sources of the scripts kept.
    """

    def __init__(self, *, trust: bool = False, embed: Callable[[str], str | None] | None = None) -> None:
        super().__init__(convert_charrefs=False)
        self.trust, self.embed = trust, embed
        self.scripts, self.outside, self.hashes = 0, list[str](), list[str]()
        self._parts: list[str] = []
        self._script: list[str] | None = None
        self._style = False

    def text(self) -> str:
        """Return the inert HTML."""
        return "".join(self._parts)

    # ----------------------------------------------------------------------------------------- what the parser reports

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _DROPPED or (tag == "meta" and any(name == "http-equiv" for name, _ in attrs)):
            return
        kept, changed = self._attributes(tag, attrs)
        if tag == "script":
            kept, changed = self._start_script(kept), True
        self._style = tag == "style"
        original = self.get_starttag_text() or ""
        self._parts.append(_tag(tag, kept, original.rstrip().endswith("/>")) if changed else original)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag in ("script", "style"):
            # HTML knows no self-closing script: what follows would be its text.
            self.handle_endtag(tag)
            self._parts.append(f"</{tag}>")

    def handle_endtag(self, tag: str) -> None:
        if tag in _DROPPED:
            return
        if tag == "script" and self._script is not None:
            self.hashes.append(script_hash("".join(self._script)))
            self._script = None
        self._style = False
        self._parts.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self._script.append(data)
        self._parts.append(self._offline(data) if self._style else data)

    def handle_entityref(self, name: str) -> None:
        self._parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self._parts.append(f"&#{name};")

    # Comments, declarations and processing instructions show nothing, and browsers disagree on where they end.
    def handle_comment(self, data: str) -> None:
        return

    def handle_decl(self, decl: str) -> None:
        return

    def unknown_decl(self, data: str) -> None:
        return

    def handle_pi(self, data: str) -> None:
        return

    # ------------------------------------------------------------------------------------------------------- decisions

    def _attributes(self, tag: str, attrs: list[tuple[str, str | None]]) -> tuple[list[tuple[str, str | None]], bool]:
        kept: list[tuple[str, str | None]] = []
        for name, value in attrs:
            text = value or ""
            if name.startswith("on"):
                self.scripts += 1
            elif name in _LOADING.get(tag, ()) and (not _WITHIN.match(text) or name == "srcdoc"):
                inner = self.embed(text) if self.embed is not None and tag in ("img", "image") else None
                if inner is not None:
                    kept.append((name, inner))
                else:
                    self.outside.append("a frame" if tag in _FRAMES else text)
                    kept.append((f"data-was-{name.replace(':', '-')}", text))
            elif tag in _FRAMES and name in _LOADING[tag]:
                self.outside.append("a frame")  # a data: page is still a page of its own
            elif name in ("href", "xlink:href", "action", "formaction") and _scheme(text) in ("javascript", "vbscript"):
                self.scripts += 1
            elif name == "style":
                kept.append((name, self._offline(text)))
            elif name not in ("ping", "srcdoc"):
                kept.append((name, value))
        return kept, kept != attrs

    def _start_script(self, attrs: list[tuple[str, str | None]]) -> list[tuple[str, str | None]]:
        kind = next((value or "" for name, value in attrs if name == "type"), "").strip().lower()
        if kind.split(";")[0] not in _JAVASCRIPT:
            return attrs  # a block of data
        outside = any(name in ("src", "data-was-src") for name, _ in attrs)
        if self.trust and not outside:
            self._script = []
            return attrs
        self.scripts += 1
        return [("type", "text/plain"), *((name, value) for name, value in attrs if name not in ("type", "src"))]

    def _offline(self, css: str) -> str:
        found = _URL.findall(css) or _IMPORT.findall(css)
        if not found:
            return css
        self.outside.append("a style sheet")
        return _URL.sub("none", _IMPORT.sub("", css))


def make_inert(html: str, *, trust: bool = False, embed: Callable[[str], str | None] | None = None) -> Inert:
    """Return the parser after it has read all of `html`; its `text()` is what may go into the page."""
    parser = Inert(trust=trust, embed=embed)
    parser.feed(html)
    parser.close()
    return parser


def script_hash(text: str) -> str:
    """Return the CSP source of an inline script's text."""
    # The page's parser makes every line end a line feed before it hashes.
    content = text.replace("\r\n", "\n").replace("\r", "\n").encode()
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"


def inline_script(source: str) -> tuple[str, str]:
    """Return a `<script>` element with this source, and its CSP source; `</script` inside cannot end it."""
    safe = re.sub(r"<(/script|!--)", r"\\x3C\1", source, flags=re.IGNORECASE)
    return f"<script>{safe}</script>", script_hash(safe)


def data_script(identifier: str, value: Any) -> str:
    """Return a block of JSON that no browser runs and no content can break out of."""
    # Written once more where it holds NaN or infinity, which JavaScript's parser refuses.
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        finite = json.loads(json.dumps(value), parse_constant=lambda _: None)
        text = json.dumps(finite, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    for letter, code in (("<", "\\u003c"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029")):
        text = text.replace(letter, code)
    return f'<script type="application/json" id="{escape(identifier)}">{text}</script>'


def policy(hashes: Iterable[str]) -> str:
    """Return the `<meta>` element that lets only these inline scripts run and nothing be loaded."""
    rules = (
        "default-src 'none'",
        " ".join(["script-src", *sorted(set(hashes)), "blob:"]),
        "style-src 'unsafe-inline'",
        "img-src data: blob:",
        "media-src data: blob:",
        "font-src data:",
        "connect-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
    # The rules hold single quotes and base64 only, so they stand in double quotes as they are.
    return f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}">'


def _scheme(url: str) -> str:
    # Browsers skip control characters and blanks inside a scheme.
    return re.sub(r"[\x00-\x20]+", "", url).partition(":")[0].lower()


def _tag(tag: str, attrs: Iterable[tuple[str, str | None]], closed: bool) -> str:
    words = [tag, *(name if value is None else f'{name}="{escape(value)}"' for name, value in attrs)]
    return f"<{' '.join(words)}{' /' if closed else ''}>"
