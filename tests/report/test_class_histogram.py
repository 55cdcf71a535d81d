import dataclasses

import numpy as np
import pytest

from qiskit_fedqml.data.class_counts import summary
from qiskit_fedqml.report.class_histogram import class_histogram, class_panels
from qiskit_fedqml.report.drawing import COLOURS, style


@pytest.fixture(autouse=True)
def drawn_as_on_the_page():
    with style():
        yield


def test_bars_are_stacked_to_the_clients_sizes():
    counts = np.array([[3, 0], [1, 4], [0, 2]])
    panel = class_histogram(counts, ["cat", "dog"])
    tops = {}
    for bar in panel.axis.patches:
        place = round(bar.get_x() + bar.get_width() / 2)
        tops[place] = max(tops.get(place, 0), bar.get_y() + bar.get_height())
    assert tops == {0: 3, 1: 5, 2: 2}
    assert panel.legend == {"cat": COLOURS[0], "dog": COLOURS[1]}
    assert "Client 1, dog: 4 examples" in [mark.text for mark in panel.marks]
    assert "Client 1, cat: 1 example" in [mark.text for mark in panel.marks]
    assert panel.note == ""


def test_of_many_classes_those_with_most_examples_have_colours():
    counts = np.arange(1, 11)[None] * np.ones((3, 1), int)
    panel = class_histogram(counts, [f"c{k}" for k in range(10)])
    assert list(panel.legend) == ["c4", "c5", "c6", "c7", "c8", "c9", "4 other classes"]
    assert len(set(panel.legend.values())) == 7
    assert "Client 0, 4 other classes: 10 examples" in [mark.text for mark in panel.marks]


def test_many_clients_are_drawn_in_groups():
    kept = summary(np.random.default_rng(0).integers(0, 50, (1050, 2)))
    panel = class_histogram(kept["counts"], ["cat", "dog"], kept["clients"])
    assert panel.note == "Each bar is the mean of 10 or 11 clients of like size."
    assert panel.axis.get_xlabel() == "Clients, from the largest to the smallest"
    assert len(panel.axis.patches) == 200
    assert panel.marks[0].text.startswith("Clients 1 to 11 by size, cat: ")


def test_a_run_knows_the_classes_of_its_clients(run, page):
    (panel,) = class_panels(run, "A", "A")
    assert panel.title == "Classes by client: A"
    sizes = {client.id: client.examples for record in run.rounds for client in record.clients}
    assert sizes
    for client, size in sizes.items():
        assert sum(run.class_counts[client].values()) == size
    assert [list(counts) for counts in run.class_counts.values()] == [run.run["classes"]] * 4
    assert len([*(page.parent / "figures").glob("classes_*.svg")]) == 2
    before = dataclasses.replace(run, run={key: value for key, value in run.run.items() if key != "class_counts"})
    assert class_panels(before, "A", "A") == []
    assert before.class_counts == {}
    many = dataclasses.replace(run, run={**run.run, "class_counts": summary(np.ones((101, 2), np.int64))})
    assert many.class_counts == {}  # groups of clients are kept
