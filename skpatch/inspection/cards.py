# SPDX-License-Identifier: BSD-3-Clause
"""What a report shows of each image: facts, regions, and pictures as texts."""

import base64
import io
import json
import math
import os
from urllib.parse import quote

import numpy as np
from PIL import Image

from ..detector.estimator import fitted_state
from ..features.view import visible_region
from ..runtime.telling import untold
from ..runtime.text import pvalue_text, score_text
from .heat import draw_outline, heat_picture
from .places import (
    cut,
    find_normal_places,
    find_training_image,
    patch_box,
    side_of,
    worst_patch,
)
from .regions import find_outline, find_regions
from .run import relative_file
from .words import ANOMALOUS, SUSPICIOUS, verdict

__all__ = ["Cards", "heat_uri"]

# Longest side of a copy in pixels: enough to look at or, of more images, for the gallery.
_FEW, _SIDE_OF_FEW, _SIDE_OF_MANY = 1000, 320, 160
# The most suspicious images have a larger copy and their worst place as the camera has seen it.
_N_LARGE, _LARGE_SIDE = 200, 640
_QUALITY, _PLACE_QUALITY = 70, 85
# Least side of the picture of a worst place.
_PLACE_SIDE = 128


class Cards:
    """Makes the cards of a report, one by one and in any thread.

    Parameters
    ----------
    path : path
        The report, for links to images below its folder.
    inspection : Inspection
    names : list of str
        Names to show, in the order of the images.
    folder : str
        What names start at; "" if they are no files.
    side : int or None
        Longest side of a copy in pixels.
    audit : NoiseAudit, optional
    """

    def __init__(self, path, inspection, names, folder, side, audit=None):
        self._path, self._folder, self._names = path, folder, names
        self._inspection, self._audit = inspection, audit
        self._extractor = inspection.model.steps[0][1]
        self._is_alarm = inspection.is_anomalous if audit is None else audit.is_suspicious
        self._word = ANOMALOUS if audit is None else SUSPICIOUS
        self._side = side or (_SIDE_OF_FEW if len(names) <= _FEW else _SIDE_OF_MANY)
        self._has_places = set(inspection.ranking[:_N_LARGE]) & set(np.flatnonzero(self._is_alarm))
        self._normal = self._find_normal_places()

    def make(self, rank, index):
        """Values of the template for an image of a rank, from 1 on, as a dict."""
        pixels = self._inspection.images.load(index)
        region = visible_region(pixels.shape[:2], self._extractor)
        card = {
            "rank": rank,
            **self._facts(index),
            **self._regions(index, pixels, region),
            **_geometry(pixels, region, self._inspection.patch_scores.shape[1:]),
            "photo": _photo(_reduced(pixels, self._side), _QUALITY),
            "heat": heat_uri(self._inspection.patch_scores[index]),
        }
        if index in self._has_places:
            card |= self._places(index, pixels, region)
        return card

    def _facts(self, index):
        found, audit, name = self._inspection, self._audit, self._names[index]
        score, pvalue = found.scores[index], found.pvalues[index]
        file = relative_file(self._path, self._folder, name) if self._folder else None
        facts = {
            "name": name,
            "file": None if file is None else quote(os.fsencode(file)),
            "score": score,
            "pvalue": pvalue,
            "score_text": score_text(score),
            "pvalue_text": pvalue_text(pvalue, found.n_normal),
            "is_alarm": self._is_alarm[index],
            "verdict": verdict(score, self._is_alarm[index], self._word),
            "is_unlike": found.is_unlike[index],
        }
        if audit is None:
            return facts
        copied = audit.copy_of[index]
        return facts | {
            "removed": audit.n_removed[index],
            "group": audit.groups[index] + 1,
            "original": self._names[copied] if copied >= 0 else "",
            "known": audit.decisions[index],
        }

    def _regions(self, index, pixels, region):
        scores = self._inspection.patch_scores[index]
        regions = find_regions(scores, region)
        return {
            "regions": json.dumps(regions),
            "places_text": _places_in_words(regions, pixels.shape[:2]),
            "outline": _path(find_outline(scores, (0, 0, *scores.shape))),
        }

    def _find_normal_places(self):
        """Training image, row and column of the most similar normal place, by anomalous image."""
        found, numbers = self._inspection, np.array(sorted(self._has_places), int)
        if self._audit is None:
            scores = found.patch_scores
            with untold():
                return {i: found.matches(i)[worst_patch(scores[i])].tolist() for i in numbers}
        detector, numbers = found.model.steps[-1][1], np.flatnonzero(self._is_alarm)
        places = find_normal_places(fitted_state(detector), numbers, detector.device)
        return dict(zip(numbers, places.tolist(), strict=True))

    def _places(self, index, pixels, region):
        """Larger pictures of a suspicious image."""
        scores = self._inspection.patch_scores[index]
        side = side_of(scores, region)
        found = {"place": self._square(pixels, worst_patch(scores), side)}
        if max(pixels.shape[:2]) > self._side < _LARGE_SIDE:
            found["large"] = _photo(_reduced(pixels, _LARGE_SIDE), _QUALITY)
        image, *patch = self._normal[index]
        if image >= 0:
            name, normal = self._training_image(image, patch)
            found["normal_text"] = f"{name}, row {patch[0]}, column {patch[1]}"
            found["normal"] = None if normal is None else self._square(normal, patch, side)
        return found

    def _training_image(self, image, patch):
        """Name of a training image, and its pixels if it is at hand."""
        if self._audit is not None:
            return self._names[image], self._inspection.images.load(image)
        names = getattr(self._inspection.model, "image_names_", None)
        name = f"training image {image}" if names is None else names[image]
        return name, find_training_image(self._inspection.model, image, patch)

    def _square(self, pixels, patch, side):
        """Part of an image around a patch, which is outlined."""
        region = visible_region(pixels.shape[:2], self._extractor)
        box = patch_box(patch, self._inspection.patch_scores.shape[1:], region)
        inside, (top, left) = cut(pixels, box, side)
        # Drawn on the few pixels of a small image, the line would cover what it is around.
        scale = max(1, math.ceil(_PLACE_SIDE / min(inside.shape[:2])))
        image = Image.fromarray(inside)
        image = image.resize([scale * length for length in image.size], Image.Resampling.BICUBIC)
        x, y, to_x, to_y = scale * np.subtract(box, (left, top, left, top))
        edges = [(x, y, to_x, y), (x, to_y, to_x, to_y), (x, y, x, to_y), (to_x, y, to_x, to_y)]
        draw_outline(image, edges)
        return _photo(image, _PLACE_QUALITY)


