"""Federated training with and without noise, on the same data, shards, client draws and initial weights.

Trains scikit-learn's digits 0 to 3 (experiments/digits.yaml) in three ways, with three seeds each: federated without
noise, federated over the array of noisy machines of backends.yaml, and not federated. Prints the paper's table and what
noise changes in pairs of a seed, and draws the learning curves. Given again, it runs what is missing.

    python experiments/noisy_vs_noiseless.py

What noise costs by machine, shots and strength is the subject of `noise_study.py`.
"""

from pathlib import Path
from textwrap import fill

from parts.command_line import BACKENDS, ScriptParser, experiment_file, run_script
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.report.comparison import comparison_text, write_study_files
from qiskit_fedqml.report.differences import verdict
from qiskit_fedqml.study.outcomes import ACCURACY, LOSS, TRAINING_LOSS, last_rounds_in_words
from qiskit_fedqml.study.statistics import differ_by_holm
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.trials import run_trials

NOISELESS, NOISY = "Federated, no noise", "Federated, noisy array"
NON_FEDERATED = {
    "federation.clients": 1,
    "federation.clients_per_round": 1,
    "federation.client_optimizer_state": "keep",
    "federation.rounds": 5,  # epochs over all data: as many examples as 20 rounds of 5 clients process
    "federation.learning_rate": 0.01,  # with 0.02 a seed may never learn one of the classes
}
SCHEMES = {
    NOISELESS: {},
    NOISY: {"backends": BACKENDS},
    "Not federated, no noise": NON_FEDERATED,
}
EQUAL = {"federation.rounds": 20, "model.hidden": [32]}
TITLE = "Digits 0 to 3: federated training with and without noise"


def main() -> None:
    """Run what is not run yet, then print and write what all of it shows."""
    parser = ScriptParser(__file__, __doc__, smallest={"seeds": 2, "set": ["federation.rounds=2"]})
    parser.add_study_arguments(seeds=3, processes=2)
    arguments = parser.parse_args()
    out: Path = arguments.out
    path = experiment_file("digits")
    first = load_experiment(path).seed
    trials = [
        Trial(scheme, load_experiment(path, {**EQUAL, **changes, **arguments.set, "seed": first + k}))
        for k in range(arguments.seeds)
        for scheme, changes in SCHEMES.items()
    ]
    study = run_trials(trials, out / "runs", processes=arguments.processes, on_trial=show_trial)
    write_study_files(study, out, TITLE, what_noise_does(study))
    print(f"\n{comparison_text({scheme: tuple(study.of(scheme).values()) for scheme in study.schemes})}")
    print(fill(what_noise_does(study), 120))
    print(f"Learning curves: {out / 'curves.png'}, {out / 'curves.svg'}")


def what_noise_does(study: Study) -> str:
    """Return in words what noise changes in the end, in pairs of the same seed."""
    rounds = last_rounds_in_words(study.lengths_of(NOISY, NOISELESS))
    found = [outcome.less(study, NOISY, NOISELESS) for outcome in (TRAINING_LOSS, LOSS, ACCURACY)]
    training, loss, accuracy = map(verdict, found, differ_by_holm(found))
    return (
        f"In the mean of the {rounds}, noise changes the training loss, which clients measure on their own machines, "
        f"by {TRAINING_LOSS.text(found[0], signed=True)} ({training}). Of the trained model, tested without noise, it "
        f"changes the loss by {LOSS.text(found[1], signed=True)} ({loss}) and the accuracy by "
        f"{ACCURACY.text(found[2], signed=True)} points ({accuracy})."
    )


if __name__ == "__main__":
    run_script(main)
