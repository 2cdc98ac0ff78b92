from __future__ import annotations

from workbench.fusion.cache import Recent


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    kept: Recent[str] = Recent(3)
    for key in "abc":
        kept.put(key, key.upper())
    assert kept.get("a") == "A"
    kept.put("d", "D")
    assert (kept.get("b"), kept.get("a"), kept.get("c"), kept.get("d")) == (None, "A", "C", "D")
    kept.put("a", "anew")
    kept.put("e", "E")
    assert kept.values() == ["anew", "D", "E"] and len(kept) == 3
    kept.clear()
    assert kept.get("a") is None and not kept.values()
