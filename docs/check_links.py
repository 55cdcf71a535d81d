"""Check that every link within a built site leads to a file and an anchor of it: `python docs/check_links.py SITE`."""

import argparse
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote


class _Page(HTMLParser):
    """Anchors of a page, and what it refers to."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.references = {""}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.anchors.add(value)
            elif name in ("href", "src") and value and not re.match(r"[a-z]+:|//", value):
                self.references.append(value)


def broken_links(site):
    """Yield each link that leads nowhere, after its page.

    Args:
        site: The folder of the built site.
    """
    pages = {path.resolve(): _Page(path) for path in sorted(site.rglob("*.html"))}
    for path, page in pages.items():
        for reference in page.references:
            file, _, anchor = unquote(reference).partition("#")
            target = (path.parent / file.partition("?")[0]).resolve() if file else path
            if not target.exists() or (target in pages and anchor not in pages[target].anchors):
                yield f"{path.relative_to(site.resolve())}: {reference}"


def main():
    """Check the site that is named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path, help="the folder of the built site")
    broken = list(broken_links(parser.parse_args().site))
    sys.exit("\n".join(["Links that lead nowhere:", *broken]) if broken else 0)


if __name__ == "__main__":
    main()
