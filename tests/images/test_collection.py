# SPDX-License-Identifier: BSD-3-Clause

import io

import numpy as np
import pytest
from _images import COLOUR, GREY, GREY_COLOUR, Lazy, load_all, load_one, save
from PIL import Image

from skpatch.images.collection import check_images


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


def test_bytes_and_open_files(tmp_path):
    paths = [save(tmp_path / "a.png", COLOUR), save(tmp_path / "b.tif", GREY)]
    colour, grey = (path.read_bytes() for path in paths)
    with open(paths[1], "rb") as file:
        # Where it was read to does not matter, and it can be read again.
        file.read(5)
        for _ in range(2):
            images = [colour, bytearray(grey), memoryview(colour), io.BytesIO(grey), file]
            for index, pixels in enumerate(load_all(images)):
                expected = COLOUR if index in (0, 2) else GREY_COLOUR
                np.testing.assert_array_equal(pixels, expected)
    assert check_images([io.BytesIO(grey)]).size(0) == GREY.shape
    assert check_images([(colour, 1)]).load(0).shape == COLOUR.shape


def test_bytes_and_open_files_that_are_no_image(tmp_path):
    with open(tmp_path / "closed", "wb") as closed:
        pass
    text = save(tmp_path / "a.png", COLOUR)
    for item, message in [
        (b"", r"image 1 is not an image file of a known format \(it has 0 bytes\)"),
        (text.read_bytes()[:-60], "image 1 cannot be decoded"),
        (io.BytesIO(b"%PDF-1.7"), "image 1 cannot be decoded: it is a PDF document; convert"),
        (io.StringIO("a"), "image 1 cannot be decoded: it is open as text; open it in binary"),
        (closed, "image 1 cannot be decoded: .* closed file"),
    ]:
        with pytest.raises(ValueError, match=message):
            check_images([COLOUR, item]).load(1)
    for item in (text.read_bytes(), io.BytesIO()):
        with pytest.raises(TypeError, match=r"X is a single file; pass a list: \[image\]"):
            check_images(item)


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


@pytest.mark.parametrize("names", [["a.png"], ["a.png", "b.png"]])
def test_a_table_in_place_of_its_column(names):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"path": names, "size": range(len(names))})
    for X in (table, table[["path"]], table[["path"]].to_numpy(), np.array([names], str).T):
        with pytest.raises(ValueError, match=rf"X has shape \({len(names)}, .*pass the column"):
            check_images(X)
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        check_images(table["path"])
