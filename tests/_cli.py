# SPDX-License-Identifier: BSD-3-Clause
import csv

from skpatch.cli.commands import main

SMALL = ["--image-size", "64"]


def run(*arguments):
    return main([str(argument) for argument in arguments])


def read_csv(path):
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file))
