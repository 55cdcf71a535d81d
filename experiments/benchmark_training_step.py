"""Time one training step of the quantum layer: batch 32, the paper's circuit, all derivatives, through TorchConnector.

Compares qiskit-machine-learning's EstimatorQNN with this package's, both through Aer, in one run. Before anything is
timed, it asserts that they give the same outputs and gradients. PUBs and jobs are counted at the estimator.

    python experiments/benchmark_training_step.py [--batch 32] [--repeats 7] [--stock-repeats 3]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from qiskit.primitives import BaseEstimatorV2
from qiskit_aer.primitives import EstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.aer import AerBackend
from qiskit_fedqml.backends.base import EstimatorBackend
from qiskit_fedqml.tables import markdown_table

SPEC = paper_circuit()
WEIGHTS = np.random.default_rng(0).uniform(-np.pi, np.pi, SPEC.num_weights)


class CountingEstimator(BaseEstimatorV2):
    """An estimator that counts the PUBs and jobs that it passes on."""

    def __init__(self, inner: BaseEstimatorV2) -> None:
        self.inner = inner
        self.pubs = self.jobs = 0

    def run(self, pubs, *, precision=None):
        """Count, and pass on."""
        pubs = list(pubs)
        self.jobs += 1
        self.pubs += len(pubs)
        return self.inner.run(pubs, precision=precision)


class CountingBackend(AerBackend):
    """An Aer backend whose estimator counts."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.counter = CountingEstimator(super().estimator())

    def estimator(self, seed=None):
        """Return the counting estimator."""
        return self.counter


def exact_aer() -> EstimatorV2:
    """Return Aer's own estimator, exact."""
    return EstimatorV2(options={"default_precision": 0.0})


def stock_layer(estimator: BaseEstimatorV2) -> TorchConnector:
    """Build the layer as qiskit-machine-learning has it."""
    network = EstimatorQNN(
        circuit=SPEC.circuit,
        estimator=estimator,
        observables=list(SPEC.observables),
        input_params=SPEC.input_params,
        weight_params=SPEC.weight_params,
        gradient=ParamShiftEstimatorGradient(estimator),
        input_gradients=True,
        default_precision=0.0,
    )
    return TorchConnector(network, WEIGHTS)


def step(layer: TorchConnector, inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Take one training step's forward and backward pass; return outputs and gradients."""
    layer.zero_grad()
    inputs = inputs.clone().requires_grad_()
    outputs = layer(inputs)
    outputs.square().sum().backward()
    return outputs.detach(), inputs.grad, layer.weight.grad.clone()


def median_seconds(action: Callable[[], object], repeats: int) -> float:
    """Return the median time of several calls."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        action()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Check agreement, time, and print the table."""
    parser = argparse.ArgumentParser(description="Time one training step of the quantum layer.")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=7, help="repeats of this package's steps")
    parser.add_argument("--stock-repeats", type=int, default=3, help="repeats of the stock network's steps")
    options = parser.parse_args()
    inputs = torch.from_numpy(np.random.default_rng(1).normal(size=(options.batch, SPEC.num_inputs))).float()

    stock, ours_aer, ours = CountingEstimator(exact_aer()), CountingEstimator(exact_aer()), CountingBackend("ideal")
    layers = {
        "EstimatorQNN (stock), Aer's EstimatorV2": (stock_layer(stock), stock, options.stock_repeats),
        "BroadcastEstimatorQNN, Aer's EstimatorV2": (
            quantum_layer(SPEC, EstimatorBackend(ours_aer, 0.0), initial_weights=WEIGHTS),
            ours_aer,
            options.repeats,
        ),
        "BroadcastEstimatorQNN, this package's Aer backend": (
            quantum_layer(SPEC, ours, initial_weights=WEIGHTS),
            ours.counter,
            options.repeats,
        ),
    }
    rows, results, seconds = [], {}, {}
    for name, (layer, counter, repeats) in layers.items():
        results[name] = step(layer, inputs)
        counts = counter.pubs, counter.jobs
        for got, expected in zip(results[name], next(iter(results.values())), strict=True):
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
        seconds[name] = median_seconds(lambda layer=layer: step(layer, inputs), repeats)
        ratio = next(iter(seconds.values())) / seconds[name]
        rows.append(
            {
                "Training step": name,
                "PUBs": str(counts[0]),
                "Jobs": str(counts[1]),
                "Median": f"{1000 * seconds[name]:.1f} ms",
                "Faster than stock": f"{ratio:.1f}×",
            }
        )
    print(f"Batch {options.batch}, 4 qubits, 24 weights, 2 outputs, with gradients of the inputs; results agree.\n")
    print(markdown_table(rows))


if __name__ == "__main__":
    main()
