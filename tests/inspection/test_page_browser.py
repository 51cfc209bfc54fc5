# SPDX-License-Identifier: BSD-3-Clause
"""Reports in a real browser: how images are ordered, filtered, looked at and saved."""

import copy
import csv
import io
import json

import numpy as np
import pytest
from _reports import NAMES, RANKING, SCORES, ranked, shown, write
from PIL import Image

sync_api = pytest.importorskip("playwright.sync_api")


def test_opens_with_the_ranking(address, open_page):
    page = open_page(address)
    heading = "Inspected images: 3 of 6 anomalous"
    assert page.title() == f"{heading} · skpatch"
    assert page.get_by_role("heading", level=1).inner_text() == heading
    assert shown(page) == ranked(*range(6))
    assert page.get_by_role("status").inner_text() == "6 images"


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("rank", RANKING),
        ("reversed", RANKING[::-1]),
        ("pvalue", RANKING),
        ("name", [4, 2, 3, 5, 1, 0]),
    ],
)
def test_order(address, open_page, order, expected):
    page = open_page(address, locale="en-US")
    page.get_by_label("Order").select_option("name" if order == "rank" else "rank")
    page.get_by_label("Order").select_option(order)
    assert shown(page) == [NAMES[index] for index in expected]


def test_filters(address, open_page):
    page = open_page(address)
    page.get_by_label("Name contains").fill("IMAGE")
    assert shown(page) == ["image 9.png", "image 10.png"]
    assert page.get_by_role("status").inner_text() == "2 of 6 images"
    page.get_by_label("Only anomalous").check()
    assert shown(page) == ["image 9.png"]
    page.get_by_label("Name contains").fill("")
    page.get_by_label("Score at least").fill("1.4")
    assert shown(page) == ranked(0, 1)
    page.get_by_label("Score at least").fill("7")
    assert shown(page) == []
    page.get_by_role("button", name="Show all images").click()
    assert shown(page) == ranked(*range(6))


def test_strength_of_the_heat_maps(address, open_page):
    page = open_page(address)
    heat = page.locator(".card .heat").first
    opacity = "element => getComputedStyle(element).opacity"
    assert heat.evaluate(opacity) == "0.5"
    slider = page.get_by_label("Heat map strength")
    slider.focus()
    page.keyboard.press("End")
    assert heat.evaluate(opacity) == "1"
    marked = Image.open(io.BytesIO(page.locator(".card").first.screenshot())).convert("RGB")
    page.keyboard.press("Home")
    assert heat.evaluate(opacity) == "0"
    plain = Image.open(io.BytesIO(page.locator(".card").first.screenshot())).convert("RGB")
    difference = np.abs(np.asarray(marked, int) - np.asarray(plain, int)).max(axis=2)
    assert difference.max() > 100
    assert (difference > 0).mean() < 0.2


def test_a_key_hides_the_colours_and_leaves_the_outlines(address, open_page):
    page = open_page(address)
    heat, outline = page.locator(".card .heat").first, page.locator(".card .outline").first
    visibility = "element => getComputedStyle(element).visibility"
    page.keyboard.press("h")
    assert (heat.evaluate(visibility), outline.evaluate(visibility)) == ("hidden", "visible")
    page.locator(".card .open").first.click()
    assert page.locator("#marked .heat").evaluate(visibility) == "hidden"
    page.keyboard.press("h")
    assert page.locator("#marked .heat").evaluate(visibility) == "visible"
    assert page.locator("#marked .outline").count() == 1
    assert page.locator("#plain .outline").count() == 0
    page.keyboard.press("Escape")
    # The browser says only afterwards that the viewer is closed, and the card gets the focus then.
    sync_api.expect(page.locator(".card .open").first).to_be_focused()
    page.get_by_label("Name contains").press_sequentially("h")
    assert heat.evaluate(visibility) == "visible"


def test_outlines_follow_the_patch_at_any_size(address, open_page):
    """The image of 64 pixels has its patch from 32 to 40; the line is dark red, its halo white."""
    page = open_page(address, viewport={"width": 1280, "height": 900})
    page.keyboard.press("h")
    for where in (".card svg", "#marked svg"):
        shot = np.asarray(Image.open(io.BytesIO(page.locator(where).first.screenshot())), int)
        scale = min(shot.shape[:2]) / 64
        offset = (np.array(shot.shape[:2]) - 64 * scale) / 2
        is_line = shot[..., 0] - shot[..., 1] > 30
        for axis in (0, 1):
            places = np.flatnonzero(is_line.any(axis=1 - axis))
            expected = offset[axis] + scale * np.array([32, 40])
            np.testing.assert_allclose(places[[0, -1]], expected, atol=2)
        if where == ".card svg":
            page.locator(".card .open").first.click()


def test_viewer_with_the_keyboard(address, open_page):
    page = open_page(address)
    page.get_by_label("Only anomalous").check()
    first, second, _ = page.locator(".card:visible .open").all()
    first.focus()
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    heading = viewer.get_by_role("heading", level=2)
    assert heading.inner_text() == NAMES[4]
    facts = viewer.locator("#facts").inner_text().splitlines()
    assert [line for line in facts if line][:4] == ["Rank", "1 of 6", "Score", "2.50, anomalous"]
    page.keyboard.press("ArrowLeft")
    assert heading.inner_text() == NAMES[4]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert heading.inner_text() == NAMES[3]
    viewer.get_by_role("button", name="Previous").focus()
    page.keyboard.press("Enter")
    assert heading.inner_text() == NAMES[1]
    page.keyboard.press("Escape")
    sync_api.expect(viewer).to_be_hidden()
    sync_api.expect(second).to_be_focused()


