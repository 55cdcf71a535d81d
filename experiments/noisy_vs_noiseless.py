"""Federated training with and without noise, on the same data, shards, client draws and initial weights.

Trains scikit-learn's digits 0 to 3 (experiments/digits.yaml) three times: federated without noise, federated over the
array of noisy machines of backends.yaml, and not federated. Prints the paper's table and writes the learning curves.

    python experiments/noisy_vs_noiseless.py

What noise costs, with intervals over several seeds, is the subject of `noise_study.py`.
"""

from pathlib import Path

from parts.command_line import BACKENDS, ScriptParser, experiment_file, run_script

from qiskit_fedqml import load_experiment, run_federation
from qiskit_fedqml.files import write_text
from qiskit_fedqml.progress.opening import open_progress
from qiskit_fedqml.report.curves import learning_curves
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.tables import markdown_table

NON_FEDERATED = {
    "federation.clients": 1,
    "federation.clients_per_round": 1,
    "federation.client_optimizer_state": "keep",
    "federation.rounds": 4,  # epochs over all data: 2,300 examples, where 10 rounds of 5 clients process 1,450
}
SCHEMES = {
    "Federated, no noise": {},
    "Federated, noisy array": {"backends": BACKENDS},
    "Not federated, no noise": NON_FEDERATED,
}


def main() -> None:
    """Run the three schemes, then print and write what they show."""
    parser = ScriptParser(__file__, __doc__, smallest={"set": ["federation.rounds=2"]})
    parser.add_settings()
    arguments = parser.parse_args()
    out: Path = arguments.out
    runs = {}
    for scheme, changes in SCHEMES.items():
        experiment = load_experiment(experiment_file("digits"), {**changes, **arguments.set})
        folder = out / scheme.lower().replace(",", "").replace(" ", "_")
        with open_progress(scheme) as bars:
            runs[scheme] = run_federation(experiment, folder, overwrite=True, observer=bars)
    table = markdown_table(table_rows(runs))
    write_text(out / "table.md", table)
    title = "Digits 0 to 3: federated training with and without noise"
    figures = save_figure(learning_curves(runs, title), out / "curves")
    print(table)
    print(f"Learning curves: {', '.join(str(path) for path in figures)}")


if __name__ == "__main__":
    run_script(main)
