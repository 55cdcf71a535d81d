"""The documentation site: how pages from outside `docs/` are read, and what is said of broken links."""

import sys

import pytest

from tests.conftest import ROOT

sys.path.append(str(ROOT / "docs"))

from check_links import broken_links
from site_pages import pages, relinked, text_of


@pytest.mark.parametrize(
    ("text", "page", "expected"),
    [
        ("[a](docs/data.md#x)", "index", "[a](data.md#x)"),
        ("[a](CONTRIBUTING.md)", "index", "[a](project/contributing.md)"),
        ("![a](docs/images/federation.svg)", "index", "![a](images/federation.svg)"),
        ("[a](CITATION.cff)", "index", "[a](../CITATION.cff)"),
        ("[a](docs/data.md)", "project/changes", "[a](../data.md)"),
        ("[a](https://example.org/docs) [b](#here)", "index", "[a](https://example.org/docs) [b](#here)"),
        ("[a](docs/no_such_page.md)", "index", "[a](docs/no_such_page.md)"),
    ],
)
def test_links_lead_from_page_to_page(text, page, expected):
    assert relinked(text, ROOT, page) == expected


def test_pages_in_the_folder_lead_to_pages_made_of_files_outside():
    text = "[a](../README.md) [b](../experiments/results/README.md) [c](data.md)"
    assert text_of("layer", text) == "[a](index.md) [b](studies/index.md) [c](data.md)"


def test_page_has_the_text_of_a_file_outside():
    text = text_of("project/changes", "[What changed](../../CHANGELOG.md)\n")
    assert text.startswith("# Changelog")
    study = text_of("studies/noise_study_digits", "")
    assert study.startswith("# noise_study/digits\n")
    assert "](../../experiments/results/noise_study/digits/gaps.png)" in study
    assert all(path.is_file() for path in pages().values())


def test_broken_links_are_found(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "index.html").write_text('<a href="a/b.html#x"></a><a href="https://x.org"></a><a href="#no"></a>')
    (tmp_path / "a" / "b.html").write_text('<p id="x"></p><img src="none.png"><a href="../index.html#"></a>')
    assert list(broken_links(tmp_path)) == ["a/b.html: none.png", "index.html: #no"]
