# SPDX-License-Identifier: BSD-3-Clause
"""The command that scores images which are sent to it over HTTP."""

import logging
import os
from pathlib import Path

from ..runtime.files import check_output
from ..runtime.text import first_few, say
from ..serving.listening import is_local, listen
from .loading import load_pipeline

__all__ = ["run_serve"]

# Requests, and connections that wait, at a time; beyond that uvicorn answers 503 by itself.
_CONNECTIONS = 200


def run_serve(
    *, models, host, port, api_key, max_megabytes, timeout, state, quiet, jobs, **options
):
    """Serve saved models until Ctrl-C."""
    paths = _by_name(models)
    check_output(state, ".json", "--state")
    if not is_local(host) and not api_key:
        raise ValueError(
            f"--host={host!r} is reached by other computers; give an API key, best by the "
            "environment variable SKPATCH_API_KEY, which no list of processes shows."
        )
    if api_key and not api_key.isascii():
        raise ValueError("The API key must be of letters, digits and signs of ASCII.")
    try:
        import uvicorn

        from ..serving.app import make_app
    except ImportError as error:
        raise ImportError(
            f"skpatch serve needs the package extra 'serve' ({error}): pip install 'skpatch[serve]'"
        ) from error
    from ..serving.scoring import warm_up
    from ..serving.state import StateFile
    from ..serving.worker import Served

    with listen(host, port, _CONNECTIONS) as listener:
        served = {}
        for name, path in paths.items():
            pipeline = load_pipeline(path, jobs=jobs, **options)
            warm_up(pipeline)
            served[name] = Served(name, pipeline)
        app = make_app(
            served,
            api_key=api_key or None,
            max_bytes=max_megabytes * 2**20,
            timeout=timeout,
            state=None if state is None else StateFile(state, served),
        )
        # It tells the log of each bad form, and the client is told anyway.
        logging.getLogger("python_multipart").setLevel(logging.ERROR)
        config = uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=int(timeout) + 1,
        )
        if not quiet:
            address = f"[{host}]" if ":" in host else host
            port = listener.getsockname()[1]
            say(f"Serving {first_few(list(served))} at http://{address}:{port}. Ctrl-C ends it.")
        try:
            uvicorn.Server(config).run(sockets=[listener])
            # It ends when it is interrupted, and then interrupts itself, which is lost where Python
            # runs a destructor at that moment.
            raise KeyboardInterrupt
        finally:
            app.state.worker.stop()


def _by_name(models):
    """Paths of the models by their names: the names of their files."""
    paths = {}
    for path in models:
        os.stat(path)
        name = Path(path).stem
        if name in paths:
            raise ValueError(
                f"{str(paths[name])!r} and {str(path)!r} would both be served as {name!r}; rename "
                "one of the files."
            )
        paths[name] = path
    return paths
