# SPDX-License-Identifier: BSD-3-Clause
"""Which mean of the worst patches finds defects of all sizes, on grids of all sizes.

    python benchmarks/small_defects.py maps --data DATA --maps MAPS
    python benchmarks/small_defects.py report --maps MAPS --csv docs/small_defects.csv
    python benchmarks/tables.py

DATA is a folder of folders laid out as MVTec AD; solar cells come with the package extra 'demo',
and two textures of 1,200 x 1,200 pixels are computed. On normal test images of each set,
scratches, spots and dents of 4 to 200 pixels are drawn, which move what they cover by a tenth to
all of the way to black or white; on textures also scratches of 24 x 4. Plain PatchCore scores the
patches, with a memory bank of a tenth, at most 4,000. What is already in MAPS is not computed
again. Sets of long images, such as ball screws, took --n-test 50 at 320 and 448.

The report compares statistics of these scores, by image AUROC and by the share of the drawn defects
that is found with 5 % false alarms. It also chooses how much of the worst patch's score an image
scores at least: the most that costs at most 0.003 AUROC of real defects on any set, on average over
the sizes; and the same without one set, with what that costs there.
"""

import argparse
import csv
import datetime
import sys
from functools import partial
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

import skpatch
from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import load_parts, load_solar_cells
from skpatch.images.collection import check_images
from skpatch.metrics import image_auroc

TEXTURES = ("grain", "fabric")
SIDE, TEXTURE_SIZES, SET_SIZES = 1200, (224, 320, 448, 640, 1200), (224, 320, 448)
N_TRAIN, N_TEST, LARGEST_BANK = 40, 80, 4_000
N_TEXTURE_TRAIN, N_TEXTURE_TEST = 24, 30
KINDS, N_DRAWN, N_SCRATCHES = ("scratch", "spot", "dent"), 48, 40
SHARE, LOSS, FALSE_ALARMS = 0.006, 0.003, 0.05
PEAKS = (0.75, 0.8, 0.82, 0.84, 0.85, 0.86, 0.88, 0.9, 0.95)


class Textures:
    """Grey pictures of one material, computed when asked for, each the same every time."""

    def __init__(self, name, n_images):
        self._name, self._n_images = name, n_images

    def __len__(self):
        return self._n_images

    def __getitem__(self, index):
        if not 0 <= index < self._n_images:
            raise IndexError(index)
        rng = np.random.default_rng([TEXTURES.index(self._name), index])
        shade = 12 * _smooth(rng, 60)
        if self._name == "grain":
            values = 12 * _smooth(rng, 1) + 8 * _smooth(rng, 4)
        else:
            rows, columns = np.mgrid[:SIDE, :SIDE] + 4 * np.stack(
                [_smooth(rng, 40), _smooth(rng, 40)]
            )
            values = 20 * np.sin(rows / 2) * np.sin(columns / 2) + 6 * _smooth(rng, 1)
        return np.clip(130 + shade + values, 0, 255).astype(np.uint8)


def _smooth(rng, sigma):
    """Noise (SIDE, SIDE) of standard deviation 1."""
    noise = gaussian_filter(rng.standard_normal((SIDE, SIDE)), sigma, mode="wrap")
    return noise / noise.std()


def draw(pixels, kind, length, contrast, rng):
    """Copy of an image (h, w, 3), uint8, with a defect at a random place."""
    height, width = pixels.shape[:2]
    radius = int(np.ceil(length / 2)) + 1
    top, left = (rng.integers(side - 2 * radius + 1) for side in (height, width))
    angle = rng.uniform(0, np.pi)
    rows, columns = np.mgrid[: 2 * radius, : 2 * radius] - (radius - 0.5)
    along = rows * np.sin(angle) + columns * np.cos(angle)
    across = columns * np.sin(angle) - rows * np.cos(angle)
    out = pixels.astype(np.float64)
    box = out[top : top + 2 * radius, left : left + 2 * radius]
    if kind == "dent":
        # Light on one side, dark on the other.
        along, across = 4 * along / length, 4 * across / length
        light = along * np.exp((1 - along**2 - across**2) / 2)
    else:
        thickness = length if kind == "spot" else max(1, length / 6)
        beyond = np.maximum(np.abs(along) - (length - thickness) / 2, 0)
        light = np.clip(0.5 + thickness / 2 - np.hypot(beyond, across), 0, 1)
        light = light if box.mean() < 128 else -light
    light = light[..., np.newaxis]
    box += contrast * np.where(light > 0, light * (255 - box), light * box)
    return np.clip(out, 0, 255).round().astype(np.uint8)


