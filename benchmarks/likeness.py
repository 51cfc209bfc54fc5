# SPDX-License-Identifier: BSD-3-Clause
"""How far copies are from their images, and other products from a model, by sets of photographs.

Prints, of each folder:

- the largest gap between patches of an image and its copy, in units of the usual gap of different
  images, and the least such gap between two different images;
- the typical score of images over what nine of ten trusted training images have: the farthest of
  new normal and defective images, the nearest of images of the other folders, and of black, grey
  and white ones;
- how far the most distant group of images is from all others, in units of what nine of ten images
  are from the nearest one: within the folder, and with eight images of each other folder.
"""

import argparse
import io

import numpy as np
from PIL import Image

from skpatch import PatchFeatureExtractor, SoftPatchDetector
from skpatch.bank.training_scores import score_typical
from skpatch.datasets import load_folder
from skpatch.detector.estimator import fitted_state
from skpatch.likeness import apart, copies

N_IMAGES = 60


def read(path):
    with Image.open(path) as image:
        return image.convert("RGB")


def saved_again(image, quality):
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def resized(image, share):
    return image.resize([round(share * side) for side in image.size])


def moved(image):
    return Image.fromarray(np.roll(np.asarray(image), 1, axis=1))


COPIES = {
    **{f"JPEG {q}": lambda image, q=q: saved_again(image, q) for q in (95, 90, 75, 50)},
    **{f"size {share}": lambda image, share=share: resized(image, share) for share in (0.9, 0.5)},
    "1 pixel": moved,
}


def largest_gaps(left, right):
    gaps = np.linalg.norm(left.astype(np.float64) - right, axis=-1)
    return gaps.reshape(len(gaps), -1).max(axis=1)


def extract(images):
    return PatchFeatureExtractor(image_size=(224, 224), n_scales=1).fit_transform(images)


def load(folder):
    """Normal images, their features, and features of defective images."""
    found = load_folder(folder)
    step = max(1, len(found.train_images) // N_IMAGES)
    normal = [read(path) for path in found.train_images[::step][:N_IMAGES]]
    labels = found.test_labels
    defective = [p for p, y in zip(found.test_images, labels, strict=True) if y][:N_IMAGES]
    return normal, extract(normal), extract([read(path) for path in defective])


def print_copies(normal, features):
    usual = copies.copy_gap(features) / copies._SHARE
    some = normal[::4]
    for name, change in COPIES.items():
        gaps = largest_gaps(extract([change(image) for image in some]), features[::4]) / usual
        print(f"  {name:<9} median {np.median(gaps):.2f}, largest {gaps.max():.2f}")
    pairs = [largest_gaps(features[:i], features[i]).min() for i in range(1, len(features))]
    print(f"  different images: least {min(pairs) / usual:.2f}")


def print_unlike(features, defective, others):
    """One half of the images is learned, with and without defective ones, the other is new."""
    train, new = features[::2], features[1::2]
    n_noisy = min(len(defective) // 2, int(0.4 * len(train)))
    plain = extract([Image.new("L", (64, 64), grey) for grey in (0, 128, 255)])
    for noisy in (0, n_noisy):
        learned = np.concatenate([defective[:noisy], train[noisy:]])
        model = SoftPatchDetector(random_state=0).fit(learned)
        state = fitted_state(model)
        usual = np.quantile(state.training.typical[state.trusted], 0.9)
        sets = {"normal": new, "defective": defective[noisy:], "other": others, "plain": plain}
        found = {name: score_typical(state.bank, some) / usual for name, some in sets.items()}
        limit = state.unlike_limit / usual
        print(f"  {noisy} of {len(train)} images learned are defective, limit {limit:.2f}")
        for name, scores in found.items():
            share = (scores > limit).mean()
            print(f"    {name:<9} {scores.min():.2f} to {scores.max():.2f}, {share:.0%} beyond")


def separation(features):
    """The largest margin that leaves a group apart, and the size of the group."""
    flat = features.reshape(len(features), -1, features.shape[-1])
    gaps = apart._gaps(flat[:, apart.sample_positions(flat.shape[1], apart._MOST_PATCHES)])
    usual = np.quantile(gaps.min(axis=1), apart._QUANTILE, method="higher")
    found = 0.0, 0
    for margin in np.arange(1, 4, 0.02):
        sizes = np.bincount(apart.connected_components(gaps <= margin * usual, directed=False)[1])
        second = np.sort(sizes)[:-1].max(initial=0)
        if second >= apart._LEAST_IMAGES:
            found = margin, second
    return "{:.2f} ({} images)".format(*found)


def print_groups(features, others):
    print(f"  groups within it: {separation(features)}")
    for name, other in others.items():
        mixed = np.concatenate([features[:52], other[:8]])
        print(f"  with 8 images of {name}: {separation(mixed)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", help="at least two, as of load_folder")
    sets = {folder: load(folder) for folder in parser.parse_args().folders}
    for folder, (normal, features, defective) in sets.items():
        print(folder, flush=True)
        print_copies(normal, features)
        others = np.concatenate([sets[name][1][:15] for name in sets if name != folder])
        print_unlike(features, defective, others)
        print_groups(features, {name: sets[name][1] for name in sets if name != folder})


if __name__ == "__main__":
    main()
