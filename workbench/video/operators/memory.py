"""Values of properties kept from one evaluation to the next, for as long as the process lives.

An edited condition over the same tracks then calls no function again. Kept are properties without crops (those with
crops are kept by what the crops show) whose function, and those of all properties they need, have a fingerprint.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict

import numpy as np

from workbench.video.language.tree import CompiledQuery, ObjectType, UserProperty
from workbench.video.operators.columns import AskedColumn, PropertyColumns
from workbench.video.operators.evaluate import Evaluation
from workbench.video.operators.properties import reads_pixels
from workbench.video.tracks import Tracks

__all__ = ["ColumnMemory", "tracks_digest"]


def tracks_digest(tracks: Tracks) -> str:
    """Return a hash of all that a property can see of tracks."""
    digest = hashlib.blake2b(repr((tracks.width, tracks.height, tracks.labels)).encode(), digest_size=20)
    parts = (tracks.frames.time, tracks.id, tracks.frame, tracks.label, tracks.score, tracks.box, tracks.interpolated)
    for part in parts:
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


class ColumnMemory:
    """The columns of recent evaluations, by tracks and by what the properties do.

    Parameters
    ----------
    most : int
        Columns kept; those not used for longest go first.
    """

    def __init__(self, most: int = 32) -> None:
        self.most = most
        self._kept: OrderedDict[tuple[str, str], AskedColumn] = OrderedDict()
        self._lock = threading.Lock()

    def columns(self, query: CompiledQuery, tracks: Tracks) -> PropertyColumns:
        """Return the columns to evaluate a query with: what is known of its properties, ready to be filled further."""
        columns = PropertyColumns(len(tracks))
        wanted = _identities(query)
        if not wanted or not len(tracks):
            return columns
        digest = tracks_digest(tracks)
        with self._lock:
            for (type_name, name), identity in wanted.items():
                kept = self._kept.get((digest, identity))
                if kept is not None:
                    self._kept.move_to_end((digest, identity))
                    columns.adopt(type_name, name, kept.copy())
        return columns

    def keep(self, query: CompiledQuery, evaluation: Evaluation) -> None:
        """Keep the columns of an evaluation; take them after its tables were made.

        A property that failed somewhere is not kept, nor what needs it, so that every answer lists its failures.
        """
        properties = evaluation.properties
        failed = set(properties.errors()["property"])
        wanted = _identities(query, failed)
        if not wanted or not len(properties.tracks):
            return
        digest = tracks_digest(properties.tracks)
        with self._lock:
            for (type_name, name), identity in wanted.items():
                column = properties.columns.get(type_name, name)
                if column.asked.any():
                    self._kept[digest, identity] = column.copy()
                    self._kept.move_to_end((digest, identity))
            while len(self._kept) > self.most:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._kept.clear()


def _identities(query: CompiledQuery, failed: set[str] | frozenset[str] = frozenset()) -> dict[tuple[str, str], str]:
    """Return for (type, property) of a query's types what tells one version of it from another, where that is known."""
    return {
        (kind.name, own.name): identity
        for kind in query.types().values()
        for own in kind.properties
        if not reads_pixels(kind, own.name) and (identity := _identity(query, kind, own, failed, ())) is not None
    }


def _identity(
    query: CompiledQuery, kind: ObjectType, own: UserProperty, failed: set[str] | frozenset[str], above: tuple[str, ...]
) -> str | None:
    if own.fingerprint is None or own.name in failed or "crossed_to" in own.arguments:
        return None
    parts = [own.name, own.fingerprint, repr((own.window, own.once, own.batch, own.partial))]
    for argument in own.arguments:
        needed = kind.property(argument)
        if needed is None:
            parts.append(f"{argument} {query.scale}" if argument == "speed" else argument)
        elif argument not in (*above, own.name):
            identity = _identity(query, kind, needed, failed, (*above, own.name))
            if identity is None:
                return None
            parts.append(identity)
    # what a type stands for decides which rows can be asked, not what is found there
    return hashlib.blake2b(repr(parts).encode(), digest_size=20).hexdigest()
