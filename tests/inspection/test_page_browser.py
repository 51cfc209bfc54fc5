# SPDX-License-Identifier: BSD-3-Clause
"""Reports in a real browser: the system's Chromium or the one that Playwright installs.

Without one they are skipped, but fail where the variable CI is set, as in .ci/run.
"""

import csv
import io
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import make_contaminated_images
from skpatch.report import score_report

sync_api = pytest.importorskip("playwright.sync_api")

NAMES = [
    "image 10.png",
    "image 9.png",
    "=HYPERLINK(0);=A1\u202e.png",
    'a "quoted", name.png',
    "<script>alert(1)</script>.png",
    "Größe 見本.png",
]
# In units of the threshold, in the order of the names.
SCORES = [0.5, 1.5, 0.25, 1.25, 2.5, 0.75]
RANKING = [4, 1, 3, 5, 0, 2]


@pytest.fixture(scope="module")
def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    found = found or shutil.which("google-chrome")
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage"]
            )
        except sync_api.Error as error:
            give_up = pytest.fail if os.environ.get("CI") else pytest.skip
            give_up(f"No Chromium can be started: {str(error).splitlines()[0]}")
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def model():
    data = make_contaminated_images(n_normal=10, n_defective=1, image_size=64, random_state=0)
    extractor = PatchFeatureExtractor(image_size=64)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(data.images)


def write(path, model, scores, names):
    """Report of grey images with one patch of the given score each."""
    images = np.full((len(scores), 64, 64), 128, np.uint8)
    patch_scores = np.zeros((len(scores), 8, 8))
    patch_scores[:, 4, 4] = -model[-1].offset_ * np.array(scores)
    score_report(path, model, images, patch_scores=patch_scores, names=names)
    return path.as_uri()


@pytest.fixture(scope="module")
def address(model, tmp_path_factory):
    return write(tmp_path_factory.mktemp("report") / "report.html", model, SCORES, NAMES)


@pytest.fixture
def open_page(browser):
    """Open an address; anything the browser complains about fails the test."""
    complaints, contexts = [], []

    def open_page(address, **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(address)
        return page

    requests = []
    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def shown(page):
    # Not the inner texts: those of a card that the browser has not drawn yet are empty.
    return page.locator(".card:visible .name").all_text_contents()


def ranked(*positions):
    return [NAMES[RANKING[position]] for position in positions]


def test_opens_with_the_ranking(address, open_page):
    page = open_page(address)
    assert page.title() == "Inspected images · skpatch"
    assert shown(page) == ranked(*range(6))
    assert page.get_by_role("status").inner_text() == "6 images"
    assert page.locator(".totals").inner_text().split() == ["images", "6", "anomalous", "3"]


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
    page.locator(".card button").first.click()
    assert page.locator("#marked .heat").evaluate(visibility) == "hidden"
    page.keyboard.press("h")
    assert page.locator("#marked .heat").evaluate(visibility) == "visible"
    assert page.locator("#marked .outline").count() == 1
    assert page.locator("#plain .outline").count() == 0
    page.keyboard.press("Escape")
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
            page.locator(".card button").first.click()


def test_viewer_with_the_keyboard(address, open_page):
    page = open_page(address)
    page.get_by_label("Only anomalous").check()
    first, second, _ = page.locator(".card:visible button").all()
    first.focus()
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog")
    heading = viewer.get_by_role("heading")
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
    assert not viewer.is_visible()
    assert second.evaluate("button => button === document.activeElement")


def test_viewer_with_the_mouse(address, open_page):
    page = open_page(address)
    page.get_by_role("button", name=NAMES[3]).click()
    viewer = page.get_by_role("dialog")
    assert viewer.locator("svg").count() == 2
    assert viewer.locator(".heat").count() == 1
    viewer.click(position={"x": 5, "y": 5})
    assert viewer.is_visible()
    viewer.get_by_role("button", name="Next").click()
    assert viewer.get_by_role("heading").inner_text() == NAMES[5]
    viewer.get_by_role("button", name="Close").click()
    assert not viewer.is_visible()


def test_csv(address, open_page):
    page = open_page(address)
    page.get_by_label("Only anomalous").check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save ranking").click()
    assert download.value.suggested_filename == "skpatch-ranking.csv"
    with open(download.value.path(), encoding="utf-8-sig", newline="") as file:
        text = file.read()
    assert text.count("\r\n") == text.count("\n") == 7
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["rank"] for row in rows] == list("123456")
    guarded = [name.replace("=", "'=").replace("\u202e", r"\u202e") for name in ranked(*range(6))]
    assert [row["name"] for row in rows] == guarded
    assert [float(row["score"]) for row in rows] == sorted(SCORES, reverse=True)
    assert [row["anomalous"] for row in rows] == ["yes"] * 3 + ["no"] * 3
    assert all(0 < float(row["p_value"]) <= 1 for row in rows)


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
    assert not page.locator("#controls").is_visible()


def test_a_thousand_images(model, open_page, tmp_path):
    scores = np.random.RandomState(0).permutation(1000) / 500
    names = [f"{index}.png" for index in range(1000)]
    path = tmp_path / "report.html"
    page = open_page(write(path, model, scores, names))
    assert page.locator(".card").count() == 1000
    assert page.get_by_role("status").inner_text() == "1,000 images"
    page.get_by_label("Order").select_option("name")
    page.locator(".card").last.scroll_into_view_if_needed()
    sync_api.expect(page.locator(".card .name").last).to_have_text("999.png", use_inner_text=True)
    page.locator(".card button").last.click()
    assert page.get_by_role("dialog").get_by_role("heading").inner_text() == "999.png"
