"""The paper's circuit beside data re-uploading, a QCNN and a tree, and a classical layer, all else equal.

Trains two of scikit-learn's digits that are easily mistaken for each other (8 and 9) with a linear layer, from the
pixels to the circuit's inputs, and each circuit on 4 qubits: federated without noise and over the array of noisy
machines of backends.yaml, with the same data, shards and draws of clients for each seed. Prints a table of means over
the seeds. What is complete under the output folder is not run again.

    python experiments/compare_circuits.py [--seeds 1 2 3] [--num-qubits 4] [--classes 8 9] [--out DIR]

On two cores this takes minutes. With `--num-qubits 8 --classes 1 3 8 9` circuits differ more, and with
`--num-qubits 8` alone QCNN and tree halve their qubits twice; the noisy runs then take about ten minutes each.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from qiskit_fedqml import BackendRegistry, FedQMLError, RunResult, load_experiment, quantum_layer, run_federation
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.experiment import Experiment
from qiskit_fedqml.inference import evaluate_model
from qiskit_fedqml.models import circuit_for
from qiskit_fedqml.progress import ProgressBars
from qiskit_fedqml.tables import markdown_table

HERE = Path(__file__).resolve().parent
ANSATZE = ("paper", "reuploading", "qcnn", "tree")
GOOD = {
    "depolarizing": {"one_qubit": 0.001, "two_qubit": 0.01},
    "amplitude_damping": {"one_qubit": 0.0005, "two_qubit": 0.003},
    "readout": {"read_1_if_0": 0.01, "read_0_if_1": 0.03},
}
POOR = {"depolarizing": {"one_qubit": 0.002, "two_qubit": 0.03}, "readout": {"read_1_if_0": 0.02, "read_0_if_1": 0.05}}
# The machines of backends.yaml have 5 to 7 qubits. On these a circuit of 8 takes no more: a ring fits on Melbourne's
# ladder, where other lattices route it over further qubits, each of which makes the simulation four times slower.
LARGER_MACHINES = {
    "backends": {
        "ideal": {"type": "aer"},
        "melbourne": {"type": "aer", "noise": "FakeMelbourneV2", "shots": 1024},
        "good": {"type": "aer", "noise": GOOD, "shots": 1024},
        "poor": {"type": "aer", "noise": POOR, "shots": 1024},
    },
    "assignment": {"server": "ideal", "default": {"cycle": ["melbourne", "good", "poor"]}},
}
LARGEST_OF_SMALL = 5
"""Qubits that every machine of backends.yaml has."""


def schemes(num_qubits: int, classes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Return what each scheme changes of experiments/digits.yaml, by name.

    Args:
        num_qubits: Number of qubits of every circuit.
        classes: The digits.
    """
    equal = {
        "data.classes": list(classes),
        "data.test_fraction": 0.4,
        "model.hidden": [],
        "federation.clients": 12,
        "federation.clients_per_round": 6,
        "federation.rounds": 40,
        "federation.learning_rate": 0.05,
        "federation.learning_rate_decay": 0.97,
    }
    noisy = {"backends": LARGER_MACHINES if num_qubits > LARGEST_OF_SMALL else HERE.parent / "backends.yaml"}
    made = {}
    for ansatz in ANSATZE:
        circuit = {"model.circuit": {"ansatz": ansatz, "num_qubits": num_qubits}}
        made[ansatz] = {**equal, **circuit}
        made[f"{ansatz}_noisy"] = {**equal, **circuit, **noisy}
    classical = {"model.quantum": "classical", "model.circuit": {"num_qubits": num_qubits}}
    return {**made, "classical": {**equal, **classical}}


def complete_run(experiment: Experiment, folder: Path, title: str) -> RunResult:
    """Return the run in a folder if it is complete and of this experiment, or run it."""
    try:
        result = RunResult.load(folder)
    except ResultError:
        result = None
    if result is not None and result.is_complete and result.experiment == experiment:
        return result
    with ProgressBars(title) as bars:
        return run_federation(experiment, folder, overwrite=True, observer=bars)


def row(ansatz: str, runs: Mapping[str, Sequence[RunResult]]) -> dict[str, str]:
    """Return a circuit's line of the table: its size, on the array's first machine, and mean accuracies."""
    ideal, noisy = runs[ansatz], runs.get(f"{ansatz}_noisy", ())
    spec = circuit_for(ideal[0].experiment.model, len(ideal[0].run["classes"]))
    depth = gates = "–"
    tested: list[float] = []
    if noisy:
        machine = BackendRegistry(noisy[0].experiment.backends, Path()).for_client(0)
        transpiled = quantum_layer(spec, machine).neural_network.program.circuit
        depth, gates = str(transpiled.depth()), str(transpiled.num_nonlocal_gates())
        tested = [evaluate_model(run.folder, machine).accuracy for run in noisy if run.folder is not None]
    return {
        "Circuit": ansatz,
        "Weights": str(spec.num_weights),
        "Depth": depth,
        "Two-qubit gates": gates,
        "No noise": percent([run.rounds[-1].test_accuracy for run in ideal]),
        "Noisy array": percent([run.rounds[-1].test_accuracy for run in noisy]),
        "… tested on its first machine": percent(tested),
    }


def percent(accuracies: Sequence[float]) -> str:
    """Return the mean accuracy in percent, or a dash."""
    return f"{100 * fmean(accuracies):.1f}%" if accuracies else "–"


def main() -> None:
    """Run every scheme with every seed, then print and write the table."""
    parser = argparse.ArgumentParser(description="Compare circuits in federated training on digits.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one run of each scheme for each")
    parser.add_argument("--num-qubits", type=int, default=4, help="a power of two, at least twice the classes")
    parser.add_argument("--classes", type=int, nargs="+", default=[8, 9], help="the digits")
    parser.add_argument("--out", type=Path, default=Path("results/compare_circuits"), help="where results go")
    arguments = parser.parse_args()

    runs: dict[str, list[RunResult]] = {}
    for scheme, overrides in schemes(arguments.num_qubits, arguments.classes).items():
        for seed in arguments.seeds:
            experiment = load_experiment(HERE / "digits.yaml", {**overrides, "seed": seed})
            folder = arguments.out / scheme / f"seed{seed}"
            runs.setdefault(scheme, []).append(complete_run(experiment, folder, f"{scheme}, seed {seed}"))

    table = markdown_table([row(ansatz, runs) for ansatz in (*ANSATZE, "classical")])
    (arguments.out / "table.md").write_text(table, encoding="utf-8")
    print(table)


if __name__ == "__main__":
    try:
        main()
    except FedQMLError as error:
        sys.exit(f"compare_circuits: {error}")
