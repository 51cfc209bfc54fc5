# SPDX-License-Identifier: BSD-3-Clause
import numpy as np
import pytest
from PIL import Image

from skpatch.images.names import find_by_name, training_names

NAMES = [
    "good/001.png",
    "good/003.png",
    "bad/003.png",
    "004.png",
    "more/004.png",
    "image 5",
    "=1.png",
]


@pytest.mark.parametrize(
    ("given", "number"),
    [
        ("001.png", 0),
        ("bad/003.png", 2),
        ("./bad/../bad/003.png", 2),
        ("004.png", 3),
        ("more/004.png", 4),
        ("image 5", 5),
        ("/data/photos/bad/003.png", 2),
        ("/data/photos/more/004.png", 4),
        ("/data/photos/004.png", 3),
        # From another folder than the names, and as a CSV file has it.
        ("photos/004.png", 3),
        ("photos/bad/003.png", 2),
        ("'=1.png", 6),
        ("photos/=1.png", 6),
    ],
)
def test_found_by_as_much_as_is_needed(given, number):
    assert find_by_name(given, NAMES) == [number]
    assert find_by_name([1, given], NAMES) == [1, number]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "003.png",
            r"'003.png' is the name of 2 images: 'good/003.png' \(image 1\), 'bad/003.png'",
        ),
        ("good/002.png", r"no training image 'good/002.png'; there are: 'good/003.png'"),
        # Ends of names, not of parts of them.
        ("1.png", "no training image"),
        ("d/003.png", "no training image"),
        ("/data/003.png", "no training image"),
        ("", "no training image"),
    ],
)
def test_refused(given, message):
    with pytest.raises(ValueError, match=message):
        find_by_name([given], NAMES)


def test_all_that_is_wrong_is_listed():
    given = ["001.png", "003.png", *(f"lost{number}.png" for number in range(12))]
    with pytest.raises(ValueError, match=r"^'003.png' is the name of 2") as caught:
        find_by_name(given, NAMES)
    message = str(caught.value)
    assert "001.png' is" not in message
    assert "There is no training image 'lost0.png'" in message
    assert message.endswith("So 3 others: lost9.png, lost10.png, lost11.png.")


def test_numbers_need_no_names():
    numbers = np.array([3, 1])
    assert find_by_name(numbers, None) is numbers
    assert find_by_name(4, None) == 4
    with pytest.raises(ValueError, match=r"names .* not known; give numbers instead of 'a.png'"):
        find_by_name(["a.png"], None)


def test_names_of_training_images(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / name).parent.mkdir()
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    paths = [tmp_path / "a" / "1.png", str(tmp_path / "b" / "1.png")]
    assert training_names(paths) == ["a/1.png", "b/1.png"]
    assert training_names([(path, 1) for path in paths]) == ["a/1.png", "b/1.png"]
    assert training_names(paths[:1]) == ["1.png"]
    pixels = np.zeros((2, 8, 8, 3), np.uint8)
    assert training_names(pixels, 7) == ["image 7", "image 8"]
    mixed = [*paths, pixels[0]]
    assert training_names(mixed) == [*map(str, paths), "image 2"]


def test_a_lazy_sequence_is_not_asked():
    class Lazy:
        def __len__(self):
            return 3

        def __getitem__(self, number):
            raise AssertionError

    assert training_names(Lazy()) == ["image 0", "image 1", "image 2"]
