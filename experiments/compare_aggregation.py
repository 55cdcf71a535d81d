"""Which aggregation helps where: FedAvg beside its variants, under a skewed array and under label skew.

Two situations: an array in which two of five clients' machines are far noisier than the others (the skewed array of
`noise_study.py`), and ideal machines whose clients hold few classes (Dirichlet, concentration 0.1) and train 4 local
epochs, so that they drift apart. Every variant of a seed has the same data, shards, clients drawn and initial weights
as FedAvg, so the gains are paired. Finished runs are not run again.

    python experiments/compare_aggregation.py digits --set federation.rounds=40
    FEDQML_DATA=… python experiments/compare_aggregation.py planes_vs_cars_256
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from noise_study import array, skewed_machines

from qiskit_fedqml import FedQMLError, RunResult, load_experiment
from qiskit_fedqml.experiment import parse_override
from qiskit_fedqml.files import write_text
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.study.arguments import add_settings, add_study_arguments
from qiskit_fedqml.study.figures import interval_rows
from qiskit_fedqml.study.statistics import Interval, differ_by_holm, in_points, mean_interval, paired_difference
from qiskit_fedqml.study.summary import settled_accuracy, write_csv, write_study
from qiskit_fedqml.study.trials import Study, Trial, run_trials
from qiskit_fedqml.tables import markdown_table

HERE = Path(__file__).resolve().parent
FEDAVG = "FedAvg"
SKEWED_ARRAY = "Skewed array"
LABEL_SKEW = "Dirichlet 0.1"
SITUATIONS: Mapping[str, Mapping[str, Any]] = {
    SKEWED_ARRAY: {"backends": array(skewed_machines())},
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
    noise_aware = NOISE_AWARE if situation == SKEWED_ARRAY else {}
    return {FEDAVG: {}, **noise_aware, **OF_ANY_ARRAY}


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    arguments = _arguments()
    path = Path(arguments.experiment)
    path = path if path.suffix == ".yaml" else HERE / f"{path}.yaml"
    overrides = dict(map(parse_override, arguments.set))
    out = arguments.out / path.stem
    base = load_experiment(path, overrides)
    trials = [
        Trial(f"{situation}: {scheme}", load_experiment(path, {**overrides, **of, **changes, "seed": base.seed + k}))
        for k in range(arguments.seeds)
        for situation, of in SITUATIONS.items()
        for scheme, changes in schemes(situation).items()
    ]
    study = run_trials(trials, out / "runs", processes=arguments.processes, tell=_tell)
    write_study(study, out)
    rows = [row for situation in SITUATIONS for row in table(study, situation)]
    write_csv(rows, out / "table.csv")
    save_figure(gain_figure(study, path.stem.replace("_", " ").capitalize()), out / "gains")
    text = "\n".join(f"## {situation}\n\n{markdown_table(table(study, situation))}" for situation in SITUATIONS)
    text += _ABOUT.format(seeds=arguments.seeds)
    write_text(out / "results.md", text)
    print(text)


_ABOUT = """
Accuracies in percent: means of the last rounds (ten, or a quarter of a short run) over {seeds} seeds, tested exactly on
an ideal machine. The gain is over FedAvg with the same seed, in percentage points, with a 95% interval (Student's t).
"Helps" and "hurts" stand where the gain differs from 0 by Holm's method over all rows of a situation, at 5%. Server
optimisers have the rates that stand there; others may do better.
"""


def gain(study: Study, situation: str, scheme: str) -> Interval:
    """Return a variant's accuracy less FedAvg's of the same seeds."""
    reference = study.values(f"{situation}: {FEDAVG}", settled_accuracy)
    return paired_difference(study.values(f"{situation}: {scheme}", settled_accuracy), reference)


def table(study: Study, situation: str) -> list[dict[str, str]]:
    """Return a row for each variant in a situation."""
    others = [scheme for scheme in schemes(situation) if scheme != FEDAVG]
    gains = [gain(study, situation, scheme) for scheme in others]
    found = dict(zip(others, zip(gains, differ_by_holm(gains), strict=True), strict=True))
    return [
        {
            "Situation": situation,
            "Aggregation": scheme,
            "Accuracy (%)": in_points(mean_interval(study.values(f"{situation}: {scheme}", settled_accuracy).values())),
            "Gain (points)": in_points(found[scheme][0], signed=True) if scheme in found else "",
            "Verdict": _verdict(*found[scheme]) if scheme in found else "",
        }
        for scheme in schemes(situation)
    ]


def _verdict(of: Interval, differs: bool) -> str:
    return "no difference seen" if not differs else "helps" if of.mean > 0 else "hurts"


def gain_figure(study: Study, title: str) -> Figure:
    """Draw each variant's gain over FedAvg in both situations."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axis, situation in zip(figure.subplots(1, 2), SITUATIONS, strict=True):
        gains = {s: gain(study, situation, s) for s in schemes(situation) if s != FEDAVG}
        interval_rows(axis, gains, "Accuracy less FedAvg's (percentage points)")
        seeds = len(study.of(f"{situation}: {FEDAVG}"))
        axis.set_title(f"{title}: {situation.lower()}; {seeds} seeds, 95% intervals", fontsize=11)
    return figure


def _tell(trial: Trial, run: RunResult, done: int, total: int) -> None:
    print(f"{done}/{total} {trial.scheme}, seed {trial.seed}: {settled_accuracy(run):.2%}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare aggregations under a skewed array and under label skew.")
    parser.add_argument("experiment", help="experiment file, such as digits")
    add_study_arguments(parser, out="results/compare_aggregation", seeds=5)
    add_settings(parser)
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except FedQMLError as error:
        sys.exit(f"compare_aggregation: {error}")
