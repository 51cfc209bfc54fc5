# SPDX-License-Identifier: BSD-3-Clause
"""The commands that learn from a folder: fit and audit."""

import math
import os
import shlex
import sys
import time

import numpy as np

from ..inspection.words import FEW, SUSPICIOUS, summary
from ..runtime.text import number, pvalue_text, say, score_text, shown
from .inputs import readable_images, training_images
from .options import limit_threads
from .output import check_free, heard, write_csv

__all__ = ["run_audit", "run_fit"]

# Bytes that are worth a word.
_MUCH = 2**30
# From one shorter side of the network's input to the next that is worth trying.
_STEP_UP = 1.4

_COLUMNS = (
    "rank",
    "image",
    "score",
    "p_value",
    "suspicious",
    "noise_patches",
    "group",
    "copy_of",
)


def run_fit(*, folder, output, force, quiet, **options):
    """Learn from the images of a folder and save the model."""
    started = time.monotonic()
    check_free(output, ".skpatch", "--output", force)
    model, paths, _ = _train(folder, quiet=quiet, **options)
    from ..persistence import save

    # What the library does by default, wherever the model is loaded.
    model[0].set_params(device="auto", n_jobs=None, verbose=False)
    model[1].set_params(device="cpu", verbose=False)
    save(model, output)
    if not quiet:
        _print_fit(model, len(paths), output, time.monotonic() - started)


def run_audit(*, folder, output, csv, top, force, quiet, **options):
    """Rank the images of a folder, each scored without itself; write report and ranking."""
    check_free(output, ".html", "--output", force)
    check_free(csv, ".csv", "--csv", force)
    with heard() as warned:
        model, paths, features = _train(folder, quiet=quiet, **options)
        from ..inspection.audit import NoiseAudit

        audit = NoiseAudit(model, paths, features)
    rows = _ranked_rows(audit)
    if csv is not None:
        write_csv(csv, _COLUMNS, map(_csv_row, rows))
    audit.to_html(output, model.image_names_, warned)
    if quiet:
        return
    _print_ranking(rows[:top], audit.inspection.n_normal)
    say(summary(len(paths), np.count_nonzero(audit.is_suspicious), SUSPICIOUS))
    if audit.finding is not None:
        say(audit.finding.reason)
    _print_groups(audit.groups, model.image_names_)
    say(f"Report: {shown(output)}")
    if csv is not None:
        say(f"Ranking: {shown(csv)}")


def _train(folder, *, quiet, skip_bad, jobs, device, engine, weights, seed, trusted, **options):
    """Fitted pipeline, the paths of its images, and their features (n, h, w, d), perhaps lazy."""
    paths = training_images(folder, options["layout"], options["region"], quiet)
    if len(paths) == 1:
        raise ValueError(f"{str(folder)!r} holds 1 image, while at least 2 are needed.")
    if weights is not None and not os.path.isfile(weights):
        raise FileNotFoundError(f"--weights={weights!r} is not a file.")
    from ..engines.choosing import check_engine
    from ..runtime.devices import check_device

    check_device(device)
    check_engine(engine, device, "float32")
    limit_threads(jobs)
    intensity_range = options["intensity_range"] or "auto"
    paths = readable_images(
        paths,
        skip_bad=skip_bad,
        quiet=quiet,
        jobs=jobs,
        intensity_range=intensity_range,
        at_least=2,
    )
    from ..detector.estimator import SoftPatchDetector
    from ..features.extractor import PatchFeatureExtractor
    from ..features.lazy import lazy_features
    from ..images.names import find_by_name
    from ..inspection.result import check_threshold
    from ..pipeline import make_pipeline
    from ..runtime.telling import told_once

    names = [os.path.relpath(path, folder) for path in paths]
    # A shell completes paths from the working directory.
    trusted = [os.path.relpath(one, folder) if os.path.isfile(one) else one for one in trusted]
    trusted = find_by_name(trusted, names)
    extractor = PatchFeatureExtractor(
        backbone=options["backbone"],
        weights="default" if weights is None else weights,
        image_size=options["image_size"],
        region=options["region"],
        intensity_range=intensity_range,
        tile_size=options["tile_size"],
        device=device,
        engine=engine,
        n_jobs=jobs,
        random_state=seed,
        verbose=not quiet,
    )
    name = options["discriminator"]
    detector = SoftPatchDetector(
        discriminator=None if name == "none" else name,
        noise_threshold=options["noise_threshold"],
        coreset_size=options["coreset_size"],
        contamination=options["contamination"],
        memory_limit=options["memory_limit"],
        device=device,
        random_state=seed,
        verbose=not quiet,
    )
    model = make_pipeline(extractor, detector)
    if options["memory_limit"] is None:
        with told_once(names):
            extractor.fit(paths)
            if not quiet:
                _tell_resolution(extractor, paths)
                _tell_memory(extractor, len(paths))
            features = extractor.transform(paths)
            detector.fit(features, trusted=trusted)
    else:
        features = lazy_features(model.fit(paths, trusted=trusted), paths)
    model.image_names_ = names
    check_threshold(detector)
    return model, paths, features


