"""Which aggregation helps where: FedAvg and its variants, under a skewed array and under label skew.

Two situations: an array in which two of five clients' machines are far noisier than the others (the skewed array of
the noise study), and ideal machines whose clients hold few classes (Dirichlet, concentration 0.1) and train 4 local
epochs, so that they drift apart. Every variant of a seed has the same data, shards, clients drawn and initial weights
as FedAvg, so the differences are paired, in testing accuracy and in testing loss. Finished runs are not run again, and
one that was begun is resumed.

    python experiments/compare_aggregation.py digits --set federation.rounds=40
    FEDQML_DATA=… python experiments/compare_aggregation.py planes_vs_cars_256
"""

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.figure import Figure
from parts.command_line import ScriptParser, experiment_file, run_script
from parts.noise_design import SKEWED, SKEWED_MACHINES, array
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.report.study_figures import interval_rows
from qiskit_fedqml.study.outcomes import OUTCOMES, Outcome
from qiskit_fedqml.study.statistics import Interval, differ_by_holm, over_seeds, spread_of
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

FEDAVG = "FedAvg"
LABEL_SKEW = "Dirichlet 0.1"
SITUATIONS: Mapping[str, Mapping[str, Any]] = {
    SKEWED: {"backends": array(SKEWED_MACHINES)},
    LABEL_SKEW: {"data.partition": {"scheme": "dirichlet", "alpha": 0.1}, "federation.local_epochs": 4},
}
NOISE_AWARE: Mapping[str, Mapping[str, Any]] = {
    f"Noise-aware, γ = {gamma:g}": {"aggregation.success_exponent": gamma} for gamma in (0.5, 1.0, 2.0)
}
OF_ANY_ARRAY: Mapping[str, Mapping[str, Any]] = {
    "Circular mean of angles": {"aggregation.angles": "circular"},
    "FedProx, μ = 0.01": {"federation.proximal_mu": 0.01},
    "FedProx, μ = 0.1": {"federation.proximal_mu": 0.1},
    "FedAvgM, β = 0.9, η = 1": {"aggregation.server_optimizer": {"method": "fedavgm", "momentum": 0.9}},
    "FedAvgM, β = 0.9, η = 0.1": {
        "aggregation.server_optimizer": {"method": "fedavgm", "momentum": 0.9, "learning_rate": 0.1}
    },
    "FedAdam, η = 0.001": {"aggregation.server_optimizer": {"method": "fedadam", "learning_rate": 1e-3}},
    "FedAdam, η = 0.01": {"aggregation.server_optimizer": {"method": "fedadam", "learning_rate": 1e-2}},
}


def schemes(situation: str) -> dict[str, Mapping[str, Any]]:
    """Return the variants that are compared in a situation; weights by noise need machines that differ."""
    noise_aware = NOISE_AWARE if situation == SKEWED else {}
    return {FEDAVG: {}, **noise_aware, **OF_ANY_ARRAY}


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    few = ["federation.rounds=1", "federation.clients=5", "data.test_fraction=0.8", "model.hidden=[4]"]
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "set": few})
    parser.add_argument("experiment", nargs="?", default="digits", help="experiment file (default: %(default)s)")
    parser.add_study_arguments(seeds=5)
    arguments = parser.parse_args()
    path = experiment_file(arguments.experiment)
    out: Path = arguments.out / path.stem
    trials = trials_of(path, arguments.set, arguments.seeds)
    study = run_trials(trials, out / "runs", processes=arguments.processes, on_trial=show_trial)
    write_study(study, out)
    tables = {situation: table(study, situation) for situation in SITUATIONS}
    write_csv([row for rows in tables.values() for row in rows], out / "table.csv")
    save_figure(difference_figure(study, path.stem.replace("_", " ").capitalize()), out / "differences")
    text = "\n".join(f"## {situation}\n\n{markdown_table(rows)}" for situation, rows in tables.items())
    text += f"\n{fill(_ABOUT.format(over=over_seeds(arguments.seeds)), 120)}\n"
    write_text(out / "results.md", text)
    print(text)


def trials_of(path: Path, overrides: Mapping[str, Any], seeds: int) -> list[Trial]:
    """Return a trial for each seed, situation and variant."""
    first = load_experiment(path, overrides).seed
    return [
        Trial(f"{situation}: {scheme}", load_experiment(path, {**overrides, **of, **changes, "seed": first + k}))
        for k in range(seeds)
        for situation, of in SITUATIONS.items()
        for scheme, changes in schemes(situation).items()
    ]


_ABOUT = """\
Accuracies and losses are means of the last rounds (ten, or a quarter of a short run) {over},
tested exactly on an ideal machine. Differences are to FedAvg's of the same seed. "Helps" and
"hurts" stand where a difference is not 0 by Holm's method over all differences of a situation, in accuracy and in loss
together, at 5%. Server optimisers have the rates that stand there; others may do better.
"""


def differences(study: Study, situation: str, outcome: Outcome) -> dict[str, Interval]:
    """Return each variant's accuracy or loss less FedAvg's of the same seeds."""
    reference = f"{situation}: {FEDAVG}"
    others = [scheme for scheme in schemes(situation) if scheme != FEDAVG]
    return {scheme: outcome.less(study, f"{situation}: {scheme}", reference) for scheme in others}


def table(study: Study, situation: str) -> list[dict[str, str]]:
    """Return a row for each variant in a situation."""
    found = {(o.name, scheme): of for o in OUTCOMES for scheme, of in differences(study, situation, o).items()}
    differs = dict(zip(found, differ_by_holm(list(found.values())), strict=True))
    rows = []
    for scheme in schemes(situation):
        row = {"Situation": situation, "Aggregation": scheme}
        for outcome in OUTCOMES:
            of = found.get((outcome.name, scheme))
            row |= {
                outcome.heading: outcome.text(outcome.mean(study, f"{situation}: {scheme}")),
                outcome.heading_less("FedAvg's"): outcome.text(of, signed=True) if of else "",
                f"By {outcome.name.lower()}": _verdict(outcome, of, differs[outcome.name, scheme]) if of else "",
            }
        rows.append(row)
    return rows


def _verdict(outcome: Outcome, of: Interval, differs: bool) -> str:
    if of.half_width is None:
        return "too few seeds"
    if not differs:
        return "no significant difference"
    return "helps" if (of.mean > 0) == outcome.larger_is_better else "hurts"


def difference_figure(study: Study, title: str) -> Figure:
    """Draw how far each variant's accuracy and loss are from FedAvg's in both situations."""
    figure = Figure(figsize=(11, 8), layout="constrained")
    for part, situation in zip(figure.subfigures(len(SITUATIONS), 1), SITUATIONS, strict=True):
        for axis, outcome in zip(part.subplots(1, len(OUTCOMES), sharey=True), OUTCOMES, strict=True):
            better = "right" if outcome.larger_is_better else "left"
            label = outcome.heading_less("FedAvg's") + f": {better} is better"
            interval_rows(axis, differences(study, situation, outcome), label, scale=outcome.scale)
        seeds = len(study.of(f"{situation}: {FEDAVG}"))
        part.suptitle(f"{title}: {situation}; {spread_of(seeds)}", fontsize=11)
    return figure


if __name__ == "__main__":
    run_script(main)
