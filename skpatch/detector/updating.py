# SPDX-License-Identifier: BSD-3-Clause
"""More training images, or fewer, without the features of those seen before."""

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils import check_random_state

from ..bank.candidates import Candidates
from ..distances.projection import project, project_rows
from ..features.patches import check_image_numbers, expand, places, require_images
from ..runtime.parameters import check_is_fitted, fit_context
from .calibration import calibration_scores
from .scoring import MemoryBankMixin

__all__ = ["SPARE_PATCHES", "UpdatableBankMixin"]

# Patches of each training image that are kept, to score it again after the bank has changed: more
# than its score is the mean of.
SPARE_PATCHES = 8
# Relative difference up to which their features are those of the same image: another batch size
# changes the last digits, and those of a bfloat16 network are few.
_SAME = 1e-2


class UpdatableBankMixin(MemoryBankMixin):
    """Adds and forgets training images, for a subclass that can learn a bank from candidates."""

    @fit_context(prefer_skip_nested_validation=False)
    def partial_fit(self, X: ArrayLike, y: None = None) -> "UpdatableBankMixin":
        """Add training images; the first call is a fit.

        The memory bank is selected again, from the patches selected before and all those of the
        new images, and grows with a `coreset_size` that is a share. Images are numbered on. A
        discriminator of the paper compares new images among themselves only, so they should be
        added by the dozen.

        Parameters
        ----------
        X : array-like of shape (n, h, w, d) or (n, d)
            Patch features of more images, on the grid of the training images.
        y : None
            Ignored.

        Returns
        -------
        self

        Notes
        -----
        The result is close to that of a fit on all images, not the same. Selecting from a
        selection leaves no patch farther from the bank than the sum of both radii, which is what
        `coreset_radius_` then says. Of each earlier image only the worst patches are scored
        again, eight more than its score is the mean of, so it may come out too normal.
        """
        if not hasattr(self, "memory_bank_"):
            return self.fit(X)
        patches = self._check(X)
        self._check_jury()
        with self._execution():
            self._grow(patches)
        return self

    def _grow(self, patches):
        n_before, before = len(self.kept_), self._candidates()
        projected = project(patches, self._components)
        noise_scores, kept = self._score_noise(projected, check_random_state(self.random_state))
        on_grid = expand(noise_scores, self.inspected_), expand(kept, self.inspected_, False)
        self.noise_scores_ = np.concatenate([self.noise_scores_, on_grid[0]])
        self.kept_ = np.concatenate([self.kept_, on_grid[1]])
        self.forgotten_images_ = np.append(self.forgotten_images_, np.zeros(len(patches), bool))
        source = places(np.arange(kept.size), self.inspected_, n_before)
        ratios = np.full(kept.size, np.median(before.ratios))
        candidates = before.join(Candidates(patches.reshape(kept.size, -1), source, ratios))
        n_candidates = len(before.patches)
        del before
        points = project_rows(candidates.patches, self._components)
        survivors = np.append(np.arange(n_candidates), n_candidates + np.flatnonzero(kept))
        radius = self.coreset_radius_
        rows = self._select(points, survivors, start=0)
        del points
        candidates = candidates.take(rows)
        if (rows < n_candidates).sum() == n_candidates:
            self.coreset_radius_ = max(radius, self.coreset_radius_)
        else:
            self.coreset_radius_ += radius
        if self._jury is not None:
            self._jury.add(projected, np.arange(n_before, len(self.kept_)))
        del projected
        self._learn(candidates)
        self._calibrate(patches, n_before)

    def forget(self, images: ArrayLike) -> "UpdatableBankMixin":
        """Take training images out, for instance those that were rejected after an audit.

        Their patches leave the memory bank and support no others. The remaining images keep their
        numbers, and their patches do not fill the gaps.

        Parameters
        ----------
        images : array-like of shape (k,), int
            Numbers of the images, in the order in which they were given to fit and partial_fit.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If there is no such image, or too few would be left to compare with each other.
        """
        check_is_fitted(self)
        self._check_jury()
        numbers = check_image_numbers(images, len(self.kept_))
        forgotten = self.forgotten_images_.copy()
        forgotten[numbers] = True
        candidates = self._candidates()
        candidates = candidates.take(~forgotten[candidates.source[:, 0]])
        left = np.unique(candidates.source[:, 0])
        require_images(left, 2, "memory patches must be left, after forgetting, of")
        jury = self._jury
        if jury is not None and np.count_nonzero(~forgotten[jury.images]) < 2:
            raise ValueError(
                "images holds too many of the images that support others; fit a new model to the "
                "images that remain."
            )
        self.forgotten_images_ = forgotten
        self.kept_[numbers] = False
        with self._execution():
            if jury is not None:
                jury.remove(numbers)
            self._learn(candidates)
            self._recalibrate()
        return self

    def _check_jury(self):
        if self.discriminator == "support" and self._jury is None:
            raise ValueError(
                'discriminator="support" needs what another discriminator does not keep in fit; '
                "set it back, or fit again."
            )

    def _candidates(self):
        memory = Candidates(self.memory_bank_, self.memory_source_, self._ratios)
        return memory.join(self._dropped)

    def _learn(self, candidates):
        """Learn everything but the calibration from candidates."""
        coordinates = None
        if self._jury is not None:
            coordinates = self._jury.project(project_rows(candidates.patches, self._components))
        support = self._drop_unsupported(coordinates, candidates.source)
        self._memorize(candidates, support, check_random_state(self.random_state))

    def _calibrate(self, patches, n_before=0):
        """Learn the worst patches of new images (n, h, w, d), and what the scores mean."""
        numbers = np.arange(n_before, n_before + len(patches))
        scores, rows, worst = self._score_training(patches, self._own_patches(numbers))
        if n_before:
            rows = np.concatenate([self._worst_rows, rows])
            worst = np.concatenate([self._worst_patches, worst])
        self._worst_rows, self._worst_patches = rows, worst
        self._recalibrate(scores)

    def _score_training(self, patches, excluded):
        """Scores (n,) of training images without themselves, and their worst patches.

        These are the numbers (n, q) of the patches in their images, and the patches (n, q, d).
        """
        n_rows = min(self._n_worst + SPARE_PATCHES, patches[0, ..., 0].size)
        scores, rows = self._score_images(patches, excluded, "calibration", n_rows)
        flat = patches.reshape(len(patches), -1, patches.shape[-1])
        return scores, rows, np.take_along_axis(flat, rows[..., np.newaxis], axis=1)

    def _recalibrate(self, new_scores=()):
        """Learn `training_scores_`, of which the last are known, and `calibration_scores_`."""
        n_before = len(self.kept_) - len(new_scores)
        scores = np.append(np.empty(n_before), new_scores)
        if n_before:
            patches = self._worst_patches[:n_before, :, np.newaxis]
            again = self._score_patches(patches, self._own_patches(np.arange(n_before)))
            scores[:n_before] = self._average_worst(again)
        known = np.isfinite(scores) & ~self.forgotten_images_
        self.training_scores_ = np.where(known, -scores, np.nan)
        self.calibration_scores_ = calibration_scores(self.training_scores_, self._noise_ratio)

    def _are_different(self, patches, first):
        """Whether training images, numbered from `first`, had other patches than (n, h, w, d)."""
        images = slice(first, first + len(patches))
        worst = self._worst_patches[images].astype(np.float64)
        flat = patches.reshape(len(patches), -1, patches.shape[-1])
        found = np.take_along_axis(flat, self._worst_rows[images, :, np.newaxis], axis=1)
        gaps = np.linalg.norm(found - worst, axis=(1, 2))
        return gaps > _SAME * np.linalg.norm(worst, axis=(1, 2))
