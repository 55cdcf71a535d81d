"""What a study prints while it runs."""

from qiskit_fedqml import RunResult
from qiskit_fedqml.study.outcomes import settled_accuracy
from qiskit_fedqml.study.study import Trial
from qiskit_fedqml.tables import duration


def show_trial(trial: Trial, run: RunResult, done: int, total: int) -> None:
    """Print that a trial is finished: its accuracy, which is the mean of its last rounds, and its time."""
    seconds = sum(record.seconds for record in run.rounds)
    accuracy = f"{settled_accuracy(run):.2%} in {duration(seconds)}"
    print(f"{done}/{total} {trial.scheme}, seed {trial.seed}: {accuracy}", flush=True)
