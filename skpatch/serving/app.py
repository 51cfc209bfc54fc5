# SPDX-License-Identifier: BSD-3-Clause
"""The HTTP service: images are posted, and scores, maps and the state of the models come back."""

import asyncio
import base64
import itertools
import queue
import time
from concurrent.futures import Future
from importlib import resources
from typing import Literal

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from jinja2 import Environment, PackageLoader
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .. import __version__
from ..runtime.text import first_line, shown
from .guard import Guard
from .measures import Measures
from .worker import Task, Worker

__all__ = ["make_app"]

_Map = Literal["png", "base64"] | None

_IMAGE = {"type": "string", "format": "binary"}
_BODY = {
    "requestBody": {
        "required": True,
        "description": "An image file, as the body or as the one file of a form.",
        "content": {
            "image/*": {"schema": _IMAGE},
            "multipart/form-data": {"schema": {"type": "object", "properties": {"image": _IMAGE}}},
        },
    }
}
_REFUSED = {
    400: "a form without one file, or no model of several was named",
    401: "no API key, or a wrong one",
    408: "the image did not arrive in time",
    413: "too many bytes, or more pixels than there is memory for",
    422: "no image that can be read; the error says why",
    503: "too many requests wait, or it took too long; ask again",
}


def make_app(served, *, api_key, max_bytes, timeout, state=None):
    """Application that serves models.

    Parameters
    ----------
    served : dict of str to Served
        Models by name.
    api_key : str or None
        Key that each request has to bring; None for none.
    max_bytes : int
        The most that a request may send.
    timeout : float
        Seconds after which a request is given up.
    state : StateFile, optional
        Where what is known of recent images is kept.

    Returns
    -------
    FastAPI
    """
    measures = Measures(served)
    worker = Worker(measures.add_batch, state)
    measures.watch_queue(lambda: worker.n_waiting)
    service = _Service(served, worker, measures, timeout)
    app = FastAPI(title="skpatch", version=__version__, docs_url=None, redoc_url=None)
    app.add_middleware(Guard, api_key=api_key, max_bytes=max_bytes, measures=measures)
    _tell_errors_in_words(app)
    refused = {status: {"description": text} for status, text in _REFUSED.items()}
    for path in ("/score", "/models/{model}/score"):
        app.post(path, openapi_extra=_BODY, responses=refused)(
            service.score if path == "/score" else service.score_by_model
        )
    app.get("/models")(service.models)
    app.get("/health")(service.health)
    app.get("/metrics", response_class=Response)(service.metrics)
    _add_pages(app)
    worker.start()
    app.state.worker = worker
    return app


