# SPDX-License-Identifier: BSD-3-Clause
import threading

import numpy as np
import pytest
from _images import Lazy
from _networks import Pixels, small_extractor, with_parameters
from _photographs import IMAGES, photographs
from PIL import Image

from skpatch import PatchFeatureExtractor
from skpatch.features.view import input_views

pytestmark = pytest.mark.usefixtures("one_thread")

MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def seen(extractor, images):
    """Pixels that reach the network."""
    return 255 * (extractor.transform(images) * STD + MEAN)


def pixel_extractor(**parameters):
    return PatchFeatureExtractor(backbone=Pixels(), layers="same", patch_size=1, **parameters)


# Forms


def test_forms_of_input(fitted, features, tmp_path):
    paths = [tmp_path / f"{index}.png" for index in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)

    for X in (paths, list(map(Image.fromarray, IMAGES)), np.stack(IMAGES), Lazy(IMAGES)):
        np.testing.assert_array_equal(fitted.transform(X), features)


def test_grey_and_sixteen_bit_images_are_like_their_colour_versions(fitted):
    grey = IMAGES[0][:, :, 0]
    colour = fitted.transform([np.stack([grey] * 3, axis=2)])
    np.testing.assert_array_equal(fitted.transform(grey[np.newaxis]), colour)
    np.testing.assert_array_equal(fitted.transform([grey.astype(np.uint16) * 257]), colour)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], ValueError, "X is empty"),
        ("folder", TypeError, "single path"),
        ((image for image in IMAGES), TypeError, "generator"),
        (["lost.png"], FileNotFoundError, r"lost\.png"),
        ([IMAGES[0], np.full((70, 80), np.nan)], ValueError, "image 1 contains NaN"),
        (IMAGES[0], ValueError, "single colour image"),
    ],
    ids=["empty", "path", "generator", "missing", "NaN", "single"],
)
def test_bad_images(fitted, X, error, message):
    with pytest.raises(error, match=message):
        fitted.transform(X)
    with pytest.raises(error, match=message):
        PatchFeatureExtractor(image_size=64).fit(X)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_error_while_decoding_names_the_file(fitted, tmp_path, n_jobs):
    path = tmp_path / "broken.png"
    Image.fromarray(IMAGES[0]).save(path)
    path.write_bytes(path.read_bytes()[:500])
    extractor = with_parameters(fitted, n_jobs=n_jobs, batch_size=2)
    before = set(threading.enumerate())
    with pytest.raises(ValueError, match=r"broken\.png.*cannot be decoded"):
        extractor.transform([*IMAGES, path, *IMAGES])
    new = set(threading.enumerate()) - before
    assert not [thread for thread in new if "ThreadPool" in thread.name]


# Sizes


def test_images_of_different_sizes():
    images = photographs((70, 80), (40, 200), (300, 100))
    extractor = small_extractor(image_size=64).fit(images)
    features = extractor.transform(images)
    assert features.shape == (3, 8, 10, 24)
    for index, image in enumerate(images):
        alone = extractor.transform([image])
        np.testing.assert_allclose(alone[0], features[index], atol=1e-4)


@pytest.mark.parametrize(
    ("image_size", "sizes", "expected"),
    [
        (64, [(100, 100)], (64, 64)),
        # Ratios 1, 2 and 5: the median is 2.
        (64, [(100, 100), (100, 200), (40, 200)], (64, 128)),
        (64, [(200, 100)], (128, 64)),
        # 64 * 1.1 = 70.4 is nearer to 64, 64 * 1.15 = 73.6 to 80.
        (64, [(100, 110)], (64, 64)),
        (64, [(100, 115)], (64, 80)),
        (70, [(100, 100)], (64, 64)),
        (1, [(100, 100)], (16, 16)),
        ((48, 100), [(100, 100)], (48, 100)),
        ([48, 100], [(100, 100)], (48, 100)),
        (np.int64(64), [(100, 100)], (64, 64)),
    ],
)
def test_image_size(image_size, sizes, expected):
    extractor = small_extractor(image_size=image_size).fit(photographs(*sizes))
    assert extractor.image_size_ == expected
    assert all(type(side) is int for side in extractor.image_size_)


