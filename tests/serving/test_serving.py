# SPDX-License-Identifier: BSD-3-Clause
"""A server in a process of its own: what it answers, and that no body makes it fail."""

import base64
import errno
import io
import json
import random
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import sklearn.base
from _cli import run
from PIL import Image

from skpatch.serving import state
from skpatch.serving.state import StateFile
from skpatch.serving.worker import Served

pytest.importorskip("fastapi")
pytest.importorskip("prometheus_client")
httpx = pytest.importorskip("httpx")


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def address_of(process):
    """Where a server says that it listens."""
    line = process.stdout.readline()
    assert "Serving" in line, process.stderr.read()
    return line.split(" at ")[1].split(". ")[0]


@pytest.fixture(scope="module")
def client(line, starting):
    """Client of a server of two models, which takes at most a megabyte."""
    shutil.copy(line, line.with_name("back.skpatch"))
    process = starting(
        "serve", line, line.with_name("back.skpatch"), "--port", "0", "--max-megabytes", "1"
    )
    with httpx.Client(base_url=address_of(process), timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def expected(model, data):
    return model.inspect(data.images)


def test_the_answer_is_a_row_of_the_table(client, data, expected):
    worst = expected.ranking[0]
    answer = client.post("/models/line/score", content=png(data.images[worst])).json()
    assert list(answer)[:6] == ["image", "score", "p_value", "label", "rank", "n_regions"]
    assert answer["score"] == pytest.approx(expected.scores[worst], rel=1e-4)
    assert answer["p_value"] == pytest.approx(expected.pvalues[worst], rel=1e-4)
    assert answer["label"] == "anomalous"
    assert [one["box"] for one in answer["regions"]] == [
        one["box"] for one in expected.regions(worst)
    ]
    assert (answer["model"], answer["image"]) == ("line", "image 1")


def test_forms_and_maps(client, data, expected):
    image = png(data.images[0])
    files = {"anything": ("cell \udcff ü.png".encode("utf-8", "replace").decode(), image)}
    answer = client.post("/models/back/score?map=base64", files=files).json()
    assert answer["image"] == "cell ? ü.png"
    with Image.open(io.BytesIO(base64.b64decode(answer["map"]))) as picture:
        np.testing.assert_array_equal(picture, expected.overlay(0))
    only = client.post("/models/back/score?map=png", content=image)
    assert only.headers["content-type"] == "image/png"
    assert only.content == base64.b64decode(answer["map"])


def test_requests_that_wait_are_scored_together(client, data, expected):
    def score(index):
        return client.post("/models/line/score", content=png(data.images[index])).json()["score"]

    def counted(what):
        lines = client.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith(what)).split()[-1])

    name = 'skpatch_batch_images_{}{{model="line"}}'
    before = [counted(name.format(kind)) for kind in ("sum", "count")]
    with ThreadPoolExecutor(16) as pool:
        scores = list(pool.map(score, range(24)))
    np.testing.assert_allclose(scores, expected.scores[:24], rtol=1e-4)
    n_images, n_batches = (
        counted(name.format(kind)) - first
        for kind, first in zip(("sum", "count"), before, strict=True)
    )
    assert n_images == 24
    assert n_batches < 24


BAD = {
    "empty": ("", {}, b"", 422, "it has 0 bytes"),
    "text": ("", {}, b"no picture", 422, "is not an image file"),
    "document": ("", {}, b"%PDF-1.7", 422, "it is a PDF document; convert it"),
    "small": ("", {}, png(np.zeros((2, 3), np.uint8)), 422, "has 2 x 3 pixels"),
    "large": ("", {}, bytes(2**20 + 1), 413, "More than 1,048,576 bytes"),
    "map": ("?map=gif", {}, b"", 422, "map: Input should be 'png' or 'base64'"),
    "form": ("", {"content-type": "multipart/form-data"}, b"x", 400, "boundary"),
    "torn": ("", {"content-type": "multipart/form-data; boundary=a"}, b"x", 400, "multipart"),
    "other site": ("", {"sec-fetch-site": "cross-site"}, b"", 403, "A page of another site"),
    "other name": ("", {"host": "evil.example"}, b"", 403, "localhost only"),
}


