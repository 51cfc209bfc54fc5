# SPDX-License-Identifier: BSD-3-Clause
"""The table of scored images: the same columns and units wherever one is written or returned."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .words import ANOMALOUS, SUSPICIOUS, verdict

if TYPE_CHECKING:
    import pandas

__all__ = ["as_frame", "join_tables", "make_table"]


def make_table(inspection, audit=None) -> dict[str, Any]:
    """Columns with an entry for each image, in their order.

    Parameters
    ----------
    inspection : Inspection
    audit : NoiseAudit, optional
        What else is known of training images.

    Returns
    -------
    dict of str to list or ndarray of length n
        See :meth:`skpatch.Inspection.to_dict`. Columns that would say nothing are left out:
        "unlike", "group" and "copy_of".
    """
    n_images = len(inspection.scores)
    word, is_alarm = ANOMALOUS, inspection.is_anomalous
    if audit is not None:
        word, is_alarm = SUSPICIOUS, audit.is_suspicious
    regions = [inspection.regions(index) for index in range(n_images)]
    verdicts = zip(inspection.scores, is_alarm, strict=True)
    table = {
        "image": inspection.names,
        "score": inspection.scores,
        "p_value": inspection.pvalues,
        "label": [verdict(score, is_one, word) for score, is_one in verdicts],
        "rank": np.argsort(inspection.ranking) + 1,
        "n_regions": np.array([len(found) for found in regions]),
        "regions": regions,
        "noise_patches": [None] * n_images if audit is None else audit.n_removed,
        "decision": [""] * n_images if audit is None else audit.decisions,
    }
    if inspection.is_unlike.any():
        table["unlike"] = np.where(inspection.is_unlike, "yes", "no").tolist()
    if audit is not None and (audit.groups >= 0).any():
        table["group"] = [None if group < 0 else int(group) + 1 for group in audit.groups]
    if audit is not None and (audit.copy_of >= 0).any():
        names = inspection.names
        table["copy_of"] = ["" if one < 0 else names[one] for one in audit.copy_of]
    return table


def join_tables(tables):
    """One table of images that were inspected part by part, ranked among all."""
    columns = dict.fromkeys(name for table in tables for name in table)
    counts = [len(table["image"]) for table in tables]
    joined = {
        # Only "unlike" may be in some parts and not in others.
        name: [
            value
            for table, count in zip(tables, counts, strict=True)
            for value in table.get(name, ["no"] * count)
        ]
        for name in columns
    }
    joined["rank"] = np.argsort(np.argsort(-np.array(joined["score"]), kind="stable")) + 1
    return joined


def as_frame(columns, caller) -> "pandas.DataFrame":
    """Frame of the columns that a function returns."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            f"{caller} needs pandas. Install it with `pip install pandas`."
        ) from error
    return pandas.DataFrame(columns())
