# SPDX-License-Identifier: BSD-3-Clause
"""Moving through a report and looking closely, in a real browser."""

from itertools import pairwise

import numpy as np
import pytest
from _reports import ranked, shown, write
from PIL import Image

from skpatch.report import score_report


@pytest.fixture
def page(address, open_page):
    return open_page(address, viewport={"width": 1000, "height": 900})


@pytest.fixture(scope="module")
def grouped(small_model, tmp_path_factory):
    """Address of a report of images in two folders, wide ones, with 1 and 2 regions."""
    folder = tmp_path_factory.mktemp("grouped")
    paths, patch_scores = [], np.zeros((4, 8, 8))
    for index, name in enumerate(["a/0.png", "b/1.png", "a/2.png", "b/3.png"]):
        paths.append(folder / "photos" / name)
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((400, 1000), 99 + index, np.uint8)).save(paths[-1])
        patch_scores[index, 1, 1] = 2 - index / 2
    patch_scores[0, 6, 5:7] = 1.5
    patch_scores *= -small_model[-1].offset_
    score_report(folder / "r.html", small_model, paths, patch_scores=patch_scores)
    return (folder / "r.html").as_uri()


def focused(page):
    return page.evaluate("document.activeElement.closest('.card')?.dataset.name")


def sections(page):
    return page.locator(".section:visible h2").all_inner_texts()


def seen(page, pane="#marked"):
    """Part of the image (x, y, width, height) that a pane shows."""
    return [float(x) for x in page.locator(f"{pane} svg").get_attribute("viewBox").split()]


def test_one_card_is_a_stop_of_the_tab_key(page):
    tabs = page.locator(".gallery button[tabindex='0']")
    assert tabs.count() == 4
    page.locator(".card .open").first.focus()
    for key, position in [("ArrowRight", 1), ("End", 5), ("ArrowLeft", 4), ("Home", 0)]:
        page.keyboard.press(key)
        assert focused(page) == ranked(position)[0]
        assert tabs.count() == 4
    page.get_by_label("Name contains").fill("image")
    assert tabs.first.evaluate("one => one.closest('.card').dataset.name") == "image 9.png"


def test_arrows_lead_to_the_next_row(page):
    """Three cards above the threshold fill the first row, and three the second."""
    page.locator(".card .open").nth(1).focus()
    page.keyboard.press("ArrowDown")
    assert focused(page) == ranked(4)[0]
    page.keyboard.press("ArrowDown")
    assert focused(page) == ranked(4)[0]
    page.keyboard.press("ArrowUp")
    assert focused(page) == ranked(1)[0]


def test_a_divider_where_the_threshold_lies(page):
    assert sections(page) == ["Above the threshold", "Up to the threshold"]
    names = page.locator("#gallery > :nth-child(-n + 4) .name")
    assert names.all_text_contents() == ranked(0, 1, 2)
    assert page.locator(".section .quiet").all_inner_texts() == ["3", "3"]
    page.get_by_label("Order").select_option("reversed")
    assert sections(page) == ["Up to the threshold", "Above the threshold"]
    page.get_by_label("Order").select_option("name")
    assert sections(page) == []
    page.get_by_label("Order").select_option("rank")
    page.get_by_label("Only anomalous").check()
    assert sections(page) == ["Above the threshold"]


def test_subfolders(grouped, open_page):
    page = open_page(grouped)
    assert page.title().startswith("Inspection of photos: 2 of 4 anomalous")
    page.get_by_label("Group by").select_option("subfolder")
    assert sections(page) == ["a", "b"]
    assert shown(page) == ["a/0.png", "a/2.png", "b/1.png", "b/3.png"]


def test_regions_lead_to_their_places(grouped, open_page):
    page = open_page(grouped)
    page.locator(".card .open").first.click()
    viewer = page.get_by_role("dialog")
    assert seen(page) == [0, 0, 1000, 400]
    regions = viewer.locator("#region-list button")
    assert regions.all_inner_texts() == ["score 2.00, 2 %", "score 1.50, 3 %"]
    for button, (x, y) in zip(regions.all(), [(188, 75), (750, 325)], strict=True):
        button.click()
        left, top, width, height = seen(page)
        assert width / height == pytest.approx(2.5)
        assert width < 700
        assert left < x < left + width
        assert top < y < top + height
        assert seen(page, "#plain") == seen(page)
    viewer.get_by_role("button", name="Whole image").click()
    assert seen(page) == [0, 0, 1000, 400]


def test_panes_have_the_shape_of_the_image(grouped, open_page):
    page = open_page(grouped, viewport={"width": 1300, "height": 900})
    page.locator(".card .open").first.click()
    plain, marked = (page.locator(f"{one} svg").bounding_box() for one in ("#plain", "#marked"))
    for box in (plain, marked, page.locator(".card .frame").first.bounding_box()):
        assert box["width"] / box["height"] == pytest.approx(2.5, rel=0.02)
    assert marked["y"] > plain["y"] + plain["height"] - 1


def test_zoom_keeps_the_point_under_the_mouse(grouped, open_page):
    page = open_page(grouped)
    page.locator(".card .open").first.click()
    box = page.locator("#marked svg").bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 4
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    page.wait_for_function("document.querySelector('#views').classList.contains('zoomed')")
    left, top, width, height = seen(page)
    assert left + width / 4 == pytest.approx(250, abs=5)
    assert top + height / 4 == pytest.approx(100, abs=5)
    page.mouse.down()
    page.mouse.move(x - 40, y)
    page.mouse.up()
    assert seen(page)[0] == pytest.approx(left + 40 * width / box["width"], rel=0.02)
    for _ in range(12):
        page.keyboard.press("-")
    assert seen(page) == [0, 0, 1000, 400]
    page.keyboard.press("+")
    assert seen(page)[2] == pytest.approx(1000 / 1.5)
    page.keyboard.press("0")
    assert seen(page) == [0, 0, 1000, 400]


