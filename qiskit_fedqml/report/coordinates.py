"""Where the qubits of a chip are drawn."""

import math

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.backends.chip import Chip


def coordinates(chip: Chip) -> NDArray[np.float64]:
    """Return the place of each qubit, in units of the distance of two neighbours, rows upwards; shape (qubits, 2).

    They are the provider's, if it publishes any. Otherwise distances in the plane are made as much like distances along
    couplings as possible (Kamada and Kawai, Inf. Process. Lett. 31, 7, 1989), part by part where the couplings do not
    connect all qubits. The same chip has the same places.
    """
    if chip.coordinates is not None:
        return np.array(chip.coordinates) * [1, -1]
    graph = nx.Graph()
    graph.add_nodes_from(range(chip.num_qubits))
    graph.add_edges_from(chip.couplings)
    parts = sorted((sorted(part) for part in nx.connected_components(graph)), key=lambda part: (-len(part), part))
    return _side_by_side([(part, _drawn(graph.subgraph(part), part)) for part in parts])


def span(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the limits of an axis on which places have room."""
    return float(values.min()) - 0.5, float(values.max()) + 0.5


def _drawn(graph: nx.Graph, qubits: list[int]) -> NDArray[np.float64]:
    """Return the places of connected qubits: couplings have length 1 on average, or more where qubits would touch."""
    num_qubits = len(qubits)
    if num_qubits < 3:
        return np.array([[place, 0.0] for place in range(num_qubits)])
    if graph.number_of_edges() == num_qubits * (num_qubits - 1) // 2:  # all are as far from each other
        layout = nx.circular_layout(sorted(qubits))
    else:
        start = dict(zip(qubits, _classical_scaling(graph, qubits), strict=True))
        layout = nx.kamada_kawai_layout(graph, pos=start)
    places = np.array([layout[qubit] for qubit in qubits])
    of = {qubit: place for place, qubit in enumerate(qubits)}
    lengths = [math.dist(places[of[a]], places[of[b]]) for a, b in graph.edges]
    return places / min(float(np.mean(lengths)), _least_distance(places) / 0.8)


def _least_distance(places: NDArray[np.float64]) -> float:
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    return float(apart[np.triu_indices(len(places), 1)].min())


def _classical_scaling(graph: nx.Graph, qubits: list[int]) -> NDArray[np.float64]:
    """Return places from which no crossing has to be undone: the two largest components of all distances."""
    squares = np.array(nx.floyd_warshall_numpy(graph, nodelist=qubits)) ** 2
    centred = squares - squares.mean(axis=0) - squares.mean(axis=1)[:, None] + squares.mean()
    values, vectors = np.linalg.eigh(-centred / 2)
    return vectors[:, :-3:-1] * np.sqrt(np.maximum(values[:-3:-1], 0))


def _side_by_side(parts: list[tuple[list[int], NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Put parts next to each other, in rows no longer than a square of them all, or than the longest."""
    sizes = [np.ptp(places, axis=0) + 1 for _, places in parts]
    longest = max(math.sqrt(sum(width * height for width, height in sizes)), *(width for width, _ in sizes))
    found = np.zeros((sum(len(part) for part, _ in parts), 2))
    x = y = deepest = 0.0
    for (part, places), (width, height) in zip(parts, sizes, strict=True):
        if x and x + width > longest + 1e-9:
            x, y, deepest = 0.0, y - deepest, 0.0
        found[part] = places - [places[:, 0].min(), places[:, 1].max()] + [x, y]
        x, deepest = x + width, max(deepest, height)
    return found
