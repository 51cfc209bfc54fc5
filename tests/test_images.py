# SPDX-License-Identifier: BSD-3-Clause
import re
import threading

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from skpatch._images import check_images, read_image

RNG = np.random.RandomState(0)
COLOUR = RNG.randint(0, 256, (6, 9, 3)).astype(np.uint8)
GREY = RNG.randint(0, 256, (6, 9)).astype(np.uint8)
GREY_COLOUR = np.stack([GREY] * 3, axis=2)

# How an upright array is stored so that the EXIF orientation turns it back.
STORED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def save(path, array, mode=None, **options):
    image = Image.fromarray(np.ascontiguousarray(array))
    (image if mode is None else image.convert(mode)).save(path, **options)
    return path


def load_all(X):
    images = check_images(X)
    loaded = [images.load(index) for index in range(len(images))]
    for index, array in enumerate(loaded):
        assert array.dtype == np.uint8
        assert array.ndim == 3
        assert images.size(index) == array.shape[:2]
    return loaded


def load_one(item):
    return load_all([item])[0]


# Accepted forms


@pytest.mark.parametrize(
    "collect",
    [
        lambda paths: [str(path) for path in paths],
        lambda paths: paths,
        tuple,
        lambda paths: np.array([str(path) for path in paths]),
        lambda paths: np.array(paths, dtype=object),
    ],
    ids=["str", "Path", "tuple", "string array", "object array"],
)
def test_paths(tmp_path, collect):
    paths = [save(tmp_path / "a.png", COLOUR), save(tmp_path / "b.png", GREY)]
    first, second = load_all(collect(paths))
    np.testing.assert_array_equal(first, COLOUR)
    np.testing.assert_array_equal(second, GREY_COLOUR)


def test_pandas_series_of_paths(tmp_path):
    pandas = pytest.importorskip("pandas")
    series = pandas.Series([str(save(tmp_path / "a.png", COLOUR))], index=[7])
    np.testing.assert_array_equal(load_all(series)[0], COLOUR)


def test_pil_images_of_mixed_sizes():
    large = np.full((20, 30, 3), 7, np.uint8)
    loaded = load_all([Image.fromarray(COLOUR), Image.fromarray(large)])
    np.testing.assert_array_equal(loaded[0], COLOUR)
    np.testing.assert_array_equal(loaded[1], large)


@pytest.mark.parametrize("shape", [(2, 6, 9), (2, 6, 9, 1)])
@pytest.mark.parametrize(
    ("dtype", "factor"),
    [
        (np.uint8, 1),
        (np.uint16, 257),
        (">u2", 257),
        (np.int64, 1),
        (np.uint32, 1),
        (np.float16, 1),
        (np.float32, 1),
        (np.float64, 1),
    ],
)
def test_grey_arrays(shape, dtype, factor):
    values = np.stack([GREY, 255 - GREY]).astype(np.uint32) * factor
    loaded = load_all(values.reshape(shape).astype(dtype))
    np.testing.assert_array_equal(loaded[0], GREY_COLOUR)
    np.testing.assert_array_equal(loaded[1], 255 - GREY_COLOUR)


@pytest.mark.parametrize(("dtype", "factor"), [(np.uint8, 1), (np.uint16, 257), (np.float32, 1)])
def test_colour_arrays(dtype, factor):
    X = (np.stack([COLOUR, 255 - COLOUR]).astype(np.uint32) * factor).astype(dtype)
    loaded = load_all(X)
    np.testing.assert_array_equal(loaded[0], COLOUR)
    np.testing.assert_array_equal(loaded[1], 255 - COLOUR)


def test_boolean_array_is_black_and_white():
    X = np.array([[[True, False], [False, True]]])
    np.testing.assert_array_equal(load_all(X)[0][:, :, 0], [[255, 0], [0, 255]])


def test_rounding():
    values = np.array([[0.4, 0.6, 254.6, 254.4]])
    np.testing.assert_array_equal(load_one(values)[0, :, 1], [0, 1, 255, 254])
    values = np.array([[0, 128, 129, 65535 - 129, 65535 - 128, 65535]], np.uint16)
    np.testing.assert_array_equal(load_one(values)[0, :, 1], [0, 0, 1, 254, 255, 255])


