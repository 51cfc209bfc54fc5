# SPDX-License-Identifier: BSD-3-Clause
"""Whether recent images are still like those that a model was calibrated with."""

from collections import deque

import numpy as np

from ..runtime.text import first_few

__all__ = ["LEVEL", "WINDOW", "Drift"]

# Images that are judged together, and the p-value of the test below which they have changed. Of
# images that have not, fewer than one in 10,000 begins an alarm, looked at after each of them
# (benchmarks/drift.py).
WINDOW, LEVEL = 100, 1e-5
# An alarm ends where the test sees nothing any more, so that it does not flicker.
_OVER = 0.01


class Drift:
    """A rolling record of p-values, and a test of whether they have become too low.

    Those of normal images are uniform, but for two things. A model has seen only `n_normal`, so the
    last `WINDOW` p-values are compared with all that such a model can give, each once, by the
    Kolmogorov-Smirnov test of two samples; that of one sample would take the chance in a small
    calibration set for a change. And new images may look less unusual than those of the training,
    which were scored without their own patches, so only low p-values count: the test is one-sided.

    Parameters
    ----------
    n_normal : int
        Number of training images that p-values compare with.

    Attributes
    ----------
    is_changed : bool or None
        Whether the last images have changed; None before there are `WINDOW`.
    distance : float or None
        By how much the share of p-values up to any is larger than expected, at most.
    words : str or None
        What to tell of images that have changed, with the names of the latest.
    limit : float
        The distance above which images have changed.
    """

    def __init__(self, n_normal):
        # Whoever only scores does not wait for it to load.
        from scipy.stats import ksone

        self._n_ranks = n_normal + 1
        self._expected = np.arange(1, n_normal + 2) / self._n_ranks
        self._recent = deque(maxlen=WINDOW)
        self.is_changed = self.distance = self.words = None
        # Two samples are worth one of so many.
        n_worth = round(WINDOW * self._n_ranks / (WINDOW + self._n_ranks))
        self.limit, self._over = map(float, ksone.isf((LEVEL, _OVER), n_worth))

    def add(self, name, pvalue):
        """Take the p-value of one more image; return whether the images have changed with it."""
        self._recent.append((name, pvalue))
        if len(self._recent) < WINDOW:
            return False
        before = bool(self.is_changed)
        # Tables round p-values, so that they are a little more or less than their ranks say.
        ranks = np.rint([value * self._n_ranks for _, value in self._recent]).astype(int)
        # Those before a restart may be by another model.
        ranks = np.clip(ranks, 1, self._n_ranks)
        found = np.cumsum(np.bincount(ranks - 1, minlength=self._n_ranks)) / WINDOW
        self.distance = float(np.max(found - self._expected))
        self.is_changed = self.distance > (self._over if before else self.limit)
        self.words = self._in_words() if self.is_changed else None
        return self.is_changed and not before

    def recall(self, recent, has_changed):
        """Take names and p-values of images before a restart, and whether there was an alarm."""
        # One that has begun lasts longer than it takes to begin.
        self.is_changed = has_changed or None
        for name, pvalue in recent:
            self.add(name, pvalue)

    @property
    def recent(self):
        """Names and p-values of the last images."""
        return list(self._recent)

    @property
    def state(self):
        """Whether the images have changed, as a table says it: "yes", "no", or None."""
        return None if self.is_changed is None else "yes" if self.is_changed else "no"

    def _in_words(self):
        latest = [name for name, _ in self._recent][:-4:-1]
        return (
            f"The last {WINDOW} images look more unusual than normal ones: the camera, the light "
            "or the product has changed, or many are defective. Look at these: "
            f"{first_few(latest)}"
        )
