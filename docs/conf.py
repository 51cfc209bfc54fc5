# SPDX-License-Identifier: BSD-3-Clause
"""Configuration of the documentation."""

import os
import sys
from pathlib import Path

import skpatch

sys.path.insert(0, str(Path(__file__).parent))
from make_notebook import FIRST_CELL
from source_links import EDIT, HOSTED_NOTEBOOK, SITE, VERSION, source_link

project = "skpatch"
author = "the skpatch developers"
copyright = "2026, the skpatch developers"
release = version = skpatch.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.linkcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "sg_execution_times.rst"]
rst_epilog = f".. _hosted notebook: {HOSTED_NOTEBOOK}"
templates_path = ["_templates"]
# References to other libraries become links where there is a connection to look them up.
if os.environ.get("SKPATCH_DOCS_ONLINE"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "sklearn": ("https://scikit-learn.org/stable", None),
        "torch": ("https://docs.pytorch.org/docs/stable", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }
# All others must be known.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(sklearn|torch|matplotlib)\..*")]
autosummary_generate = True
autodoc_typehints = "none"
# The contents beside a class have room for names of methods, not for both names.
toc_object_entries_show_parents = "hide"
# Methods follow in full; see the templates.
numpydoc_show_class_members = False

sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"plot_\w+\.py$",
    "within_subsection_order": "ExampleTitleSortKey",
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "min_reported_time": 1,
    "show_memory": False,
    "image_scrapers": ("matplotlib",),
    "reset_modules": ("matplotlib",),
    # Displays and estimators have no text worth printing below a block.
    "capture_repr": ("_repr_html_",),
    "thumbnail_size": (400, 280),
    "backreferences_dir": "auto_examples/backreferences",
    "doc_module": ("skpatch",),
    "show_signature": False,
    "first_notebook_cell": FIRST_CELL,
}

html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
# Code, pictures and wide tables need the width.
html_sidebars = {
    page: []
    for page in (
        "architecture",
        "auto_examples/*",
        "changelog",
        "contributing",
        "guide/comparison",
        "guide/own_code",
        "performance",
        "robustness",
        "trials",
    )
}
# What is copied can be typed: without prompts and output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
html_title = f"skpatch {version}"
html_theme_options = {
    "show_prev_next": True,
    "navigation_with_keys": True,
    "secondary_sidebar_items": ["page-toc", "edit-this-page"],
    "use_edit_page_button": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
# All versions read the list of versions of the newest documentation, over a connection.
if os.environ.get("SKPATCH_DOCS_ONLINE"):
    html_theme_options |= {
        "switcher": {
            "json_url": f"{SITE}/dev/_static/switcher.json",
            "version_match": VERSION,
        },
        "check_switcher": False,
        "navbar_start": ["navbar-logo", "version-switcher"],
    }
html_context = {
    "edit_page_url_template": EDIT + "/docs/{{ file_name }}",
    "edit_page_provider_name": "GitHub",
}
html_show_sourcelink = False
_GENERATED = ("api/generated/", "auto_examples/", "genindex", "search")


def linkcode_resolve(domain, info):
    return source_link(info["module"], info["fullname"]) if domain == "py" else None


def hide_edit_button(app, page, template, context, doctree):
    """Pages that no one has written cannot be edited."""
    if page.startswith(_GENERATED):
        context["theme_use_edit_page_button"] = False


def setup(app):
    """Run the examples on one thread: the same figures on every machine, busy ones too."""
    import torch

    torch.set_num_threads(1)
    app.connect("html-page-context", hide_edit_button)
