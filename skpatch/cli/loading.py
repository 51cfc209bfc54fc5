# SPDX-License-Identifier: BSD-3-Clause
"""Saved models that commands go on with."""

from ..console.options import limit_threads

__all__ = ["load_pipeline", "open_pipeline"]


def open_pipeline(path, weights):
    """Load a pipeline as it was saved."""
    from ..persistence import load

    model = load(path, weights=weights)
    if not hasattr(model, "steps"):
        raise ValueError(f"{str(path)!r} holds a detector without its network; save the pipeline.")
    return model


def load_pipeline(path, *, weights, device, engine, jobs):
    """Load a pipeline, to run as a command is asked to."""
    from ..inspection.result import check_threshold

    model = open_pipeline(path, weights)
    check_threshold(model[1])
    limit_threads(jobs)
    model[0].set_params(device=device, n_jobs=jobs, verbose=False)
    if engine is not None:
        model[0].set_params(engine=engine)
    model[1].set_params(device=device, n_jobs=None, verbose=False)
    return model
