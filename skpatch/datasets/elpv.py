# SPDX-License-Identifier: BSD-3-Clause
"""Photographs of solar cells."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from sklearn.utils import Bunch

__all__ = ["load_elpv"]

_ELPV_GRADES = (0.0, 1 / 3, 2 / 3, 1.0)

_ELPV_DESCR = """\
ELPV: solar cells in electroluminescence images
-----------------------------------------------
2,624 grey images of 300 x 300 pixels, one solar cell each, from 44 photovoltaic modules
(1,074 monocrystalline and 1,550 polycrystalline cells), aligned. An expert graded the
probability of a defect: 0 (functional), 1/3 (functional, not certain), 2/3 (defective, not
certain), 1 (defective).

The photographs are licensed under CC BY-NC-SA 4.0: attribution, no commercial use, share
alike. They are not part of this library, but of the elpv-dataset package
(https://github.com/zae-bayern/elpv-dataset).

Please cite:
C. Buerhop-Lutz et al., "A benchmark for visual identification of defective solar cells in
electroluminescence imagery", EU PVSEC 2018, doi:10.4229/35thEUPVSEC20182018-5CV.3.15.
S. Deitsch et al., "Automatic classification of defective photovoltaic module cells in
electroluminescence images", Solar Energy 185, 2019, doi:10.1016/j.solener.2019.02.067.
S. Deitsch et al., "Segmentation of photovoltaic module cells in uncalibrated
electroluminescence images", Machine Vision and Applications 32, 2021,
doi:10.1007/s00138-021-01191-9.
"""


def load_elpv(*, kind: str = "mono", grades: Sequence[float] = (0.0, 1.0)) -> Bunch:
    """List the solar cells of the ELPV set [1]_, with their grades.

    The images come with the package elpv-dataset (``pip install "skpatch[demo]"``); nothing is
    downloaded and no image is read. The photographs are licensed under CC BY-NC-SA 4.0.

    Parameters
    ----------
    kind : {"mono", "poly", "all"}, default="mono"
        Monocrystalline cells, polycrystalline cells, or both. They look different.
    grades : sequence of float, default=(0.0, 1.0)
        The defect probabilities to include, out of 0, 1/3, 2/3 and 1; matched within 0.01. The
        default leaves out the cells that the expert was not certain about.

    Returns
    -------
    Bunch
        - images : list of str, absolute paths to PNG files (300 x 300 pixels, grey);
        - target : ndarray of shape (n_images,), float64, the graded defect probability;
        - is_defective : ndarray of shape (n_images,), bool, ``target >= 0.5``, which is the
          expert's view: 1/3 stands for functional and 2/3 for defective, both not certain;
        - kinds : ndarray of shape (n_images,), str, "mono" or "poly";
        - DESCR : str, description, licence and citations.

    Raises
    ------
    ImportError
        If elpv-dataset is not installed.
    ValueError
        If `kind` or one of `grades` is unknown, or `grades` is empty.

    References
    ----------
    .. [1] S. Deitsch et al., "Automatic classification of defective photovoltaic module cells in
       electroluminescence images", Solar Energy 185, 2019.

    Examples
    --------
    >>> from skpatch.datasets import load_elpv
    >>> cells = load_elpv(kind="mono")
    >>> len(cells.images), int(cells.is_defective.sum())
    (901, 313)
    """
    if kind not in ("mono", "poly", "all"):
        raise ValueError(f"Unknown kind {kind!r}; known are 'mono', 'poly' and 'all'.")
    wanted = _match_grades(grades)
    paths, target, kinds = _read_elpv_labels()
    keep = np.isin(target, wanted) & ((kinds == kind) | (kind == "all"))
    return Bunch(
        images=paths[keep].tolist(),
        target=target[keep],
        is_defective=target[keep] >= 0.5,
        kinds=kinds[keep],
        DESCR=_ELPV_DESCR,
    )


def _match_grades(grades):
    """Return the exact grade of each value, since 1/3 is seldom passed in full."""
    values = np.atleast_1d(np.asarray(grades, dtype=float))
    close = np.abs(values[:, np.newaxis] - _ELPV_GRADES) <= 0.01
    if len(values) == 0 or not close.any(axis=1).all():
        raise ValueError(f"grades={grades!r} must be one or more of 0, 1/3, 2/3 and 1.")
    return np.array(_ELPV_GRADES)[close.argmax(axis=1)]


def _read_elpv_labels():
    """Return the paths, grades and kinds of all cells, each an array (2624,)."""
    try:
        import elpv_dataset
    except ImportError as error:
        raise ImportError(
            "load_elpv needs the package elpv-dataset (photographs under CC BY-NC-SA 4.0). "
            'Install it with `pip install "skpatch[demo]"`.'
        ) from error
    folder = Path(elpv_dataset.__file__).absolute().parent / "data"
    lines = (folder / "labels.csv").read_text(encoding="utf-8").splitlines()
    names, probabilities, kinds = zip(*(line.split() for line in lines if line), strict=True)
    grades = _match_grades([float(probability) for probability in probabilities])
    return np.array([str(folder / name) for name in names]), grades, np.array(kinds)
