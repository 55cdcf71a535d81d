"""Time one training step of the quantum layer: the paper's circuit, all derivatives, the same numbers, in one run.

Compares this package's sweeps with Aer driven through this package's network, with qiskit-machine-learning's own
EstimatorQNN, and where they are installed (`pip install -e '.[benchmark]'`) with PennyLane and tensorcircuit-ng. Before
anything is timed, it asserts that values and gradients agree; with shots, that they agree within their errors. The
median of each is printed, with ratios, and drawn.

    python experiments/benchmark_training_step.py [--batch 32] [--repeats 200] [--out results/benchmark_training_step]
"""

import argparse
import importlib.util
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from qiskit.primitives import BaseEstimatorV2
from qiskit_aer.primitives import EstimatorV2
from qiskit_machine_learning.connectors import TorchConnector
from qiskit_machine_learning.gradients import ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.broadcast import EstimatorBackend
from qiskit_fedqml.backends.calibration import fake_calibration
from qiskit_fedqml.backends.noise import noise_from_calibration
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.results.provenance import git_commit, versions
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.tables import markdown_table

SPEC = paper_circuit()
WEIGHTS = np.random.default_rng(0).uniform(-np.pi, np.pi, SPEC.num_weights)
SHOTS = 1024
TURNS = 10
"""The ways to take the step are timed in turns, so that a disturbance meets all of them."""
WARM_UP = 20
"""Steps before each turn, of ways that take less than a tenth of a second: the one before leaves threads that spin."""
OURS = "this package, sweeps"
Step = Callable[[], tuple[np.ndarray, ...]]


@dataclass
class Entry:
    """One way to take the step: a name, what takes it and returns its numbers, and how often to time it."""

    name: str
    step: Step
    repeats: int
    prepare: Callable[[], None] | None = None  # before results are compared
    compared: bool = True  # with the others' numbers
    counter: "CountingEstimator | None" = None
    counts: tuple[str, str] = ("–", "–")
    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Median seconds of a step."""
        return statistics.median(self.seconds)


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


def aers_estimator(noise: Noise | None) -> CountingEstimator:
    """Return Aer's own estimator, exact, counting; it leaves readout error out."""
    options = {} if noise is None else {"noise_model": noise.model, "method": "density_matrix"}
    return CountingEstimator(EstimatorV2(options={"default_precision": 0.0, "backend_options": options}))


class AersEstimatorOnMachine(EstimatorBackend):
    """Aer's own estimator behind this package's network, on the circuit as the machine's backend transpiles it."""

    def __init__(self, estimator: BaseEstimatorV2, noise: Noise | None) -> None:
        super().__init__(estimator, 0.0)
        self.machine = AerBackend("machine", noise)

    def transpile(self, circuit):
        """Transpile for the machine."""
        return self.machine.transpile(circuit)


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


def step_of(function: Callable, weight: torch.nn.Parameter, inputs: torch.Tensor) -> Step:
    """Return a training step's forward and backward pass by a function of inputs and weight: outputs and gradients."""

    def step():
        weight.grad = None
        x = inputs.clone().requires_grad_()
        outputs = function(x, weight)
        outputs.square().sum().backward()
        return outputs.detach().numpy(), x.grad.numpy(), weight.grad.numpy().copy()

    return step


def step_of_layer(layer: TorchConnector, inputs: torch.Tensor) -> Step:
    """Return the step of a layer, which holds its weight itself."""
    return step_of(lambda x, _: layer(x), layer.weight, inputs)


def step_of_function(function: Callable, inputs: torch.Tensor) -> Step:
    """Return the step of a function that is given the weight."""
    return step_of(function, torch.nn.Parameter(torch.tensor(WEIGHTS, dtype=torch.float)), inputs)


def installed(*names: str) -> bool:
    """Tell whether the peers' packages are installed."""
    return all(importlib.util.find_spec(name) is not None for name in names)


def ideal_steps(inputs: torch.Tensor, repeats: int, stock_repeats: int) -> list[Entry]:
    """Return the ways to take the step without noise."""
    stock, single = aers_estimator(None), aers_estimator(None)
    layer = quantum_layer(SPEC, AersEstimatorOnMachine(single, None), initial_weights=WEIGHTS)
    aer = quantum_layer(SPEC, AerBackend("aer", simulator="aer"), initial_weights=WEIGHTS)
    ours = quantum_layer(SPEC, AerBackend("ideal", simulator="sweep"), initial_weights=WEIGHTS)
    entries = [
        Entry(OURS, step_of_layer(ours, inputs), repeats),
        Entry("this package, Aer", step_of_layer(aer, inputs), 7),
        Entry("this package's network, Aer's EstimatorV2", step_of_layer(layer, inputs), 7, counter=single),
        Entry(
            "stock EstimatorQNN, Aer's EstimatorV2",
            step_of_layer(stock_layer(stock), inputs),
            stock_repeats,
            counter=stock,
        ),
    ]
    if installed("pennylane"):
        from peers import pennylane_torch

        for device, method in (("default.qubit", "backprop"), ("lightning.qubit", "adjoint")):
            if device == "default.qubit" or installed("pennylane_lightning"):
                step = step_of_function(pennylane_torch(device, method), inputs)
                entries.append(Entry(f"PennyLane {device}, {method}", step, 20))
    return entries


