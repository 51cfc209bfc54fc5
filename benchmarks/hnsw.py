# SPDX-License-Identifier: BSD-3-Clause
"""Graphs of hnswlib and faiss against the exact search, one image at a time, on one thread.

    pip install faiss-cpu hnswlib
    python benchmarks/hnsw.py

The bank is that of the default after 200 normal solar cells; 50 normal and 50 defective others are
searched for, one after the other. `same` is the share of patches whose distance is the exact one,
`worst` the largest ratio of a distance to it. A score of skpatch needs no complete search.
"""

import argparse
import warnings

import faiss
import hnswlib
import numpy as np
from _common import split_cells

from skpatch import ExactNeighbors, PatchFeatureExtractor, SoftPatchDetector
from skpatch.bench.protocol import timed
from skpatch.metrics import image_auroc

N_TRAIN, N_TEST = 200, 50
LINKS, WIDTHS = 32, (16, 64, 256)


def faiss_graph(bank):
    """A function of queries and the width of the search, to squared distances (m,)."""
    faiss.omp_set_num_threads(1)
    graph = faiss.IndexHNSWFlat(bank.shape[1], LINKS)
    graph.add(bank)

    def search(queries, width):
        graph.hnsw.efSearch = width
        return graph.search(queries, 1)[0][:, 0]

    return search


def hnswlib_graph(bank):
    """As :func:`faiss_graph`."""
    graph = hnswlib.Index("l2", bank.shape[1])
    graph.init_index(len(bank), M=LINKS)
    graph.set_num_threads(1)
    graph.add_items(bank)

    def search(queries, width):
        graph.set_ef(width)
        return graph.knn_query(queries, 1)[1][:, 0]

    return search


def tell(name, seconds, distances, exact, truth):
    """A line about the distances (n, p) of the patches of n images."""
    n_images, n_patches = distances.shape
    ratios = distances / np.maximum(exact, 1e-9)
    worst = np.sort(distances, axis=1)[:, -round(0.006 * n_patches) :].mean(axis=1)
    same = np.mean(np.abs(ratios - 1) < 1e-3)
    print(
        f"{name:<20} {1e3 * seconds / n_images:6.1f} ms an image, same {same:.3f}, "
        f"worst {ratios.max():.2f}, image AUROC {image_auroc(truth, worst):.4f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kind", default="mono", choices=["mono", "poly"])
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    train, test, truth = split_cells(N_TRAIN, N_TEST, arguments.kind)
    extractor = PatchFeatureExtractor(n_jobs=1)
    detector = SoftPatchDetector(random_state=0, n_jobs=1).fit(extractor.fit_transform(train))
    images = extractor.transform(test)
    patches = images.reshape(len(images), -1, images.shape[-1])
    # Without the reaches of the noise model, which no graph knows.
    complete = ExactNeighbors().fit(detector.memory_bank_)

    def each(search, *width):
        return np.sqrt([search(queries, *width) for queries in patches])

    def search_exactly(queries):
        return np.square(complete.kneighbors(queries)[0][:, 0])

    print(f"bank {detector.memory_bank_.shape}, {patches.shape[1]} patches an image")
    search_exactly(patches[0])
    seconds, exact = timed(each, search_exactly)
    tell("exact, every patch", seconds, exact, exact, truth)
    detector.score_samples(images[:1])
    seconds, scores = timed(lambda: [detector.score_samples(image[None])[0] for image in images])
    auroc = image_auroc(truth, -np.array(scores))
    print(
        f"{'a score':<20} {1e3 * seconds / len(images):6.1f} ms an image, image AUROC {auroc:.4f}"
    )
    for name, make in {"faiss": faiss_graph, "hnswlib": hnswlib_graph}.items():
        seconds, graph = timed(make, detector.memory_bank_)
        print(f"{name}: graph built in {seconds:.1f} s")
        for width in WIDTHS:
            tell(f"{name}, width {width}", *timed(each, graph, width), exact, truth)


if __name__ == "__main__":
    main()
