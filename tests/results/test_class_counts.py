import numpy as np
import pytest
from qiskit_fedqml.results.class_counts import MOST_CLIENTS, ClassCounts, count_classes


def test_counts_are_written_and_read():
    found = count_classes(np.array([0, 2, 2, 1]), np.array([0, 0, 1, 2]), (4, 3))
    assert found.counts.tolist() == [[1, 0, 1], [0, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert found.as_json() == {"counts": "1 0 1; 0 0 1; 0 1 0; 0 0 0"}
    again = ClassCounts.from_json(found.as_json())
    assert again.sizes is None
    assert again.counts.tolist() == found.counts.tolist()


def test_many_clients_are_groups_of_like_ones():
    clients = MOST_CLIENTS * 5
    owners = np.repeat(np.arange(clients), 2)
    labels = np.repeat(np.arange(clients) % 2, 2)  # each has one class
    found = count_classes(labels, owners, (clients, 2))
    assert len(found.counts) == 200
    assert found.num_clients == clients
    assert found.counts.sum() == 2 * clients
    assert (np.count_nonzero(found.counts, axis=1) == 1).mean() >= 0.99
    again = ClassCounts.from_json(found.as_json())
    assert again.sizes.tolist() == found.sizes.tolist()


@pytest.mark.parametrize(
    "values", [{}, {"counts": "1 x"}, {"counts": "1 2; 3"}, {"counts": 3}, {"counts": "1", "sizes": "1 2"}]
)
def test_what_cannot_be_read_is_refused(values):
    with pytest.raises((KeyError, ValueError, AttributeError, TypeError)):
        ClassCounts.from_json(values)
