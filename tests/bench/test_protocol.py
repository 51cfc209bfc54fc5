# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from PIL import Image

from skpatch import FusionDiscriminator, PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import ImageSet, Unaligned, _copies, measure
from skpatch.inspection.maps import image_map
from skpatch.metrics import image_auroc, pixel_auroc


@pytest.fixture
def paths(tmp_path):
    rng = np.random.RandomState(0)
    names = [str(tmp_path / f"{number}.png") for number in range(3)]
    for name in names:
        Image.fromarray(rng.randint(0, 256, (150, 262), np.uint8)).save(name)
    return names


def test_masks_have_the_size_of_the_input_whatever_its_proportions(paths, tmp_path):
    mask = np.zeros((150, 262), np.uint8)
    mask[:75] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    data = ImageSet("set", paths, np.array([True, False, False]), np.arange(3))
    assert data.masks() == {}
    data.mask_paths = {0: tmp_path / "mask.png", 1: None}
    masks = data.masks()
    # 225 x 393 pixels, half as much again, of which sides become multiples of the stride.
    assert masks[0].shape == masks[1].shape == (224, 384)
    assert masks[0].dtype == bool
    assert masks[0][:112].all()
    assert not masks[0][112:].any()
    assert not masks[1].any()


def test_masks_are_cropped_as_images_are(paths, tmp_path):
    mask = np.zeros((150, 262), np.uint8)
    # The central square of 120 pixels is in the columns from 71 to 191.
    mask[:, :131] = 255
    mask[:15] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    data = ImageSet(
        "set", paths, np.array([True, False, False]), mask_paths={0: tmp_path / "mask.png"}
    )
    data.extractor = PatchFeatureExtractor(resize=80, crop=64).fit(paths)
    (found,) = data.masks().values()
    assert found.shape == (64, 64)
    assert found[:, :32].all()
    assert not found[:, 32:].any()


def test_a_mask_of_another_image_is_refused(paths, tmp_path):
    Image.new("L", (150, 262)).save(tmp_path / "mask.png")
    data = ImageSet(
        "set", paths, np.array([True, False, False]), mask_paths={0: str(tmp_path / "mask.png")}
    )
    with pytest.raises(ValueError, match=r"mask\.png' has 262 x 150 .* shape is \(150, 262\)"):
        data.masks()


def test_all_training_images_of_a_folder_are_learned_from():
    """As the papers do; of MVTec AD all categories but one have more than 200."""
    is_defective = np.arange(450) >= 420
    train, pool = ImageSet("set", range(450), is_defective, np.arange(400, 450)).split(3)
    assert sorted(train) == list(range(400))
    np.testing.assert_array_equal(pool, np.arange(400, 450))


def test_several_masks_of_an_image(paths, tmp_path):
    """MVTec LOCO AD has one for each defect."""
    names = [str(tmp_path / f"{number}.png") for number in ("first", "second")]
    for name, column in zip(names, (0, 200), strict=True):
        mask = np.zeros((150, 262), np.uint8)
        mask[:, column : column + 62] = 255
        Image.fromarray(mask).save(name)
    data = ImageSet("set", paths, np.array([True, False, False]), mask_paths={0: tuple(names)})
    data.extractor = PatchFeatureExtractor(image_size=(150, 262)).fit(paths)
    assert data.masks()[0].any(axis=0).tolist() == [True] * 62 + [False] * 138 + [True] * 62
    before = data.digest
    Image.fromarray(mask.T).save(names[1])
    assert ImageSet("set", paths, data.is_defective, mask_paths={0: tuple(names)}).digest != before


def test_unaligned_images_are_moved_in_the_same_way_each_time(paths):
    images = Unaligned(paths)
    assert len(images) == 3
    np.testing.assert_array_equal(images[1], images[1])
    assert images[1].shape == (150, 262)
    assert not np.array_equal(images[1], np.asarray(Image.open(paths[1])))


def test_altered_copies_are_injected_in_their_places(paths):
    data = ImageSet("set", paths, np.array([False, True, True]))
    data.extractor = PatchFeatureExtractor(image_size=64).fit(paths)
    features = data.extractor.transform(paths)
    found = _copies(data, np.array([2, 1]), "noise", 3)
    gaps = np.linalg.norm((found[:, np.newaxis] - features).reshape(2, 3, -1), axis=2)
    # Each is like its original, and not the same.
    np.testing.assert_array_equal(gaps.argmin(axis=1), [2, 1])
    assert gaps.min() > 0


def test_the_maps_of_softpatch_plus_have_a_bank_of_their_own():
    """15 % are dropped for scores of images, 50 % for maps."""
    rng = np.random.RandomState(0)
    features = rng.normal(size=(30, 4, 4, 6)).astype(np.float32)
    features[20:, 1, 1] += 3
    is_defective = np.arange(30) >= 20
    data = ImageSet("set", np.arange(30), is_defective, np.arange(15, 30))
    masks = {index: np.zeros((16, 16), bool) for index in range(15, 30)}
    for index in range(20, 30):
        masks[index][4:8, 4:8] = True
    (row,) = measure(data, features, masks, 0, "SoftPatch+", 3, {"coreset_size": 20})
    train, _ = data.split(3)
    scores, maps = (
        SoftPatchDetector(
            discriminator=FusionDiscriminator(discriminators=["lof", "gaussian"]),
            noise_threshold=threshold,
            coreset_size=20,
            random_state=3,
        ).fit(features[train])
        for threshold in (0.15, 0.5)
    )
    tested, truth = features[15:], is_defective[15:]
    assert row["image_auroc"] == image_auroc(truth, -scores.score_samples(tested))
    grids = maps.predict_map(tested)
    enlarged = [image_map(grid, (16, 16), (16, 16), (0, 0, 16, 16), 4) for grid in grids]
    assert row["pixel_auroc"] == pixel_auroc(list(masks.values()), enlarged)
    assert row["megabytes"] == 2 * 20 * 6 * 4 / 1e6
    (row,) = measure(data, features, {}, 0, "SoftPatch+", 3, {"coreset_size": 20})
    assert row["megabytes"] == 20 * 6 * 4 / 1e6
