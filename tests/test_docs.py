"""The first page and the documentation: every snippet works, every link leads somewhere, every figure is a result's.

How a page says what its snippets need stands in `tests/documents.py`; what is done with them in `tests/reader.py`.
"""

import csv
import json
import re

import pytest
import yaml

import qiskit_fedqml
from qiskit_fedqml import __version__
from tests.conftest import ROOT
from tests.documents import Block, hints_in, page_names, read_page, resolve, table_rows
from tests.reader import PROJECT, Reader, modules_forgotten
from tests.test_structure import FLOORS, MODULES, folder

PAGES = page_names()
SLOW = [name for name in PAGES if any("slow" in block.hints for block in read_page(name).blocks)]
"""Pages that are read whole by a slow test, and so by no other one."""
LINKED = [*PAGES, "CHANGELOG.md", "experiments/results/README.md"]
FOLDERS = {folder(name) for name, path in MODULES.items() if len(path.relative_to(ROOT / "qiskit_fedqml").parts) > 1}


@pytest.fixture
def read(tmp_path, monkeypatch, cache):
    """Return a function that does what a page says."""

    def read(name, *, has_time):
        reader = Reader(tmp_path, monkeypatch, has_time=has_time)
        for block in read_page(name).blocks:
            reader.read(block)

    with modules_forgotten(tmp_path):
        yield read


@pytest.mark.parametrize("name", [name for name in PAGES if name not in SLOW])
def test_snippets(name, read):
    read(name, has_time=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_snippets_that_take_long(name, read):
    read(name, has_time=True)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("", "fedqml run a.yaml"),
        ("console", "$ fedqml run a.yaml"),
        ("sh", "curl https://example.org"),
        ("sh", "fedqml run experiments/no_such_file.yaml"),
        ("sh", "fedqml run experiments/digits.yaml --rounds 3"),
        ("sh", "fedqml run experiments/digits.yaml --set federation.round=3"),
        ("sh", "fedqml resume results/nothing"),
        ("sh", "python experiments/noisy_vs_noiseless.py --study digits"),
        ("sh", "python experiments/no_such_script.py"),
        ("sh", "pip install -e '.[no_such_extra]'"),
        ("sh", "pytest -m no_such_marker"),
        ("python", "from qiskit_fedqml import no_such_name"),
        ("yaml", "federation: {round: 3}"),
        ("yaml", "backends: {a: {type: air}}"),
        ("yaml", "data: {dataset: digits}\nfederation: {clients: 3, clients_per_round: 4, rounds: 1}"),
    ],
)
def test_reader_stumbles(language, text, tmp_path, monkeypatch):
    reader = Reader(tmp_path, monkeypatch, has_time=False)
    with pytest.raises((Exception, SystemExit, pytest.fail.Exception)):
        reader.read(Block("page.md", 1, language, text, {}))


@pytest.mark.parametrize("hint", ["not run", "not run:", "fast", "file", "set", "slow: yes"])
def test_hint_that_says_nothing_is_refused(hint):
    with pytest.raises(AssertionError, match="page.md:3"):
        hints_in("page.md", 3, f"<!-- test: {hint} -->")


@pytest.mark.parametrize("name", LINKED)
def test_links(name):
    for line, target in read_page(name).links:
        if re.match(r"https?://", target):
            continue
        file, anchor = resolve(name, target)
        assert file.exists(), f"{name}:{line}: {target} leads nowhere"
        assert file.is_relative_to(ROOT), f"{name}:{line}: {target} leads out of the project"
        if anchor:
            headings = read_page(str(file.relative_to(ROOT))).headings
            assert anchor in headings, f"{name}:{line}: {target} is none of {headings}"


@pytest.mark.parametrize("name", LINKED)
def test_scripts_that_the_text_names(name, tmp_path, monkeypatch):
    reader = Reader(tmp_path, monkeypatch, has_time=False)
    for line, code in read_page(name).inline:
        if code.startswith(("python experiments/", "pip install", "pytest ")):
            reader.read(Block(name, line, "sh", code, {"not run:": "it is named in a text"}))


def test_every_page_is_linked_from_the_first_one_or_from_the_architecture():
    linked = {
        resolve(name, target)[0]
        for name in ("README.md", "docs/ARCHITECTURE.md")
        for _, target in read_page(name).links
    }
    assert {ROOT / name for name in PAGES} - linked == {ROOT / "README.md"}


def test_every_public_name_is_in_the_reference():
    reference = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "api").glob("*.md"))
    assert set(qiskit_fedqml.__all__) - set(re.findall(r"\bqiskit_fedqml\.(\w+)\b(?!\.)", reference)) == set()


def test_first_page_is_short():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 135


def test_architecture_lists_the_folders_in_the_order_of_their_imports():
    tables = [table_rows(block) for block in read_page("docs/ARCHITECTURE.md").blocks if block.language == "table"]
    listed = [row["folder"].strip("`/").replace("/", ".") for rows in tables for row in rows if "folder" in row]
    assert listed == [folder for folder in FLOORS if folder in FOLDERS]
    assert set(listed) == FOLDERS


@pytest.mark.parametrize("name", PAGES)
def test_tables_are_those_of_the_results(name):
    for block in read_page(name).blocks:
        if "figures" in block.hints:
            check_figures(block)
        if "times" in block.hints:
            check_times(block)


def check_figures(block):
    """Check a table's rows against those of a table of results, in the columns that both have."""
    with (ROOT / block.hints["figures"]).open(encoding="utf-8") as file:
        known = list(csv.DictReader(file))
    by_name = {row[next(iter(row))]: row for row in known}
    for row in table_rows(block):
        name, *_ = row.values()
        shared = {key: value for key, value in row.items() if key in by_name[name]}
        assert len(shared) > 2, f"{block.place}: no figures to compare"
        assert shared == {key: by_name[name][key] for key in shared}, f"{block.place}: {name}"


def check_times(block):
    """Check that each of a table's times is a median of a benchmark, as it is rounded there."""
    lines = (ROOT / block.hints["times"]).read_text(encoding="utf-8").splitlines()
    medians = [json.loads(line)["median_ms"] for line in lines]
    times = [
        cell.removesuffix(" ms").replace(",", "")
        for row in table_rows(block)
        for cell in row.values()
        if cell.endswith(" ms")
    ]
    assert len(times) > 2, f"{block.place}: no times to compare"
    for time in times:
        digits = len(time.partition(".")[2])
        assert any(f"{median:.{digits}f}" == time for median in medians), f"{block.place}: {time} ms is no median"


@pytest.mark.parametrize("name", PAGES)
def test_intervals_are_those_of_the_results(name):
    interval = re.compile(r"\d+\.\d+ ± \d+\.\d+")
    files = (ROOT / "experiments" / "results").rglob("results.md")
    known = {found for path in files for found in interval.findall(path.read_text(encoding="utf-8"))}
    assert set(interval.findall((ROOT / name).read_text(encoding="utf-8"))) <= known


def test_how_to_cite_is_valid_and_of_this_version():
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= cited.keys()
    assert cited["cff-version"] == "1.2.0"
    assert cited["version"] == PROJECT["project"]["version"] == __version__
    assert cited["license"] == PROJECT["project"]["license"]
    assert [{"name": a["name"]} for a in cited["authors"]] == PROJECT["project"]["authors"]
    (paper,) = cited["references"]
    bibtex = (ROOT / "qiskit_fedqml" / "report" / "citations.bib").read_text(encoding="utf-8")
    assert {paper["title"], paper["doi"]} <= set(re.findall(r"= {(.*?)}", bibtex))
