# SPDX-License-Identifier: BSD-3-Clause
"""What a release consists of says the same everywhere."""

import json
import re
from pathlib import Path

import pytest
from source_links import PROJECT_URL, SITE, VERSION

import skpatch

ROOT = Path(__file__).parent.parent
SETTINGS = (ROOT / "pyproject.toml").read_text("utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text("utf-8")
# What conda-forge calls otherwise than the package index.
CONDA_NAMES = {"torch": "pytorch"}


@pytest.fixture(scope="module")
def recipe():
    yaml = pytest.importorskip("yaml")
    return yaml.safe_load((ROOT / "conda.recipe" / "recipe.yaml").read_text("utf-8"))


def test_versions_of_the_documentation():
    versions = json.loads((ROOT / "docs" / "_static" / "switcher.json").read_text("utf-8"))
    names = [one["version"] for one in versions]
    assert VERSION in names
    assert len(set(names)) == len(names)
    assert [one["url"] for one in versions] == [f"{SITE}/{name}/" for name in names]
    preferred = [one["version"] for one in versions if one.get("preferred")]
    released = re.findall(r"^## (\d+\.\d+\.\d+) - \d{4}-\d\d-\d\d$", CHANGELOG, re.MULTILINE)
    assert preferred == released[:1]
    assert set(released) == set(names) - {"dev"}


def test_changelog_begins_with_what_is_not_released():
    headings = re.findall(r"^## (.+)$", CHANGELOG, re.MULTILINE)
    assert headings[0] == "Unreleased"
    if VERSION != "dev":
        assert headings[1].startswith(f"{skpatch.__version__} - ")


def test_recipe_needs_what_the_package_needs(recipe):
    needed = re.search(r"^dependencies = \[$(.*?)^\]$", SETTINGS, re.DOTALL | re.MULTILINE)[1]
    pairs = re.findall(r'^    "([\w-]+)(>=[\d.]+)",$', needed, re.MULTILINE)
    expected = [f"{CONDA_NAMES.get(name, name)} {bound}" for name, bound in pairs]
    python, *others = recipe["requirements"]["run"]
    assert others == expected
    assert python == "python >=${{ python_min }}"
    assert f'requires-python = ">={recipe["context"]["python_min"]}"' in SETTINGS


def test_recipe_is_that_of_the_project(recipe):
    assert recipe["about"]["homepage"] == PROJECT_URL
    if VERSION != "dev":
        assert recipe["context"]["version"] == skpatch.__version__
