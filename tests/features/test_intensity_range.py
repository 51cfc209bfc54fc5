# SPDX-License-Identifier: BSD-3-Clause
"""Images of cameras of 10, 12 and 14 bits look as their 8-bit pictures do."""

import numpy as np
import pytest
import tifffile
from _cli import SMALL, run
from _images import save
from _networks import small_extractor
from PIL import Image

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector, make_pipeline
from skpatch.datasets import make_contaminated_images
from skpatch.inspection.result import Inspection

pytestmark = pytest.mark.usefixtures("one_thread")
IMAGES = make_contaminated_images(n_normal=12, n_defective=0, image_size=64, random_state=0).images
WHITES = {10: 1023, 12: 4095, 14: 16383, 16: 65535}


def deep(images, white, dtype=np.uint16):
    """The images of a camera of more bits, white at the largest value."""
    return np.rint(images.astype(float) * (white / images.max())).astype(dtype)


@pytest.fixture(scope="module")
def reference():
    return small_extractor(image_size=64).fit_transform(deep(IMAGES, 255, np.uint8))


@pytest.mark.parametrize("bits", WHITES)
@pytest.mark.parametrize("form", ["array", "png", "tif"])
def test_features_are_those_of_eight_bits(reference, tmp_path, bits, form):
    images = deep(IMAGES, WHITES[bits])
    if form == "png":
        images = [save(tmp_path / f"{i}.png", image[..., 0]) for i, image in enumerate(images)]
        eight = deep(IMAGES, 255, np.uint8)[..., :1]
        reference = small_extractor(image_size=64).fit_transform(eight)
    elif form == "tif":
        for number, image in enumerate(images):
            tifffile.imwrite(tmp_path / f"{number}.tif", image, photometric="rgb")
        images = [tmp_path / f"{number}.tif" for number in range(len(images))]
    extractor = small_extractor(image_size=64).fit(images)
    assert extractor.intensity_range_ == (0, WHITES[bits])
    np.testing.assert_allclose(extractor.transform(images), reference, atol=0.05)


@pytest.mark.parametrize(("white", "dtype"), [(1, float), (255, np.float32), (255, int)])
def test_other_numbers(reference, white, dtype):
    images = deep(IMAGES, 255).astype(dtype) / (255 if white == 1 else 1)
    extractor = small_extractor(image_size=64).fit(images.astype(dtype))
    assert extractor.intensity_range_ == (0, white)
    np.testing.assert_array_equal(extractor.transform(images.astype(dtype)), reference)


def test_eight_bit_images_learn_nothing_and_may_lie_beside_others(reference):
    eight, twelve = deep(IMAGES, 255, np.uint8), deep(IMAGES, 4095)
    assert small_extractor(image_size=64).fit(eight).intensity_range_ is None
    mixed = [*eight[:6], *twelve[6:]]
    extractor = small_extractor(image_size=64).fit(mixed)
    assert extractor.intensity_range_ == (0, 4095)
    np.testing.assert_allclose(extractor.transform(mixed), reference, atol=0.05)


