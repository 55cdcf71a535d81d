"""The project's Markdown pages as values: their blocks of code, links, headings and tables.

What a page's reader does not see says how the tests treat the block below it:

    <!-- test: file NAME -->              the block is also written to the page's folder under this name
    <!-- test: set KEY=VALUE … -->        smaller sizes, given by --set to the `fedqml` commands that take it
    <!-- test: slow -->                   it runs with `pytest -m slow` only
    <!-- test: not run: REASON -->        it is checked as far as can be, but does not run
    <!-- test: figures FILE -->           the table's figures are those of a table of results
    <!-- test: times FILE -->             the table's times are medians of a benchmark
    <!-- test setup … -->                 Python that the blocks below need; `setup slow` for slow ones

Several words are separated by semicolons.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from markdown_it import MarkdownIt

from tests.conftest import ROOT

HINT = re.compile(r"<!-- test: (?P<words>.*?) -->", re.DOTALL)
SETUP = re.compile(r"<!-- test setup(?P<slow> slow)?\n(?P<code>.*?)-->", re.DOTALL)
WORDS = ("file", "set", "slow", "not run:", "figures", "times")


@dataclass(frozen=True)
class Block:
    """A block of code, a hidden setup, or a table.

    Args:
        page: The page, from the root.
        line: The first line of its content.
        language: ``"python"``, ``"yaml"``, ``"sh"``, …, ``"setup"`` or ``"table"``.
        text: Its content.
        hints: What the comment above it says, by the first word.
    """

    page: str
    line: int
    language: str
    text: str
    hints: dict[str, str]

    @property
    def place(self):
        return f"{self.page}:{self.line}"


@dataclass
class Page:
    """A Markdown page.

    Args:
        name: From the root.
        blocks: Its blocks, in order.
        links: Targets of links and images, with their lines.
        inline: Code within the text, with its lines.
        headings: Anchors of its headings, as GitHub makes them.
    """

    name: str
    blocks: list[Block] = field(default_factory=list)
    links: list[tuple[int, str]] = field(default_factory=list)
    inline: list[tuple[int, str]] = field(default_factory=list)
    headings: list[str] = field(default_factory=list)


@cache
def read_page(name):
    """Read a page; a comment that is none of the hints above fails."""
    text = (ROOT / name).read_text(encoding="utf-8")
    lines = text.splitlines()
    tokens = MarkdownIt().enable("table").parse(text)
    page, hints, level = Page(name), {}, 0
    for position, token in enumerate(tokens):
        line = token.map[0] + 1 if token.map else 0
        if token.type == "html_block":
            setup = SETUP.match(token.content)
            if setup:
                slow = {"slow": ""} if setup["slow"] else {}
                page.blocks.append(Block(name, line + 1, "setup", setup["code"], slow))
            else:
                hints = hints_in(name, line, token.content)
        elif token.type == "fence":
            page.blocks.append(Block(name, line + 1, token.info.strip(), token.content, hints))
            hints = {}
        elif token.type == "code_block":
            page.blocks.append(Block(name, line, "indented", token.content, hints))
        elif token.type == "table_open":
            content = "\n".join(lines[slice(*token.map)])
            page.blocks.append(Block(name, line, "table", content, hints))
            hints = {}
        elif token.type == "inline":
            level = line or level
            page.links += [(level, target) for target in _targets(token)]
            page.inline += [(level, part.content) for part in token.children or () if part.type == "code_inline"]
            if tokens[position - 1].type == "heading_open":
                page.headings.append(_anchor(token, page.headings))
    assert not hints, f"{name}: the hint {hints} stands above nothing"
    return page


def table_rows(block):
    """Return a table's rows as dictionaries, without marks of emphasis."""
    cells = [
        [c.strip().replace("*", "") for c in line.strip().strip("|").split("|")] for line in block.text.split("\n")
    ]
    header, _, *rows = cells
    return [dict(zip(header, row, strict=True)) for row in rows]


def page_names():
    """Return the names of the pages whose snippets are checked."""
    return ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


def hints_in(name, line, content):
    """Return what a comment says, by the first word."""
    found = HINT.fullmatch(content.strip())
    assert found, f"{name}:{line}: no comment but a hint is known here, but there is {content.strip()!r}"
    hints = {}
    for words in found["words"].split("; "):
        word = next((word for word in WORDS if words == word or words.startswith(f"{word} ")), None)
        assert word, f"{name}:{line}: {words!r} is no hint"
        hints[word] = words.removeprefix(word).strip()
        assert word == "slow" or hints[word], f"{name}:{line}: {word!r} says nothing"
    return hints


def _targets(inline):
    for token in inline.children or ():
        for key in ("href", "src"):
            if token.attrGet(key) is not None:
                yield str(token.attrGet(key))


def _anchor(inline, earlier):
    text = "".join(token.content for token in inline.children or () if token.type in {"text", "code_inline"})
    kept = [c for c in text.lower() if c in "-_ " or unicodedata.category(c)[0] in "LN"]
    anchor = "".join(kept).replace(" ", "-")
    repeats = sum(other == anchor or re.fullmatch(rf"{re.escape(anchor)}-\d+", other) is not None for other in earlier)
    return f"{anchor}-{repeats}" if repeats else anchor


def resolve(page, target):
    """Return the file that a relative link leads to, and its anchor."""
    path, _, anchor = target.partition("#")
    return (ROOT / page).parent.joinpath(path).resolve() if path else Path(ROOT / page), anchor
