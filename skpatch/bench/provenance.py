# SPDX-License-Identifier: BSD-3-Clause
"""What a row was measured with, and whether rows of two runs belong into one table."""

import json

from ..networks.backbones import weights_digest
from ..runtime.parameters import changed_parameters
from ..runtime.text import shown
from ..runtime.versions import installed_versions

__all__ = ["PROVENANCE", "changed_settings", "check_provenance", "provenance"]

# Columns of the CSV, in words for a message. `folder` is for the reader: files may be moved.
PROVENANCE = {
    "folder": "folder",
    "files": "SHA-256 of the files",
    "backbone": "backbone",
    "weights": "SHA-256 of the weights",
    "layers": "layers",
    "image_size": "size of the network's input",
    "parameters": "parameters",
    "versions": "versions",
}


def provenance(data, detector, copies=None):
    """What rows of a set and a method are measured with, as texts by column of `PROVENANCE`.

    Parameters
    ----------
    data : ImageSet
    detector : SoftPatchDetector
        Unfitted.
    copies : str or None
        How injected images differ from those that are tested.
    """
    given = {} if copies is None else {"copies": copies}
    extractor = data.extractor
    (height, width), n_scales = extractor.image_size_, extractor.n_scales_
    return {
        "folder": data.folder,
        "files": data.digest,
        "backbone": str(extractor.backbone),
        "weights": weights_digest(extractor.model_),
        "layers": " ".join(extractor.layers_),
        "image_size": f"{height} x {width}" + (f", {n_scales} scales" if n_scales > 1 else ""),
        "parameters": json.dumps(
            {**changed_settings(extractor), **changed_settings(detector), **given}, default=repr
        ),
        "versions": json.dumps(installed_versions()),
    }


def changed_settings(estimator):
    """Parameters that are not the defaults, but for the seed, which has a column of its own."""
    changed = changed_parameters(estimator)
    changed.pop("random_state", None)
    return changed


def check_provenance(rows, expected, table):
    """Refuse to go on with a table whose rows were measured with something else.

    Parameters
    ----------
    rows : list of dict
        Of the table.
    expected : dict
        From (dataset, method) to what they would be measured with now.
    table : Path
    """
    for row in rows:
        now = expected.get((row["dataset"], row["method"]))
        if now is None:
            continue
        before = {column: row.get(column) for column in PROVENANCE}
        differing = [
            f"{words} {_compared(before[column], now[column])}"
            for column, words in PROVENANCE.items()
            if column != "folder" and before[column] != now[column]
        ]
        if differing:
            raise ValueError(
                f"{shown(table)} has rows of {row['method']} on {row['dataset']!r} (folder "
                f"{_compared(before['folder'], now['folder'])}) that were measured with "
                f"something else: {'; '.join(differing)}. Name another --output, or delete these "
                "rows to measure them anew."
            )


def _compared(before, now):
    """What was and what is, without the entries of JSON that have not changed."""
    if before == now:
        return _said(now)
    if before and before.startswith("{"):
        old, new = json.loads(before), json.loads(now)
        changed = [name for name in {**old, **new} if old.get(name, ...) != new.get(name, ...)]
        before, now = (
            ", ".join(f"{name}={some[name]!r}" for name in changed if name in some)
            or "as by default"
            for some in (old, new)
        )
    return f"{_said(before)}, now {_said(now)}"


def _said(value):
    return "unknown" if not value else shown(value)