def test_stride_of_a_network_that_does_not_pad():
    extractor = PatchFeatureExtractor(
        backbone="squeezenet1_1", weights=None, layers="features.6", image_size=100
    )
    assert extractor.fit(photographs((100, 100))).image_size_ == (96, 96)


def test_whole_image_is_resized():
    image = photographs((60, 90))[0]
    extractor = pixel_extractor(image_size=(30, 40)).fit([image])
    expected = np.asarray(Image.fromarray(image).resize((40, 30), Image.Resampling.BILINEAR))
    np.testing.assert_allclose(seen(extractor, [image])[0], expected, atol=1e-3)
    assert input_views(extractor, [image]) == [((60, 90), (0, 0, 60, 90))]


def test_paper_protocol():
    # These sides become 256 and 340, and the crop starts at whole pixels.
    image = photographs((512, 680))[0]
    extractor = pixel_extractor(resize=256, crop=224).fit([image])
    assert extractor.image_size_ == (224, 224)
    resized = Image.fromarray(image).resize((340, 256), Image.Resampling.BILINEAR)
    expected = np.asarray(resized, int)[16:240, 58:282]
    np.testing.assert_allclose(seen(extractor, [image])[0], expected, atol=1.01)
    assert input_views(extractor, [image, image[:, :400].copy()]) == [
        ((512, 680), (32, 116, 480, 564)),
        ((512, 400), (81, 25, 431, 375)),
    ]


def test_crop_as_large_as_resize():
    for size in ((333, 517), (517, 333)):
        image = photographs(size)[0]
        extractor = pixel_extractor(resize=48, crop=48).fit([image])
        ((_, region),) = input_views(extractor, [image])
        top, left, bottom, right = region
        assert (bottom - top, right - left) == (333, 333)
        assert extractor.transform([image]).shape == (1, 48, 48, 3)


@pytest.mark.parametrize("size", [(1, 1), (5, 100), (100, 5)])
def test_image_smaller_than_the_grid(fitted, size):
    small = np.zeros((*size, 3), np.uint8)
    message = rf"image 1 has {size[0]} x {size[1]} pixels .* fewer than the 8 x "
    with pytest.raises(ValueError, match=message):
        fitted.transform([IMAGES[0], small])
    with pytest.raises(ValueError, match=message):
        small_extractor(image_size=64).fit([IMAGES[0], small, IMAGES[1]])


def test_small_file_is_named(fitted, tmp_path):
    Image.new("L", (1, 1)).save(tmp_path / "dot.png")
    with pytest.raises(ValueError, match=r"dot\.png has 1 x 1 pixels"):
        fitted.transform([tmp_path / "dot.png"])


# The size of the network's input


@pytest.mark.parametrize(
    ("height", "width", "expected"),
    [
        (300, 300, (320, 320)),
        (3000, 4000, (288, 384)),
        (4000, 3000, (384, 288)),
        # As many pixels as a square of 320 would leave the shorter side below 224.
        (500, 1250, (224, 576)),
        # Small files are enlarged by half, and to 224 in any case.
        (200, 200, (288, 288)),
        (64, 64, (224, 224)),
    ],
)
def test_size_by_default(height, width, expected):
    images = [np.zeros((height, width), np.uint8)] * 3
    assert PatchFeatureExtractor(layers="features.5").fit(images).image_size_ == expected


def test_size_by_default_is_that_of_the_median_image():
    images = [np.zeros((side, side), np.uint8) for side in (40, 160, 160, 160, 4000)]
    assert PatchFeatureExtractor(layers="features.5").fit(images).image_size_ == (256, 256)


def test_size_in_another_word():
    with pytest.raises(ValueError, match=r"'image_size' parameter .* a str among \{'auto'\}"):
        PatchFeatureExtractor(image_size="large").fit([np.zeros((64, 64), np.uint8)] * 2)
