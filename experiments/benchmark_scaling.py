"""Time a training step as circuits grow: with layers, and with qubits against Aer. Memory too. Draws both.

Each measurement runs in a process of its own, so that its peak memory is its own, and is written at once: a run that is
stopped continues where it was. Aer's times are for a batch of one; where a step of its would take longer than
`--patience` seconds, by the growth so far, it is left out.

    python experiments/benchmark_scaling.py --patience 20
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from parts.command_line import ScriptParser, positive, run_script
from parts.growth import growth, layers_figure, qubits_figure

from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.results.provenance import git_commit, peak_memory_bytes, versions
from qiskit_fedqml.simulation.active import MOST_PAULI_QUBITS, MOST_STATE_QUBITS

NOISE = noise_from_rates((0.001, 0.01), (0.0005, 0.003), (0.01, 0.03))
KINDS = {
    "ideal, exact": (None, None),
    "noise, exact": (NOISE, None),
    "ideal, 1,024 shots": (None, 1024),
    "noise, 1,024 shots": (NOISE, 1024),
}
LAYERS = (2, 4, 6, 10, 20, 40)
QUBITS = {"ideal, exact": (*range(2, 15), 16, 18, MOST_STATE_QUBITS), "noise, exact": range(2, MOST_PAULI_QUBITS + 1)}
QUBITS |= {"ideal, 1,024 shots": range(2, 13), "noise, 1,024 shots": range(2, 9)}


def measure(
    kind: str, simulator: str, num_qubits: int, num_layers: int, batch: int, least_seconds: float = 1.5
) -> dict[str, object]:
    """Time a step of values and Jacobian, arrays in and out; four qubits are measured, or all if there are fewer."""
    noise, shots = KINDS[kind]
    num_outputs = min(num_qubits, 4) if shots else min(num_qubits, 2)
    spec = paper_circuit(num_qubits, num_layers, num_outputs=num_outputs)
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    backend = AerBackend("b", noise, shots, simulator=simulator)
    program = compile_program(backend, angles.circuit, angles.params, spec.observables)
    rng = np.random.default_rng(0)
    inputs, weights = rng.normal(size=(batch, num_qubits)), rng.uniform(-np.pi, np.pi, spec.num_weights)
    points = angles.values(np.concatenate([inputs, np.broadcast_to(weights, (batch, len(weights)))], axis=1))
    seconds: list[float] = []
    started = time.perf_counter()
    while len(seconds) < 2 or (len(seconds) < 1000 and time.perf_counter() - started < least_seconds):
        begun = time.perf_counter()
        backend.evaluate(program, points, jacobian=True, seed=len(seconds))
        seconds.append(time.perf_counter() - begun)
    settled = seconds[1:]  # the first compiles
    return {
        "kind": kind,
        "simulator": simulator,
        "qubits": num_qubits,
        "layers": num_layers,
        "batch": batch,
        "shifted": len(program.shifted),
        "seconds": statistics.median(settled),
        "peak_memory_bytes": peak_memory_bytes(),
    }


class Measurements:
    """Measurements that are kept in a file of JSON lines.

    Args:
        path: The file.
        is_quick: Whether all but the first are short and taken in this process, as the smallest size has them; their
            memory is then not their own.
    """

    def __init__(self, path: Path, *, is_quick: bool = False) -> None:
        self.path, self.is_quick = path, is_quick
        self.rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def take(self, kind: str, simulator: str, num_qubits: int, num_layers: int, batch: int) -> dict[str, object]:
        """Return a measurement, from the file or taken now."""
        key = {"kind": kind, "simulator": simulator, "qubits": num_qubits, "layers": num_layers, "batch": batch}
        for row in self.rows:
            if key.items() <= row.items():
                return row
        if self.is_quick and self.rows:
            row = measure(*key.values(), least_seconds=0.02)
        else:
            command = [sys.executable, __file__, "--measure", json.dumps(list(key.values()))]
            row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        self.rows.append(row)
        with self.path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(
            f"{kind}, {simulator}: {num_qubits} qubits, {num_layers} layers, batch {batch}: "
            f"{1000 * row['seconds']:.3f} ms, {row['peak_memory_bytes'] / 2**30:.2f} GiB",
            flush=True,
        )
        return row


def take_all(measurements: Measurements, patience: float, most_layers: int, most_qubits: int) -> None:
    """Take what the charts show."""
    for kind in KINDS:
        for num_layers in (layers for layers in LAYERS if layers <= most_layers):
            measurements.take(kind, "sweep", 4, num_layers, 32)
    for kind, of_kind in QUBITS.items():
        qubits = [n for n in of_kind if n <= most_qubits]
        for num_qubits in qubits:
            for batch in (1, 32):
                measurements.take(kind, "sweep", num_qubits, 2, batch)
        last = [0.001, 0.001]
        for num_qubits in qubits:
            if last[-1] * max(1, last[-1] / last[-2]) > patience:
                break
            last.append(float(measurements.take(kind, "aer", num_qubits, 2, 1)["seconds"]))


def main() -> None:
    """Measure, and draw."""
    parser = ScriptParser(__file__, __doc__, smallest={"most_layers": 4, "most_qubits": 3})
    parser.add_argument("--most-layers", type=positive, default=LAYERS[-1], help="of a circuit (default: %(default)s)")
    parser.add_argument("--most-qubits", type=positive, default=99, help="of a circuit (default: all that are planned)")
    parser.add_argument("--patience", type=float, default=60, help="seconds that a step of Aer's may take")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*json.loads(options.measure))))
        return
    options.out.mkdir(parents=True, exist_ok=True)
    measurements = Measurements(options.out / "scaling.jsonl", is_quick=options.smallest)
    take_all(measurements, options.patience, options.most_layers, options.most_qubits)
    for kind in KINDS:
        print(f"{kind}: time by layers grows {growth(measurements.rows, kind):.2f} × linear")
    save_figure(layers_figure(measurements.rows), options.out / "layers")
    save_figure(qubits_figure(measurements.rows), options.out / "qubits")
    facts = {"command": "python " + " ".join(sys.argv), "versions": versions(), "git_commit": git_commit()}
    (options.out / "scaling.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"Charts and figures: {options.out}")


if __name__ == "__main__":
    run_script(main)