@pytest.mark.parametrize("kind", BAD)
def test_errors_are_json_in_words(client, kind):
    query, headers, body, status, words = BAD[kind]
    answer = client.post(f"/models/line/score{query}", content=body, headers=headers)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_bodies_without_a_length_are_limited_too(client):
    answer = client.post("/models/line/score", content=(bytes(2**16) for _ in range(100)))
    assert answer.status_code == 413


def test_models_have_to_be_named(client):
    assert client.get("/models").json() == ["line", "back"]
    answer = client.post("/score", content=b"")
    assert answer.status_code == 400
    assert "/models/line/score or /models/back/score" in answer.json()["error"]
    answer = client.post("/models/side/score", content=b"")
    assert answer.status_code == 404
    assert "There is no model side; there are: line, back." in answer.json()["error"]
    assert client.post("/models/line/score", files={}).status_code in (400, 422)
    assert client.put("/score").status_code == 405


def test_no_body_makes_it_fail(client, data):
    rng, good = random.Random(0), png(data.images[0])
    statuses = set()
    for number in range(150):
        body = bytearray(good)
        if number % 3 == 0:
            body = bytearray(rng.randbytes(rng.randrange(300)))
        elif number % 3 == 1:
            del body[rng.randrange(len(body)) :]
        else:
            body[rng.randrange(60)] = rng.randrange(256)
        headers = {"content-type": "multipart/form-data; boundary=b"} if number % 10 == 0 else {}
        answer = client.post("/models/line/score", content=bytes(body), headers=headers)
        statuses.add(answer.status_code)
        assert answer.status_code < 500, (number, answer.text)
    assert {400, 422} <= statuses
    assert client.get("/health").json()["status"] == "ok"


def test_drift_is_told(client, data):
    noise = png(np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8))
    for _ in range(100):
        answer = client.post("/models/back/score?name=noise.png", content=noise)
    assert answer.json()["drift"] == "yes"
    health = client.get("/health").json()
    assert health["status"] == "changed"
    assert "Look at these: noise.png" in health["models"]["back"]["message"]
    assert health["models"]["line"]["message"] is None
    assert 'skpatch_changed{model="back"} 1.0' in client.get("/metrics").text


def test_pages_take_nothing_from_elsewhere(client):
    for path in ("/", "/docs"):
        answer = client.get(path)
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert 'src="http' not in answer.text
        assert "style=" not in answer.text
    assert "POST /models/{model}/score" in client.get("/docs").text
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/score", "/models/{model}/score", "/models", "/health", "/metrics"}


def test_a_page_to_drop_images_on(client, data, expected, browser, tmp_path):
    worst = expected.ranking[0]
    paths = [tmp_path / "good.png", tmp_path / "worst.png", tmp_path / "broken.png"]
    for path, index in zip(paths, (0, worst), strict=False):
        Image.fromarray(data.images[index]).save(path)
    paths[2].write_bytes(b"no picture")
    context = browser.new_context(viewport={"width": 390, "height": 800})
    page, complaints = context.new_page(), []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(str(client.base_url))
    page.wait_for_selector("#which:not([hidden])")
    page.set_input_files("#files", paths)
    page.wait_for_selector(".card:nth-child(3)")
    verdicts = page.locator(".verdict").all_inner_texts()
    assert verdicts == ["not inspected", "anomalous", "normal"]
    assert "is not an image file" in page.locator(".failed .numbers").inner_text()
    assert page.evaluate("document.querySelector('.anomalous img').naturalWidth") == 64
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    context.close()
    assert complaints == []