def test_alpha_is_laid_over_black():
    X = np.zeros((1, 1, 3, 4), np.uint8)
    X[0, 0, :, :3] = 200, 100, 51
    X[0, 0, :, 3] = 255, 0, 51
    expected = [[200, 100, 51], [0, 0, 0], [40, 20, 10]]
    np.testing.assert_array_equal(load_all(X)[0][0], expected)
    np.testing.assert_array_equal(load_all(X.astype(np.uint16) * 257)[0][0], expected)


def test_nested_lists():
    np.testing.assert_array_equal(load_one(GREY.tolist()), GREY_COLOUR)


def test_list_of_arrays_of_mixed_kinds():
    loaded = load_all([COLOUR, GREY, GREY[:3].astype(float), Image.fromarray(GREY)])
    np.testing.assert_array_equal(loaded[0], COLOUR)
    np.testing.assert_array_equal(loaded[1], GREY_COLOUR)
    np.testing.assert_array_equal(loaded[2], GREY_COLOUR[:3])
    np.testing.assert_array_equal(loaded[3], GREY_COLOUR)


class Lazy:
    """Sequence that records what was asked for."""

    def __init__(self, items):
        self.items = items
        self.accessed = []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.accessed.append(index)
        return self.items[index]


def test_lazy_sequence_is_asked_only_for_what_is_needed():
    lazy = Lazy([GREY, COLOUR, GREY])
    images = check_images(lazy)
    assert len(images) == 3
    assert lazy.accessed == []
    np.testing.assert_array_equal(images.load(1), COLOUR)
    assert set(lazy.accessed) == {1}


class LazyArray(Lazy):
    """Array on disk, as of h5py or zarr, that must not be read as a whole."""

    ndim = 4

    @property
    def shape(self):
        return len(self.items), *self.items[0].shape

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("The whole array was read.")


def test_lazy_array_is_not_read_as_a_whole():
    lazy = LazyArray(np.stack([COLOUR, 255 - COLOUR]))
    images = check_images(lazy)
    assert lazy.accessed == []
    np.testing.assert_array_equal(images.load(1), 255 - COLOUR)
    with pytest.raises(ValueError, match=r"shape \(2, 6, 9, 2\)"):
        check_images(LazyArray(np.zeros((2, 6, 9, 2))))


def test_memory_map(tmp_path):
    np.save(tmp_path / "images.npy", np.stack([COLOUR, 255 - COLOUR]))
    loaded = load_all(np.load(tmp_path / "images.npy", mmap_mode="r"))
    np.testing.assert_array_equal(loaded[1], 255 - COLOUR)


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    whole = torch.from_numpy(np.stack([COLOUR, 255 - COLOUR]))
    np.testing.assert_array_equal(load_all(whole)[1], 255 - COLOUR)
    np.testing.assert_array_equal(load_all(list(whole.float()))[0], COLOUR)


def test_tensors_of_torchvision():
    """Channels first, white at 1."""
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(COLOUR).permute(2, 0, 1)
    for image in (tensor, tensor / 255, (tensor / 255).requires_grad_(), tensor.half() / 255):
        np.testing.assert_allclose(load_all([image])[0], COLOUR, atol=1)
    grey = torch.from_numpy(COLOUR[..., 0])
    np.testing.assert_array_equal(load_all([grey[None], grey])[0], load_all([grey])[0])


def test_torch_datasets(tmp_path):
    datasets = pytest.importorskip("torchvision.datasets")
    transforms = pytest.importorskip("torchvision.transforms")
    for name in ("bad", "good"):
        (tmp_path / name).mkdir()
        Image.fromarray(COLOUR).save(tmp_path / name / "image.png")
    for transform in (None, transforms.ToTensor()):
        folder = datasets.ImageFolder(tmp_path, transform)
        assert len(load_all(folder)) == 2
        np.testing.assert_array_equal(load_all(folder)[1], COLOUR)
        assert check_images(folder).size(0) == COLOUR.shape[:2]


def test_tensor_without_numpy_counterpart_is_named():
    torch = pytest.importorskip("torch")
    with pytest.raises(ValueError, match=r"image 0 cannot be made an array.*[Ss]parse"):
        check_images([torch.zeros(6, 9).to_sparse()]).load(0)


# File formats


