# SPDX-License-Identifier: BSD-3-Clause
import re

import pytest

from skpatch.console.decisions import numbers_by_decision, read_decisions

NAMES = ["line0/1.png", "line0/2.png", "line1/1.png", "line1/=3.png"]


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Function that writes a file of decisions, and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(text, encoding="utf-8"):
        (tmp_path / "d.csv").write_bytes(text.encode(encoding, "surrogateescape"))
        return "d.csv"

    return write


@pytest.mark.parametrize(
    "text",
    [
        "image,decision\na.png,defect\n=b.png,normal\nc.png,unsure\n",
        "\ufeffimage,decision,score\r\na.png,Defect,1\r\n=b.png, NORMAL ,1\r\nc.png,unsure,\r\n",
        "rank;Image;Decision\n1;a.png;defect\n2;=b.png;normal\n3;c.png;unsure\n",
        'score,image,label,decision\n2,a.png,x,defect\n1,"=b.png",x,normal\n1,c.png,x,unsure\n1,d.png,x,\n\n',
    ],
)
def test_read(written, text):
    expected = {"a.png": "defect", "=b.png": "normal", "c.png": "unsure"}
    assert read_decisions(written(text)) == expected


def test_bytes_of_names_are_kept(written):
    assert list(read_decisions(written("image,decision\n\udcff.png,defect\n"))) == ["\udcff.png"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "d.csv has no columns image and decision in its first line"),
        ("image,verdict\na.png,defect\n", "d.csv has no columns image and decision"),
        (
            "image,decision\na.png,defect\nb.png,bad\n",
            "d.csv, line 3: 'bad' is no decision; write defect, normal or unsure",
        ),
        ("image,decision\n,defect\n", "d.csv, line 2: the decision 'defect' is on no image"),
        (
            "image,decision\na.png,defect\nb.png,\na.png,normal\n",
            "line 4: 'a.png' is normal, but defect in line 2",
        ),
        ("image,decision\na.png,\n", "d.csv holds no decision"),
        ("image,decision\na\0.png,defect\n", "is no CSV file in UTF-8"),
        ("image,decision\n" + "x" * 200_000 + ",defect\n", "d.csv, line 2: field larger than"),
    ],
)
def test_what_cannot_be_read(written, text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_decisions(written(text))


def test_images_are_found_as_they_are_called():
    decisions = {
        "2.png": "defect",
        "photos/line0/1.png": "normal",
        "/moved/line1/1.png": "unsure",
        "'=3.png": "defect",
    }
    found = numbers_by_decision(decisions, "d.csv", NAMES)
    assert found == {"defect": [1, 3], "normal": [0], "unsure": [2]}


def test_further_images():
    added = ["new/line1/1.png", "new/5.png", "new/2.png"]
    decisions = {"5.png": "defect", "new/line1/1.png": "normal", "photos/line1/1.png": "defect"}
    found = numbers_by_decision(decisions, "d.csv", NAMES, added)
    assert found == {"defect": [5, 2], "normal": [4], "unsure": []}
    with pytest.raises(ValueError, match=r"'2.png' is the name of 2 images: .*line0/2.*new/2"):
        numbers_by_decision({"2.png": "defect"}, "d.csv", NAMES, added)


def test_all_wrong_names_are_one_error():
    decisions = {"1.png": "defect", "lost.png": "normal", "line0/2.png": "defect"}
    with pytest.raises(ValueError, match=r"^d\.csv does not fit the images") as caught:
        numbers_by_decision(decisions, "d.csv", NAMES)
    _, first, second = str(caught.value).splitlines()
    assert first.startswith("'1.png' is the name of 2 images: ")
    assert second.startswith("There is no training image 'lost.png'; there are: ")


def test_two_decisions_on_one_image():
    decisions = {"2.png": "defect", "photos/line0/2.png": "normal"}
    with pytest.raises(ValueError, match=r"2\.png' is normal, but under another name defect"):
        numbers_by_decision(decisions, "d.csv", NAMES)


def test_a_file_that_a_spreadsheet_saved_in_its_own_encoding(written):
    names = ["größe.png", "b.png"]
    path = written("image;decision\ngröße.png;defect\n", "cp1252")
    with pytest.raises(ValueError, match=r"d\.csv does not fit .* not in UTF-8: save it as"):
        numbers_by_decision(read_decisions(path), path, names)
    path = written("image;decision\ngröße.png;defect\n")
    assert numbers_by_decision(read_decisions(path), path, names)["defect"] == [0]
    path = written("image;decision\ngroße.png;defect\n")
    with pytest.raises(ValueError, match="does not fit the images") as caught:
        numbers_by_decision(read_decisions(path), path, names)
    assert "UTF-8" not in str(caught.value)
