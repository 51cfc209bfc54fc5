# SPDX-License-Identifier: BSD-3-Clause
"""The demonstration on photographs of solar cells."""

import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .. import __version__
from ..runtime.files import replacing
from ..runtime.text import say, score_text, shown

__all__ = ["run_demo"]

_N_TRAIN = {"normal": 200, "defective": 20}
_N_TEST = 150
_N_SUSPICIOUS = 10
# What a verdict is worth, by whether it is defective and whether its score is above 1.
_OUTCOMES = {
    (True, True): ("found", "#2b7a2b"),
    (True, False): ("missed", "#b3261e"),
    (False, True): ("false alarm", "#b85c00"),
    (False, False): ("passed", "#666666"),
}


class _Stopwatch:
    """Seconds per named stage, in the order of the stages."""

    def __init__(self):
        self.seconds = {}

    @contextmanager
    def stage(self, name):
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


def run_demo(output, seed):
    """Compare PatchCore and skpatch on a contaminated training set of solar cells.

    Parameters
    ----------
    output : path
        PNG file to write.
    seed : int
        Chooses the images.
    """
    from ..detector.estimator import SoftPatchDetector
    from ..features.extractor import PatchFeatureExtractor
    from ..inspection.audit import NoiseAudit
    from ..metrics import image_auroc
    from ..pipeline import make_pipeline
    from ..plotting.checks import check_matplotlib

    check_matplotlib("The demonstration")
    train, train_labels, test, test_labels = _choose_images(seed)
    say(
        f"Training on {len(train)} unlabelled images, {train_labels.sum()} of them defective; "
        f"testing on {len(test)}.\n"
    )
    watch = _Stopwatch()
    extractor = PatchFeatureExtractor(verbose=True)
    with watch.stage("features, training images"):
        train_features = extractor.fit_transform(train)
    with watch.stage("features, test images"):
        test_features = extractor.transform(test)
    models, aurocs = {}, {}
    for name, parameters in [("PatchCore", {"discriminator": None}), ("skpatch", {})]:
        detector = SoftPatchDetector(**parameters, random_state=0, verbose=True)
        with watch.stage(f"fit {name}"):
            detector.fit(train_features)
        with watch.stage(f"score {name}"):
            scores = detector.score_samples(test_features)
        aurocs[name] = image_auroc(test_labels, -scores)
        models[name] = make_pipeline(extractor, detector)
    with watch.stage("audit skpatch"):
        audit = NoiseAudit(models["skpatch"], train, train_features)
    _print_table(aurocs, watch.seconds)
    _print_suspicious(audit.inspection, train_labels)
    _plot(models, test, test_labels, scores, output)
    say(f"\nHeat maps: {shown(output)}")
    say("Photographs: ELPV dataset, CC BY-NC-SA 4.0 (Deitsch et al., Buerhop-Lutz et al.).")


def _choose_images(seed):
    """Paths and labels (1 = defective) of the training and test images."""
    from ..datasets import load_elpv
    from .protocol import permute_classes

    data = load_elpv(kind="mono")
    images = np.asarray(data.images)
    random_state = np.random.RandomState(seed)
    normal, defective = permute_classes(data.is_defective, random_state)
    n_normal, n_defective = _N_TRAIN["normal"], _N_TRAIN["defective"]
    train = random_state.permutation(np.r_[normal[:n_normal], defective[:n_defective]])
    test = np.r_[
        normal[n_normal : n_normal + _N_TEST], defective[n_defective : n_defective + _N_TEST]
    ]
    labels = data.is_defective.astype(int)
    return list(images[train]), labels[train], list(images[test]), labels[test]


def _print_table(aurocs, seconds):
    say(f"{'image AUROC':<28}")
    for name, auroc in aurocs.items():
        say(f"  {name:<26} {auroc:7.4f}")
    say(f"{'seconds':<28}")
    for name, value in seconds.items():
        say(f"  {name:<26} {value:7.1f}")
    say(f"  {'total':<26} {sum(seconds.values()):7.1f}")


def _print_suspicious(inspection, labels):
    say(f"\nThe {_N_SUSPICIOUS} most suspicious training images (skpatch; 1 = its threshold)")
    for rank, image in enumerate(inspection.ranking[:_N_SUSPICIOUS], start=1):
        truth = "defective" if labels[image] else "normal"
        name = shown(Path(inspection.names[image]).name)
        say(f"  {rank:>2}  {name:<16} {score_text(inspection.scores[image]):>5}  {truth}")


def _plot(models, images, labels, scores, output):
    """Originals and heat maps of two normal and four defective test images."""
    from matplotlib.figure import Figure

    from ..plotting.maps import AnomalyMapDisplay, draw_colorbar

    examples = np.r_[_spread(scores, labels == 0, 2), _spread(scores, labels == 1, 4)]
    chosen = [images[i] for i in examples]
    figure = Figure(figsize=(1.9 * len(examples) + 1.2, 6.6), layout="constrained")
    rows = figure.subplots(1 + len(models), len(examples))
    plain, robust = models.values()
    display = AnomalyMapDisplay.from_estimator(
        plain, chosen, labels=labels[examples], axes=rows[:2], colorbar=False
    )
    _say_outcomes(display, labels[examples])
    display = AnomalyMapDisplay.from_estimator(robust, chosen, axes=rows[2], colorbar=False)
    _say_outcomes(display, labels[examples])
    draw_colorbar(figure, display.heatmaps_[0], rows[1:].ravel(), shrink=0.8)
    for ax, name in zip(rows[:, 0], ["photograph", *models], strict=True):
        ax.set_ylabel(name, fontsize=11)
    figure.suptitle("Defects in solar cells, learned from an unlabelled, contaminated folder")
    figure.supxlabel("Photographs: ELPV dataset, CC BY-NC-SA 4.0", fontsize=8, color="0.4")
    with replacing(output) as file:
        figure.savefig(file, dpi=110, metadata={"Software": f"skpatch {__version__}"})


def _say_outcomes(display, labels):
    """Write above each map whether its defect was found, and frame it in the same colour."""
    for ax, score, label in zip(display.axes_[-1], display.scores, labels, strict=True):
        outcome, colour = _OUTCOMES[bool(label), bool(score > 1)]
        ax.set_title(f"{outcome}, score {score_text(score)}", fontsize=9, color="white")
        ax.title.set_bbox({"facecolor": colour, "edgecolor": "none", "pad": 2})
        ax.spines[:].set(color=colour, linewidth=3)


def _spread(scores, among, count):
    """Images `among` whose scores are spread evenly from the median to the extreme."""
    order = np.flatnonzero(among)[np.argsort(-scores[among], kind="stable")]
    return order[np.linspace(len(order) // 2, len(order) - 1, count).astype(int)]
