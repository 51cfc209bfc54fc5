# SPDX-License-Identifier: BSD-3-Clause
"""A few images scored as they come, in the columns of every table."""

import warnings

from ..inspection.result import Inspection
from ..inspection.table_files import plain_row, rows_of

__all__ = ["inspect_images", "warm_up"]


def inspect_images(model, images, names):
    """Inspection of some images, and the rows of a table of them as JSON has them.

    Of images that come one by one there is no rank, so it is None; and "unlike" stands in each row.
    """
    with warnings.catch_warnings():
        # What images are unlike all others is in the table; in a log it would be told for ever.
        warnings.simplefilter("ignore", UserWarning)
        inspection = Inspection.from_estimator(model, images, names)
        rows = map(plain_row, rows_of(inspection.to_dict()))
    return inspection, [{**row, "rank": None, "unlike": row.get("unlike", "no")} for row in rows]


def warm_up(model):
    """Score an image of noise, so that the first real one does not wait for what loads then."""
    import numpy as np

    noise = np.random.RandomState(0).randint(0, 256, (*model[0].image_size_, 3), np.uint8)
    inspect_images(model, [noise], ["noise"])
