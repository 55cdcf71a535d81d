"""What privacy of each example costs: DP-SGD on the digits 0 to 3 at a few ε, and the same federation without it.

Two clients hold half of the training data each, and take part in each round. The noise is the smallest with which all
rounds spend at most ε at δ = 1e-5, by the accountant. Without privacy the federation is trained with the same settings,
and with those of `digits.yaml` (Adam, batches of 8). All runs of a seed have the same data, shards and initial weights,
so differences are paired. Noise is simulated, so that results repeat to the bit: such runs protect nobody.

Rate, norm, learning rate and rounds were chosen by about thirty runs of seeds 901 and 902, which the study does not
use. That search was not private itself, and its cost is not in ε.

    python experiments/privacy_study.py --seeds 5
"""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from parts.command_line import ScriptParser, experiment_file, run_script
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.files import write_text
from qiskit_fedqml.privacy.accountant import noise_for
from qiskit_fedqml.report.drawing import colours, save_figure
from qiskit_fedqml.report.study_figures import interval_rows, intervals_by
from qiskit_fedqml.study.outcomes import ACCURACY, OUTCOMES
from qiskit_fedqml.study.statistics import mean_interval, over_seeds, spread_of
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

DELTA, RATE, MAX_NORM = 1e-5, 0.5, 1.0
_DRAWN = 10
"""So many rounds of a run are drawn."""
EPSILONS = (1.0, 3.0, 8.0)
SAME, ADAM = "Not private, same settings", "Not private, Adam"
FEDERATION: Mapping[str, Any] = {
    "federation.clients": 2,
    "federation.clients_per_round": 2,
    "federation.rounds": 40,
    "federation.batch_size": 144,
    "federation.optimizer": "sgd",
    "federation.learning_rate": 2.0,
    "aggregation.weights": "uniform",
}
OF_ADAM = {"federation.optimizer": "adam", "federation.learning_rate": 0.02, "federation.batch_size": 8}


def private(epsilon: float) -> str:
    """Return what the runs of an ε are called."""
    return f"ε = {epsilon:g}"


def schemes(rounds: int) -> dict[str, Mapping[str, Any]]:
    """Return the settings of each scheme.

    Args:
        rounds: How many rounds share the ε.
    """
    found: dict[str, Mapping[str, Any]] = {SAME: {}, ADAM: OF_ADAM}
    for epsilon in EPSILONS:
        noise = noise_for(epsilon, DELTA, RATE, rounds * round(1 / RATE))
        options = {"noise_multiplier": noise, "max_norm": MAX_NORM, "sampling_rate": RATE}
        privacy = {"delta": DELTA, "epsilon": epsilon, "randomness": "simulated", "examples": options}
        found[private(epsilon)] = {"privacy": privacy}
    return found


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    few = ["federation.rounds=2", "model.hidden=[4]", "data.classes=[0,1]"]
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "set": few})
    parser.add_study_arguments(seeds=5)
    arguments = parser.parse_args()
    path, overrides = experiment_file("digits"), {**FEDERATION, **arguments.set}
    first = load_experiment(path, overrides)
    trials = [
        Trial(name, load_experiment(path, {**overrides, **settings, "seed": first.seed + k}))
        for name, settings in schemes(first.federation.rounds).items()
        for k in range(arguments.seeds)
    ]
    study = run_trials(trials, arguments.out / "runs", processes=arguments.processes, on_trial=show_trial)
    write_study(study, arguments.out)
    rows = table(study)
    write_csv(rows, arguments.out / "table.csv")
    save_figure(figure(study), arguments.out / "privacy")
    text = f"{markdown_table(rows)}\n{fill(_ABOUT.format(over=over_seeds(arguments.seeds), delta=DELTA), 120)}\n"
    write_text(arguments.out / "results.md", text)
    print(text)


_ABOUT = """\
Accuracies and losses are means of the last rounds (ten, or a quarter of a short run) {over}, tested without noise on
data of which nothing was trained. ε is what the last round's record says, the largest of the seeds, at δ = {delta:g};
σ is the noise multiplier. Differences are to the runs without privacy of the same seeds and settings.
"""


def table(study: Study) -> list[dict[str, str]]:
    """Return a row for each scheme."""
    rows = []
    for scheme in study.schemes:
        runs = study.of(scheme)
        privacy = next(iter(runs.values())).experiment.privacy
        is_private = privacy is not None and privacy.examples is not None
        spent = f"{max(run.final.epsilon or 0.0 for run in runs.values()):.4f}" if is_private else "–"
        row = {
            "Training": scheme,
            "ε spent": spent,
            "σ": f"{privacy.examples.noise_multiplier:g}" if is_private else "–",
        }
        for outcome in OUTCOMES:
            less = outcome.less(study, scheme, SAME) if scheme != SAME else None
            row[outcome.heading] = outcome.text(outcome.mean(study, scheme))
            row[outcome.heading_less(f"“{SAME}”")] = outcome.text(less, signed=True) if less else ""
        rows.append(row)
    return rows


def figure(study: Study) -> Figure:
    """Draw each scheme's accuracy, and the accuracy after each round against what is spent by then."""
    drawn = Figure(figsize=(11, 4), layout="constrained")
    left, right = drawn.subplots(1, 2)
    interval_rows(left, {s: ACCURACY.mean(study, s) for s in study.schemes}, "Accuracy (%)", reference=None)
    for name, colour in colours([private(epsilon) for epsilon in EPSILONS]).items():
        runs = list(study.of(name).values())
        rounds = np.unique(np.linspace(0, min(len(run.rounds) for run in runs) - 1, _DRAWN).astype(int))
        spent = [float(runs[0].rounds[k].epsilon or 0.0) for k in rounds]
        accuracies = [mean_interval([run.rounds[k].test_accuracy for run in runs]) for k in rounds]
        intervals_by(right, spent, accuracies, f"noise for {name}", colour)
    right.set(xlabel=f"ε spent, at δ = {DELTA:g}", ylabel="Accuracy (%)")
    right.legend(frameon=False, loc="lower right")
    drawn.suptitle(f"DP-SGD on digits 0 to 3, two clients; {spread_of(len(study.of(SAME)))}", fontsize=11)
    return drawn


if __name__ == "__main__":
    run_script(main)