class _Service:
    """What is answered."""

    def __init__(self, served, worker, measures, timeout):
        self._served, self._worker, self._measures = served, worker, measures
        self._timeout = timeout
        # Of those that nobody has named.
        self._numbers = itertools.count(1)

    async def score(self, request: Request, name: str = "", map: _Map = None):
        """Score an image, if one model is served.

        The image is called `name`, or as its file in a form, or by a number. The answer has the
        columns of `skpatch score --format jsonl`, the name of the model, whether its recent images
        have changed (`drift`) and seconds (`latency`). `map=png` answers with the image under its
        heat map, `map=base64` with that in the JSON, as `map`.
        """
        if len(self._served) > 1:
            raise HTTPException(
                400, f"There are several models: post to {' or '.join(_paths(self._served))}."
            )
        return await self.score_by_model(next(iter(self._served)), request, name, map)

    async def score_by_model(self, model: str, request: Request, name: str = "", map: _Map = None):
        """Score an image by a model; as `/score`."""
        if model not in self._served:
            known = ", ".join(self._served)
            raise HTTPException(404, f"There is no model {shown(model)}; there are: {known}.")
        start = time.perf_counter()
        try:
            file_name, content = await asyncio.wait_for(_image_of(request), self._timeout)
        except asyncio.TimeoutError:
            raise HTTPException(
                408, f"The image did not arrive within {self._timeout:g} seconds."
            ) from None
        except ClientDisconnect:
            raise HTTPException(400, "The connection was closed.") from None
        name = name or file_name or f"image {next(self._numbers)}"
        # Half of a character, which JSON does not have.
        name = name.encode("utf-8", "replace").decode()
        task = Task(self._served[model], content, name, map is not None, Future())
        row, picture = await self._result(task, start + self._timeout)
        if map == "png":
            return Response(picture, media_type="image/png")
        if picture is not None:
            row["map"] = base64.b64encode(picture).decode()
        latency = round(time.perf_counter() - start, 4)
        return JSONResponse({**row, "model": model, "latency": latency})

    async def _result(self, task, end):
        """What the worker makes of a task."""
        again = {"Retry-After": "1"}
        try:
            self._worker.submit(task)
            left = max(0.0, end - time.perf_counter())
            return await asyncio.wait_for(asyncio.wrap_future(task.future), left)
        except queue.Full:
            raise HTTPException(503, "Too many requests wait; ask again.", again) from None
        except asyncio.TimeoutError:
            raise HTTPException(
                503, f"It took longer than {self._timeout:g} seconds; ask again.", again
            ) from None
        except MemoryError as error:
            raise HTTPException(413, first_line(error)) from None
        except (ValueError, TypeError, OSError) as error:
            raise HTTPException(422, first_line(error)) from None

    def models(self):
        """Name the models."""
        return list(self._served)

    def health(self):
        """Say whether images are scored, and whether they have changed."""
        is_alive = self._worker.is_alive()
        models = {
            name: {
                "images": one.n_images,
                "drift": one.drift.state,
                "distance": one.drift.distance,
                "limit": one.drift.limit,
                "message": one.drift.words,
            }
            for name, one in self._served.items()
        }
        has_changed = any(one.drift.is_changed for one in self._served.values())
        status = "failed" if not is_alive else "changed" if has_changed else "ok"
        answer = {"status": status, "version": __version__, "models": models}
        return JSONResponse(answer, 200 if is_alive else 503)

    def metrics(self):
        """Give all counts to Prometheus."""
        return Response(self._measures.text(), media_type="text/plain; version=0.0.4")


def _paths(served):
    """Paths to post images to."""
    return [f"/models/{name}/score" for name in served]


async def _image_of(request):
    """Name and bytes of the image of a request."""
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        return None, await request.body()
    async with request.form(max_files=1, max_fields=20) as form:
        files = [value for value in form.values() if isinstance(value, UploadFile)]
        if len(files) != 1:
            raise HTTPException(400, "The form has no file; send the image as one.")
        return files[0].filename, await files[0].read()


def _tell_errors_in_words(app):
    """Have each error be JSON with a sentence."""

    @app.exception_handler(HTTPException)
    async def refused(_, error):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_, error):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:]))
        return JSONResponse({"error": f"{where}: {first['msg']}."}, 422)

    @app.exception_handler(Exception)
    async def failed(_, error):
        return JSONResponse({"error": f"{type(error).__name__}: {first_line(error)}"}, 500)


def _add_pages(app):
    """Add what a browser shows; nothing in it comes from elsewhere."""
    folder = resources.files("skpatch.serving").joinpath("templates")
    environment = Environment(
        loader=PackageLoader("skpatch.serving"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    async def page():
        return HTMLResponse(environment.get_template("page.html").render(version=__version__))

    async def docs():
        text = environment.get_template("docs.html").render(api=app.openapi())
        return HTMLResponse(text)

    async def style():
        return Response(folder.joinpath("page.css").read_bytes(), media_type="text/css")

    async def script():
        return Response(folder.joinpath("page.js").read_bytes(), media_type="text/javascript")

    pages = {"/": page, "/docs": docs, "/page.css": style, "/page.js": script}
    for path, function in pages.items():
        app.get(path, include_in_schema=False)(function)
