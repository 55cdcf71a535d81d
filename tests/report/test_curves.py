import dataclasses

from qiskit_fedqml.report.curves import learning_curves
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.tables import markdown_table


def test_table_has_a_row_for_each_scheme_and_backend(run):
    rows = table_rows({"A": run, "B": run})
    assert [(row["Scheme"], row["Tested on"]) for row in rows] == [
        (scheme, backend) for scheme in "AB" for backend in ("ideal", "stated")
    ]
    accuracies = [record.test_accuracy for record in run.rounds]
    assert rows[0]["Testing accuracy"] == f"{accuracies[-1]:.2%}"
    assert "Mean of last ten" not in rows[0]  # a short run has no last ten of its own
    long = dataclasses.replace(run, rounds=(*run.rounds[:2], *run.rounds[:2]) * 4 + (*run.rounds[:2], *run.rounds))
    last_ten = [record.test_accuracy for record in long.rounds][-10:]
    assert table_rows({"A": long})[0]["Mean of last ten"] == f"{sum(last_ten) / 10:.2%}"
    assert rows[0]["Best"] == f"{max(accuracies):.2%}"
    lines = markdown_table(rows).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == 2 + len(rows)


def test_curves_hold_the_runs_figures(run, tmp_path):
    nothing = dataclasses.replace(run.rounds[1], train_loss=None)
    gappy = dataclasses.replace(run, rounds=(run.rounds[0], nothing, run.rounds[2]))
    figure = learning_curves({"A": run, "B": gappy}, "Title")
    by_round, by_examples = figure.axes[2].lines[0], figure.axes[3].lines[0]
    assert list(by_round.get_xdata()) == [1, 2, 3]
    assert list(by_round.get_ydata()) == [100 * r.test_accuracy for r in run.rounds]
    assert by_examples.get_xdata()[-1] == sum(r.examples for r in run.rounds)
    assert all(path.stat().st_size > 1000 for path in save_figure(figure, tmp_path / "new" / "curves"))
