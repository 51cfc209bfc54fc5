# SPDX-License-Identifier: BSD-3-Clause
"""Exact search against faiss, and pynndescent's graph against the exact search.

    pip install -e . elpv-dataset faiss-cpu
    python benchmarks/search.py

The bank is a greedy coreset of 17,248 patches of 220 normal solar cells, with the 1024 features of
the reference's embedding; the queries are the 7,840 patches of ten other normal cells. Image AUROC
is that of 100 normal and 100 defective cells. All use the same number of threads. The ratios come
last.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time

import faiss
import numpy as np
import torch
from _common import in_turns, project, split_cells

from skpatch import ExactNeighbors, PatchFeatureExtractor, PyNNDescentNeighbors
from skpatch.bank.coreset import greedy_coreset
from skpatch.bench.protocol import timed
from skpatch.metrics import image_auroc

N_TRAIN, N_QUERIES = 220, 10

FIRST_QUERY = """
import pickle, sys, time, numpy as np
with open(sys.argv[1], "rb") as file:
    search, queries = pickle.load(file)
search.kneighbors(queries)
print(time.time())
"""


def make_bank(features):
    """Rows of a greedy coreset of a tenth of all patches."""
    points = project(features).reshape(-1, 128)
    picks, _ = greedy_coreset(points, len(points) // 10, 0)
    return features.reshape(-1, features.shape[-1])[picks]


def first_answer_of_a_new_process(search, queries):
    """Seconds from the start of a process to the first answer of a restored search."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "search.pickle")
        with open(path, "wb") as file:
            pickle.dump((search, queries), file)
        started = time.time()
        command = [sys.executable, "-c", FIRST_QUERY, path]
        answered = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        return float(answered) - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()

    train, test, truth = split_cells(N_TRAIN, 100)
    extractor = PatchFeatureExtractor(embedding_dim=1024)
    bank = make_bank(extractor.fit_transform(train))
    test = extractor.transform(test)
    test = test.reshape(-1, test.shape[-1])
    queries = test[: N_QUERIES * len(test) // len(truth)]

    faiss.omp_set_num_threads(torch.get_num_threads())
    flat = faiss.IndexFlatL2(bank.shape[1])
    flat.add(bank)
    exact = ExactNeighbors().fit(bank)
    build, graph = timed(PyNNDescentNeighbors(random_state=0).fit, bank)
    for search in (exact, graph):
        search.kneighbors(queries[:100])  # compile

    seconds, found = in_turns(
        arguments.repeats,
        faiss=lambda: flat.search(queries, 1),
        exact=lambda: exact.kneighbors(queries),
        graph=lambda: graph.kneighbors(queries),
    )
    distances, nearest = found["exact"]
    near, rows_of_graph = found["graph"]
    aurocs = [
        image_auroc(truth, search.kneighbors(test)[0].reshape(len(truth), -1).max(axis=1))
        for search in (exact, graph)
    ]
    start = first_answer_of_a_new_process(graph, queries[:784])

    print(f"bank, queries          {bank.shape[0]} and {len(queries)} x {bank.shape[1]}")
    for name, value in seconds.items():
        print(f"{name + ', seconds':<23}{value:.3f}")
    print(f"exact, same as faiss   {np.mean(nearest == found['faiss'][1]):.3%}")
    print(f"graph, nearest found   {np.mean(nearest == rows_of_graph):.3%}")
    print(f"graph, distance error  {np.mean(near / distances - 1):.4%} in the mean")
    print(f"image AUROC            {aurocs[0]:.4f} exact, {aurocs[1]:.4f} graph")
    print(f"graph, build           {build:.1f} seconds, compilation included")
    print(f"graph, first answer    {start:.1f} seconds after the start of a process")
    print(f"exact, times faiss     {seconds['faiss'] / seconds['exact']:.2f}")
    print(f"graph, times exact     {seconds['exact'] / seconds['graph']:.2f}")


if __name__ == "__main__":
    main()
