"""The paper's Tables II and III and Figures 6 and 8, its counts of examples, and the controls that a referee asks for.

For each experiment file: federated training with 1, 2 and 4 local epochs and non-federated training, over several
seeds, compared with the paper's own accuracies; the same with the quantum layer frozen, and with a classical layer of
as many parameters; and the linear probe on the same features. Finished runs are not run again, and one that was begun
is resumed.

    FEDQML_DATA=… python experiments/reproduce_paper.py planes_vs_cars            Table I's widths, hours
    FEDQML_DATA=… python experiments/reproduce_paper.py --seeds 5 --processes 2   narrow heads, with intervals

Tables, figures and a text that says what departs from the paper are written to OUT/EXPERIMENT/.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parts.command_line import ScriptParser, experiment_file, run_script
from parts.few_images import few_images, has_images
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.study_figures import accuracy_by_examples, learning_panels
from qiskit_fedqml.study.paper import reported_for
from qiskit_fedqml.study.probe import LinearProbe
from qiskit_fedqml.study.reproduction import CONTROLS, SCHEMES, Reproduction
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

EXPERIMENTS = ("planes_vs_cars_256", "cats_vs_dogs_squeezenet")
SMALLEST = {
    "experiment": ["planes_vs_cars_256"],
    "without": ["Federated, E = 2", "Federated, E = 4", "Control, E = 1: quantum layer frozen"],
    "set": ["model.hidden=[4]", "federation.rounds=1", "federation.clients=10", "federation.clients_per_round=2"],
}


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    arguments = _arguments()
    for name in arguments.experiment:
        path, overrides = experiment_file(name), arguments.set
        out: Path = arguments.out / path.stem
        if arguments.smallest:
            if not has_images(path):
                print(f"{path.stem}: left out, because $FEDQML_DATA does not hold its images.")
                continue
            overrides = {**overrides, "data.path": few_images(path, out / "few_images.npz")}
        reproduce(path, overrides, out, arguments)


def reproduce(path: Path, overrides: Mapping[str, Any], out: Path, arguments: argparse.Namespace) -> None:
    """Run the schemes of one experiment file, and write its tables, figures and text."""
    reported = reported_for(path.stem)
    base = load_experiment(path, overrides)
    trials = [
        Trial(scheme, load_experiment(path, {**overrides, **changes, "seed": base.seed + k}))
        for k in range(arguments.seeds)
        for scheme, changes in (SCHEMES | CONTROLS).items()
        if scheme not in arguments.without
    ]
    print(f"{path.stem}: {len(trials)} runs, results in {out}", flush=True)
    probe = LinearProbe.of(base, out / "linear_probe.json")
    study = run_trials(trials, out / "runs", processes=arguments.processes, fresh=True, on_trial=show_trial)
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


def _arguments() -> argparse.Namespace:
    parser = ScriptParser(__file__, __doc__, smallest=SMALLEST)
    parser.add_argument("experiment", nargs="*", default=EXPERIMENTS, help="experiment files (default: %(default)s)")
    parser.add_study_arguments(seeds=1)
    known = [*SCHEMES, *CONTROLS]
    parser.add_argument("--without", nargs="*", default=[], choices=known, metavar="SCHEME", help=f"of {known}")
    return parser.parse_args()


if __name__ == "__main__":
    run_script(main)
