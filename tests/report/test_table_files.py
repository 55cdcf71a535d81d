"""Tables as CSV and LaTeX."""

import csv
import io

from qiskit_fedqml.report.table_files import MOST_ROWS, Table, csv_text, escaped, latex_text
from tests.report.test_page import Outline

ODD = {"Run": 'a & b_1, "x"\n50% {~}^\\', "Loss": "0.5", "Share": "–"}


def test_csv_gives_back_each_cell():
    table = Table("t", "Odd", [ODD, {"Run": "b", "More": "1"}])
    lines = list(csv.reader(io.StringIO(csv_text(table), newline="")))
    assert lines == [["Run", "Loss", "Share", "More"], [*ODD.values(), ""], ["b", "", "", "1"]]


def test_latex_escapes_what_it_would_read():
    assert escaped("50% of $a_1 & #2 {x}~^\\") == (
        r"50\% of \$a\_1 \& \#2 \{x\}\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escaped("[0]\nµ – →") == r"{[}0{]} $\mu$ -- $\rightarrow$"
    text = latex_text(Table("t", "100% & more", [ODD]))
    assert text.startswith("% Needs \\usepackage{booktabs}\n")
    assert r"\caption{100\% \& more}" in text
    assert escaped("80.69 ± 13.07%") == r"80.69 $\pm$ 13.07\%"
    assert r"\begin{tabular}{lrr}" in text
    assert [text.count(rf"\{rule}rule") for rule in ("top", "mid", "bottom")] == [1, 1, 1]
    assert all(line.count(" & ") == 2 for line in text.splitlines() if line.endswith(r"\\"))


def test_a_long_table_goes_on_over_pages_and_is_thinned_on_the_page():
    table = Table("t", "Long", [{"Round": str(k)} for k in range(1000)])
    text = latex_text(table)
    assert r"\begin{longtable}{r}" in text
    assert text.count("\\\\\n") == 1000 + 2  # caption and head
    assert len(csv_text(table).splitlines()) == 1001
    assert len(table.shown) <= MOST_ROWS + 1
    assert (table.shown[0]["Round"], table.shown[-1]["Round"]) == ("0", "999")


def test_numbers_are_known_from_words():
    rows = [{"A": "1,024", "B": "US$ 3.10", "C": "95.1%", "D": "of 3 jobs", "E": "ideal"}, {"A": "–", "C": "exact"}]
    assert Table("t", "", rows).numeric == {"A", "B", "C"}


def test_each_table_of_a_page_is_there_as_files(page):
    outline = Outline(page.read_text(encoding="utf-8"))
    names = [a["href"] for tag, a in outline.tags if tag == "a" and a["href"].startswith("tables/")]
    tables = [a for tag, a in outline.tags if tag == "table"]
    assert len(names) == len(set(names)) == 2 * len(tables)
    assert sorted(names) == sorted(f"tables/{path.name}" for path in (page.parent / "tables").iterdir())
    around = [a for tag, a in outline.tags if tag == "div" and a.get("class", "").startswith("scroll")]
    hints = [a for tag, a in outline.tags if tag == "p" and a.get("class") == "more"]
    assert len(around) == len(tables) <= len(hints)
