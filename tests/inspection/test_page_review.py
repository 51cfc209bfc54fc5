# SPDX-License-Identifier: BSD-3-Clause
"""Decisions in a report, in a real browser: marked, undone, kept, saved and loaded."""

import csv
import io

import pytest
from _reports import NAMES, ranked, shown, write


def marks(page):
    """Decisions by name, as the page shows them."""
    pressed = page.locator(".card [aria-pressed='true']")
    names = "button => button.closest('.card').dataset.name"
    return {one.evaluate(names): one.get_attribute("data-mark") for one in pressed.all()}


def save(page):
    """Rows of the file that the button saves."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Save decisions").click()
    assert download.value.suggested_filename == "decisions.csv"
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(io.StringIO(file.read())))


def load(page, text, name="decisions.csv"):
    file = {"name": name, "mimeType": "text/csv", "buffer": text.encode("utf-8-sig")}
    page.evaluate("document.getElementById('told').textContent = ''")
    page.locator("#file").set_input_files(file)
    told = page.locator("#told").filter(has_text=name)
    told.wait_for()
    return told.inner_text()


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def focused(page):
    return page.evaluate("document.activeElement.closest('.card')?.dataset.name")


@pytest.fixture
def page(address, open_page):
    page = open_page(address)
    page.locator(".card .open").first.focus()
    return page


def test_keys_mark_and_go_on(page):
    press(page, "d", "n", "u")
    names = ranked(0, 1, 2, 3)
    assert marks(page) == dict(zip(names, ["defect", "normal", "unsure"], strict=False))
    assert focused(page) == names[3]
    assert page.locator("#progress").inner_text() == "3 of 3 anomalous reviewed"
    press(page, "n")
    assert page.locator("#progress").inner_text() == "3 of 3 anomalous reviewed, and 1 other"


def test_keys_undo_one_by_one(page):
    press(page, "d", "Home", "n", "z")
    assert marks(page) == {ranked(0)[0]: "defect"}
    assert focused(page) == ranked(0)[0]
    press(page, "z", "z")
    assert marks(page) == {}
    assert page.get_by_role("button", name="Undo").get_attribute("aria-disabled") == "true"


def test_buttons_mark_and_take_back(page):
    second = page.locator(".card").nth(1)
    second.get_by_role("button", name="unsure").click()
    assert marks(page) == {ranked(1)[0]: "unsure"}
    second.get_by_role("button", name="normal").click()
    assert marks(page) == {ranked(1)[0]: "normal"}
    second.get_by_role("button", name="normal").click()
    assert marks(page) == {}


def test_keys_mean_nothing_in_fields(page):
    page.get_by_label("Name contains").press_sequentially("dnuz")
    assert marks(page) == {}
    page.get_by_label("Name contains").fill("")
    press(page, "Tab", "n")
    page.locator("h1").click()
    press(page, "d")
    page.locator(".card .open").first.focus()
    press(page, "Control+d")
    assert marks(page) == {}


def test_marks_in_the_viewer(page):
    press(page, "Enter", "d")
    viewer = page.get_by_role("dialog")
    heading = viewer.get_by_role("heading", level=2)
    assert heading.inner_text() == ranked(1)[0]
    viewer.get_by_role("button", name="normal").click()
    assert marks(page) == dict(zip(ranked(0, 1), ["defect", "normal"], strict=True))
    pressed = viewer.locator("[data-mark][aria-pressed='true']")
    assert pressed.inner_text() == "normal"
    press(page, "ArrowLeft")
    assert pressed.inner_text() == "defect"
    press(page, "z", "z")
    assert heading.inner_text() == ranked(0)[0]
    assert pressed.count() == 0
    assert marks(page) == {}


def test_marks_survive_a_reload_and_are_those_of_one_report(page, small_model, tmp_path):
    press(page, "d", "u")
    expected = dict(zip(ranked(0, 1), ["defect", "unsure"], strict=True))
    page.reload()
    assert marks(page) == expected
    address = page.url
    page.goto(write(tmp_path / "other.html", small_model, [2.0, 1.0], ["a.png", "b.png"]))
    assert marks(page) == {}
    page.goto(address)
    assert marks(page) == expected


def test_windows_of_one_report_agree(page):
    other = page.context.new_page()
    other.goto(page.url)
    press(page, "d")
    other.locator(".card [aria-pressed='true']").wait_for()
    assert marks(other) == {ranked(0)[0]: "defect"}


def test_damaged_marks_are_none(page):
    key = page.evaluate("`skpatch ${document.getElementById('gallery').dataset.digest}`")
    for kept in ("{", "null", '{"1": "perhaps", "99": "defect", "2": "normal"}'):
        page.evaluate("([key, kept]) => localStorage.setItem(key, kept)", [key, kept])
        page.reload()
        expected = {ranked(1)[0]: "normal"} if "normal" in kept else {}
        assert marks(page) == expected


def test_what_is_saved_is_what_was_clicked(page):
    press(page, "d", "n", "End", "u", "Home", "u")
    guarded = NAMES[2].replace("=", "'=").replace("\u202e", r"\u202e")
    assert save(page) == [
        {"image": ranked(0)[0], "decision": "unsure", "score": "2.5", "rank": "1"},
        {"image": ranked(1)[0], "decision": "normal", "score": "1.5", "rank": "2"},
        {"image": guarded, "decision": "unsure", "score": "0.25", "rank": "6"},
    ]


def test_what_was_saved_is_loaded(page):
    press(page, "d", "n", "u", "n", "u", "d")
    expected = marks(page)
    assert len(expected) == 6
    text = "image,decision,score,rank\r\n" + "".join(
        ",".join(f'"{value}"'.replace('d"', 'd"') for value in row.values()) + "\r\n"
        for row in [{k: v.replace('"', '""') for k, v in row.items()} for row in save(page)]
    )
    press(page, *"zzzzzz")
    assert marks(page) == {}
    assert load(page, text) == "6 decisions loaded from decisions.csv."
    assert marks(page) == expected
    press(page, "z")
    assert marks(page) == {}


def test_files_that_are_not_this_reports(page):
    told = load(page, "image;decision\nimage 9.png;defect\nnone.png;normal\nimage 10.png;bad\n")
    assert told.startswith("1 decision loaded from decisions.csv; 2 left out, of images that")
    assert marks(page) == {"image 9.png": "defect"}
    table = "image,score,decision\nphotos/new/image 9.png,1.5,unsure\nphotos/image 10.png,0.5,\n"
    assert load(page, table) == "1 decision loaded from decisions.csv."
    assert marks(page) == {"image 9.png": "unsure"}
    told = load(page, "a,b\n1,2\n", "table.csv")
    assert told.startswith("table.csv is no file of decisions: it has no columns")


def test_filter_by_mark_and_csv_agree(page):
    press(page, "d", "d", "n")
    page.get_by_label("Marked").select_option("defect")
    assert shown(page) == ranked(0, 1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save ranking").click()
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(io.StringIO(file.read())))
    assert [row["image"] for row in rows] == shown(page)
    assert [row["decision"] for row in rows] == ["defect", "defect"]
    page.get_by_label("Marked").select_option("none")
    assert shown(page) == ranked(3, 4, 5)
    page.locator(".card:visible .open").first.focus()
    press(page, "u")
    assert shown(page) == ranked(4, 5)
    assert focused(page) == ranked(4)[0]
    page.locator(".card:visible [data-mark=normal]").first.click()
    assert shown(page) == [focused(page)] == ranked(5)


def test_a_browser_that_keeps_nothing_says_so(page):
    page.evaluate(
        """() => {
          for (let n = 2 ** 23, i = 0; n >= 1; i++) {
            try { localStorage.setItem(i, "x".repeat(n)); } catch { n /= 2; }
          }
        }"""
    )
    press(page, "d")
    assert page.locator("#told").inner_text().startswith("This browser keeps no marks")
    assert marks(page) == {ranked(0)[0]: "defect"}


def test_on_a_phone(address, open_page):
    page = open_page(address, viewport={"width": 390, "height": 844}, has_touch=True)
    assert page.locator(".card").first.bounding_box()["y"] < 600
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    card = page.locator(".card").first
    card.get_by_role("button", name="defect").tap()
    card.locator(".open").tap()
    viewer = page.get_by_role("dialog")
    assert not viewer.locator("#plain").is_visible()
    outline = viewer.locator("#marked .outline")
    viewer.get_by_role("button", name="Photograph only").tap()
    assert outline.evaluate("one => getComputedStyle(one).visibility") == "hidden"
    viewer.get_by_role("button", name="unsure").tap()
    viewer.get_by_role("button", name="Close").tap()
    assert marks(page) == {ranked(0)[0]: "unsure"}