def noisy_steps(inputs: torch.Tensor, repeats: int, noise: Noise) -> list[Entry]:
    """Return the ways to take the step with gate errors, exactly."""
    single = aers_estimator(noise)
    layer = quantum_layer(SPEC, AersEstimatorOnMachine(single, noise), initial_weights=WEIGHTS)
    aer = quantum_layer(SPEC, AerBackend("aer", noise, simulator="aer"), initial_weights=WEIGHTS)
    ours = quantum_layer(SPEC, AerBackend("noisy", noise, simulator="sweep"), initial_weights=WEIGHTS)
    entries = [
        Entry(OURS, step_of_layer(ours, inputs), repeats),
        Entry("this package, Aer", step_of_layer(aer, inputs), 5),
        Entry("this package's network, Aer's EstimatorV2", step_of_layer(layer, inputs), 3, counter=single),
    ]
    if installed("pennylane"):
        from peers import order_of_angles, pennylane_torch_noisy

        network = ours.neural_network
        function = pennylane_torch_noisy(network.program, order_of_angles(network), noise)
        entries.append(Entry("PennyLane default.mixed, backprop", step_of_function(function, inputs), 10))
    return entries


def sampled_steps(inputs: torch.Tensor, repeats: int, noise: Noise) -> list[Entry]:
    """Return the ways to take the step with gate errors, readout error and shots."""
    entries = []
    for name, simulator, count in ((OURS, "sweep", repeats), ("this package, Aer", "aer", 5)):
        backend = AerBackend(simulator, noise, SHOTS, simulator=simulator)
        layer = quantum_layer(SPEC, backend, initial_weights=WEIGHTS)
        # From the same seed both simulators draw the same outcomes.
        reseed = partial(layer.neural_network.reseed, 0)
        entries.append(Entry(name, step_of_layer(layer, inputs), count, prepare=reseed))
    exact = quantum_layer(SPEC, AerBackend("exact", noise, simulator="sweep"), initial_weights=WEIGHTS)
    entries.insert(1, Entry(f"{OURS}, exact", step_of_layer(exact, inputs), repeats, compared=False))
    return entries


def kernels(inputs: torch.Tensor, repeats: int, noise: Noise | None) -> list[Entry]:
    """Return the ways to get values and Jacobian as arrays from arrays: the sweeps, and what JAX compiles."""
    x, w = inputs.double().numpy(), WEIGHTS
    network = quantum_layer(SPEC, AerBackend("b", noise, simulator="sweep"), initial_weights=WEIGHTS).neural_network
    entries = [Entry(f"{OURS}, double precision", lambda: network.evaluate(x, w, jacobian=True), repeats)]
    if not installed("jax", "pennylane", "tensorcircuit"):
        return entries
    import peers

    if noise is None:
        functions = {"PennyLane, JAX": peers.pennylane_jax(), "tensorcircuit-ng, JAX": peers.tensorcircuit_jax()}
    else:
        order = peers.order_of_angles(network)
        functions = {"PennyLane default.mixed, JAX": peers.pennylane_jax_noisy(network.program, order, noise)}
    x32, w32 = x.astype(np.float32), w.astype(np.float32)
    for name, function in functions.items():
        entries.append(Entry(f"{name}, single precision", lambda f=function: f(x32, w32), min(repeats, 100)))
    return entries


def run(case: str, entries: list[Entry]) -> list[dict[str, object]]:
    """Check that all give the same numbers, time them in turns, print a table, and return its rows as values."""
    expected: tuple[np.ndarray, ...] | None = None
    warm_up: dict[str, int] = {}
    for entry in entries:
        if entry.prepare:
            entry.prepare()
        if entry.counter:
            entry.counter.pubs = entry.counter.jobs = 0
        started = time.perf_counter()
        found = entry.step()
        warm_up[entry.name] = WARM_UP if time.perf_counter() - started < 0.1 else 0
        if entry.counter:
            entry.counts = f"{entry.counter.pubs:,}", str(entry.counter.jobs)
        if not entry.compared:
            continue
        expected = expected or found
        for mine, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(mine, other, atol=1e-5, rtol=0)  # outputs are single precision
    for turn in range(TURNS):
        for entry in entries:
            for _ in range(warm_up[entry.name] if turn < entry.repeats else 0):
                entry.step()
            for _ in range(turn, entry.repeats, TURNS):
                started = time.perf_counter()
                entry.step()
                entry.seconds.append(time.perf_counter() - started)
    own = entries[0].median
    print(f"\n{case}; results agree.\n")
    print(
        markdown_table(
            [
                {
                    "Training step" if "step" in case else "Values and Jacobian": entry.name,
                    "PUBs": entry.counts[0],
                    "Jobs": entry.counts[1],
                    "Median": f"{1000 * entry.median:,.3f} ms",
                    "Times this package's": f"{entry.median / own:,.1f}",
                }
                for entry in entries
            ]
        )
    )
    sys.stdout.flush()
    return [{"case": case, "name": e.name, "median_ms": 1000 * e.median, "times_ours": e.median / own} for e in entries]


