# SPDX-License-Identifier: BSD-3-Clause
"""Matrix products and their threads: by torch, or by numpy where torch is not installed."""

from functools import cache
from importlib.util import find_spec

import numpy as np
from joblib import cpu_count

__all__ = [
    "eigenvectors",
    "get_threads",
    "has_torch",
    "products",
    "project_and_rest",
    "require_torch",
    "set_threads",
]


@cache
def has_torch():
    """Whether torch is installed; it is not imported to find out."""
    return find_spec("torch") is not None


def require_torch(what):
    """Raise where torch, which something needs, is not installed."""
    if not has_torch():
        raise ImportError(
            f"{what} needs torch, which is not installed here: pip install torch torchvision. "
            "Without it models score that were saved with engine='onnx' or engine='openvino'."
        )


def products(left, right, out=None):
    """Matrix products (..., m, n) of float32 arrays (..., m, k) and (..., k, n).

    Parameters
    ----------
    left, right : ndarray
        Writable, as torch warns of others.
    out : ndarray of shape (..., m, n), float32, optional
    """
    if not has_torch():
        return np.matmul(left, right, out=out)
    import torch

    out = None if out is None else torch.from_numpy(out)
    return torch.matmul(torch.from_numpy(left), torch.from_numpy(right), out=out).numpy()


def project_and_rest(points, axes):
    """Coordinates (n, k) of points (n, d) along axes (d, k), and norms (n,) of the rest.

    The points become the rest.
    """
    if not has_torch():
        coordinates = points @ axes
        points -= coordinates @ axes.T
        return coordinates, np.linalg.norm(points, axis=1)
    import torch

    rest, axes = torch.from_numpy(points), torch.from_numpy(axes)
    coordinates = torch.mm(rest, axes)
    rest.addmm_(coordinates, axes.T, alpha=-1)
    return coordinates.numpy(), torch.linalg.vector_norm(rest, dim=1).numpy()


def eigenvectors(matrix):
    """Eigenvalues (d,) of a symmetric matrix (d, d), descending, and vectors in its columns.

    Raises
    ------
    numpy.linalg.LinAlgError
        If they are not found.
    """
    if not has_torch():
        values, vectors = np.linalg.eigh(matrix)
        return values[::-1], vectors[:, ::-1]
    import torch

    try:
        values, vectors = torch.linalg.eigh(torch.from_numpy(matrix))
    except torch.linalg.LinAlgError as error:
        raise np.linalg.LinAlgError(str(error)) from error
    return values.flip(-1).numpy(), vectors.flip(-1).numpy()


def get_threads():
    """Number of threads that a product takes, of the whole process."""
    if has_torch():
        import torch

        return torch.get_num_threads()
    counts = [library["num_threads"] for library in _blas().info()]
    return max(counts, default=cpu_count())


def set_threads(number):
    """Have products take so many threads, in the whole process."""
    if has_torch():
        import torch

        torch.set_num_threads(number)
    else:
        _blas().limit(limits=number)


@cache
def _blas():
    """The library of numpy's products."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
