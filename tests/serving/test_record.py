# SPDX-License-Identifier: BSD-3-Clause
"""Lines of a results file are on the disk, or absent; and known again."""

import json

import pytest
from _system import filled, mounted

from skpatch.serving.record import Record, file_key


def row(name, label="normal", p_value=0.5):
    return {"image": name, "p_value": p_value, "label": label, "size": 9, "modified": 7.000001}


def test_lines_are_known_again(tmp_path):
    path = str(tmp_path / "r.jsonl")
    record = Record(path)
    rows = [row("a.png"), row("b \udcff.png", "unreadable", None)]
    record.append(rows)
    record.close()
    again = Record(path)
    assert again.labels == record.labels
    assert again.labels[file_key("b \udcff.png", 9, 7.000001)] == "unreadable"
    assert list(again.recent) == [("a.png", 0.5)]
    again.append([row("c.png")])
    again.close()
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert list(map(json.loads, lines)) == [*rows, row("c.png")]


@pytest.mark.parametrize(
    "torn", [b'{"im', b'{"image": "b.png", "sc', b'{"image": "\0\0\0', b"\0\0"]
)
def test_a_torn_line_is_cut_off(tmp_path, torn):
    path = tmp_path / "r.jsonl"
    whole = (json.dumps(row("a.png")) + "\n").encode()
    path.write_bytes(whole + torn)
    record = Record(str(path))
    record.close()
    assert path.read_bytes() == whole
    assert len(record.labels) == 1


@pytest.mark.parametrize("content", [b"notes", b"notes\n", b"[1]\n", b'{"image": "a.png"}\n'])
def test_files_of_others_stay(tmp_path, content):
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="line 1, is none of 'skpatch watch'"):
        Record(str(path))
    assert path.read_bytes() == content


def test_two_do_not_write_at_once(tmp_path):
    pytest.importorskip("fcntl", reason="locks of POSIX")
    path = str(tmp_path / "r.jsonl")
    first = Record(path)
    with pytest.raises(ValueError, match="in use by another"):
        Record(path)
    first.close()
    Record(path).close()


def test_a_full_disk_leaves_no_half_line(tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk):
        record = Record(str(disk / "r.jsonl"))
        record.append([row("a.png")])
        many = [row(f"{number}.png") for number in range(1000)]
        with filled(disk), pytest.raises(OSError, match="No space left"):
            record.append(many)
        assert len(record.labels) == 1
        record.append(many[:1])
        record.close()
        lines = (disk / "r.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == ["a.png", "0.png"]
