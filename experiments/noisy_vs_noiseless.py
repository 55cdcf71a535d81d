"""Federated training with and without noise, on the same data, shards, client draws and initial weights.

Trains scikit-learn's digits 0 to 3 (experiments/digits.yaml) three times: federated without noise, federated over the
array of noisy machines of backends.yaml, and not federated. Prints the paper's table and writes the learning curves.

    python experiments/noisy_vs_noiseless.py [--out DIR]

The whole study (`experiments/noise_study.py`) compares noiseless training, each device alone, a uniform and a skewed
array, shots from 128 to exact, and error rates from half to eight times, in pairs of runs over several seeds; with
figures of each client, and of the gradient's signal and noise. It goes on where it stopped:

    python experiments/noisy_vs_noiseless.py --study digits --set federation.rounds=40
    FEDQML_DATA=… python experiments/noisy_vs_noiseless.py --study planes_vs_cars_256
"""

import argparse
import sys
from pathlib import Path

from noise_study import run_study

from qiskit_fedqml import FedQMLError, load_experiment, run_federation
from qiskit_fedqml.config.loading import parse_override
from qiskit_fedqml.report.curves import learning_curves
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.study.arguments import positive
from qiskit_fedqml.tables import markdown_table
from qiskit_fedqml.terminal.progress import ProgressBars

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
    """Compare, or run the whole study."""
    parser = argparse.ArgumentParser(description="Compare noisy and noiseless federated training.")
    parser.add_argument("--out", type=Path, help="where results go (default: results/…)")
    parser.add_argument("--study", metavar="EXPERIMENT", help="run the whole study on this experiment file")
    parser.add_argument("--seeds", type=positive, help="how many seeds the study has (default: 5)")
    parser.add_argument("--processes", type=positive, help="runs of the study at a time (default: 1)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="changes the study's experiment"
    )
    arguments = parser.parse_args()
    if arguments.study:
        path = Path(arguments.study) if arguments.study.endswith(".yaml") else HERE / f"{arguments.study}.yaml"
        out = arguments.out or Path("results/noise_study") / path.stem
        overrides = dict(map(parse_override, arguments.set))
        run_study(path, overrides, out, seeds=arguments.seeds or 5, processes=arguments.processes or 1)
    elif arguments.seeds or arguments.processes or arguments.set:
        parser.error("--seeds, --processes and --set are for --study")
    else:
        compare(arguments.out or Path("results/noisy_vs_noiseless"))


def compare(out: Path) -> None:
    """Run the three schemes on digits, then print and write what they show."""
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