def test_grey_file(tmp_path):
    np.testing.assert_array_equal(load_one(save(tmp_path / "a.png", GREY)), GREY_COLOUR)


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bit_files(tmp_path, name):
    path = save(tmp_path / name, GREY.astype(np.uint16) * 257)
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)
    with Image.open(path) as image:
        np.testing.assert_array_equal(load_one(image), GREY_COLOUR)


def test_dark_sixteen_bit_file_stays_dark(tmp_path):
    path = save(tmp_path / "a.png", GREY.astype(np.uint16))
    assert load_one(path).max() == 1


def test_big_endian_sixteen_bit_tiff(tmp_path):
    path = tmp_path / "a.tif"
    values = (GREY.astype(np.uint16) * 257).astype(">u2")
    Image.frombytes("I;16B", values.shape[::-1], values.tobytes()).save(path)
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)


def test_big_endian_sixteen_bit_values_below_256_stay_dark():
    assert load_one(GREY.astype(">u2")).max() == 1


def test_sixteen_bit_pgm(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 9 6 65535\n" + (GREY.astype(np.uint16) * 257).astype(">u2").tobytes())
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)


def test_32_bit_integer_image_is_not_taken_for_sixteen_bit(tmp_path):
    image = Image.fromarray(GREY.astype(np.int32))
    assert image.mode == "I"
    np.testing.assert_array_equal(load_one(image), GREY_COLOUR)
    path = tmp_path / "a.tif"
    image.save(path)
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)


def test_float_tiff(tmp_path):
    path = save(tmp_path / "a.tif", GREY.astype(np.float32))
    np.testing.assert_array_equal(load_one(path), GREY_COLOUR)


def test_palette(tmp_path):
    path = tmp_path / "a.png"
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    assert image.mode == "P"
    image.save(path)
    np.testing.assert_array_equal(load_one(path)[0], [[10, 20, 30], [40, 50, 60], [70, 80, 90]])
    image.save(path, transparency=1)
    np.testing.assert_array_equal(load_one(path)[0], [[10, 20, 30], [0, 0, 0], [70, 80, 90]])


def test_grey_with_alpha(tmp_path):
    path = tmp_path / "a.png"
    Image.merge("LA", [Image.fromarray(np.array([[200, 200]], np.uint8)) for _ in range(2)]).save(
        path
    )
    with Image.open(path) as image:
        assert image.mode == "LA"
    np.testing.assert_array_equal(load_one(path), np.full((1, 2, 3), round(200 * 200 / 255)))


def test_colour_with_alpha(tmp_path):
    array = np.zeros((1, 2, 4), np.uint8)
    array[0] = [(200, 100, 51, 255), (200, 100, 51, 51)]
    expected = [[200, 100, 51], [40, 20, 10]]
    np.testing.assert_array_equal(load_one(save(tmp_path / "a.png", array))[0], expected)


def test_cmyk(tmp_path):
    path = tmp_path / "a.tif"
    inks = bytes([0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255])
    Image.frombytes("CMYK", (3, 1), inks).save(path)
    expected = [[255, 255, 255], [0, 255, 255], [0, 0, 0]]
    np.testing.assert_array_equal(load_one(path)[0], expected)


def test_one_bit_file(tmp_path):
    path = save(tmp_path / "a.png", np.array([[0, 255, 255, 0]], np.uint8), "1")
    with Image.open(path) as image:
        assert image.mode == "1"
    np.testing.assert_array_equal(load_one(path)[0, :, 0], [0, 255, 255, 0])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["png", "tif", "compressed tif", "webp", "jpg"])
def test_exif_orientation(tmp_path, orientation, form):
    name = form.rpartition(" ")[2]
    options = {
        "webp": {"lossless": True},
        "compressed tif": {"compression": "tiff_lzw"},
        "jpg": {"quality": 100, "subsampling": 0},
    }.get(form, {})
    smooth = np.zeros((16, 24, 3), np.uint8)
    smooth[:8, :12] = 200, 40, 40
    smooth[8:, 12:] = 90
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{name}", STORED[orientation](smooth), exif=exif, **options)
    tolerance = 3 if name == "jpg" else 0
    # load_one also compares the size with the array.
    np.testing.assert_allclose(load_one(path).astype(int), smooth, atol=tolerance)
    with Image.open(path) as image:
        np.testing.assert_allclose(load_one(image).astype(int), smooth, atol=tolerance)
        # A second time, now that PIL has decoded it.
        np.testing.assert_allclose(load_one(image).astype(int), smooth, atol=tolerance)


