# SPDX-License-Identifier: BSD-3-Clause
"""Check that links within the documentation, and to files of the project, lead somewhere.

    python docs/check_links.py docs/_build/html

Sphinx itself checks references, but not what its theme, the gallery and plain HTML link to. Links
to other sites need an internet connection, and are the business of Sphinx's own builder:

    sphinx-build -b linkcheck -D plot_gallery=0 docs docs/_build/linkcheck
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from source_links import PROJECT_URL

ROOT = Path(__file__).parent.parent
MARKDOWN_FILES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


class Page(HTMLParser):
    """The links and the anchors of an HTML page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.anchors = [], {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        """Note what an element links to and what it is called."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" or (tag == "a" and name == "name"):
                self.anchors.add(value)


def leads_to_source(link):
    """Whether a link to the project's source names a file, and lines, that there are.

    True for all other links.
    """
    found = re.fullmatch(rf"{PROJECT_URL}/(?:blob|edit)/[^/]+/([^#]+)(?:#L\d+-L(\d+))?", link)
    if not found:
        return True
    path, last = ROOT / found[1], int(found[2] or 0)
    return path.is_file() and last <= len(path.read_text(encoding="utf-8").splitlines())


def broken_html_links(folder):
    """Page and link, as a text, of each link of a folder's pages that leads nowhere."""
    folder = Path(folder).resolve()
    # What the theme copies to _static are templates.
    paths = [path for path in folder.rglob("*.html") if folder / "_static" not in path.parents]
    if not paths:
        raise SystemExit(f"{folder} holds no HTML pages; build the documentation first.")
    pages = {path: Page(path) for path in paths}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            if not leads_to_source(link):
                broken.append(f"{path.relative_to(folder)}: {link}")
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].anchors if target in pages else {""}
            if not target.is_file() or unquote(parts.fragment) not in known:
                broken.append(f"{path.relative_to(folder)}: {link}")
    return broken


def broken_markdown_links(path):
    """File and link, as a text, of each link to a file or a heading that leads nowhere."""
    text = path.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings}
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        known = anchors if not parts.path else {""}
        if not (path.parent / unquote(parts.path)).exists() or parts.fragment not in known:
            broken.append(f"{path.name}: {link}")
    return broken


def main():
    """Print the links that lead nowhere; the exit code is 1 if there are any."""
    broken = broken_html_links(sys.argv[1])
    for name in MARKDOWN_FILES:
        broken += broken_markdown_links(ROOT / name)
    print("\n".join(broken) or "all internal links lead somewhere")
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
