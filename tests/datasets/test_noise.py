# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from _images import Lazy
from numpy.testing import assert_array_equal
from PIL import Image
from scipy import ndimage

from skpatch.datasets import inject_noise, make_contaminated_images

AUGMENTATIONS = ["rotation", "affine", "blur", "noise"]
NORMALS = [f"good/{i}.png" for i in range(30)]
DEFECTS = [f"dent/{i}.png" for i in range(12)]


@pytest.mark.parametrize("overlap", [False, True])
@pytest.mark.parametrize(("ratio", "n_injected"), [(0, 0), (0.1, 3), (0.21, 6), (0.4, 12)])
def test_inject_noise(ratio, n_injected, overlap):
    noisy = inject_noise(NORMALS, DEFECTS, noise_ratio=ratio, overlap=overlap, random_state=0)
    assert len(noisy.train_images) == len(noisy.is_noise) == 30 + n_injected
    train = np.array(noisy.train_images)
    assert sorted(train[~noisy.is_noise]) == sorted(NORMALS)
    assert train[noisy.is_noise].tolist() == [DEFECTS[i] for i in noisy.injected_indices]
    assert len(set(noisy.injected_indices)) == n_injected
    assert noisy.test_defects == [DEFECTS[i] for i in noisy.test_indices]
    if overlap:
        assert noisy.test_defects == DEFECTS
    else:
        both = sorted([*noisy.test_indices, *noisy.injected_indices])
        assert_array_equal(both, np.arange(12))


def test_inject_noise_seed():
    def chosen(**options):
        return inject_noise(NORMALS, DEFECTS, noise_ratio=0.2, **options)

    first = chosen(random_state=3)
    assert first.train_images == chosen(random_state=3).train_images
    assert first.train_images == chosen(random_state=np.random.RandomState(3)).train_images
    assert first.train_images != chosen(random_state=4).train_images
    assert_array_equal(
        first.injected_indices, chosen(random_state=3, overlap=True).injected_indices
    )


def test_inject_noise_draws_nothing_from_the_global_generator():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    defects = list(make_contaminated_images(0, 4, random_state=0).images)
    inject_noise(NORMALS, defects, augment="affine", random_state=0)
    assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_inject_noise_takes_arrays_and_lazy_sequences():
    lazy = Lazy(DEFECTS)
    expected = inject_noise(NORMALS, DEFECTS, random_state=0)
    assert inject_noise(NORMALS, lazy, random_state=0).train_images == expected.train_images
    assert sorted(lazy.accessed) == list(range(12))

    images = make_contaminated_images(10, 0, random_state=0).images
    noisy = inject_noise(images, images[:3], noise_ratio=0.2, overlap=True, random_state=0)
    assert all(image.shape == (64, 64, 3) for image in noisy.train_images)


@pytest.mark.parametrize("augment", AUGMENTATIONS)
@pytest.mark.parametrize("grey", [False, True])
def test_augmented_copies(augment, grey, tmp_path):
    arrays = make_contaminated_images(0, 6, image_size=(48, 80), random_state=0).images
    arrays = arrays[..., 0] if grey else arrays
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path, array in zip(paths, arrays, strict=True):
        Image.fromarray(array).save(path)
    pictures = [Image.fromarray(array) for array in arrays]

    def inject(defects, **options):
        return inject_noise(NORMALS, defects, augment=augment, random_state=0, **options)

    noisy = inject(list(arrays), overlap=True)
    for position, index in zip(np.flatnonzero(noisy.is_noise), noisy.injected_indices, strict=True):
        copy, original = noisy.train_images[position], arrays[index]
        if grey:
            original = np.repeat(original[..., np.newaxis], 3, axis=2)
            assert (copy == copy[..., :1]).all()
        assert copy.dtype == np.uint8
        assert copy.shape == original.shape
        difference = np.abs(copy.astype(float) - original).mean()
        assert 0.3 < difference < 40
        # Close to its own original, and no black corners.
        assert abs(copy.mean() - original.mean()) < 5
        assert int(copy.min()) >= int(original.min()) - (70 if augment == "noise" else 0)
    for defects in (paths, [str(path) for path in paths], pictures):
        same = inject(defects, overlap=True)
        assert_array_equal(
            np.stack([same.train_images[i] for i in np.flatnonzero(same.is_noise)]),
            np.stack([noisy.train_images[i] for i in np.flatnonzero(noisy.is_noise)]),
        )
        assert same.test_defects == defects
    plain = inject_noise(NORMALS, list(arrays), random_state=0)
    assert_array_equal(plain.is_noise, noisy.is_noise)
    assert_array_equal(plain.injected_indices, noisy.injected_indices)
    assert len(inject(list(arrays)).test_defects) == 3


