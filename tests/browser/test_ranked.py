"""The ranked table in a plain page: its figures, sorting, keys, drill-down, copying, and questions asked again."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from tests.browser.test_modules import Mount, get, mount, put
from workbench.engine import ranked

__all__ = ["mount"]

COLUMNS = [
    {"name": "rank", "label": "#", "format": "rank"},
    {"name": "explanation", "label": "Explanation", "format": "chips"},
    {"name": "ratio", "label": "Risk ratio", "format": "ratio", "word": "ratio", "linear": False},
    {"name": "support", "label": "Support", "format": "share", "word": "support"},
    {"name": "counts", "label": "Outliers / rows", "format": "count_of"},
]


def row(rank: int, name: str, ratio: Any, support: float, o: float = 5, t: float = 10, same: Any = ()) -> list[Any]:
    low, high = (None, None) if ratio is None else (1.0, "inf") if ratio == "inf" else (ratio / 2, ratio * 2)
    chips = [["dest", name], ["hour", None if rank == 2 else str(rank)]]
    cell = {"chips": chips, "same": list(same)}
    return [rank, cell, {"value": ratio, "low": low, "high": high}, support, [o, t]]


def details(name: str) -> list[dict[str, Any]]:
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" onload="window.taken=1"><rect width="3" height="3" '
        'style="fill:var(--wb-accent,#2b7bd3)"/><script>window.taken=1</script><image href="https://example.com/x.png"/>'
        '<rect style="fill:url(https://example.com/)" onclick="window.taken=1"/><foreignObject/></svg>'
    )
    return [
        {"kind": "svg", "svg": svg, "alt": "spread"},
        {"kind": "table", "columns": ["dest", "delay"], "rows": [[name, 3.14159], [None, 2]], "total": 90},
        {"kind": "code", "language": "sql", "text": f"\"dest\" = '{name}'"},
        {"kind": "code", "language": "pandas", "text": f'(df["dest"] == "{name}")'},
    ]  # fmt: skip


def state(count: int = 3) -> dict[str, Any]:
    names = ["SFO", "<b>x</b>", "JFK", *(f"X{i}" for i in range(count))][:count]
    figures = ["inf", 5.123, 2.0, *([1.5] * count)]
    shares = [0.0321, 0.25, 0.0005, *([0.1] * count)]
    same = [[["name", "San Francisco"]]]
    rows = [
        row(i + 1, names[i], figures[i], shares[i], 1234 + i, 99999.5, same if i == 0 else ()) for i in range(count)
    ]
    rows[-1][0] = count + 4 if count > 3 else count  # ranks that are folded leave gaps
    return {
        "columns": COLUMNS, "rows": rows, "details": {str(i): details(names[i]) for i in range(min(count, 2))},
        "sort": {"column": None, "descending": False}, "selected": None, "page": 10, "total": count,
    }  # fmt: skip


def lines(page: Any) -> list[str]:
    """Return the second column: what each line explains."""
    return [cell.inner_text().splitlines()[0] for cell in page.locator("tr.wb-r-row td:nth-child(2)").all()]


def texts(page: Any) -> list[list[str]]:
    """Return the text of all cells."""
    read = "lines => lines.map(line => [...line.cells].map(cell => cell.innerText.trim()))"
    return page.locator("tr.wb-r-row").evaluate_all(read)


def heading(page: Any, name: str) -> Any:
    return page.get_by_role("columnheader", name=name).get_by_role("button")


def test_figures_are_those_of_the_text_form(mount: Mount) -> None:
    rng = random.Random(3)
    rows = []
    for rank in range(150):
        ratio = rng.choice(["inf", 10 ** rng.uniform(-4, 6), rng.randint(1, 400) / 8, 99.96, 0.9951])
        support = rng.choice([10 ** rng.uniform(-6, 0), rng.randint(1, 64) / 64, 0.9996])
        rows.append(row(rank + 1, f"v{rank}", ratio, support, rng.randint(1, 10**6), rng.randint(1, 10**7) / 8))
    shown = {**state(), "rows": rows, "details": {}, "page": 200}
    page = mount("ranked", copy.deepcopy(shown))
    for index, cells in enumerate(texts(page)):
        _, _, ratio, support, counts = rows[index]
        assert cells[2] == ranked.ratio(ratio)
        assert cells[3] == ranked.share(support)
        assert cells[4] == ranked.counts(counts)


def test_chips_nulls_folds_and_text_that_is_no_markup(mount: Mount) -> None:
    page = mount("ranked", state())
    assert lines(page) == ["dest = SFO ∧ hour = 1", "dest = <b>x</b> ∧ hour = ∅", "dest = JFK ∧ hour = 3"]
    assert page.locator(".wb-r-same").all_inner_texts() == ["same rows: name = San Francisco"]
    assert page.locator(".wb-ranked b b").count() == 0


def test_headings_sort_by_mouse_and_keys(mount: Mount) -> None:
    page = mount("ranked", state())
    heading(page, "Support").click()
    assert [line[7:10] for line in lines(page)] == ["<b>", "SFO", "JFK"]
    assert page.get_by_role("columnheader", name="Support").get_attribute("aria-sort") == "descending"
    assert get(page, "sort") == {"column": "support", "descending": True}
    page.keyboard.press("Enter")  # the heading keeps the focus
    assert [line[7:10] for line in lines(page)] == ["JFK", "SFO", "<b>"]
    heading(page, "Risk ratio").press(" ")
    assert [line[7:10] for line in lines(page)] == ["SFO", "<b>", "JFK"], "infinity is the greatest"
    heading(page, "Explanation").click()
    assert [line[7:10] for line in lines(page)] == ["<b>", "JFK", "SFO"]
    heading(page, "#").click()
    assert [line[7:10] for line in lines(page)] == ["SFO", "<b>", "JFK"]


def test_c41_arrow_keys_move_and_enter_opens_the_drill_down(mount: Mount) -> None:
    page = mount("ranked", state())
    grid = page.get_by_role("grid")
    assert grid.get_attribute("aria-label").startswith("Explanations")
    detail = page.locator(".wb-r-detail")
    assert detail.is_hidden()
    page.locator("tr.wb-r-row").first.focus()
    page.keyboard.press("ArrowDown")
    assert detail.is_hidden()
    page.keyboard.press("Enter")
    assert get(page, "selected") == 1
    assert page.locator("tr[aria-selected='true']").count() == 1
    region = page.get_by_role("region", name="dest = <b>x</b> and hour = ∅")
    assert "<b>x</b>\t3.142" in region.inner_text() and "2 of 90 rows" in region.inner_text()
    page.keyboard.press("ArrowUp")
    assert get(page, "selected") == 0
    page.get_by_role("region", name="dest = SFO and hour = 1").wait_for()
    page.keyboard.press("End")
    assert "Its rows are not stored here: .rows(2) of the result gives them." in detail.inner_text()
    page.keyboard.press("Escape")
    assert detail.is_hidden() and get(page, "selected") is None
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    assert get(page, "selected") == 0
    page.locator("tr.wb-r-row").nth(1).click()
    assert get(page, "selected") == 1
    page.locator("tr.wb-r-row").nth(1).click()
    assert get(page, "selected") is None


def test_the_page_does_not_jump_while_rows_are_walked_through(mount: Mount) -> None:
    page = mount("ranked", state())
    page.locator("tr.wb-r-row").first.click()
    detail = page.locator(".wb-r-detail")
    height = detail.bounding_box()["height"]
    page.locator("tr.wb-r-row").nth(2).click()
    assert detail.bounding_box()["height"] == pytest.approx(height, abs=1)
    put(page, live=True)
    before = page.get_by_role("button", name="✕").bounding_box()
    put(page, live=False)
    assert page.get_by_role("button", name="✕").bounding_box() == before


def test_drawings_come_through_without_what_could_run_or_load(mount: Mount) -> None:
    page = mount("ranked", state())
    page.locator("tr.wb-r-row").first.click()
    drawn = page.locator(".wb-r-detail svg").first
    assert drawn.locator("rect").count() == 2
    assert (
        page.evaluate(
            "document.querySelector('.wb-r-detail svg').outerHTML.match(/script|onload|onclick|http.*example|foreign/)"
        )
        is None
    )
    assert page.evaluate("window.taken") is None


def test_ten_rows_then_all(mount: Mount) -> None:
    page = mount("ranked", state(25))
    assert page.locator("tr.wb-r-row").count() == 10
    page.get_by_role("button", name="Show all 25").press("Enter")
    assert page.locator("tr.wb-r-row").count() == 25
    page.get_by_role("button", name="Show the first 10").click()
    assert page.locator("tr.wb-r-row").count() == 10
    page.evaluate("window.clean()")
    assert mount("ranked", state(10)).get_by_role("button", name="Show").is_hidden()


def test_c42_filters_are_copied(mount: Mount) -> None:
    page = mount("ranked", state())
    page.evaluate("""() => Object.defineProperty(navigator, 'clipboard',
        { value: { writeText: async text => { window.copied = text; } } })""")
    page.locator("tr.wb-r-row").first.click()
    page.get_by_role("button", name="Copy SQL").click()
    page.get_by_text("Copied: \"dest\" = 'SFO'").wait_for()
    assert page.evaluate("window.copied") == "\"dest\" = 'SFO'"
    page.get_by_role("button", name="Copy pandas").press("Enter")
    page.get_by_text('Copied: (df["dest"] == "SFO")').wait_for()
    page.evaluate("() => { navigator.clipboard.writeText = async () => { throw new Error('not allowed'); }; }")
    page.evaluate(
        "document.execCommand = name => { window.asked = [name, document.activeElement.value]; return true; }"
    )
    page.get_by_role("button", name="Copy SQL").click()
    page.get_by_text("Copied: \"dest\" = 'SFO'").wait_for()
    assert page.evaluate("window.asked") == ["copy", "\"dest\" = 'SFO'"]
    assert page.locator("textarea").count() == 0


def test_without_a_kernel_nothing_can_be_asked_again(mount: Mount) -> None:
    page = mount("ranked", state())
    page.locator("tr.wb-r-row").first.click()
    names = page.locator(".wb-r-detail button").all_inner_texts()
    assert names == ["Copy SQL", "Copy pandas", "✕"]


def test_c43_asked_again_and_back(mount: Mount) -> None:
    shown = state(12)
    shown["rows"][1][0] = 5
    page = mount("ranked", {**shown, "live": True, "key": "k1"})
    page.locator("tr.wb-r-row").nth(1).click()
    page.get_by_role("button", name="Exclude and rerun").click()
    assert page.evaluate("window.model.sent") == [{"do": "without", "row": 4, "key": "k1", "id": 1}]
    assert page.get_by_role("status").inner_text() == "Asking again without dest = <b>x</b> and hour = ∅…"
    assert page.get_by_role("button", name="Look within").get_attribute("aria-disabled") == "true"
    page.get_by_role("button", name="Look within").press("Enter")
    assert page.evaluate("window.model.sent.length") == 1, "one at a time"

    answer = [
        {"kind": "summary", "text": "90 rows, 3 outliers"},
        {"kind": "note", "level": "warning", "text": "a note"},
        {"kind": "ranked", "state": {**state(2), "total": 7}},
        {"kind": "svg", "svg": "<svg xmlns='http://www.w3.org/2000/svg'><rect/></svg>"},
    ]
    page.evaluate("answer => window.model.tell('msg:custom', answer)", {"id": 1, "blocks": answer, "key": "k2"})
    assert page.get_by_text("90 rows, 3 outliers").is_visible() and page.get_by_role("note").inner_text() == "a note"
    assert page.locator("tr.wb-r-row").count() == 2 and "2 of 7 explanations" in page.locator(".wb-ranked").inner_text()
    assert page.evaluate("document.activeElement.textContent") == "‹ Back"
    assert get(page, "selected") == 1, "the panel below stays as it was"
    page.locator("tr.wb-r-row").first.click()
    page.get_by_role("button", name="Look within").click()
    assert page.evaluate("window.model.sent[1]") == {"do": "within", "row": 0, "key": "k2", "id": 2}
    error = {"id": 2, "error": ["This answer is no longer in the kernel.", "Run the cell again."]}
    page.evaluate("answer => window.model.tell('msg:custom', answer)", error)
    assert page.get_by_role("status").inner_text() == "This answer is no longer in the kernel. Run the cell again."
    page.get_by_role("button", name="‹ Back").click()
    assert page.locator("tr.wb-r-row").count() == 10
    assert page.evaluate("document.activeElement.dataset.row") == "1"
    page.get_by_role("region", name="dest = <b>x</b> and hour = ∅").wait_for()


def test_details_that_are_not_stored_are_asked_for_once(mount: Mount) -> None:
    page = mount("ranked", {**state(12), "live": True, "key": "k1"})
    page.locator("tr.wb-r-row").nth(4).click()
    page.locator("tr.wb-r-row").nth(5).click()
    assert page.evaluate("window.model.sent") == [
        {"do": "details", "row": 4, "key": "k1", "id": 1}, {"do": "details", "row": 5, "key": "k1", "id": 2}
    ]  # fmt: skip
    detail = page.locator(".wb-r-detail")
    page.evaluate("answer => window.model.tell('msg:custom', answer)", {"id": 1, "details": details("late")})
    assert "late" not in detail.inner_text()
    page.evaluate("answer => window.model.tell('msg:custom', answer)", {"id": 2, "error": ["no"]})
    assert "Its rows are not stored here" in detail.inner_text()
    page.locator("tr.wb-r-row").nth(4).click()
    assert "late\t3.142" in detail.inner_text() and page.get_by_role("button", name="Copy SQL").is_visible()
    assert page.evaluate("window.model.sent.length") == 2


def test_c40_it_grows_in_place(mount: Mount) -> None:
    page = mount("ranked", state())
    heading(page, "Support").click()
    page.locator("tr.wb-r-row").nth(1).click()
    page.locator("tr.wb-r-row").nth(1).focus()
    more = state(5)
    more["rows"][3][3] = 0.9
    put(page, rows=more["rows"], details=more["details"])
    assert page.locator("tr.wb-r-row").count() == 5
    assert lines(page)[0].startswith("dest = X0")
    assert page.get_by_role("columnheader", name="Support").get_attribute("aria-sort") == "descending"
    assert page.locator("tr[aria-selected='true']").get_attribute("data-row") == "0"
    moved = [more["rows"][2], *more["rows"][:2]]
    put(page, rows=moved)
    assert get(page, "selected") == 1, "the choice stays with its explanation"
    assert page.get_by_role("region", name="dest = SFO and hour = 1").is_visible()
    assert page.evaluate("document.activeElement.className") == "wb-r-row"
    put(page, rows=moved[:1])
    assert get(page, "selected") is None and page.locator(".wb-r-detail").is_hidden()


def test_panes_differences_and_missing_figures(mount: Mount) -> None:
    columns = [
        {"name": "rank", "label": "#", "format": "rank"},
        {"name": "explanation", "label": "Explanation", "format": "chips"},
        {"name": "ratio", "label": "Difference", "format": "ratio", "linear": True},
        {"name": "panes", "label": "By pane", "format": "spark"},
        {"name": "since", "label": "Since pane", "format": "number"},
    ]
    rows = [
        [1, [["a", "x"]], {"value": 0.25, "low": -0.1, "high": 0.4}, [1, None, 2.5, 3], 2],
        [2, [["a", "y"]], {"value": 0.5, "low": None, "high": None}, [], None],
    ]
    page = mount("ranked", {"columns": columns, "rows": rows, "page": 10})
    assert texts(page) == [["1", "a = x", "0.25 [-0.1, 0.4]", "", "2"], ["2", "a = y", "0.5", "", ""]]
    assert page.get_by_role("img").get_attribute("aria-label") == "4 panes, last 3.0"
    assert page.locator("polyline").count() == 2
    bars = page.locator(".wb-r-bar i").all()
    widths = [bar.bounding_box()["width"] for bar in bars]
    assert widths[1] == pytest.approx(2 * widths[0], rel=0.02)


def test_nothing_is_a_table_too(mount: Mount) -> None:
    page = mount("ranked", {"columns": [], "rows": []})
    assert page.locator("tr").count() == 0
    assert page.evaluate("window.model.listeners()") > 0
