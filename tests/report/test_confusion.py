"""Confusion matrices and the accuracy of each class."""

import dataclasses
import shutil

import numpy as np
import pytest

from qiskit_fedqml import RunResult
from qiskit_fedqml.report.confusion import (
    Confusion,
    class_accuracy_rows,
    confusion_panels,
    confusion_tables,
    confusions,
    missing_sentences,
)
from qiskit_fedqml.report.drawing import style

LINES = "example,class,predicted,output 0,output 1\n0,0,0,1,0\n1,0,1,0,1\n2,1,1,0,1\n3,1,1,0,1\n"


@pytest.fixture
def evaluated(folders, tmp_path):
    """The finished run with an evaluation on a further backend."""
    folder = tmp_path / "run"
    shutil.copytree(folders[0], folder)
    (folder / "evaluations").mkdir(exist_ok=True)
    (folder / "evaluations" / "manila.csv").write_text(LINES)
    return RunResult.load(folder)


def test_an_evaluation_is_counted(evaluated):
    one = next(one for one in confusions(evaluated, "A") if one.backend == "manila")
    assert one.counts.tolist() == [[1, 1], [0, 2]]
    assert (one.accuracy, one.of_classes.tolist()) == (0.75, [0.5, 1.0])
    rows = class_accuracy_rows([one])
    assert [(row["Class"], row["Examples"], row["on manila"]) for row in rows] == [
        ("0", "2", "50.00%"),
        ("1", "2", "100.00%"),
    ]
    (table,) = confusion_tables([one])
    assert table.rows[0] == {"Class": "0", "as 0": "1", "as 1": "1", "Accuracy": "50.00%"}
    assert not missing_sentences({"A": evaluated}, [one])


@pytest.mark.parametrize("text", ["", "a,b\n", LINES.replace("0,0,0", "0,7,0"), "example,class,predicted\n", "\udcff"])
def test_what_is_no_evaluation_is_left_out(evaluated, text, caplog):
    path = evaluated.folder / "evaluations" / "manila.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert not [one for one in confusions(evaluated, "A") if one.backend == "manila"]
    assert "manila.csv is left out" in caplog.text


def test_who_has_none_is_told_how_to_get_it(run, folders):
    (sentence,) = missing_sentences({"A": run}, [])
    assert sentence == f"A keeps no confusion matrix: `fedqml evaluate {run.folder}` makes it."
    unfinished = RunResult.load(folders[1])
    assert confusions(unfinished, "B") == []
    assert missing_sentences({"B": unfinished}, []) == ["B is not finished, so it has no final model to test yet."]


def test_a_matrix_is_drawn_with_its_numbers():
    one = Confusion("A", "ideal", ("cat", "dog"), np.array([[30, 10], [0, 0]]), True)
    with style():
        (panel,) = confusion_panels([one])
    assert panel.title == "A, final model on ideal"
    assert [text.get_text() for text in panel.axis.texts] == ["30", "10", "0", "0"]
    assert panel.marks[1].text == "cat taken for dog: 10 of 40 (25.0%)"
    assert class_accuracy_rows([one])[1]["on ideal"] == "–"


def test_many_classes_are_a_figure_without_numbers():
    classes = tuple(f"a class with a long name {k}" for k in range(60))
    one = Confusion("A", "ideal", classes, np.eye(60, dtype=np.int64))
    with style():
        (panel,) = confusion_panels([one])
    assert not panel.axis.texts
    assert not panel.marks
    assert len(panel.axis.get_xticklabels()) <= 20


def test_the_run_s_own_matrix_comes_first(evaluated):
    class WithOwn(RunResult):
        confusion = np.array([[1, 1], [0, 2]])

    own = WithOwn(**{f.name: getattr(evaluated, f.name) for f in dataclasses.fields(evaluated)})
    found = confusions(own, "A")
    assert [(one.backend, one.is_final) for one in found] == [("ideal", True), ("manila", False)]