def test_warps_turn_about_the_centre():
    image = np.zeros((41, 61), np.uint8)
    image[18:23, 28:33] = 255
    noisy = inject_noise(
        [image] * 5, [image] * 5, noise_ratio=1, augment="rotation", random_state=0
    )
    for copy, is_noise in zip(noisy.train_images, noisy.is_noise, strict=True):
        grey = copy[..., 0] if is_noise else copy
        assert ndimage.center_of_mass(grey) == pytest.approx((20, 30), abs=0.05)
        assert is_noise == (grey != image).any()


def test_augmented_modes(tmp_path):
    array = make_contaminated_images(0, 1, random_state=0).images[0]
    rgba = Image.fromarray(array).convert("RGBA")
    rgba.save(tmp_path / "alpha.png")
    rgba.convert("RGB").quantize(16).save(tmp_path / "palette.png")
    rgba.convert("1").save(tmp_path / "bits.png")
    for name in ("alpha", "palette", "bits"):
        noisy = inject_noise(
            [array], [tmp_path / f"{name}.png"], noise_ratio=1, augment="blur", random_state=0
        )
        assert noisy.train_images[int(np.argmax(noisy.is_noise))].shape == (64, 64, 3)
        assert 50 < noisy.train_images[int(np.argmax(noisy.is_noise))].mean() < 200


@pytest.mark.parametrize("overlap", [False, True])
def test_too_few_defects(overlap):
    message = "noise_ratio=0.5 of 30 normal images needs 15 defects, but there are 12.*at most 0.4"
    with pytest.raises(ValueError, match=message):
        inject_noise(NORMALS, DEFECTS, noise_ratio=0.5, overlap=overlap)
    assert inject_noise(NORMALS, DEFECTS, noise_ratio=0.4).is_noise.sum() == 12


def test_inject_noise_errors(tmp_path):
    for ratio in (-0.1, 10):
        with pytest.raises(ValueError, match="noise_ratio"):
            inject_noise(NORMALS, DEFECTS, noise_ratio=ratio)
    with pytest.raises(ValueError, match="Unknown augment 'flip'; known are None, 'rotation'"):
        inject_noise(NORMALS, DEFECTS, augment="flip")
    with pytest.raises(ValueError, match="train_normal is empty"):
        inject_noise([], DEFECTS)
    with pytest.raises(TypeError, match="train_normal must be a list"):
        inject_noise("good", DEFECTS)
    with pytest.raises(TypeError, match="defects must be a list"):
        inject_noise(NORMALS, iter(DEFECTS))
    with pytest.raises(TypeError, match="defects must be a list"):
        inject_noise(NORMALS, tmp_path)


def test_augment_needs_images(tmp_path):
    with pytest.raises(ValueError, match=r"defects\[0\] has shape \(8,\)"):
        inject_noise(NORMALS[:1], [np.zeros(8, np.uint8)], noise_ratio=1, augment="blur")
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        inject_noise(NORMALS[:1], [tmp_path / "none.png"], noise_ratio=1, augment="blur")