def _tell_resolution(extractor, paths):
    """Say how finely images are looked at, and what more would cost, while it can be changed."""
    from ..images.collection import check_images

    height, width = check_images(paths).size(0)
    rows, columns = extractor.grid_size_
    sides = extractor.image_size_
    larger = 32 * round(min(sides) * _STEP_UP / 32)
    say(
        f"Images such as {width} x {height} pixels pass the network at {sides[1]} x {sides[0]}, in "
        f"{columns} x {rows} patches. --image-size {larger} would see smaller defects, and take "
        f"about {(larger / min(sides)) ** 2:.1f} times as long.",
        sys.stderr,
    )


def _tell_memory(extractor, n_images):
    """Say how much memory the features will take, if it is much, while that can be changed."""
    n_bytes = 4 * n_images * math.prod(extractor.grid_size_) * extractor.n_features_out_
    if n_bytes >= _MUCH:
        say(
            f"The features of {n_images} images take {n_bytes / 2**30:.1f} GB of memory, and the "
            "fit about half as much again; --memory-limit bounds it.",
            sys.stderr,
        )


def _print_fit(model, n_images, output, seconds):
    extractor, detector = model[0], model[1]
    noise = 1 - detector.kept_[:, detector.inspected_].mean()
    finding = detector.noise_finding_
    is_suspicious = detector.training_scores_ < detector.offset_
    n_suspicious = np.count_nonzero(is_suspicious & ~detector.declared_normal_)
    (height, width), (rows, columns) = extractor.image_size_, extractor.grid_size_
    found = f"{n_suspicious} of them suspicious" if n_images >= FEW else "too few to tell noise"
    for name, value in {
        "images": f"{n_images}, {found}",
        "network input": f"{width} x {height} pixels, {columns} x {rows} patches",
        "intensity range": _range_in_words(extractor.intensity_range_),
        "memory patches": len(detector.memory_bank_),
        "noise threshold": _noise_in_words(detector),
        "taken for noise": f"{noise:.1%} of the patches",
        "threshold": f"{-detector.offset_:.4g}, a distance between features",
        "seconds": f"{seconds:.1f}",
        "model": f"{shown(output)}, {os.path.getsize(output) / 1e6:.1f} MB",
    }.items():
        say(f"{name:<16}  {value}")
    if finding is not None:
        say(finding.reason)


def _noise_in_words(detector):
    """The noise threshold, and what "auto" has decided."""
    finding = detector.noise_finding_
    if detector.discriminator is None:
        return "none, since nothing tells noise"
    if detector.noise_threshold != "auto":
        return f"{detector.noise_threshold:g}"
    if finding is None:
        return f"auto, the default of {detector.discriminator}"
    return f"auto: {'no' if finding.evidence == 'none' else finding.evidence} evidence of noise"


def _range_in_words(intensity_range):
    if intensity_range is None:
        return "8-bit images"
    black, white = intensity_range
    return f"{black:g} is black and {white:g} white in images that are not 8-bit"


def _ranked_rows(audit):
    """Values of `_COLUMNS` for each image, the most suspicious first."""
    found = audit.inspection
    return [
        (
            rank,
            found.names[index],
            found.scores[index],
            found.pvalues[index],
            "yes" if audit.is_suspicious[index] else "no",
            audit.n_removed[index],
            audit.groups[index] + 1 or "",
            found.names[audit.copy_of[index]] if audit.copy_of[index] >= 0 else "",
        )
        for rank, index in enumerate(found.ranking, start=1)
    ]


def _csv_row(row):
    rank, path, score, pvalue, *others = row
    return rank, path, number(score), number(pvalue), *others


def _print_ranking(rows, n_normal):
    """Print the first rows, under headings."""
    table = [("rank", "score", "p-value", "suspicious", "noise patches", "image")]
    for rank, path, score, pvalue, suspicious, removed, _, original in rows:
        copied = f", a copy of {shown(original)}" if original else ""
        numbers = str(rank), score_text(score), pvalue_text(pvalue, n_normal)
        table.append((*numbers, suspicious, str(removed), f"{shown(path)}{copied}"))
    widths = [max(map(len, column)) for column in zip(*table, strict=True)][:-1]
    for *cells, name in table if rows else []:
        right = (text.rjust(width) for text, width in zip(cells, widths, strict=True))
        say("  ".join([*right, name]))


def _print_groups(groups, names):
    """Ask what each group of images that look alike is, and say how to answer."""
    for group in range(groups.max() + 1):
        found = np.flatnonzero(groups == group)
        options = [f"--trust {shown(shlex.quote(names[index]))}" for index in found]
        say(
            f"These {len(options)} look alike: a normal variant, or the same defect? If normal: "
            f"{' '.join(options)}"
        )
