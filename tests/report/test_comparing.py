import dataclasses

import pytest

from qiskit_fedqml import compare
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.report.table import table_rows


def test_results_and_folders_are_compared(run, folders):
    by_name = compare({"A": run, "B": folders[1]})
    assert by_name.rows == table_rows(dict(by_name.runs))
    assert [row["Scheme"] for row in by_name.rows] == ["A", "A", "B"]
    assert [line.get_label() for line in by_name.plot("Both").axes[0].lines] == ["A", "B"]
    named = compare(folders)
    assert list(named.runs)[1] == "unfinished"
    assert "<script>" not in named._repr_html_()
    assert repr(named).startswith("| Scheme ")


@pytest.mark.parametrize("runs", [{}, [], "results/a", 3, None])
def test_what_is_no_run_is_refused(runs):
    with pytest.raises(ConfigurationError, match="Argument `runs` must be"):
        compare(runs)


def test_mistakes_are_named(run, folders):
    with pytest.raises(ConfigurationError, match="'A' must be a result or a result folder, but is a int"):
        compare({"A": 3})
    with pytest.raises(ConfigurationError, match="must give results by name"):
        compare([run])
    with pytest.raises(ConfigurationError, match="given once"):
        compare([folders[0], folders[0]])
    with pytest.raises(ResultError, match="'A' has no finished round"):
        compare({"A": dataclasses.replace(run, rounds=())})
