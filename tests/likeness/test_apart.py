# SPDX-License-Identifier: BSD-3-Clause
import warnings

import numpy as np
import pytest

from skpatch import SoftPatchDetector
from skpatch.likeness.apart import groups_apart


def product(rng, n, seed, side=16):
    """Images of one product: the same places, each a little different."""
    typical = np.random.RandomState(seed).normal(size=(side, side, 8))
    return (typical + 0.5 * rng.normal(size=(n, side, side, 8))).astype(np.float32)


@pytest.mark.parametrize(("n_first", "n_second"), [(20, 20), (36, 4), (150, 50)])
def test_two_products(n_first, n_second):
    rng = np.random.RandomState(0)
    patches = np.concatenate([product(rng, n_first, 1), product(rng, n_second, 2) + 3])
    order = rng.permutation(len(patches))
    seen, (group,) = groups_apart(patches[order])
    assert len(seen) == min(100, len(patches))
    is_second = order[seen] >= n_first
    smaller = is_second if is_second.mean() <= 0.5 else ~is_second
    assert set(group) in (set(seen[smaller]), set(seen[~smaller]))


def test_three_products_are_two_groups_beside_the_largest():
    rng = np.random.RandomState(0)
    parts = [product(rng, n, seed) + 4 * seed for seed, n in enumerate((20, 12, 6))]
    groups = groups_apart(np.concatenate(parts))[1]
    assert [list(group) for group in groups] == [list(range(20, 32)), list(range(32, 38))]


def test_one_product():
    assert groups_apart(product(np.random.RandomState(0), 60, 1))[1] == []


def test_gradual_change_is_one_product():
    patches = product(np.random.RandomState(0), 60, 1) + np.linspace(0, 20, 60)[:, None, None, None]
    assert groups_apart(patches.astype(np.float32))[1] == []


def test_few_strange_images_are_no_group():
    patches = product(np.random.RandomState(0), 60, 1)
    patches[:3] += 20
    assert groups_apart(patches)[1] == []


def test_a_defect_makes_no_group():
    patches = product(np.random.RandomState(0), 60, 1)
    patches[:20, :8, :8] += 20
    assert groups_apart(patches)[1] == []


def test_too_few_images_or_patches():
    patches = np.concatenate([product(np.random.RandomState(0), 4, seed) + seed for seed in (1, 9)])
    assert groups_apart(patches[:7])[1] == []
    assert groups_apart(patches[:, :13])[1] != []
    assert groups_apart(patches[:, :12])[1] == []


def test_fit_tells_which_images_by_the_numbers_given():
    rng = np.random.RandomState(0)
    patches = np.concatenate([product(rng, 16, 1), product(rng, 6, 2) + 4])
    # Copies count once, and keep their numbers.
    patches = np.concatenate([patches[:1], patches])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        SoftPatchDetector(discriminator=None, random_state=0).fit(patches)
    (told,) = (str(w.message) for w in caught if "unlike the rest" in str(w.message))
    assert told.startswith("6 of 22 training images")
    assert "image 17, image 18, image 19, ..." in told
    assert all(w.filename == __file__ for w in caught)


def test_fit_is_quiet_about_one_product():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SoftPatchDetector(discriminator=None).fit(product(np.random.RandomState(0), 40, 1))
