"""What noise costs in federated training, by machine, array, shots, and strength of the noise.

Compares noiseless training, each device alone, a uniform and a skewed array, shots from 128 to exact, and error rates
from half to eight times, in pairs of runs over several seeds; and both arrays with mitigated readout. With figures of
each client, and of the gradient's signal and noise. Finished runs are not run again, and one that was begun is resumed.

    python experiments/noise_study.py digits --set federation.rounds=40
    FEDQML_DATA=… python experiments/noise_study.py planes_vs_cars_256 --processes 2
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parts.command_line import ScriptParser, experiment_file, run_script
from parts.noise_curves import curve_figure
from parts.noise_design import FULL, SMALLEST, Design
from parts.noise_figures import client_figure, gap_figure, gradient_figure
from parts.noise_gradients import gradient_study
from parts.noise_results import about, client_rows, mitigation_rows, table
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table


def run_study(
    path: Path, overrides: Mapping[str, Any], out: Path, *, seeds: int, processes: int, design: Design = FULL
) -> None:
    """Run the study on one experiment file, and write its tables and figures.

    Args:
        path: The experiment file.
        overrides: Changes to it, by dotted key.
        out: Where results go.
        seeds: How many seeds. All schemes of a seed share data, shards, clients drawn and initial weights.
        processes: How many runs at a time.
        design: What is compared.

    Raises:
        ConfigurationError: The experiment has no quantum layer.
        FedQMLError: As :func:`~qiskit_fedqml.study.trials.run_trials`.
    """
    base = load_experiment(path, overrides)
    if not base.model.has_circuit:
        raise ConfigurationError(
            f"The noise study needs a quantum layer, but `model.quantum` is {base.model.quantum!r}."
        )
    trials = [
        Trial(scheme, load_experiment(path, {**overrides, "backends": backends, "seed": base.seed + k}))
        for k in range(seeds)
        for scheme, backends in design.schemes().items()
    ]
    study = run_trials(trials, out / "runs", processes=processes, on_trial=show_trial)
    write_study(study, out)
    rows, clients = table(study), client_rows(study)
    write_csv(rows, out / "table.csv")
    write_csv(clients, out / "clients.csv")
    qualities = gradient_study(base, design, out / "gradients.jsonl")
    title = path.stem.replace("_", " ").capitalize()
    save_figure(gap_figure(study, design, title), out / "gaps")
    save_figure(curve_figure(study, title), out / "curves")
    save_figure(client_figure(clients, title), out / "clients")
    save_figure(gradient_figure(qualities, title), out / "gradients")
    text = (
        f"{markdown_table(rows)}\nMitigated readout:\n\n{markdown_table(mitigation_rows(study))}{about(design, seeds)}"
    )
    write_text(out / "results.md", text)
    print(text)


def main() -> None:
    """Run the study."""
    few = ["federation.rounds=2", "federation.clients=6", "federation.clients_per_round=2", "data.test_fraction=0.8"]
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "set": few})
    parser.add_argument("experiment", nargs="?", default="digits", help="experiment file (default: %(default)s)")
    parser.add_study_arguments(seeds=5)
    arguments = parser.parse_args()
    path = experiment_file(arguments.experiment)
    run_study(
        path,
        arguments.set,
        arguments.out / path.stem,
        seeds=arguments.seeds,
        processes=arguments.processes,
        design=SMALLEST if arguments.smallest else FULL,
    )


if __name__ == "__main__":
    run_script(main)