def test_the_viewer_leads_to_the_file(grouped, address, open_page):
    page = open_page(grouped)
    page.locator(".card .open").first.click()
    link = page.get_by_role("link", name="Open the original file")
    assert link.evaluate("one => one.href").endswith("/photos/a/0.png")
    with page.context.expect_page() as opened:
        link.click()
    assert opened.value.locator("img").evaluate("one => one.naturalWidth") == 1000
    page = open_page(address)
    page.locator(".card .open").first.click()
    assert not page.get_by_role("link").is_visible()


def test_the_worst_place_is_beside(grouped, open_page):
    page = open_page(grouped)
    page.locator(".card .open").first.click()
    worst, normal = page.locator("#places figcaption").all_inner_texts()
    assert worst == "Worst place"
    # The pictures that the model has learned are in no files.
    assert normal.startswith("Most similar normal place: image ")
    assert page.locator("#places figure:has(img)").count() == 1
    assert page.locator("#places img").evaluate("one => one.naturalWidth") == 250
    page.keyboard.press("End")
    page.get_by_role("button", name="Next").click()
    page.get_by_role("button", name="Next").click()
    assert page.locator("#places img").count() == 0


def test_the_curve_opens_an_image(page):
    box = page.locator("#curve").bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 5)
    heading = page.get_by_role("dialog").get_by_role("heading", level=2)
    assert heading.inner_text() == ranked(2)[0]


def test_another_threshold_is_counted(page):
    slider, told = page.locator("#threshold"), page.locator("#recount")
    assert told.inner_text() == "1.00: 3 of 6 images above"
    slider.fill("1.4")
    assert told.inner_text() == "1.40: 2 of 6 images above"
    slider.fill("0.3")
    assert told.inner_text() == "0.30: 5 of 6 images above"


def test_count_and_legend_stay_in_view(small_model, open_page, tmp_path):
    address = write(
        tmp_path / "r.html", small_model, np.arange(40) / 20, [f"{i}" for i in range(40)]
    )
    page = open_page(address, viewport={"width": 1000, "height": 700})
    page.keyboard.press("End")
    page.locator(".card").last.scroll_into_view_if_needed()
    for part in ("#count", "#progress", ".scale"):
        assert 0 <= page.locator(part).bounding_box()["y"] < 200
    page.set_viewport_size({"width": 640, "height": 360})
    page.locator(".card").last.scroll_into_view_if_needed()
    assert page.locator("#count").bounding_box()["y"] < 0


def test_legend_is_as_strong_as_the_heat_maps(page):
    strength = "[...document.querySelectorAll('.heat')].map(one => getComputedStyle(one).opacity)"
    page.get_by_label("Heat map strength").fill("80")
    assert set(page.evaluate(strength)) == {"0.8"}
    page.locator("h1").click()
    page.keyboard.press("h")
    assert (
        page.locator(".swatch img").evaluate("one => getComputedStyle(one).visibility") == "hidden"
    )


def test_paper_names_folder_threshold_and_legend(grouped, open_page):
    page = open_page(grouped)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator(".card svg").count() == 4
    for text in ("Inspection of photos: 2 of 4 anomalous", "a distance between features"):
        assert page.get_by_text(text).first.is_visible()
    assert page.locator(".legend").is_visible()
    assert not page.locator(".marks button").first.is_visible()


def test_everything_has_a_name(page):
    """What audits of accessibility ask first: names, single ids, levels of headings, a language."""
    page.locator(".card .open").first.click()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, a[href], img, summary")]
          .filter((one) => !(one.ariaLabel || one.alt || one.textContent.trim() ||
            one.labels?.length || one.hasAttribute("alt")))
          .map((one) => one.outerHTML)"""
    )
    assert nameless == []
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(one => one.id)")
    assert len(ids) == len(set(ids))
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.locator("html").get_attribute("lang") == "en"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_can_be_read(address, open_page, scheme):
    """Contrast of 4.5 to 1 between each text and what is behind it."""
    page = open_page(address, color_scheme=scheme)
    page.locator(".card .open").first.focus()
    for key in "dnu":
        page.keyboard.press(key)
    low = page.evaluate(
        """() => {
          const parts = (text) => text.match(/[0-9.]+/g).map(Number);
          const light = (rgb) => rgb.slice(0, 3)
            .map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const behind = (one) => {
            const back = parts(getComputedStyle(one).backgroundColor);
            return back.length === 4 && back[3] === 0 ? behind(one.parentElement) : back;
          };
          return [...document.querySelectorAll("body *")].filter((one) => {
            const isText = [...one.childNodes].some(
              (node) => node.nodeType === 3 && node.data.trim());
            if (!isText || !one.checkVisibility() || one.closest("[aria-disabled=true], svg"))
              return false;
            const [a, b] = [parts(getComputedStyle(one).color), behind(one)].map(light);
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
          }).map((one) => one.outerHTML.slice(0, 200));
        }"""
    )
    assert low == []


def test_long_names_keep_their_ends(small_model, open_page, tmp_path):
    names = [f"camera-7/2024-06-01/inspection-of-panels/cell-{i:04d}.png" for i in range(2)]
    page = open_page(write(tmp_path / "r.html", small_model, [2.0, 0.5], names))
    overflow = page.locator(".card .tail").first.evaluate(
        "tail => [tail.scrollWidth > tail.clientWidth, "
        "tail.firstChild.getBoundingClientRect().right <= tail.getBoundingClientRect().right + 1]"
    )
    assert overflow == [True, True]
    page.locator(".card .open").first.click()
    assert page.locator("#viewer-name").inner_text() == names[0]
