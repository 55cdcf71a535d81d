"""The paper's Tables II and III and Figures 6 and 8, its counts of examples, and the controls that a referee asks for.

For each experiment file: federated training with 1, 2 and 4 local epochs and non-federated training, over several
seeds, beside the paper's own accuracies; the same with the quantum layer frozen, and with a classical layer of as many
parameters; and the linear probe on the same features. Runs that are finished are not run again, one that was begun goes
on where it stopped.

    FEDQML_DATA=… python experiments/reproduce_paper.py planes_vs_cars            Table I's widths, hours
    FEDQML_DATA=… python experiments/reproduce_paper.py --seeds 5 --processes 2   narrow heads, with intervals

Tables, figures and a text that says what departs from the paper are written to OUT/EXPERIMENT/.
"""

import argparse
import sys
from pathlib import Path

from qiskit_fedqml import FedQMLError, RunResult, load_experiment
from qiskit_fedqml.config.loading import parse_override
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.arguments import add_settings, add_study_arguments
from qiskit_fedqml.study.figures import accuracy_by_examples, learning_panels
from qiskit_fedqml.study.paper import reported_for
from qiskit_fedqml.study.probe import LinearProbe
from qiskit_fedqml.study.reproduction import CONTROLS, SCHEMES, Reproduction
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import duration, markdown_table

HERE = Path(__file__).resolve().parent
EXPERIMENTS = ("planes_vs_cars_256", "cats_vs_dogs_squeezenet")


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    arguments = _arguments()
    for name in arguments.experiment:
        path = Path(name) if name.endswith(".yaml") else HERE / f"{name}.yaml"
        reproduce(path, arguments)


def reproduce(path: Path, arguments: argparse.Namespace) -> None:
    """Run the schemes of one experiment file, and write its tables, figures and text."""
    reported = reported_for(path.stem)
    overrides = dict(map(parse_override, arguments.set))
    base = load_experiment(path, overrides)
    out = arguments.out / path.stem
    trials = [
        Trial(scheme, load_experiment(path, overrides | changes | {"seed": base.seed + k}))
        for k in range(arguments.seeds)
        for scheme, changes in (SCHEMES | CONTROLS).items()
        if scheme not in arguments.without
    ]
    print(f"{path.stem}: {len(trials)} runs, results in {out}", flush=True)
    probe = LinearProbe.of(base, out / "linear_probe.json")
    study = run_trials(trials, out / "runs", processes=arguments.processes, fresh=True, tell=_tell)
    reproduction = Reproduction(study, reported, probe)
    write_study(study, out)
    rows = reproduction.rows()
    write_csv(rows, out / "table.csv")
    name = path.stem.replace("_", " ").capitalize()
    shown = {scheme: study.of(scheme) for scheme in SCHEMES if scheme in study.schemes}
    save_figure(learning_panels(shown, f"{name}, drawn as {reported.figure} of the paper"), out / "curves")
    save_figure(accuracy_by_examples(shown, f"{name}: accuracy against examples, not rounds"), out / "examples")
    text = reproduction.text(markdown_table)
    write_text(out / "results.md", text)
    print(text)


def _tell(trial: Trial, run: RunResult, done: int, total: int) -> None:
    seconds = sum(record.seconds for record in run.rounds)
    accuracy = run.rounds[-1].test_accuracy
    print(f"{done}/{total} {trial.scheme}, seed {trial.seed}: {accuracy:.2%} in {duration(seconds)}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Reproduce the paper's tables and figures.")
    parser.add_argument("experiment", nargs="*", default=EXPERIMENTS, help="experiment files (default: %(default)s)")
    add_study_arguments(parser, out="results/reproduce_paper", seeds=1)
    add_settings(parser)
    known = [*SCHEMES, *CONTROLS]
    parser.add_argument("--without", nargs="*", default=[], choices=known, metavar="SCHEME", help=f"of {known}")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except FedQMLError as error:
        sys.exit(f"reproduce_paper: {error}")
