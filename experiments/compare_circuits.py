"""The paper's circuit against data re-uploading, a QCNN and a tree, and a classical layer, all else equal.

Trains two of scikit-learn's digits that are easily mistaken for each other (8 and 9) with a linear layer, from the
pixels to the circuit's inputs, and each circuit on 4 qubits: federated without noise and over the array of noisy
machines of backends.yaml, with the same data, shards and draws of clients for each seed. Prints a table of means over
the seeds. Finished runs are not run again, and one that was begun is resumed.

    python experiments/compare_circuits.py

On two cores this takes minutes. With `--num-qubits 8 --classes 1 3 8 9` circuits differ more, and with
`--num-qubits 8` alone QCNN and tree halve their qubits twice; the noisy runs then take about ten minutes each.
"""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.figure import Figure
from parts.command_line import BACKENDS, ScriptParser, experiment_file, run_script
from parts.progress import show_trial

from qiskit_fedqml import BackendRegistry, load_experiment, quantum_layer
from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.files import write_text
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.study_figures import interval_rows
from qiskit_fedqml.results.evaluation import evaluate_model
from qiskit_fedqml.study.outcomes import ACCURACY
from qiskit_fedqml.study.statistics import Interval, in_points, mean_interval, over_seeds
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

ANSATZE = ("paper", "reuploading", "qcnn", "tree")
CLASSICAL = "classical"
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
    noisy = {"backends": LARGER_MACHINES if num_qubits > LARGEST_OF_SMALL else BACKENDS}
    made = {}
    for ansatz in ANSATZE:
        circuit = {"model.circuit": {"ansatz": ansatz, "num_qubits": num_qubits}}
        made[ansatz] = {**equal, **circuit}
        made[noisy_name(ansatz)] = {**equal, **circuit, **noisy}
    classical = {"model.quantum": "classical", "model.circuit": {"num_qubits": num_qubits}}
    return {**made, CLASSICAL: {**equal, **classical}}


def row(study: Study, ansatz: str, machine: Backend) -> dict[str, str]:
    """Return a circuit's line of the table: its size on a machine, and mean accuracies."""
    ideal, noisy = study.of(ansatz), study.of(noisy_name(ansatz)) if noisy_name(ansatz) in study.schemes else {}
    first = next(iter(ideal.values()))
    spec = circuit_for(first.experiment.model, len(first.run["classes"]))
    depth = gates = success = "–"
    tested: list[float] = []
    if noisy:
        network = quantum_layer(spec, machine).neural_network
        depth, gates = str(network.program.circuit.depth()), str(network.program.circuit.num_nonlocal_gates())
        success = f"{network.success_probability():.2f}"
        tested = [evaluate_model(run.folder, machine).accuracy for run in noisy.values() if run.folder is not None]
    return {
        "Circuit": ansatz,
        "Weights": str(spec.num_weights),
        "Depth": depth,
        "Two-qubit gates": gates,
        "Success probability": success,
        "No noise (%)": ACCURACY.text(ACCURACY.mean(study, ansatz)),
        "Noisy array (%)": ACCURACY.text(ACCURACY.mean(study, noisy_name(ansatz))) if noisy else "–",
        "Gap (points)": ACCURACY.text(gap(study, ansatz), signed=True) if noisy else "–",
        "Tested on the machine (%)": in_points(mean_interval(tested)) if tested else "–",
    }


def noisy_name(ansatz: str) -> str:
    """Return the name of a circuit's runs over the noisy array."""
    return f"{ansatz}, noisy array"


def gap(study: Study, ansatz: str) -> Interval:
    """Return a circuit's accuracy over the noisy array less that without noise, of the same seeds."""
    return ACCURACY.less(study, noisy_name(ansatz), ansatz)


def against_paper(study: Study, *, noisy: bool) -> dict[str, Interval]:
    """Return each circuit's accuracy less that of the paper's circuit, of the same seeds."""

    def named(ansatz: str) -> str:
        return noisy_name(ansatz) if noisy else ansatz

    others = [a for a in (*ANSATZE[1:], CLASSICAL) if named(a) in study.schemes]
    return {a: ACCURACY.less(study, named(a), named(ANSATZE[0])) for a in others}


def figure_of(study: Study, title: str) -> Figure:
    """Draw each circuit's gain over the paper's, without noise and over the noisy array."""
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    for axis, noisy in zip(figure.subplots(1, 2, sharex=True), (False, True), strict=True):
        interval_rows(axis, against_paper(study, noisy=noisy), ACCURACY.heading_less("the paper's circuit's"))
        axis.set_title(f"{title}, {'noisy array' if noisy else 'no noise'}", fontsize=11)
    return figure


def main() -> None:
    """Run every scheme with every seed, then print and write what they show."""
    few = ["federation.rounds=1", "federation.clients_per_round=1", "data.test_fraction=0.9"]
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "set": few})
    parser.add_study_arguments(seeds=5)
    parser.add_argument("--num-qubits", type=int, default=4, help="a power of two, at least twice the classes")
    parser.add_argument("--classes", type=int, nargs="+", default=[8, 9], help="the digits")
    arguments = parser.parse_args()
    num_qubits, classes = arguments.num_qubits, arguments.classes
    out: Path = arguments.out / f"digits_{'_'.join(map(str, classes))}_on_{num_qubits}_qubits"
    title = f"Digits {', '.join(map(str, classes))}, {num_qubits} qubits"
    trials = [
        Trial(scheme, load_experiment(experiment_file("digits"), {**changes, **arguments.set, "seed": 1 + k}))
        for k in range(arguments.seeds)
        for scheme, changes in schemes(num_qubits, classes).items()
    ]
    study = run_trials(trials, out / "runs", processes=arguments.processes, keep_models=True, on_trial=show_trial)
    noisy = next(iter(study.of(noisy_name(ANSATZE[0])).values()))
    machine = BackendRegistry(noisy.experiment.backends, Path()).for_client(0)
    rows = [row(study, ansatz, machine) for ansatz in (*ANSATZE, CLASSICAL)]
    write_study(study, out)
    write_csv(rows, out / "table.csv")
    save_figure(figure_of(study, title), out / "circuits")
    about = fill(_ABOUT.format(over=over_seeds(arguments.seeds), machine=machine.name), 120)
    text = f"## {title}\n\n{markdown_table(rows)}\n{about}\n"
    write_text(out / "results.md", text)
    print(text)


_ABOUT = """\
Means of the last rounds (ten, or a quarter of a short run) {over}, tested exactly on an
ideal machine; the gap is that of pairs with the same seed. Depth, two-qubit gates and success probability are those on
{machine}, where the models of the noisy array are tested too, in the last column.
"""


if __name__ == "__main__":
    run_script(main)