def plan(n_images, shape, is_texture):
    """Of each defect to draw: number of the image, kind, length and contrast."""
    rng = np.random.default_rng(0)
    longest = min(200, min(shape) // 2)
    drawn = [
        (i % n_images, KINDS[i % 3], np.exp(rng.uniform(np.log(4), np.log(longest))), contrast)
        for i, contrast in enumerate(np.exp(rng.uniform(np.log(0.1), 0, N_DRAWN)))
    ]
    contrasts = np.exp(rng.uniform(np.log(0.1), 0, N_SCRATCHES if is_texture else 0))
    return drawn + [
        (i % n_images, "24 x 4", 24.0, contrast) for i, contrast in enumerate(contrasts)
    ]


def load(name, arguments):
    """Training, normal test and defective test images of a set, as sequences."""
    if name in TEXTURES:
        images = check_images(Textures(name, N_TEXTURE_TRAIN + N_TEXTURE_TEST))
        train, normal, defective = np.split(np.arange(len(images)), [N_TEXTURE_TRAIN, len(images)])
    else:
        path = (arguments.data or Path()) / name
        data = load_parts(path) if path.is_dir() else load_solar_cells(name)
        train, test = data.split(0)
        images = check_images(data.images)
        rng = np.random.RandomState(0)
        is_defective = data.is_defective[test]
        train = train[:N_TRAIN]
        normal, defective = (
            np.sort(rng.permutation(test[is_defective == c])[: arguments.n_test]) for c in (0, 1)
        )
    return [[images.load(i) for i in part] for part in (train, normal, defective)]


def measure(train, normal, defective, size, n_scales, drawn):
    """Scores of all patches of training images without themselves, and of test images."""
    extractor = PatchFeatureExtractor(image_size=size, n_scales=n_scales, n_jobs=1).fit(train)
    features = extractor.transform(train)
    n_patches = features[..., 0].size
    n_memory = min(n_patches // 10, LARGEST_BANK)
    detector = SoftPatchDetector(
        discriminator=None, coreset_size=n_memory, random_state=0, n_jobs=1
    )
    bank = detector.fit(features)._state.bank
    found = {"train": bank.score_patches(features, np.arange(len(train)), None)}
    del features
    before = [extractor.transform([image])[0] for image in normal]
    found["normal"] = np.stack(
        [bank.score_patches(one[np.newaxis], None, None)[0] for one in before]
    )
    for image in defective:
        scores = bank.score_patches(extractor.transform([image]), None, None)
        found.setdefault("defective", []).append(scores[0])
    # Only what a drawn defect changes is scored again.
    unit = np.median(found["normal"])
    for number, (index, kind, length, contrast) in enumerate(drawn):
        shape = "scratch" if kind == "24 x 4" else kind
        image = draw(normal[index], shape, length, contrast, np.random.default_rng(number))
        after = extractor.transform([image])[0]
        changed = np.linalg.norm(after - before[index], axis=-1) > 0.001 * unit
        scores = found["normal"][index].copy()
        if changed.any():
            scores[changed] = bank.score_patches(
                after[changed][np.newaxis, np.newaxis], None, None
            )[0, 0]
        found.setdefault("drawn", []).append(scores)
    return {name: np.asarray(maps, np.float32) for name, maps in found.items()}


def compute_maps(arguments):
    """One file for each set and size of the network's input that has none yet."""
    arguments.maps.mkdir(exist_ok=True)
    for name in arguments.sets:
        images = None
        is_texture = name in TEXTURES
        for size in TEXTURE_SIZES if is_texture else SET_SIZES:
            path = arguments.maps / f"{name}-{size}.npz"
            if path.exists() or size not in arguments.sizes:
                continue
            images = images or load(name, arguments)
            drawn = plan(len(images[1]), images[1][0].shape[:2], is_texture)
            maps = measure(*images, size, arguments.n_scales, drawn)
            plans = dict(
                zip(("index", "kind", "length", "contrast"), zip(*drawn, strict=True), strict=True)
            )
            np.savez_compressed(path, **maps, **plans)
            print(path, maps["train"].shape, file=sys.stderr, flush=True)


def worst(most, share, peak, scores, train):
    """Mean of a share of the scores of each image (n, p), which are in descending order."""
    n_worst = max(1, min(round(share * scores.shape[1]), most))
    return np.maximum(scores[:, :n_worst].mean(axis=1), peak * scores[:, 0])


def power_mean(exponent, scores, train):
    """Between the mean and the maximum, the nearer to that the more it stands out."""
    return ((scores / scores[:, :1]) ** exponent).mean(axis=1) ** (1 / exponent) * scores[:, 0]


def two_scales(scores, train):
    """The larger of the worst patch and the worst 0.6 %, in units of the training images."""
    return np.maximum(
        *(
            (statistic(scores, None) - np.median(known)) / np.std(known)
            for statistic in (STATISTICS["worst patch"], STATISTICS["0.6 %"])
            for known in [statistic(train, None)]
        )
    )


STATISTICS = {
    "worst patch": partial(worst, 1, 1.0, 0),
    "worst 5": partial(worst, 5, 1.0, 0),
    "worst 20": partial(worst, 20, 1.0, 0),
    "0.6 %": partial(worst, np.inf, SHARE, 0),
    "0.6 %, at most 20": partial(worst, 20, SHARE, 0),
    "0.6 %, at most 40": partial(worst, 40, SHARE, 0),
    "power mean, exponent 32": partial(power_mean, 32),
    "standardised, larger of two": two_scales,
    "0.6 %, at least 0.85 of the worst": partial(worst, np.inf, SHARE, 0.85),
}


def descending(maps):
    """Scores (n, p) of maps (n, h, w), the largest of each first."""
    return -np.sort(-maps.reshape(len(maps), -1).astype(np.float64), axis=1)


def evaluate(file, statistic):
    """Image AUROC for each kind of defects in a file of maps, and the share of them found."""
    train = descending(file["train"])
    normal = statistic(descending(file["normal"]), train)
    limit = np.quantile(normal, 1 - FALSE_ALARMS)
    drawn = statistic(descending(file["drawn"]), train)
    contrast, is_scratch = file["contrast"], file["kind"] == "24 x 4"
    found = {
        "drawn": drawn[~is_scratch],
        "4 to 12 pixels": drawn[~is_scratch & (file["length"] < 12)],
        "24 x 4": drawn[is_scratch],
        "24 x 4, faint": drawn[is_scratch & (contrast >= 0.2) & (contrast < 0.4)],
    }
    if "defective" in file:
        found["real"] = statistic(descending(file["defective"]), train)
    aurocs = {
        name: image_auroc(np.r_[np.zeros(len(normal)), np.ones(len(some))], np.r_[normal, some])
        for name, some in found.items()
        if len(some)
    }
    return aurocs | {"found": float(np.mean(drawn[~is_scratch] > limit))}


def report(arguments):
    """Print all figures, and write them as rows."""
    rows, losses = {}, {}
    for path in sorted(arguments.maps.glob("*.npz")):
        name, size = path.stem.rsplit("-", 1)
        with np.load(path) as opened:
            file = dict(opened)
        for title, statistic in STATISTICS.items():
            rows[name, int(size), title] = evaluate(file, statistic)
            shown = [f"{key} {value:.4f}" for key, value in rows[name, int(size), title].items()]
            print(f"{path.stem:20} {title:34}", ", ".join(shown))
        if "defective" in file:
            before = rows[name, int(size), "0.6 %"]["real"]
            for peak in PEAKS:
                real = evaluate(file, partial(worst, np.inf, SHARE, peak))["real"]
                losses.setdefault(peak, {}).setdefault(name, []).append(before - real)
    choose_peak(losses)
    if arguments.csv:
        write_rows(arguments.csv, rows)


def choose_peak(losses):
    """Print the share of the worst patch's score, chosen on all sets and on all but one.

    `losses` are lists by share and set.
    """
    for left in (None, *losses[PEAKS[0]]):
        chosen = max(
            peak
            for peak, of in losses.items()
            if all(np.mean(found) <= LOSS for name, found in of.items() if name != left)
        )
        own = "" if left is None else f", losses there {np.round(losses[chosen][left], 4)}"
        print(f"share of the worst patch chosen without {left}: {chosen}{own}")


def write_rows(path, rows):
    """CSV with a row for each set, size, statistic and kind of defects."""
    with open(path, "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["dataset", "size", "score", "defects", "auroc", "version", "date"])
        about = skpatch.__version__, datetime.date.today().isoformat()
        for key, found in rows.items():
            aurocs = {kind: value for kind, value in found.items() if kind != "found"}
            writer.writerows([*key, kind, f"{value:.4f}", *about] for kind, value in aurocs.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["maps", "report"])
    parser.add_argument("--maps", type=Path, required=True)
    parser.add_argument("--data", type=Path, help="folder of sets")
    parser.add_argument("--sets", nargs="+", default=TEXTURES, help="folders, mono, poly, textures")
    parser.add_argument("--sizes", type=int, nargs="+", default=TEXTURE_SIZES)
    parser.add_argument("--n-scales", type=int, default=1, help="of the extractor")
    parser.add_argument("--n-test", type=int, default=N_TEST, help="images of each class")
    parser.add_argument("--csv", type=Path, help="to write")
    arguments = parser.parse_args()
    {"maps": compute_maps, "report": report}[arguments.command](arguments)


if __name__ == "__main__":
    main()
