# SPDX-License-Identifier: BSD-3-Clause
"""Input checks of the plots."""

import numpy as np

__all__ = ["check_axes", "check_labels", "check_lengths", "check_matplotlib"]


def check_matplotlib(caller):
    """Raise before the work if the plot could not be drawn after it."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f'{caller} needs matplotlib. Install it with `pip install "skpatch[plot]"`.'
        ) from error


def check_axes(axes, purposes):
    """Axes as an array (n,); `purposes` says what each possible number of them is for."""
    axes = np.asarray(axes, dtype=object).ravel()
    if len(axes) not in purposes:
        expected = " or ".join(f"{number} ({purpose})" for number, purpose in purposes.items())
        raise ValueError(f"axes has {len(axes)} axes; expected {expected}.")
    return axes


def check_lengths(n_images, **values):
    """Raise unless every value that is not None has an entry for each image."""
    for name, value in values.items():
        if value is not None and len(value) != n_images:
            raise ValueError(f"{name} has {len(value)} entries, but there are {n_images} images.")


def check_labels(labels, *, texts):
    """Labels (n,) as an array: bool from 1 (defective) and 0 (normal), or `texts` if allowed."""
    labels = np.asarray(labels)
    if labels.dtype.kind in "biuf" and np.isin(labels, (0, 1)).all():
        return labels.astype(bool)
    if texts and labels.dtype.kind in "UTO" and all(isinstance(label, str) for label in labels):
        return labels
    raise ValueError(
        f"labels must hold 1 (defective) and 0 (normal){', or texts' if texts else ''}, got "
        f"{list(labels[:5])}. For the output of predict, pass `y == -1`."
    )
