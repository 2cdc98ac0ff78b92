"""`%%diff`: SQL with DIFF, which says how one set of rows differs from another."""

from __future__ import annotations

from typing import Any

from workbench.notebook.magics import sql
from workbench.notebook.magics.base import Call, MagicSpec

__all__ = ["SPEC"]

EXAMPLE = """%%diff -o late
SELECT * FROM DIFF (SPLIT flights WHERE arr_delay > 180) ON carrier, origin, dest
WITH MIN RATIO 3 MIN SUPPORT 0.01 COMPARE BY risk_ratio(COUNT(*)) MAX COMBO 3
ORDER BY risk_ratio DESC LIMIT 20"""


def run(call: Call) -> Any:
    """Start the script on the notebook's tables."""
    from workbench.anomaly import diffs

    bound = sql.bind(call.body, call.scope)
    return diffs.start_diff(bound.text, bound.tables)


SPEC = MagicSpec(
    name="diff",
    summary="Say what distinguishes two sets of rows, in SQL.",
    call=run,
    example=EXAMPLE,
)
