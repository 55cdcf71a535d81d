"""Pages of the site for Markdown files that lie outside this folder: README and the like, and the studies' results.

GitHub shows those files where they are. On the site each is a page, and links between them lead from page to page.
"""

import os
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
RESULTS = ROOT / "experiments" / "results"

_LINK = re.compile(r"(?<=\]\()(?P<path>(?![a-z]+:)[^)#\s]+)(?=[#)])")
_ROOT_PAGES = {
    **{"README.md": "index", "CONTRIBUTING.md": "project/contributing", "CHANGELOG.md": "project/changes"},
    "SECURITY.md": "project/security",
}


def pages():
    """Return the file of each page that is not this folder's own, by the page's name."""
    known = {page: ROOT / file for file, page in _ROOT_PAGES.items()}
    known["studies/index"] = RESULTS / "README.md"
    for path in sorted(RESULTS.rglob("*.md")):
        if path.parent != RESULTS and path.name in ("results.md", "README.md"):
            known["studies/" + "_".join(path.parent.relative_to(RESULTS).parts)] = path
    return known


def write_studies():
    """Write the pages of the studies into `docs/studies/`, where Sphinx finds them; their text is read later."""
    folder = DOCS / "studies"
    folder.mkdir(exist_ok=True)
    names = {page.removeprefix("studies/") for page in pages() if page.startswith("studies/")}
    for name in names:
        write_changed(folder / f"{name}.md", "A page made from `experiments/results/`.\n")
    for path in folder.glob("*.md"):
        if path.stem not in names:
            path.unlink()


def write_changed(path, text):
    """Write a file unless it holds this text already, so that Sphinx does not take the page for a new one."""
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def text_of(page, own):
    """Return a page's text with links that lead to pages of the site.

    Args:
        page: The page's name.
        own: The text of the page in this folder; where it stands for another file, what comes after its first line
            follows that file's text.
    """
    file = pages().get(page)
    if file is None:
        return relinked(own, (DOCS / page).parent, page)
    text = relinked(file.read_text(encoding="utf-8"), file.parent, page)
    if page == "studies/index":
        return f"{text}\n```{{toctree}}\n:glob:\n\n*\n```\n"
    if page.startswith("studies/"):
        return _study(page, file, text)
    return text + "\n" + own.partition("\n")[2]


def relinked(text, folder, page):
    """Return a text with relative links that lead from a page of the site instead of from a file's folder."""
    of_files = {file: DOCS / f"{name}.md" for name, file in pages().items()}
    start = (DOCS / page).parent

    def target(found):
        path = Path(os.path.normpath(folder / found["path"]))
        return os.path.relpath(of_files.get(path, path), start) if path.exists() else found["path"]

    return _LINK.sub(target, text)


def _study(page, file, text):
    """Return a study's results with a heading and its figures."""
    name = file.parent.relative_to(RESULTS).as_posix()
    start = (DOCS / page).parent
    figures = [os.path.relpath(path, start) for path in sorted(file.parent.glob("*.png"))]
    drawn = "\n\n".join(f"![{Path(path).stem} of {name}]({path})" for path in figures)
    heading = "" if text.startswith("# ") else f"# {name}\n\n"
    return f"{heading}{text}\n\n{drawn}\n"