def test_viewer_with_the_mouse(address, open_page):
    page = open_page(address)
    page.get_by_role("button", name=NAMES[3]).click()
    viewer = page.get_by_role("dialog")
    assert viewer.locator("svg").count() == 2
    assert viewer.locator(".heat").count() == 1
    viewer.click(position={"x": 5, "y": 5})
    assert viewer.is_visible()
    viewer.get_by_role("button", name="Next").click()
    assert viewer.get_by_role("heading", level=2).inner_text() == NAMES[5]
    viewer.get_by_role("button", name="Close").click()
    assert not viewer.is_visible()


def saved(page, button):
    """Name of what a button saves, and its text."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        return download.value.suggested_filename, file.read()


def test_csv(address, open_page):
    name, text = saved(open_page(address), "Save ranking")
    assert name == "skpatch-ranking.csv"
    assert text.count("\r\n") == text.count("\n") == 7
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["rank"] for row in rows] == list("123456")
    guarded = [name.replace("=", "'=").replace("\u202e", r"\u202e") for name in ranked(*range(6))]
    assert [row["image"] for row in rows] == guarded
    assert [float(row["score"]) for row in rows] == sorted(SCORES, reverse=True)
    assert [row["label"] for row in rows] == ["anomalous"] * 3 + ["normal"] * 3
    assert all(0 < float(row["p_value"]) <= 1 for row in rows)
    assert [row["n_regions"] for row in rows] == list("111000")
    region = {"box": [32, 32, 40, 40], "area": 64, "score": 2.5}
    assert json.loads(rows[0]["regions"]) == [region]


def test_csv_has_what_is_shown(address, open_page):
    page = open_page(address)
    page.get_by_label("Only anomalous").check()
    page.get_by_label("Name contains").fill(" ")
    rows = list(csv.DictReader(io.StringIO(saved(page, "Save ranking")[1])))
    assert [row["image"] for row in rows] == shown(page) == ranked(1, 2)


def test_csv_of_an_audit_is_its_table(model, data, open_page, tmp_path):
    audit = copy.deepcopy(model).trust([4]).forget([5]).audit(data.images)
    audit.to_html(tmp_path / "a.html")
    page = open_page((tmp_path / "a.html").as_uri())
    page.locator(".card").nth(1).get_by_role("button", name="unsure").click()
    rows = list(csv.DictReader(io.StringIO(saved(page, "Save ranking")[1])))
    assert [row["image"] for row in rows] == [f"image {index}" for index in audit.ranking]
    assert [int(row["noise_patches"]) for row in rows] == audit.n_removed[audit.ranking].tolist()
    labels = {row["image"]: row["label"] for row in rows}
    for index, is_suspicious in enumerate(audit.is_suspicious):
        expected = "suspicious" if is_suspicious else "not suspicious"
        assert labels[f"image {index}"] == ("no score" if index == 5 else expected)
    decided = {row["image"]: row["decision"] for row in rows if row["decision"]}
    second = f"image {audit.ranking[1]}"
    assert decided == {"image 4": "normal", "image 5": "defect", second: "unsure"}


@pytest.mark.parametrize("width", [1280, 360])
def test_light_and_dark(address, open_page, width):
    means = {}
    for scheme in ("light", "dark"):
        size = {"width": width, "height": 800}
        page = open_page(address, color_scheme=scheme, viewport=size)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shot = Image.open(io.BytesIO(page.screenshot()))
        assert shot.size == (width, 800)
        means[scheme] = np.asarray(shot.convert("L")).mean()
    assert means["light"] > 180 > 80 > means["dark"]


def test_print_shows_all_images_in_light_colours(address, open_page):
    page = open_page(address, color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator("#controls").is_visible()
    assert len(shown(page)) == 6
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_scripts(address, open_page):
    page = open_page(address, java_script_enabled=False)
    assert shown(page) == ranked(*range(6))
    assert page.locator(".card svg").count() == 6
    assert not page.locator("#controls").is_visible()
    assert page.locator("[data-mark]").count() == 0


def test_a_thousand_images(small_model, open_page, tmp_path):
    scores = np.random.RandomState(0).permutation(1000) / 500
    names = [f"{index}.png" for index in range(1000)]
    path = tmp_path / "report.html"
    page = open_page(write(path, small_model, scores, names))
    assert page.locator(".card").count() == 1000
    # Pictures that are out of sight are not made, so the page opens at once.
    assert 0 < page.locator(".card svg").count() < 200
    assert page.get_by_role("status").inner_text() == "1,000 images"
    page.get_by_label("Order").select_option("name")
    page.locator(".card").last.scroll_into_view_if_needed()
    sync_api.expect(page.locator(".card .name").last).to_have_text("999.png", use_inner_text=True)
    page.locator(".card .open").last.click()
    assert page.get_by_role("dialog").get_by_role("heading", level=2).inner_text() == "999.png"
