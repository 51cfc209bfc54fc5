# SPDX-License-Identifier: BSD-3-Clause
"""From images to maps, each stage is that of the papers; `_published` has these in a few lines."""

import numpy as np
import pytest
import torch
from _networks import small_extractor
from _published import NOISE, by_position, enlarged, greedy, pooled_patches
from _references import textures
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from sklearn.utils import check_random_state
from torchvision.models.feature_extraction import create_feature_extractor
from torchvision.transforms import v2 as transforms

from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.distances.projection import draw_components

pytestmark = pytest.mark.usefixtures("one_thread")

LAYERS = ("layer2", "layer3")
N_IMAGES, SHARE, THRESHOLD = 40, 0.1, 0.15


def photographs(n, side):
    rng = np.random.RandomState(0)
    return [Image.fromarray(rng.randint(0, 256, (side, side, 3), np.uint8)) for _ in range(n)]


def test_features():
    """Shorter side to 80, the central 64: the paper's 256 and 224 in small."""
    images = photographs(2, side=100)
    extractor = PatchFeatureExtractor(
        backbone="wide_resnet50_2",
        weights=None,
        random_state=0,
        layers=LAYERS,
        resize=80,
        crop=64,
        embedding_dim=1024,
    )
    features = extractor.fit_transform(images)
    pixels = transforms.Compose(
        [
            transforms.Resize(80),
            transforms.CenterCrop(64),
            transforms.ToImage(),
            transforms.ToDtype(torch.float32, scale=True),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    network = create_feature_extractor(extractor.model_.eval(), list(LAYERS))
    with torch.inference_mode():
        maps = network(torch.stack([pixels(image) for image in images]))
    expected = pooled_patches(list(maps.values()), 3, 1024).numpy()
    assert features.shape == expected.shape == (2, 8, 8, 1024)
    assert expected.std() > 1e-2
    np.testing.assert_allclose(features, expected, atol=1e-4, rtol=1e-3)


@pytest.fixture(scope="module")
def training():
    return textures(N_IMAGES, defects=range(4))


@pytest.fixture(scope="module", params=[None, 5], ids=["all features", "projected"])
def dimension(request):
    return request.param


@pytest.fixture(scope="module", params=NOISE)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def fitted(training, name, dimension):
    return SoftPatchDetector(
        discriminator=name,
        noise_threshold=THRESHOLD,
        coreset_size=SHARE,
        projection_dim=dimension,
        metric="sqeuclidean",
        random_state=0,
    ).fit(training)


@pytest.fixture(scope="module")
def points(training, dimension):
    """What noise and coreset see of the patches."""
    components = draw_components(training.shape[-1], dimension, check_random_state(0))
    return training if components is None else training @ components


@pytest.fixture(scope="module")
def noise(points, name):
    return by_position(points, NOISE[name])


@pytest.fixture(scope="module")
def bank(training, points, noise, fitted):
    """Rows of the coreset, from the noise scores and the first pick alone."""
    rows = np.flatnonzero(noise <= np.quantile(noise, 1 - THRESHOLD))
    flat = points.reshape(-1, points.shape[-1])
    start = np.ravel_multi_index(fitted.memory_source_[0], noise.shape)
    picks, _ = greedy(flat[rows], int(SHARE * noise.size), np.searchsorted(rows, start))
    return rows[picks]


def test_noise_scores(fitted, noise):
    np.testing.assert_allclose(fitted.noise_scores_, noise, rtol=1e-4)


def test_mask(fitted, noise):
    np.testing.assert_array_equal(fitted.kept_, noise <= np.quantile(noise, 1 - THRESHOLD))


def test_coreset(fitted, noise, bank):
    source = np.column_stack(np.unravel_index(bank, noise.shape))
    np.testing.assert_array_equal(fitted.memory_source_, source)


def test_first_pick(training):
    """The farthest on average from ten random patches, as in the reference; of those kept."""
    detector = SoftPatchDetector(discriminator="lof", coreset_size=1, random_state=0).fit(training)
    flat = training.reshape(-1, training.shape[-1])
    kept = np.flatnonzero(detector.kept_)
    anchors = kept[check_random_state(0).choice(len(kept), 10, replace=False)]
    expected = kept[cdist(flat[kept], flat[anchors]).mean(axis=1).argmax()]
    found = np.ravel_multi_index(detector.memory_source_[0], detector.kept_.shape)
    assert found == expected


def test_weights(fitted, noise, bank):
    np.testing.assert_allclose(fitted.memory_weights_, noise.ravel()[bank], rtol=1e-4)


def test_scores(fitted, training, noise, bank):
    queries = textures(5, defects=[0, 1], seed=1)
    flat = training.reshape(-1, training.shape[-1])
    distances = cdist(queries.reshape(-1, queries.shape[-1]), flat[bank], "sqeuclidean")
    weighted = noise.ravel()[bank][distances.argmin(axis=1)] * distances.min(axis=1)
    weighted = weighted.reshape(queries.shape[:3])
    np.testing.assert_allclose(fitted.predict_map(queries), weighted, rtol=1e-3)
    np.testing.assert_allclose(-fitted.score_samples(queries), weighted.max((1, 2)), rtol=1e-3)


def test_maps():
    images = photographs(8, side=64)
    detector = SoftPatchDetector(discriminator="lof", random_state=0)
    model = make_pipeline(small_extractor(image_size=64), detector).fit(images)
    (grid,) = model[-1].predict_map(model[0].transform(images[:1]))
    (found,) = model.predict_map(images[:1], sigma=4)
    np.testing.assert_allclose(found, gaussian_filter(enlarged(grid, (64, 64)), 4), rtol=1e-4)
