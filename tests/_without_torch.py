# SPDX-License-Identifier: BSD-3-Clause
"""What models say where torch is not installed: run in a process of its own, which hides it.

The arguments are files of models, and one of images (.npy); beside each model goes what it says.
"""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np

HIDDEN = {"torch", "torchvision"}


class WithoutTorch:
    """The finder of packages, but for what is hidden."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in HIDDEN:
            return None
        return PathFinder.find_spec(name, path, target)


def main(images, *paths):
    from skpatch import load, save
    from skpatch.cli import main as command

    images = list(np.load(images))
    for path in map(Path, paths):
        try:
            model = load(path)
        except ValueError as error:
            path.with_suffix(".txt").write_text(str(error))
            continue
        np.savez(
            path.with_suffix(".npz"),
            features=model[0].transform(images),
            score_samples=model.score_samples(images),
            predict=model.predict(images),
            predict_map=model.predict_map(images),
            predict_pvalue=model.predict_pvalue(images),
            names=model[0].get_feature_names_out().astype(str),
        )
        model[1].forget([0])
        save(model, path.with_suffix(".again"))
        photographs, table = path.parent / "photographs", path.with_suffix(".csv")
        assert command(["info", str(path)]) == 0
        assert command(["score", str(path), str(photographs), "-o", str(table), "-q"]) == 0
    assert HIDDEN.isdisjoint(sys.modules)


if __name__ == "__main__":
    sys.meta_path = [WithoutTorch if finder is PathFinder else finder for finder in sys.meta_path]
    main(*sys.argv[1:])