def draw(rows: list[dict[str, object]]) -> Figure:
    """Draw the medians of each case as bars on a logarithmic axis."""
    cases = list(dict.fromkeys(row["case"] for row in rows))
    heights = [sum(row["case"] == case for row in rows) for case in cases]
    figure = Figure(figsize=(9, 0.36 * sum(heights) + 0.55 * len(cases)), layout="constrained")
    axes = figure.subplots(len(cases), 1, height_ratios=heights, sharex=True)
    for axis, case in zip(axes, cases, strict=True):
        of_case = [row for row in rows if row["case"] == case][::-1]
        times = [row["median_ms"] for row in of_case]
        colours = ["#0072B2" if str(row["name"]).startswith(OURS) else "#B8BEC6" for row in of_case]
        bars = axis.barh([row["name"] for row in of_case], times, color=colours)
        ratios = [
            "" if row["times_ours"] == 1 else f"  ({row['times_ours']:,.{0 if row['times_ours'] >= 10 else 1}f}×)"
            for row in of_case
        ]
        labels = [f" {time:,.3g} ms" if time < 1000 else f" {time:,.0f} ms" for time in times]
        axis.bar_label(bars, [label + ratio for label, ratio in zip(labels, ratios, strict=True)], fontsize=8)
        axis.set_title(case, fontsize=9, loc="left", fontweight="bold")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_xscale("log")
    axes[0].set_xlim(0.5 * min(r["median_ms"] for r in rows), 8 * max(r["median_ms"] for r in rows))
    axes[-1].set_xlabel("Milliseconds, median (logarithmic); in brackets, times this package's", fontsize=8)
    return figure


def main() -> None:
    """Check agreement, time, print the tables, write the chart."""
    parser = argparse.ArgumentParser(description="Time one training step of the quantum layer.")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=300, help="repeats of this package's steps")
    parser.add_argument("--stock-repeats", type=int, default=3, help="repeats of the stock network's steps")
    parser.add_argument("--out", type=Path, default=Path("results/benchmark_training_step"))
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="tensorcircuit|pennylane|jax")
    inputs = torch.from_numpy(np.random.default_rng(1).normal(size=(options.batch, SPEC.num_inputs))).float()
    machine = noise_from_calibration(fake_calibration("FakeManilaV2"), "FakeManilaV2")
    gate_errors = replace(machine, readout={})  # Aer's EstimatorV2 and PennyLane's channels leave readout error out
    if not installed("pennylane", "jax", "tensorcircuit"):
        print("Peers are left out that are not installed: pip install -e '.[benchmark]'")

    size = f"batch {options.batch}"
    rows = [
        *run(f"Training step without noise, {size}", ideal_steps(inputs, options.repeats, options.stock_repeats)),
        *run(
            f"Training step with the gate errors of FakeManilaV2, exact, {size}",
            noisy_steps(inputs, options.repeats, gate_errors),
        ),
        *run(
            f"Training step as FakeManilaV2, {SHOTS:,} shots, {size}", sampled_steps(inputs, options.repeats, machine)
        ),
        *run(f"Arrays in and out, without noise, {size}", kernels(inputs, options.repeats, None)),
        *run(
            f"Arrays in and out, with the gate errors of FakeManilaV2, {size}",
            kernels(inputs, options.repeats, gate_errors),
        ),
    ]
    shots, exact = (row["median_ms"] for row in [r for r in rows if "shots" in str(r["case"])][:2])
    print(f"\nShots cost {shots / exact:.2f} times the exact step.")
    save_figure(draw(rows), options.out / "training_step")
    with (options.out / "training_step.jsonl").open("w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    run_facts = {
        "command": "python " + " ".join(sys.argv),
        "threads": torch.get_num_threads(),
        "versions": {
            **versions(),
            **{p: metadata.version(p) for p in ("pennylane", "jax", "tensorcircuit-ng") if installed(p.split("-")[0])},
        },
    }
    (options.out / "training_step.json").write_text(
        json.dumps({**run_facts, "git_commit": git_commit()}, indent=2) + "\n"
    )
    print(f"Chart and figures: {options.out}")


if __name__ == "__main__":
    main()
