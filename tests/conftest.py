# SPDX-License-Identifier: BSD-3-Clause
import os
import shutil

import numpy as np
import pytest

# Their asserts say what they compare, like those of the tests.
pytest.register_assert_rewrite("_images", "_persistence", "_reports", "_strange")

if "PYTEST_XDIST_WORKER" in os.environ:
    # One thread each: those of several processes would wait for each other most of the time.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    # With more, the first parallel code of numba, pynndescent's, gives torch as many too.
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")


@pytest.fixture(scope="module")
def one_thread():
    """Small products gain nothing from threads, and lose much where other processes run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def patches():
    """Features (40, 5, 6, 16) with defects in the first four images."""
    rng = np.random.RandomState(0)
    features = rng.normal(size=(40, 5, 6, 16)).astype(np.float32)
    features[:4, 2, 3] += 5
    return features


@pytest.fixture(scope="module")
def queries():
    """Features to score by a detector fitted to `patches`."""
    return np.random.RandomState(7).normal(size=(9, 5, 6, 16)).astype(np.float32)


@pytest.fixture
def small(tmp_path):
    """A small file of a saved detector, and its bytes."""
    from skpatch import SoftPatchDetector, save

    patches = np.random.RandomState(0).normal(size=(12, 2, 2, 3)).astype(np.float32)
    path = tmp_path / "small.skpatch"
    save(SoftPatchDetector(random_state=0).fit(patches), path)
    return path, path.read_bytes()


@pytest.fixture(scope="session")
def data():
    from skpatch.datasets import make_contaminated_images

    return make_contaminated_images(n_normal=27, n_defective=3, image_size=64, random_state=0)


@pytest.fixture(scope="module")
def photos(data, tmp_path_factory):
    """Folder of images in two subfolders; the names say which are defective."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("cli") / "photos"
    for index, (image, label) in enumerate(zip(data.images, data.labels, strict=True)):
        path = folder / f"line{index % 2}" / f"{index}-{'bad' if label else 'good'}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder


@pytest.fixture(scope="session")
def fitted():
    """Extractor fitted to `_photographs.IMAGES`; no test may change it."""
    from _photographs import IMAGES

    from skpatch import PatchFeatureExtractor

    return PatchFeatureExtractor(image_size=64).fit(IMAGES)


@pytest.fixture(scope="session")
def features(fitted):
    """What `fitted` makes of its images."""
    from _photographs import IMAGES

    return fitted.transform(IMAGES)


@pytest.fixture(scope="session")
def model(data):
    """Pipeline trained on `data`; a test that changes it changes it back."""
    from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline

    extractor = PatchFeatureExtractor(image_size=64)
    return make_pipeline(extractor, SoftPatchDetector(random_state=0)).fit(data.images)


@pytest.fixture(scope="session")
def audit(model, data):
    return model.audit(data.images)


@pytest.fixture(scope="module")
def browser():
    """The system's Chromium, or the one that Playwright installs.

    Without one its tests are skipped, but fail where the variable CI is set, as in .ci/run.
    """
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
