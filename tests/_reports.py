# SPDX-License-Identifier: BSD-3-Clause
"""A small report for the tests in a browser, and what it shows."""

import numpy as np

from skpatch.report import score_report

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


def write(path, model, scores, names):
    """Report of grey images with one patch of the given score each."""
    images = np.full((len(scores), 64, 64), 128, np.uint8)
    patch_scores = np.zeros((len(scores), 8, 8))
    patch_scores[:, 4, 4] = -model[-1].offset_ * np.array(scores)
    score_report(path, model, images, patch_scores=patch_scores, names=names)
    return path.as_uri()


def shown(page):
    # Not the inner texts: those of a card that the browser has not drawn yet are empty.
    return page.locator(".card:visible .name").all_text_contents()


def ranked(*positions):
    return [NAMES[RANKING[position]] for position in positions]