def test_stated_range(reference):
    twelve = deep(IMAGES, 4095)
    extractor = small_extractor(image_size=64, intensity_range=(0, 4095)).fit(twelve // 20)
    assert extractor.intensity_range_ == (0, 4095)
    np.testing.assert_allclose(extractor.transform(twelve), reference, atol=0.05)
    # What is beyond a window that was stated is meant to be.
    window = small_extractor(image_size=64, intensity_range=(-1000, 400)).fit(twelve - 2000.0)
    assert np.isfinite(window.transform(twelve - 2000.0)).all()


@pytest.mark.parametrize("bad", [(5, 5), (9, 1), (0,), (0, 1, 2), ("a", "b"), (0, float("nan"))])
def test_bad_ranges(bad):
    with pytest.raises(ValueError, match=r"intensity_range=.* must be 'auto' or a pair"):
        small_extractor(image_size=64, intensity_range=bad).fit(IMAGES)


def test_images_that_do_not_fit_are_told_once(tmp_path):
    model = make_pipeline(small_extractor(image_size=64), SoftPatchDetector(random_state=0))
    model.fit(deep(IMAGES, 4095))
    new = [*deep(IMAGES[:3], 4095), *deep(IMAGES[:1], 65535), *deep(IMAGES[:1], 200)]
    with pytest.warns(UserWarning, match=r"2 images do not fit .* 0 to 4095 .*: image 3, image 4"):
        scores = model.score_samples(new)
    assert scores[4] < scores[0]
    model.score_samples(deep(IMAGES, 4095))


def test_a_model_of_eight_bit_images_says_what_it_takes_for_white():
    extractor = small_extractor(image_size=64).fit(IMAGES)
    extractor.transform(deep(IMAGES, 65535))
    with pytest.warns(UserWarning, match=r"12 images do not fit .* 0 to 65535 of 16-bit images"):
        extractor.transform(deep(IMAGES, 4095))


def test_images_of_different_bit_depths():
    mixed = [*deep(IMAGES[:2], 65535), *deep(IMAGES[2:], 4095)]
    with pytest.warns(UserWarning, match=r"10 of 12 images .* image 2, image 3, image 4, \.\.\."):
        small_extractor(image_size=64).fit(mixed)
    with pytest.raises(ValueError, match="Images differ in which number is white"):
        small_extractor(image_size=64).fit([deep(IMAGES[0], 4095), IMAGES[1] / 255])


def test_saved_and_loaded(tmp_path):
    model = make_pipeline(
        PatchFeatureExtractor(image_size=64), SoftPatchDetector(random_state=0)
    ).fit(deep(IMAGES, 4095))
    skpatch.save(model, tmp_path / "model.skpatch")
    loaded = skpatch.load(tmp_path / "model.skpatch")
    assert loaded[0].intensity_range_ == (0, 4095)
    new = deep(IMAGES[:3], 4095)
    np.testing.assert_array_equal(loaded.score_samples(new), model.score_samples(new))


def test_pictures_of_reports_have_the_range():
    model = make_pipeline(small_extractor(image_size=64), SoftPatchDetector(random_state=0))
    inspection = model.fit(deep(IMAGES, 4095)).inspect(deep(IMAGES, 4095))
    assert isinstance(inspection, Inspection)
    np.testing.assert_allclose(
        inspection.images.load(0).astype(int), deep(IMAGES, 255, np.uint8)[0], atol=1
    )


def several_pages(path, n):
    pages = [Image.fromarray(image) for image in IMAGES[:n]]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    return path


@pytest.mark.parametrize("ending", ["tif", "gif", "webp", "png"])
def test_pages_that_are_left_out_are_told(tmp_path, ending):
    path = several_pages(tmp_path / f"a.{ending}", 4)
    single = save(tmp_path / f"b.{ending}", IMAGES[5])
    extractor = small_extractor(image_size=64)
    with pytest.warns(UserWarning, match=r"1 image file has more pages .*a\.\w+ \(3 more\)"):
        features = extractor.fit_transform([path, single])
    assert len(features) == 2


def test_pages_are_told_once_where_images_pass_twice(tmp_path):
    paths = [several_pages(tmp_path / f"{i}.tif", 2) for i in range(12)]
    detector = SoftPatchDetector(random_state=0, memory_limit="2M")
    with pytest.warns(UserWarning, match="in shards|more pages") as told:
        make_pipeline(small_extractor(image_size=64), detector).fit(paths)
    assert sum("12 image files have more pages" in str(one.message) for one in told) == 1
    assert len(told) == len({str(one.message) for one in told})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of a 12-bit camera, in one file of which are two."""
    folder = tmp_path_factory.mktemp("twelve")
    for number, image in enumerate(deep(IMAGES, 4095)):
        tifffile.imwrite(folder / f"{number:02}.tif", image, photometric="rgb")
    tifffile.imwrite(folder / "12.tif", deep(IMAGES[:2], 4095), photometric="rgb")
    return folder


@pytest.mark.filterwarnings("default::UserWarning")
def test_command_line(folder, tmp_path, capsys):
    model = tmp_path / "line.skpatch"
    assert run("fit", folder, "-o", model, *SMALL) == 0
    printed = capsys.readouterr()
    assert "intensity range   0 is black and 4095 white" in printed.out
    assert printed.err.count("12.tif (1 more)") == 1
    bright = save(tmp_path / "bright.png", deep(IMAGES[0], 65535)[..., 0])
    assert run("score", model, folder, bright, "-o", tmp_path / "s.csv") == 0
    told = capsys.readouterr().err
    assert told.count("Warning: 1 image does not fit the intensity range 0 to 4095") == 1
    assert run("audit", folder, "-o", tmp_path / "a.html", "--memory-limit", "1G", *SMALL) == 0
    assert capsys.readouterr().err.count("more pages") == 1


@pytest.mark.filterwarnings("default::UserWarning")
def test_command_line_with_a_stated_range(folder, tmp_path, capsys):
    model = tmp_path / "line.skpatch"
    assert run("fit", folder, "-o", model, "--intensity-range", 0, 16383, *SMALL) == 0
    assert skpatch.load(model)[0].intensity_range_ == (0, 16383)
    assert run("fit", folder, "-o", model, "--intensity-range", 5, 1, *SMALL) == 1
    assert "intensity_range=(5.0, 1.0) must be" in capsys.readouterr().err


def test_command_line_takes_larger_pictures_if_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        save(folder / f"{number}.png", image)
    arguments = ["fit", folder, "-o", tmp_path / "line.skpatch", *SMALL]
    assert run(*arguments) == 1
    assert "--max-pixels" in capsys.readouterr().err
    assert run(*arguments, "--max-pixels", IMAGES[0].shape[0] * IMAGES[0].shape[1]) == 0
    assert Image.MAX_IMAGE_PIXELS == 1000
