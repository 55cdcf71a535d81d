"""Parts of a user's own: data, a circuit, a rule, a client step and an algorithm, as configurations name them."""

from dataclasses import dataclass

import numpy as np
import torch
from qiskit.circuit import ParameterVector, QuantumCircuit

from qiskit_fedqml import CircuitSpec
from qiskit_fedqml.federation.algorithms.synchronous import Synchronous
from qiskit_fedqml.federation.steps.minibatch import Minibatch


def own_circuit(turned=False):
    """Two qubits, two inputs, four weights, two outputs."""
    x, w = ParameterVector("x", 2), ParameterVector("w", 4)
    circuit = QuantumCircuit(2)
    for qubit in range(2):
        circuit.ry(x[qubit] + (1.0 if turned else 0.0), qubit)
    circuit.cx(0, 1)
    for qubit in range(2):
        circuit.ry(w[qubit] * (qubit + 1), qubit)
        circuit.rx(w[2 + qubit], qubit)
    circuit.cx(1, 0)
    return CircuitSpec(circuit, tuple(x), tuple(w), ("IZ", "ZI"))


class Blobs:
    """A map-style dataset of two classes, each a cloud of points."""

    classes = ("red", "blue")

    def __init__(self, count, seed):
        self.labels = np.arange(count) % 2
        self.points = np.random.default_rng(seed).normal(size=(count, 3)) + self.labels[:, None]

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return torch.tensor(self.points[index]), int(self.labels[index])


def own_data(is_divided=True, seed=0):
    """Four clients, or one dataset of all, and a dataset of tests."""
    clients = [Blobs(12 + client, seed + client) for client in range(4)] if is_divided else Blobs(54, seed)
    return clients, Blobs(20, seed + 9)


class Median:
    """The coordinates' median, times a factor."""

    takes_weights = False

    def __init__(self, factor=1.0):
        self.factor = factor

    def start(self, model):
        self.states = []

    def add(self, update, weight):
        self.states.append(update.state)

    def finish(self):
        return {
            name: self.factor * torch.stack([state[name] for state in self.states]).median(dim=0).values
            for name in self.states[0]
        }


class Half(Median):
    """Half the median."""

    def __init__(self):
        super().__init__(0.5)


class Clipped(Minibatch):
    """Gradients of a bounded length."""

    def __init__(self, length=0.1):
        self.length = length

    def add_gradients(self, model, start, features, labels):
        loss = super().add_gradients(model, start, features, labels)
        torch.nn.utils.clip_grad_norm_(model.parameters(), self.length)
        return loss


@dataclass(frozen=True)
class InTurn(Synchronous):
    """Clients train in turn, from a first one on."""

    first: int = 0

    def next_tasks(self, server):
        config = self.setting.config
        start = self.first + server.step * config.clients_per_round
        clients = sorted((start + k) % config.clients for k in range(config.clients_per_round))
        return [self.setting.task(server, client) for client in clients]


def own_head(num_features, num_outputs, width=6):
    """Two layers with torch's own dropout between them."""
    return torch.nn.Sequential(
        torch.nn.Linear(num_features, width),
        torch.nn.Dropout(0.3),
        torch.nn.Tanh(),
        torch.nn.Linear(width, num_outputs),
    )


class LazyHead(torch.nn.Module):
    """A layer that finds out the number of features, and drops some of them by a function."""

    def __init__(self, num_features, num_outputs):
        super().__init__()
        self.layer = torch.nn.LazyLinear(num_outputs)

    def forward(self, features):
        return self.layer(torch.nn.functional.dropout(features, 0.2, self.training))


def head_with_statistics(num_features, num_outputs):
    return torch.nn.Sequential(torch.nn.Linear(num_features, num_outputs), torch.nn.BatchNorm1d(num_outputs))


def head_of_another_shape(num_features, num_outputs):
    return torch.nn.Linear(num_features, num_outputs + 1)


def head_without_parameters(num_features, num_outputs):
    return torch.nn.AdaptiveAvgPool1d(num_outputs)


def focal(logits, labels, gamma=2.0):
    """Cross-entropy with less weight on examples that are classified well."""
    entropies = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return ((1 - torch.exp(-entropies)) ** gamma * entropies).mean()


def share_of_first(labels, logits, factor=1.0):
    """The share of examples that are taken for the first class, times a factor."""
    return factor * (logits.argmax(axis=1) == 0).mean()


def narrow_head(num_features, num_outputs):
    return torch.nn.Linear(num_features - 1, num_outputs)


def no_head(num_features, num_outputs):
    return num_features


def masked_head(num_features, num_outputs):
    head = torch.nn.Linear(num_features, num_outputs)
    head.register_buffer("mask", torch.ones(num_features))
    return head


def entropies(logits, labels):
    return torch.nn.functional.cross_entropy(logits, labels, reduction="none")


def constant(logits, labels):
    return torch.tensor(1.0)


class Scaled(torch.nn.Module):
    """A loss with a parameter of its own."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, logits, labels):
        return self.scale * torch.nn.functional.cross_entropy(logits, labels)


def pixels(qubits=4, count=64):
    """A circuit that takes the pixels themselves, a weight after each."""
    x, w = ParameterVector("x", count), ParameterVector("w", count)
    circuit = QuantumCircuit(qubits)
    for k in range(count):
        circuit.ry(x[k], k % qubits)
        circuit.rx(w[k], k % qubits)
        if k % qubits == qubits - 1:
            circuit.cx(0, 1)
            circuit.cx(2, 3)
            circuit.cx(1, 2)
    return CircuitSpec(circuit, tuple(x), tuple(w), ("IIIZ", "IIZI"))
