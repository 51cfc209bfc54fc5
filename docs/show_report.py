# SPDX-License-Identifier: BSD-3-Clause
"""Make the picture of a report: ``skpatch audit`` of 110 solar cells, 10 of them defective.

    python docs/show_report.py docs/images/report.jpg

One suspicious image is marked as a defect, and the controls are folded. Needs the package extras
demo and test, and Chromium.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright
from sklearn.utils import shuffle

from skpatch.cli import main as skpatch
from skpatch.datasets import inject_noise, load_elpv

N_NORMAL, N_DEFECTIVE = 100, 10
SIZE = {"width": 1300, "height": 1295}


def write_report(folder):
    """Audit cells in a subfolder of `folder`, and return the path of the report."""
    cells = load_elpv(kind="mono")
    images, is_defective = shuffle(np.array(cells.images), cells.is_defective, random_state=1)
    normal, defective = images[~is_defective][:N_NORMAL], images[is_defective][:N_DEFECTIVE]
    training = inject_noise(normal, defective, noise_ratio=N_DEFECTIVE / N_NORMAL, random_state=0)
    place = Path(folder, "cells")
    place.mkdir()
    for image in training.train_images:
        shutil.copy(image, place)
    report = Path(folder, "report.html")
    if skpatch(["audit", str(place), "--output", str(report)]):
        raise SystemExit("skpatch audit failed.")
    return report


def photograph(browser, report, output):
    """Write a picture of what a browser shows first of a report."""
    page = browser.new_page(viewport=SIZE)
    page.goto(report.as_uri())
    page.locator("#controls summary").click()
    page.locator(".card button.open").first.focus()
    page.keyboard.press("d")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    # Pictures of the cards are made when they come into sight.
    page.wait_for_timeout(1000)
    page.screenshot(path=output, type="jpeg", quality=85)
    page.close()


def main(output):
    """Write the report, and its picture."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        photograph(browser, write_report(folder), output)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