def _places_in_words(regions, size):
    """How many regions there are in an image of a size (H, W), and how large they are."""
    if not regions:
        return ""
    percent = round(100 * sum(found["area"] for found in regions) / (size[0] * size[1]))
    share = f"{percent} %" if percent else "under 1 %"
    return f"{len(regions)} place{'s' * (len(regions) > 1)}, {share} of the image"


def _path(lines):
    """Lines (k, 4) as an SVG path."""
    return "".join(f"M{x:g} {y:g}L{to_x:g} {to_y:g}" for x, y, to_x, to_y in lines)


def _geometry(pixels, region, grid):
    """Size of an image, its part that is inspected, and the size of a patch, in its pixels."""
    top, left, bottom, right = np.round(region, 2).tolist()
    return {
        "width": pixels.shape[1],
        "height": pixels.shape[0],
        "top": top,
        "left": left,
        "bottom": bottom,
        "right": right,
        "cell_width": (right - left) / grid[1],
        "cell_height": (bottom - top) / grid[0],
    }


def _reduced(pixels, side):
    """Picture in which no side is longer."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    return image


def _photo(image, quality):
    return _data_uri(image, "JPEG", quality=quality)


def heat_uri(scores):
    """Picture (h, w) of scores in units of the threshold; the browser enlarges it smoothly."""
    return _data_uri(heat_picture(scores), "PNG", optimize=True)


def _data_uri(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    return f"data:image/{form.lower()};base64,{encoded}"
