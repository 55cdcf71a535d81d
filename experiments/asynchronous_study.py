"""What it gains not to wait: asynchronous against synchronous federation on an array of machines with queues.

Trains the same federation on eight simulated machines in simulated time: queue times are log-normal, and calibrations
follow each other. Rounds that wait for their slowest client are compared with a server that steps whenever K updates
have arrived, each with as many updates in all. Finished runs are not run again, and one that was begun is resumed.

    python experiments/asynchronous_study.py --seeds 5 --processes 2
"""

from pathlib import Path

from parts.asynchronous_design import BUFFERED, schemes
from parts.asynchronous_results import about, loss_figure, table
from parts.command_line import ScriptParser, experiment_file, positive, run_script
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

AGAIN = f"{BUFFERED.name}, again"


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    few = ["data.test_fraction=0.8", "model.hidden=[4]", "federation.clients=16"]
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "updates": 32, "snapshots": 2, "set": few})
    parser.add_study_arguments(seeds=5)
    parser.add_argument("--updates", type=positive, default=320, help="client updates of a run (default: %(default)s)")
    parser.add_argument(
        "--snapshots", type=positive, default=4, help="calibrations of a machine, from 2 (default: %(default)s)"
    )
    arguments = parser.parse_args()
    out: Path = arguments.out
    settings = schemes(out / "calibrations", arguments.snapshots, arguments.updates)
    path, overrides = experiment_file("digits"), {"federation.clients": 40, **arguments.set}
    first = load_experiment(path, overrides).seed
    trials = [
        Trial(name, load_experiment(path, {**overrides, **of, "seed": first + k}))
        for k in range(arguments.seeds)
        for name, of in settings.items()
    ]
    again = next(Trial(AGAIN, trial.experiment) for trial in trials if trial.scheme == BUFFERED.name)
    study = run_trials([*trials, again], out / "runs", processes=arguments.processes, on_trial=show_trial)
    write_results(study, out)


def write_results(study: Study, out: Path) -> None:
    """Write tables and the figure, and print the table."""
    (seed, again), *_ = study.of(AGAIN).items()
    records = [[record.without_times() for record in run.rounds] for run in (study.of(BUFFERED.name)[seed], again)]
    study = Study({key: run for key, run in study.runs.items() if key[0] != AGAIN})
    write_study(study, out)
    rows = table(study)
    write_csv(rows, out / "table.csv")
    save_figure(loss_figure(study), out / "losses")
    text = f"{markdown_table(rows)}\n{about(study, is_repeated=records[0] == records[1])}"
    write_text(out / "results.md", text)
    print(text)


if __name__ == "__main__":
    run_script(main)
