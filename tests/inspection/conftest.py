# SPDX-License-Identifier: BSD-3-Clause
"""Reports in a real browser: the system's Chromium or the one that Playwright installs.

Without one they are skipped, but fail where the variable CI is set, as in .ci/run.
"""

import os
import shutil

import pytest
from _reports import NAMES, SCORES, write


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
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


@pytest.fixture(scope="module")
def small_model():
    from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
    from skpatch.datasets import make_contaminated_images

    data = make_contaminated_images(n_normal=10, n_defective=1, image_size=64, random_state=0)
    extractor = PatchFeatureExtractor(image_size=64)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(data.images)


@pytest.fixture(scope="module")
def address(small_model, tmp_path_factory):
    return write(tmp_path_factory.mktemp("report") / "report.html", small_model, SCORES, NAMES)
