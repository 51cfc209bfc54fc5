# SPDX-License-Identifier: BSD-3-Clause
from pathlib import Path

import check_links
import pytest
from source_links import PROJECT_URL


@pytest.mark.parametrize("name", check_links.MARKDOWN_FILES)
def test_links_of_markdown_files(name):
    assert check_links.broken_markdown_links(check_links.ROOT / name) == []


def test_broken_links_of_a_page(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "a b.html").write_text("<h1 id='top-of-it'>A</h1><img src='sub/x.png'>")
    (tmp_path / "sub" / "x.png").touch()
    (tmp_path / "sub" / "page.html").write_text(
        "<a href='../a%20b.html#top-of-it'><a href='#here'><p id='here'><a href='https://x.y/z'>"
        "<a href='../a%20b.html#other'><a href='gone.html'><a href='#there'><a href='..'>"
    )
    assert check_links.broken_html_links(tmp_path) == [
        f"{Path('sub', 'page.html')}: {link}"
        for link in ("../a%20b.html#other", "gone.html", "#there", "..")
    ]


def test_broken_links_to_the_source(tmp_path):
    good = "edit/main/docs/index.rst", "blob/v0.1.0/skpatch/__init__.py#L1-L2", "issues"
    bad = "edit/main/docs/gone.rst", "blob/main/skpatch/__init__.py#L1-L9999"
    links = "".join(f"<a href='{PROJECT_URL}/{link}'>" for link in good + bad)
    (tmp_path / "page.html").write_text(links)
    broken = [f"page.html: {PROJECT_URL}/{link}" for link in bad]
    assert check_links.broken_html_links(tmp_path) == broken


def test_broken_links_of_a_markdown_file(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(
        "# In six lines!\n[a](#in-six-lines) [b](#in-seven) [c](README.md) ![d](d.png)\n"
        "[e](https://x.y) [f](README.md#g)\n"
    )
    found = check_links.broken_markdown_links(path)
    assert found == ["README.md: #in-seven", "README.md: d.png", "README.md: README.md#g"]


def test_no_pages(tmp_path):
    with pytest.raises(SystemExit, match="build the documentation first"):
        check_links.broken_html_links(tmp_path)
