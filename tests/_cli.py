# SPDX-License-Identifier: BSD-3-Clause
import csv

from skpatch.cli.commands import main

SMALL = ["--image-size", "64"]
# Of every table; what would say nothing is left out at the end.
COLUMNS = ["image", "score", "p_value", "label", "rank", "n_regions", "regions"]
COLUMNS += ["noise_patches", "decision"]


def run(*arguments):
    return main([str(argument) for argument in arguments])


def read_csv(path):
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))
