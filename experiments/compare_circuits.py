"""The paper's circuit beside data re-uploading, a QCNN and a tree, and a classical layer, all else equal.

Trains four of scikit-learn's digits that are easily mistaken for each other (1, 3, 8, 9) with a linear layer, from the
pixels to the circuit's inputs, and each circuit on 8 qubits: federated without noise and over an array of noisy
machines, with the same data, shards and draws of clients for each seed. Prints a table of means over the seeds. What
is complete under the output folder is not run again.

    python experiments/compare_circuits.py [--seeds 1 2 3] [--num-qubits 8] [--classes 1 3 8 9] [--out DIR]
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
from qiskit_fedqml.models import circuit_for
from qiskit_fedqml.progress import ProgressBars
from qiskit_fedqml.tables import markdown_table

HERE = Path(__file__).resolve().parent
ANSATZE = ("paper", "reuploading", "qcnn", "tree")
RATES = {
    "depolarizing": {"one_qubit": 0.001, "two_qubit": 0.01},
    "amplitude_damping": {"one_qubit": 0.0005, "two_qubit": 0.003},
    "readout": {"read_1_if_0": 0.01, "read_0_if_1": 0.03},
}
# The machines of backends.yaml have 5 to 7 qubits. On these every circuit of 8 stays within the 10 that are swept.
LARGER_MACHINES = {
    "backends": {
        "ideal": {"type": "aer"},
        "melbourne": {"type": "aer", "noise": "FakeMelbourneV2", "shots": 1024},
        "singapore": {"type": "aer", "noise": "FakeSingaporeV2", "shots": 1024},
        "stated": {"type": "aer", "noise": RATES, "shots": 1024},
    },
    "assignment": {"server": "ideal", "default": {"cycle": ["melbourne", "singapore", "stated"]}},
}


def schemes(num_qubits: int, classes: Sequence[int]) -> dict[str, dict[str, Any]]:
    """Return what each scheme changes of experiments/digits.yaml, by name.

    Args:
        num_qubits: Number of qubits of every circuit; more than 5 need the larger machines.
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
    first, machines = ("manila", HERE.parent / "backends.yaml") if num_qubits <= 5 else ("melbourne", LARGER_MACHINES)
    noisy = {"backends": machines, "evaluation.backends": [first]}
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
    """Return a circuit's line of the table: its size on the array's first machine, and mean accuracies."""
    ideal, noisy = runs[ansatz], runs.get(f"{ansatz}_noisy", ())
    cells = {"Circuit": ansatz, "Weights": "", "Depth": "–", "Two-qubit gates": "–"}
    model = ideal[0].experiment.model
    spec = circuit_for(model, len(ideal[0].run["classes"]))
    cells["Weights"] = str(spec.num_weights)
    if noisy:
        experiment = noisy[0].experiment
        machine = BackendRegistry(experiment.backends, Path())[experiment.evaluation.backends[0]]
        transpiled = quantum_layer(spec, machine).neural_network.program.circuit
        cells |= {"Depth": str(transpiled.depth()), "Two-qubit gates": str(transpiled.num_nonlocal_gates())}
    cells["No noise"] = percent([run.rounds[-1].test_accuracy for run in ideal])
    cells["Trained on the noisy array"] = percent([run.rounds[-1].test_accuracy for run in noisy])
    tested = [test["test_accuracy"] for run in noisy for test in run.rounds[-1].evaluations.values()]
    return {**cells, "… and tested on its first machine": percent(tested)}


def percent(accuracies: Sequence[float]) -> str:
    """Return the mean accuracy in percent, or a dash."""
    return f"{100 * fmean(accuracies):.1f}%" if accuracies else "–"


def main() -> None:
    """Run every scheme with every seed, then print and write the table."""
    parser = argparse.ArgumentParser(description="Compare circuits in federated training on digits.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one run of each scheme for each")
    parser.add_argument("--num-qubits", type=int, default=8, help="a power of two, at least twice the classes")
    parser.add_argument("--classes", type=int, nargs="+", default=[1, 3, 8, 9], help="the digits")
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
