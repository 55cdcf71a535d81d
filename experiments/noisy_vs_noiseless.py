"""Federated training with and without noise, on the same data, shards, client draws and initial weights.

Trains scikit-learn's digits 0 to 3 (experiments/digits.yaml) in three ways, with three seeds each: federated without
noise, federated over the array of noisy machines of backends.yaml, and not federated. Prints the paper's table and what
noise changes in pairs of a seed, and draws the learning curves. Given again, it runs what is missing.

    python experiments/noisy_vs_noiseless.py

What noise costs by machine, shots and strength is the subject of `noise_study.py`.
"""

from pathlib import Path

from parts.command_line import BACKENDS, ScriptParser, experiment_file, run_script
from parts.progress import show_trial

from qiskit_fedqml import load_experiment
from qiskit_fedqml.report.comparison import comparison_text, write_study_files
from qiskit_fedqml.report.differences import verdict
from qiskit_fedqml.study.outcomes import ACCURACY, LOSS
from qiskit_fedqml.study.statistics import differ_by_holm
from qiskit_fedqml.study.study import Study, Trial
from qiskit_fedqml.study.trials import run_trials

NOISELESS, NOISY = "Federated, no noise", "Federated, noisy array"
NON_FEDERATED = {
    "federation.clients": 1,
    "federation.clients_per_round": 1,
    "federation.client_optimizer_state": "keep",
    "federation.rounds": 5,  # epochs over all data: 2,880 examples, as many as 20 rounds of 5 clients process
}
SCHEMES = {
    NOISELESS: {"federation.rounds": 20},
    NOISY: {"federation.rounds": 20, "backends": BACKENDS},
    "Not federated, no noise": NON_FEDERATED,
}
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
        Trial(scheme, load_experiment(path, {**changes, **arguments.set, "seed": first + k}))
        for k in range(arguments.seeds)
        for scheme, changes in SCHEMES.items()
    ]
    study = run_trials(trials, out / "runs", processes=arguments.processes, on_trial=show_trial)
    write_study_files(study, out, f"{TITLE}\n{what_noise_does(study)}")
    print(f"\n{comparison_text({scheme: tuple(study.of(scheme).values()) for scheme in study.schemes})}")
    print(what_noise_does(study))
    print(f"Learning curves: {out / 'curves.png'}, {out / 'curves.svg'}")


def what_noise_does(study: Study) -> str:
    """Return in words what noise changes in the end, in pairs of the same seed."""
    loss, accuracy = (outcome.less(study, NOISY, NOISELESS) for outcome in (LOSS, ACCURACY))
    of_loss, of_accuracy = map(verdict, (loss, accuracy), differ_by_holm([loss, accuracy]))
    return (
        f"Noise changes the testing loss by {LOSS.text(loss, signed=True)} ({of_loss}), and the accuracy by "
        f"{ACCURACY.text(accuracy, signed=True)} points ({of_accuracy})."
    )


if __name__ == "__main__":
    run_script(main)
