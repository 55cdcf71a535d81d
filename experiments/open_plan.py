"""What a month of IBM's Open Plan is enough for: recipes of at most 600 QPU seconds, and their accuracies.

All clients on one device; a fifth of them on the device and the others simulated; a model that was trained in
simulation, tested on the device; and one that is then trained for some more rounds on the device. Each final model is
tested without noise, and on the device. The devices are rehearsed. Finished runs are not run again, and one that was
begun is resumed.

    python experiments/open_plan.py --seeds 5
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
from typing import Any

from parts.command_line import EXPERIMENTS, ScriptParser, experiment_file, run_script
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.files import write_text
from qiskit_fedqml.planning.sentences import OPEN_PLAN_SECONDS
from qiskit_fedqml.results.evaluation import evaluate_model
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.statistics import in_decimals, mean_interval, over_seeds, paired_difference
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import run_trials
from qiskit_fedqml.tables import markdown_table

SIMULATED = "Trained in simulation"
TUNED = "Trained in simulation, then on the device"
ARRAYS = {"All on one device": "one_device", "A fifth on the device": "mixed_array", SIMULATED: "simulated_first"}
DEVICE = "fez"
_SMALL = "FakeGuadalupeV2"


@dataclass(frozen=True)
class Outcome:
    """What one run of a recipe ended with.

    Args:
        jobs: Jobs in all, with those of the final test on the device.
        seconds: QPU seconds of them, as planned.
        exact: Accuracy of the final model without noise.
        on_device: Its accuracy on the device.
    """

    jobs: int
    seconds: float
    exact: float
    on_device: float


def main() -> None:
    """Run what is not run yet, and write what all of it shows."""
    few = ["federation.clients=6", "federation.clients_per_round=2", "federation.rounds=2", "data.test_fraction=0.8"]
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "tuning_rounds": 1, "set": few})
    parser.add_argument("--tuning-rounds", type=int, default=5, help="rounds on the device after simulation")
    parser.add_study_arguments(seeds=5)
    arguments = parser.parse_args()
    settings = {f"backends.backends.{DEVICE}.device": _SMALL, **arguments.set} if arguments.smallest else arguments.set
    runs, processes = arguments.out / "runs", arguments.processes
    first = run_trials(
        trials_of(settings, arguments.seeds), runs, processes=processes, keep_models=True, on_trial=show_trial
    )
    tuning = tuning_trials(settings, first, runs, arguments.tuning_rounds)
    tuned = run_trials(tuning, runs, processes=processes, keep_models=True, on_trial=show_trial)
    write_results(Study({**first.runs, **tuned.runs}), runs, arguments.out)


def trials_of(settings: Mapping[str, Any], seeds: int) -> list[Trial]:
    """Return a trial of each recipe that begins without a trained model, for each seed."""
    path, folder = experiment_file("digits_on_device"), EXPERIMENTS / "open_plan"
    trials = []
    for recipe, array in ARRAYS.items():
        overrides = {"backends": folder / f"{array}.yaml", **settings}
        seed = load_experiment(path, overrides).seed
        trials += [Trial(recipe, load_experiment(path, {**overrides, "seed": seed + k})) for k in range(seeds)]
    return trials


def tuning_trials(settings: Mapping[str, Any], first: Study, runs: Path, rounds: int) -> list[Trial]:
    """Return a trial for each model that was trained in simulation, which trains it on the device."""
    path, array = experiment_file("digits_on_device"), EXPERIMENTS / "open_plan" / "one_device.yaml"
    return [
        Trial(
            TUNED,
            load_experiment(
                path,
                {
                    "backends": array,
                    **settings,
                    "seed": seed,
                    "federation.rounds": rounds,
                    "model.initial": str(Trial(SIMULATED, run.experiment).folder(runs)),
                },
            ),
        )
        for seed, run in first.of(SIMULATED).items()
    ]


def outcome_of(run: RunResult, folder: Path) -> Outcome:
    """Test the final model of a run on the device, and add up what all of it takes."""
    test = evaluate_model(folder, BackendRegistry(run.experiment.backends, Path())[DEVICE])
    sent = RunFolder(folder).submissions()
    planned = [s.planned_seconds for s in sent] + [receipt.planned_seconds for receipt in test.usage.receipts]
    seconds = sum(value for value in planned if value is not None)
    return Outcome(len(sent) + test.usage.jobs, seconds, run.rounds[-1].test_accuracy, test.accuracy)


def write_results(study: Study, runs: Path, out: Path) -> None:
    """Write and print the table."""
    write_study(study, out)
    outcomes = {
        recipe: {
            seed: outcome_of(run, Trial(recipe, run.experiment).folder(runs)) for seed, run in study.of(recipe).items()
        }
        for recipe in study.schemes
    }
    rows = [row(recipe, of, outcomes[SIMULATED]) for recipe, of in outcomes.items()]
    write_csv(rows, out / "table.csv")
    device = study.runs[next(iter(study.runs))].experiment.resolved()["backends"]["backends"][DEVICE]["device"]
    about = _ABOUT.format(over=over_seeds(len(outcomes[SIMULATED])), device=device)
    text = f"{markdown_table(rows)}\n{fill(about, 120)}\n"
    write_text(out / "results.md", text)
    print(text)


def row(recipe: str, of: Mapping[int, Outcome], simulated: Mapping[int, Outcome]) -> dict[str, str]:
    """Return a recipe's row of the table."""
    seconds = _mean(outcome.seconds for outcome in of.values())
    less = paired_difference({s: o.exact for s, o in of.items()}, {s: o.exact for s, o in simulated.items()})
    return {
        "Recipe": recipe,
        "Jobs": f"{_mean(outcome.jobs for outcome in of.values()):.0f}",
        "QPU seconds": f"{seconds:.0f}",
        "Of a month": f"{seconds / OPEN_PLAN_SECONDS:.1%}",
        "Accuracy (%)": in_decimals(mean_interval(o.exact for o in of.values()), 2, scale=100.0),
        "less simulated (points)": "" if recipe == SIMULATED else in_decimals(less, 2, scale=100.0, signed=True),
        "Accuracy on the device (%)": in_decimals(mean_interval(o.on_device for o in of.values()), 2, scale=100.0),
    }


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found)


_ABOUT = """\
Digits 0 to 3, rehearsed on {device}. Accuracies are of the final model, means {over}:
without noise on an ideal simulator, and on the device, whose test is one job and counts in jobs and
seconds. Seconds are those of the plan; a month of the Open Plan has 600.
"""


if __name__ == "__main__":
    run_script(main)
