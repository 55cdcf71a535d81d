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
