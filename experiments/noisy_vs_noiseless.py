"""Federated training with and without noise, on the same data, shards, client draws and initial weights.

Trains scikit-learn's digits 0 to 3 (experiments/digits.yaml) three times: federated without noise, federated over the
array of noisy machines of backends.yaml, and not federated. Prints the paper's table and writes the learning curves.

    python experiments/noisy_vs_noiseless.py [--out DIR]
"""

import argparse
import sys
from pathlib import Path

from qiskit_fedqml import FedQMLError, load_experiment, run_federation
from qiskit_fedqml.progress import ProgressBars
from qiskit_fedqml.report.curves import learning_curves
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.tables import markdown_table

HERE = Path(__file__).resolve().parent
NON_FEDERATED = {
    "federation.clients": 1,
    "federation.clients_per_round": 1,
    "federation.client_optimizer_state": "keep",
    "federation.rounds": 4,  # epochs over all data: 2,300 examples, where 10 rounds of 5 clients process 1,450
}
SCHEMES = {
    "Federated, no noise": {},
    "Federated, noisy array": {"backends": HERE.parent / "backends.yaml"},
    "Not federated, no noise": NON_FEDERATED,
}


def main() -> None:
    """Run the schemes, then print and write what they show."""
    parser = argparse.ArgumentParser(description="Compare noisy and noiseless federated training on digits.")
    parser.add_argument("--out", type=Path, default=Path("results/noisy_vs_noiseless"), help="where results go")
    out = parser.parse_args().out

    runs = {}
    for scheme, overrides in SCHEMES.items():
        experiment = load_experiment(HERE / "digits.yaml", overrides)
        folder = out / scheme.lower().replace(",", "").replace(" ", "_")
        with ProgressBars(scheme) as bars:
            runs[scheme] = run_federation(experiment, folder, overwrite=True, observer=bars)

    table = markdown_table(table_rows(runs))
    (out / "table.md").write_text(table, encoding="utf-8")
    figures = save_figure(
        learning_curves(runs, "Digits 0 to 3: federated training with and without noise"), out / "curves"
    )
    print(table)
    print(f"Learning curves: {', '.join(str(path) for path in figures)}")


if __name__ == "__main__":
    try:
        main()
    except FedQMLError as error:
        sys.exit(f"noisy_vs_noiseless: {error}")