def test_orientation_behind_the_pixels_of_a_png(tmp_path):
    upright = tmp_path / "a.png"
    save(upright, STORED[6](COLOUR))
    exif = Image.Exif()
    exif[0x0112] = 6
    data = upright.read_bytes()
    end = data.rindex(b"IEND") - 4
    late = tmp_path / "late.png"
    with open(late, "wb") as file:
        file.write(data[:end])
        PngImagePlugin.putchunk(file, b"eXIf", exif.tobytes()[6:])
        file.write(data[end:])
    np.testing.assert_array_equal(load_one(late), COLOUR)


def test_unknown_orientation_is_ignored(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 9
    path = save(tmp_path / "a.png", COLOUR, exif=exif)
    np.testing.assert_array_equal(load_one(path), COLOUR)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
def test_damaged_metadata_leaves_the_image_usable(tmp_path, exif):
    path = save(tmp_path / "a.png", COLOUR, exif=exif)
    np.testing.assert_array_equal(load_one(path), COLOUR)


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_size_reads_only_the_header(tmp_path, name):
    path = save(tmp_path / name, RNG.randint(0, 256, (60, 90, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    images = check_images([path])
    assert images.size(0) == (60, 90)
    with pytest.raises(ValueError, match="cannot be decoded"):
        images.load(0)


def test_one_lazily_opened_pil_image_in_several_threads(tmp_path):
    array = RNG.randint(0, 256, (400, 500, 3)).astype(np.uint8)
    path = save(tmp_path / "a.png", array)
    for _ in range(5):
        with Image.open(path) as image:
            images = check_images([image])
            results, barrier = [], threading.Barrier(4)

            def work(images=images, results=results, barrier=barrier):
                barrier.wait()
                results.append(images.load(0))

            threads = [threading.Thread(target=work) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(results) == 4
        for result in results:
            np.testing.assert_array_equal(result, array)


# Errors


def test_missing_files_are_counted_and_named(tmp_path):
    there = save(tmp_path / "there.png", GREY)
    missing = [tmp_path / f"missing{index}.png" for index in range(7)]
    with pytest.raises(FileNotFoundError, match="7 of 8 image files do not exist") as caught:
        check_images([there, *missing])
    message = str(caught.value)
    assert all(repr(str(path)) in message for path in missing[:5])
    assert "and 2 more" in message
    assert "there.png" not in message.replace("missing", "")


def test_missing_file_of_a_lazy_sequence(tmp_path):
    path = tmp_path / "missing.png"
    images = check_images(Lazy([path]))
    with pytest.raises(FileNotFoundError, match=r"missing\.png.* does not exist"):
        images.load(0)


def test_directory(tmp_path):
    images = check_images([tmp_path])
    for method in images.load, images.size:
        with pytest.raises(IsADirectoryError, match="is a folder") as caught:
            method(0)
        assert repr(str(tmp_path)) in str(caught.value)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif"])
def test_truncated_file(tmp_path, name):
    path = save(tmp_path / name, RNG.randint(0, 256, (60, 90, 3)).astype(np.uint8))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match="cannot be decoded") as caught:
        check_images([path]).load(0)
    assert repr(str(path)) in str(caught.value)


def test_zero_byte_file(tmp_path):
    path = tmp_path / "empty.png"
    path.touch()
    with pytest.raises(ValueError, match=r"empty\.png.*not an image file.*0 bytes"):
        check_images([path]).load(0)


def test_text_renamed_png(tmp_path):
    path = tmp_path / "text.png"
    path.write_text("a,b\n1,2\n")
    images = check_images([path])
    for method in images.load, images.size:
        with pytest.raises(
            ValueError, match=r"text\.png' is not an image file of a known format\."
        ):
            method(0)


def test_decompression_bomb(tmp_path, monkeypatch):
    path = save(tmp_path / "bomb.png", np.zeros((40, 40), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(ValueError, match=r"bomb\.png.*cannot be decoded.*bomb"):
        check_images([path]).load(0)


@pytest.mark.parametrize("X", [[], (), np.array([], dtype=object), np.zeros((0, 4, 4))])
def test_empty(X):
    with pytest.raises(ValueError, match="X is empty: found 0 images"):
        check_images(X)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ((GREY for _ in range(2)), r"X is a generator.*list\(X\)"),
        ({"a": GREY}, "X is a dict"),
        ({1, 2}, "X is a set"),
        (3, "X is a int"),
        (None, "X is a NoneType"),
        ("folder/a.png", r"single path, 'folder/a\.png'; pass a list"),
        (b"a.png", "single path"),
        (Image.fromarray(GREY), r"single PIL image; pass a list: \[image\]"),
    ],
    ids=["generator", "dict", "set", "int", "None", "str", "bytes", "PIL"],
)
def test_not_a_collection(X, message):
    with pytest.raises(TypeError, match=message):
        check_images(X)


def test_single_path_object(tmp_path):
    with pytest.raises(TypeError, match="single path"):
        check_images(tmp_path / "a.png")


def test_single_colour_image_array():
    with pytest.raises(ValueError, match=r"\(6, 9, 3\), which looks like a single colour image"):
        check_images(COLOUR)


@pytest.mark.parametrize(
    "X",
    [
        np.zeros((6, 9)),
        np.zeros(5),
        np.zeros(()),
        np.zeros((2, 6, 9, 2)),
        np.zeros((1, 2, 3, 4, 3)),
    ],
    ids=lambda X: str(X.shape),
)
def test_wrong_dimensionality_of_an_array(X):
    with pytest.raises(ValueError, match=re.escape(f"X has shape {X.shape}")):
        check_images(X)


def test_channels_first_array_has_a_hint():
    with pytest.raises(ValueError, match="Move the channels"):
        check_images(np.zeros((5, 3, 16, 16)))


NAN = np.full((4, 4), np.nan)
INFINITE = np.full((4, 4), 1.0)
INFINITE[1, 1] = np.inf


@pytest.mark.parametrize(
    ("item", "error", "message"),
    [
        (NAN, ValueError, "NaN or infinity"),
        (INFINITE, ValueError, "NaN or infinity"),
        (GREY.astype(float) - 10, ValueError, "values from -.* of type float64; expected 0 to 255"),
        (GREY.astype(float) + 10, ValueError, "values from .* expected 0 to 255"),
        (GREY.astype(int) * 257, ValueError, "uint16 with 0 to 65535"),
        (np.full((4, 4), -1, np.int8), ValueError, "from -1 to -1 of type int8"),
        (GREY / 255, ValueError, "If white is 1 in this image, multiply it by 255"),
        (np.ones((4, 4), complex), TypeError, "type complex128"),
        (np.full((4, 4), None), TypeError, "type object"),
        (np.zeros(4), ValueError, r"shape \(4,\); expected \(H, W\)"),
        (np.zeros((4, 4, 2)), ValueError, r"shape \(4, 4, 2\)"),
        (np.zeros((0, 4)), ValueError, "no pixels"),
        ([[1, 2], [3]], ValueError, "cannot be made an array"),
        (5, TypeError, "is a int; expected a path, a PIL image or an array"),
        (b"a.png", TypeError, "is a bytes"),
        (None, TypeError, "is a NoneType"),
    ],
)
def test_bad_item_is_named_by_its_position(item, error, message):
    images = check_images([GREY, item])
    with pytest.raises(error, match=message) as caught:
        images.load(1)
    assert str(caught.value).startswith("image 1")


def test_all_black_float_image_is_accepted():
    np.testing.assert_array_equal(load_one(np.zeros((2, 2))), np.zeros((2, 2, 3)))


def test_bad_values_in_a_file_name_the_file_once(tmp_path):
    path = save(tmp_path / "white-is-1.tif", (GREY / 255).astype(np.float32))
    with pytest.raises(ValueError, match="If white is 1") as caught:
        check_images([path]).load(0)
    assert str(caught.value).count("white-is-1.tif") == 1
    assert "decoded" not in str(caught.value)


def test_undecodable_pil_image_is_named(tmp_path):
    path = save(tmp_path / "a.jpg", RNG.randint(0, 256, (60, 90, 3)).astype(np.uint8))
    path.write_bytes(path.read_bytes()[:2000])
    with (
        Image.open(path) as image,
        pytest.raises(ValueError, match="image 1, a PIL image, cannot be decoded"),
    ):
        check_images([GREY, image]).load(1)


def test_read_image_uses_the_given_name():
    with pytest.raises(ValueError, match=r"^cell 7 contains NaN"):
        read_image(NAN, "cell 7")
