# SPDX-License-Identifier: BSD-3-Clause
"""What is known of images before any is scored: their sizes, what is white; and what is odd."""

import warnings

import numpy as np

from ..images.intensity import learn_range
from ..runtime.telling import tell
from ..runtime.text import first_few
from ..runtime.threads import run_blocks

__all__ = ["check_intensity_range", "survey", "tell_remarks"]


def check_intensity_range(intensity_range):
    """Check a pair (black, white)."""
    if isinstance(intensity_range, str):
        return
    pair = np.asarray(intensity_range, dtype=object)
    if pair.shape == (2,) and all(isinstance(one, int | float | np.number) for one in pair):
        black, white = map(float, pair)
        if np.isfinite([black, white]).all() and black < white:
            return
    raise ValueError(
        f"intensity_range={intensity_range!r} must be 'auto' or a pair (black, white) of numbers, "
        "the first of which is smaller."
    )


def survey(extractor, images):
    """Sizes (H, W) of images, and their range (black, white): as stated, or learned; or None."""
    found = [None] * len(images)
    is_learned = isinstance(extractor.intensity_range, str)

    def fill(start, stop):
        for index in range(start, stop):
            found[index] = images.survey(index) if is_learned else (images.size(index), None)

    run_blocks(fill, len(images), extractor.batch_size)
    sizes, numbers = zip(*found, strict=True)
    if not is_learned:
        black, white = map(float, extractor.intensity_range)
        return list(sizes), (black, white)
    return list(sizes), learn_range(numbers, images.name)


def tell_remarks(images, extractor):
    """Warn of what was odd in the images that were loaded."""
    if images.left_out:
        tell(_warn_of_pages, [text for _, text in sorted(images.left_out.items())])
    if images.unfit and isinstance(extractor.intensity_range, str):
        names = [name for _, name in sorted(images.unfit.items())]
        tell(_warn_of_unfit, (extractor.intensity_range_, names))


def _warn_of_pages(parts, _):
    # Each once: training images may pass the network twice.
    texts = list(dict.fromkeys(text for part in parts for text in part))
    warnings.warn(
        f"{_files(len(texts))} more pages or pictures than the first, which alone is read: "
        f"{first_few(texts)}. Save the others as files of their own if they count.",
        stacklevel=5,
    )


def _warn_of_unfit(parts, _):
    names = list(dict.fromkeys(name for _, part in parts for name in part))
    learned = parts[0][0]
    black, white = learned or (0, 65535)
    where = "that was learned" if learned else "of 16-bit images (all training images are 8-bit)"
    warnings.warn(
        f"{len(names)} image{'s do' if len(names) > 1 else ' does'} not fit the intensity range "
        f"{black:g} to {white:g} {where}: {first_few(names)}. Values beyond it are cut off, and "
        "images far below it are nearly black. Is it the same camera and bit depth? "
        "PatchFeatureExtractor(intensity_range=(black, white)), or --intensity-range, states the "
        "range for a fit.",
        stacklevel=5,
    )


def _files(n):
    return "1 image file has" if n == 1 else f"{n} image files have"
