import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from qiskit_fedqml import cli, run_federation
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.report.contents import collect
from qiskit_fedqml.report.drawing import style
from qiskit_fedqml.report.page import page_text, write_report
from tests.conftest import TINY
from tests.stopping import Interrupt, StopAfter


class Outline(HTMLParser):
    """The elements of a page: their names, attributes, and the text outside scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def test_page_shows_everything_of_each_run(page):
    outline = Outline(page.read_text(encoding="utf-8"))
    text = " ".join(outline.words)
    for words in ("Testing accuracy", "1 of 2 rounds", "unfinished", "FakeManilaV2", "Reads 1 for 0", "qiskit-aer"):
        assert words in text
    assert not re.search("server step|stale|simulated time", text, flags=re.IGNORECASE)
    headings = [a["id"] for tag, a in outline.tags if tag == "section"]
    assert headings == ["results", "curves", "classes", "machines", "timeline", "cost", "clients", "configuration"]
    assert not re.search(r"<th[^>]*></th>", page.read_text(encoding="utf-8"))
    assert all(a.get("scope") in {"col", "row"} for tag, a in outline.tags if tag == "th")
    assert all(a.get("aria-label") for tag, a in outline.tags if tag == "svg")


def test_reading_results_imports_no_torch(folders, tmp_path):
    names = [str(folder) for folder in folders]
    commands = [["report", *names, "--out", str(tmp_path)], ["compare", names[0], "--out", str(tmp_path / "compared")]]
    commands += [["jobs", names[1]], ["citation", *names]]
    script = "import sys; from qiskit_fedqml.cli import app\n"
    script += f"for command in {commands!r}: app(command, standalone_mode=False)\n"
    script += "print([m for m in ('torch', 'torchvision', 'scipy.stats', 'sklearn') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
    assert (tmp_path / "report.html").exists()


def test_page_needs_nothing_else(page):
    outline = Outline(page.read_text(encoding="utf-8"))
    assert not any("src" in attributes for _, attributes in outline.tags)
    assert not [tag for tag, _ in outline.tags if tag in {"link", "img", "iframe", "object", "image"}]
    targets = [a["href"] for tag, a in outline.tags if tag == "a"]
    assert all(t.startswith("#") or (page.parent / t).exists() for t in targets)
    references = [value for _, a in outline.tags for key, value in a.items() if key.endswith("href")]
    ids = [a["id"] for _, a in outline.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert {r[1:] for r in references if r.startswith("#")} <= set(ids)
    urls = re.findall(r"url\(([^)]*)\)", page.read_text(encoding="utf-8"))
    assert urls
    assert {url.removeprefix("#") for url in urls} <= set(ids)


def test_page_about_buffered_runs_speaks_of_server_steps_and_simulated_time(timed):
    with style():
        text = page_text(timed, collect(timed))
    words = " ".join(Outline(text).words)
    for part in (
        "tested by the server after each round or server step.",
        "3 of 4 clients at work at a time on manila and stated, 2 updates a step;",
        "3 of 4 clients a round on manila and stated;",
        "Machines in simulated time: buffered",
        "Machines in real time: synchronous",
        "Longest wait",
    ):
        assert part in words
    assert text.count("Staleness of updates: buffered</span>") == 1
    assert "Staleness of updates: synchronous" not in text


def test_names_from_outside_stay_text(page):
    text = page.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert [tag for tag, _ in Outline(text).tags].count("script") == 1


def test_figures_follow_the_colours_of_the_page(page):
    figures = re.findall(r"<svg.*?</svg>", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    names = [re.search(r'aria-label="([^"]*)"', figure)[1] for figure in figures]
    assert all("currentColor" in figure for figure in figures)
    without = ("The circuit", "Transpiled", "Errors of")
    coloured = [name for figure, name in zip(figures, names) if "var(--series-" in figure]
    others = {name for name in names if name.startswith(without) or ", final model on " in name}
    assert not {*names} - {*coloured} - others
    assert sum(name.startswith("Errors of manila (") for name in names) == 1
    assert sum(name.startswith("Classes by client") for name in names) == 2
    assert not any("DejaVu" in figure for figure in figures)
    # Numbers on a coloured qubit are black or white, whatever the page is.
    assert not any("#000" in of for of, name in zip(figures, names) if not name.startswith("Errors of"))


def test_same_results_give_same_bytes(page, folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["fedqml", "report", *map(str, folders), "--out", str(tmp_path / "new")])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    assert not caught.value.code
    assert capsys.readouterr().out == f"Report: {tmp_path / 'new' / 'report.html'}\n"
    files = [path.relative_to(page.parent) for path in page.parent.rglob("*.*")]
    assert {path.suffix for path in files} == {".html", ".png", ".svg", ".csv", ".tex"}
    assert all((tmp_path / "new" / name).read_bytes() == (page.parent / name).read_bytes() for name in files)


@pytest.mark.slow
def test_figures_of_an_earlier_report_are_removed_and_nothing_else(folders, tmp_path):
    write_report(folders, tmp_path)
    kept = tmp_path / "figures" / "timeline_mine.png"
    kept.touch()
    write_report(folders[1:], tmp_path, overwrite=True)
    linked = Outline((tmp_path / "report.html").read_text(encoding="utf-8"))
    names = {a["href"] for tag, a in linked.tags if tag == "a" and a["href"].startswith("figures/")}
    there = {f"figures/{path.name}" for path in (tmp_path / "figures").iterdir()}
    assert there == names | {"figures/timeline_mine.png"}


def test_mistakes_end_in_one_sentence(folders, tmp_path):
    with pytest.raises(ConfigurationError, match="given once"):
        write_report([folders[0], folders[0]], tmp_path)
    with pytest.raises(ResultError, match="not a result folder"):
        write_report([tmp_path], tmp_path)
    with pytest.raises(Interrupt):
        run_federation(Experiment.model_validate(TINY), tmp_path / "begun", observer=StopAfter(1, 1))
    with pytest.raises(ResultError, match="no finished round yet"):
        write_report([tmp_path / "begun"], tmp_path / "report")