@pytest.mark.slow
def test_keys_kill_and_restart(line, data, start):
    process = start("serve", line, "--port", "0", SKPATCH_API_KEY="secret")
    address = address_of(process)
    process.kill()
    process.wait()
    # At once at the same port.
    port = address.rpartition(":")[2]
    process = start("serve", line, "--port", port, "--host", "0.0.0.0", "--api-key", "secret")
    assert address_of(process).endswith(port)
    image = png(data.images[0])
    for headers in ({}, {"x-api-key": "secre"}, {"authorization": "Bearer wrong"}):
        for path in ("/score", "/health", "/metrics", "/models", "/lost"):
            answer = httpx.post(f"{address}{path}", content=image, headers=headers)
            assert answer.status_code == 401
    for headers in ({"x-api-key": "secret"}, {"authorization": "Bearer secret"}):
        answer = httpx.post(f"{address}/score", content=image, headers=headers)
        assert answer.json()["label"] == "normal"
    assert httpx.get(f"{address}/").status_code == 200
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.slow
def test_a_restart_remembers_that_images_have_changed(line, start, wait_for, tmp_path):
    path = tmp_path / "state.json"
    noise = png(np.random.RandomState(0).randint(0, 256, (64, 64, 3), np.uint8))

    def serve():
        process = start("serve", line, "--port", "0", "--state", path)
        return process, httpx.Client(base_url=address_of(process), timeout=60)

    def kept():
        return json.loads(path.read_text())["models"]["line"]["recent"]

    def is_kept():
        client.post("/score?name=noise.png", content=noise)
        return len(kept()) == 100

    process, client = serve()
    with client:
        wait_for(is_kept)
    process.kill()
    process.communicate()
    process, client = serve()
    with client:
        health = client.get("/health").json()
        assert health["status"] == "changed"
        assert "noise.png" in health["models"]["line"]["message"]
        assert 'skpatch_changed{model="line"} 1.0' in client.get("/metrics").text
        client.post("/score?name=last.png", content=noise)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert [name for name, _ in kept()] == ["noise.png"] * 99 + ["last.png"]


def test_models_that_were_fitted_anew_begin_anew(model, data, tmp_path):
    one = Served("line", model)
    one.drift.recall([("cell.png", rank / 100) for rank in range(1, 101)], False)
    StateFile(tmp_path / "state.json", {"line": one}).close()
    same, other = Served("line", model), sklearn.base.clone(model).fit(data.images[:20])
    other = Served("line", other)
    for served in (same, other):
        StateFile(tmp_path / "state.json", {"line": served})
    assert same.drift.recent == one.drift.recent
    assert (same.drift.state, other.drift.state) == ("no", None)


@pytest.mark.parametrize(
    "content", ["", "[]", '{"image": 1}', '{"models": [1]}', '{"models": {"line": 1}}']
)
def test_files_of_others_are_no_states(model, tmp_path, content):
    path = tmp_path / "state.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is none of 'skpatch serve'"):
        StateFile(path, {"line": Served("line", model)})
    assert path.read_text() == content


def test_a_full_disk_is_told_once(model, tmp_path, capsys, monkeypatch):
    file = StateFile(tmp_path / "state.json", {"line": Served("line", model)})
    before = (tmp_path / "state.json").read_bytes()

    @contextmanager
    def full(path, **_):
        raise OSError(errno.ENOSPC, "No space left on device", path)
        yield

    with monkeypatch.context() as patch:
        patch.setattr(state, "replacing", full)
        file.close()
        file.close()
    assert capsys.readouterr().err.count("No space left on device") == 1
    assert (tmp_path / "state.json").read_bytes() == before
    file.close()
    assert capsys.readouterr().err == ""


def test_what_is_wrong_is_told_first(line, client, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("SKPATCH_API_KEY", raising=False)
    assert run("serve", tmp_path / "lost.skpatch") == 1
    assert "lost.skpatch" in capsys.readouterr().err
    assert run("serve", line, "--state", tmp_path / "lost" / "state.json") == 1
    assert "does not exist" in capsys.readouterr().err
    assert run("serve", line, "--host", "0.0.0.0") == 1
    assert "SKPATCH_API_KEY" in capsys.readouterr().err
    shutil.copy(line, tmp_path / "line.skpatch")
    assert run("serve", line, tmp_path / "line.skpatch") == 1
    assert "rename one of the files" in capsys.readouterr().err
    assert run("serve", line, "--port", client.base_url.port) == 1
    assert "cannot be listened at" in capsys.readouterr().err
    assert json.loads(client.get("/health").text)["version"]
