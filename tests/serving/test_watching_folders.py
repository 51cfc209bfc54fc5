# SPDX-License-Identifier: BSD-3-Clause
"""A watched folder: nothing is scored twice or lost, whatever happens to it."""

import json
import os
import shutil
import signal
import threading

import pytest
from _cli import run
from _system import filled, mounted

from skpatch import load
from skpatch.serving.record import Record
from skpatch.serving.watching import Watch


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def names(path):
    return sorted(row["image"] for row in rows(path))


@pytest.mark.slow
def test_killed_and_started_again(line, model, data, put, start, wait_for, tmp_path):
    incoming, results = tmp_path / "incoming", tmp_path / "results.jsonl"
    command = "watch", line, "incoming", "-o", "results.jsonl", "--interval", "0.05"
    put(incoming / "0.png", 0)
    worst = int(model.inspect(data.images).ranking[0])
    put(incoming / "line 2" / "worst.png", worst)
    process = start(*command)
    assert "Watching incoming" in process.stdout.readline()
    put(incoming / "late.png", 1)
    whole = (incoming / "0.png").read_bytes()
    (incoming / "growing.png").write_bytes(whole[:3000])
    (incoming / "broken.png").write_bytes(b"no picture")
    wait_for(lambda: len(rows(results)) >= 5)
    # What was called broken and has grown since is another file.
    (incoming / "growing.png").write_bytes(whole)
    wait_for(lambda: len(rows(results)) == 6)
    process.kill()
    process.communicate()
    found = {row["image"]: row for row in rows(results)}
    assert len(found) == 5
    assert "not an image file" in found["broken.png"]["error"]
    assert found["broken.png"]["label"] == "unreadable"
    assert found["line 2/worst.png"]["label"] == "anomalous"
    assert None not in [value for row in found.values() for value in row.values()]
    assert "error" not in found["growing.png"]
    assert not {"rank", "decision", "noise_patches", "moved_to"} & set(found["growing.png"])
    assert "score" not in found["broken.png"]
    expected = model.inspect([data.images[index] for index in (0, worst, 1)])
    for name, score in zip(["0.png", "line 2/worst.png", "late.png"], expected.scores, strict=True):
        assert found[name]["score"] == pytest.approx(score, rel=1e-4)
        assert found[name]["latency"] >= 0

    # A line that a kill has torn, and an image that came meanwhile.
    with open(results, "a") as file:
        file.write('{"image": "new.png", "sc')
    put(incoming / "new.png", 2)
    process = start(*command, "--move-to", "done")
    wait_for(lambda: not any(path.is_file() for path in incoming.rglob("*")))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.splitlines()[-1].startswith("Stopped after 1 images: 1 normal")
    assert len(rows(results)) == 7
    done = sorted(path.relative_to(tmp_path / "done") for path in tmp_path.glob("done/**/*.png"))
    assert list(map(str, done)) == [
        "anomalous/line 2/worst.png",
        "normal/0.png",
        "normal/growing.png",
        "normal/late.png",
        "normal/new.png",
        "unreadable/broken.png",
    ]


@pytest.fixture(scope="module")
def loaded(line):
    return load(line)


@pytest.fixture
def watched(loaded, tmp_path):
    """Function that watches a folder in a thread; it ends with the test."""
    started = []

    def watch(folder, results, move_to=None):
        record = Record(str(results))
        watch = Watch(loaded, folder, record, move_to=move_to, interval=0.02, quiet=True)
        thread = threading.Thread(target=watch.run)
        thread.start()
        started.append((watch, thread, record))
        return watch

    yield watch
    for watch, thread, record in started:
        watch.stopped.set()
        thread.join()
        record.close()


def test_a_full_disk_is_waited_for(watched, put, wait_for, tmp_path, capsys):
    incoming, disk = tmp_path / "incoming", tmp_path / "disk"
    put(incoming / "0.png")
    said = ""

    def is_told():
        nonlocal said
        said += capsys.readouterr().err
        return "No space left" in said

    with mounted(disk):
        # The lines before have filled a block of the disk to its last byte.
        path = disk / "results.jsonl"
        old = {"image": "", "label": "normal", "p_value": None, "size": 0, "modified": 0}
        old["image"] = "x" * (4095 - len(json.dumps(old)))
        path.write_text(json.dumps(old) + "\n")
        with filled(disk):
            watch = watched(incoming, path)
            wait_for(is_told)
            assert "Make room" in said
        wait_for(lambda: len(rows(path)) == 2)
        watch.stopped.set()
        assert names(path)[0] == "0.png"
        assert said.count("Waiting:") == 1


def test_a_folder_that_goes_away_is_waited_for(watched, put, wait_for, tmp_path, capsys):
    incoming, results = tmp_path / "incoming", tmp_path / "results.jsonl"
    put(incoming / "0.png", 0)
    watched(incoming, results)
    wait_for(lambda: len(rows(results)) == 1)
    shutil.move(incoming, tmp_path / "away")
    said = []
    wait_for(lambda: said.append(capsys.readouterr().err) or "incoming" in "".join(said))
    shutil.move(tmp_path / "away", incoming)
    put(incoming / "1.png", 1)
    wait_for(lambda: len(rows(results)) == 2)
    assert names(results) == ["0.png", "1.png"]


def test_a_changed_file_is_scored_again_and_nothing_is_overwritten(
    watched, put, wait_for, tmp_path
):
    incoming, results, done = (tmp_path / name for name in ("incoming", "r.jsonl", "done"))
    watched(incoming.mkdir() or incoming, results, done)
    for number, index in enumerate((0, 1), 1):
        put(tmp_path / "outside" / "a.png", index)
        os.replace(tmp_path / "outside" / "a.png", incoming / "a.png")
        wait_for(lambda number=number: len(rows(results)) == number)
        wait_for(lambda: not (incoming / "a.png").exists())
    assert names(results) == ["a.png", "a.png"]
    assert sorted(os.listdir(done / "normal")) == ["a-2.png", "a.png"]
    places = [str(done / "normal" / name) for name in ("a.png", "a-2.png")]
    assert [row["moved_to"] for row in rows(results)] == places


def test_what_is_wrong_is_told_first(line, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    watch = "watch", line, tmp_path / "in", "-o"
    assert run("watch", line, tmp_path / "lost", "-o", tmp_path / "r.jsonl") == 1
    assert "is no folder to watch" in capsys.readouterr().err
    assert run(*watch, tmp_path / "r.csv") == 1
    assert "must be the name of a .jsonl file" in capsys.readouterr().err
    assert run(*watch, tmp_path / "r.jsonl", "--move-to", tmp_path / "in" / "done") == 1
    assert "give a folder beside it" in capsys.readouterr().err
    (tmp_path / "r.jsonl").write_text("notes\n")
    assert run(*watch, tmp_path / "r.jsonl") == 1
    assert "is none of 'skpatch watch'" in capsys.readouterr().err
