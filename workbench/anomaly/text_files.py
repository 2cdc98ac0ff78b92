"""What the bytes of a text file say before a reader takes it: whether it is text, its separator, blank lines."""

from __future__ import annotations

import os
import zlib

import numpy as np

from workbench.engine.errors import WorkbenchError

__all__ = ["check_text", "has_blank_line", "separator", "unreadable"]

_LINE_END = ord("\n")


def has_blank_line(file: str) -> bool:
    """Return whether a line of a file is empty, between others or at its end."""
    import gzip

    with gzip.open(file, "rb") if file.lower().endswith(".gz") else open(file, "rb") as lines:
        end = b""
        while block := lines.read(1 << 20):
            text = end + block
            # Line ends are too frequent for a search in text: two of them side by side are found ten times as fast.
            ends = np.frombuffer(text, np.uint8) == _LINE_END
            if (ends[1:] & ends[:-1]).any() or (b"\r" in text and b"\n\r\n" in text):
                return True
            end = text[-2:]
    return False


def check_text(file: str) -> None:
    """Raise for a file that begins with what no CSV in UTF-8 holds, which makes Polars panic."""
    import gzip

    try:
        with gzip.open(file, "rb") if file.lower().endswith(".gz") else open(file, "rb") as stream:
            start = stream.read(1 << 12)
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable(os.path.basename(file), error) from error
    if b"\0" in start:
        what = "it is text in UTF-16" if start[:2] in (b"\xff\xfe", b"\xfe\xff") else "it is no text"
        raise unreadable(os.path.basename(file), ValueError(what))


def separator(file: str) -> str:
    """Return what separates the columns: the comma, unless the first line has none but another usual sign."""
    import gzip

    if ".tsv" in os.path.basename(file).lower():
        return "\t"
    with gzip.open(file, "rb") if file.lower().endswith(".gz") else open(file, "rb") as stream:
        line = stream.readline(1 << 16)
    counts = {sign: line.count(sign.encode()) for sign in (",", ";", "\t", "|")}
    return "," if counts[","] or not any(counts.values()) else max(counts, key=lambda sign: counts[sign])


def unreadable(name: str, error: Exception) -> WorkbenchError:
    """Return the error for a file that a reader failed on."""
    text = str(error).strip().split("\n")[0].rstrip(".")
    return WorkbenchError(f"{name} cannot be read: {text}.", "Check that it is a whole Parquet or CSV file, in UTF-8.")
