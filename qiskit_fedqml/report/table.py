"""The paper's table of runs."""

from collections.abc import Mapping, Sequence

from qiskit_fedqml.report.clock import clock_column, has_clock
from qiskit_fedqml.report.naming import machine_name
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration, gibibytes

_LONG = 20
"""Fewest rounds of a run of which a mean of the last ten is given; of fewer it would include the start."""


def table_rows(runs: Mapping[str, RunResult]) -> list[dict[str, str]]:
    """Return the paper's table (Tables II and III): losses and accuracy of each scheme after its last round.

    Args:
        runs: Runs with at least one round, by the name of their scheme.

    Returns:
        A row for each scheme and, where a run was tested on further backends, for each of these: losses and accuracy of
        the last round, and the best accuracy; where a run has 20 rounds, the mean accuracy of the last ten too (single
        rounds swing); where runs had a tuning set, loss and accuracy there; where time is simulated, how much of it the
        run took; where devices were used, the QPU time that was charged, or else planned.
    """
    rows = []
    any_validation = has_validation(runs)
    any_long = any(len(run.rounds) >= _LONG for run in runs.values())
    any_clock = any(map(has_clock, runs.values()))
    any_device = any(record.planned_seconds for run in runs.values() for record in run.rounds)
    for name, run in runs.items():
        last, peaks = run.rounds[-1], [record.peak_memory_bytes or 0 for record in run.rounds]
        exact = [record.test_accuracy for record in run.rounds]
        rows.append(
            {
                "Scheme": name,
                "Tested on": machine_name(run, run.experiment.backends.assignment.server),
                "Training loss": "–" if last.train_loss is None else f"{last.train_loss:.4f}",
                **_test_columns(last.test_loss, exact, any_long=any_long),
                **validation_columns(last, any_validation=any_validation),
                **(clock_column(last.clock_seconds) if any_clock else {}),
                "Time": duration(sum(record.seconds for record in run.rounds)),
                "Memory": gibibytes(max(peaks)),
                **({"QPU time": _qpu_time(run)} if any_device else {}),
            }
        )
        for backend, figures in last.evaluations.items():
            further = [record.evaluations[backend]["test_accuracy"] for record in run.rounds]
            columns = _test_columns(figures["test_loss"], further, any_long=any_long)
            blank = dict.fromkeys(rows[-1], "")
            rows.append(blank | {"Scheme": name, "Tested on": backend, **columns})
    return rows


def has_validation(runs: Mapping[str, RunResult]) -> bool:
    """Return whether a run was tested on a tuning set."""
    return any(record.validation_loss is not None for run in runs.values() for record in run.rounds)


def validation_columns(record: RoundRecord, *, any_validation: bool) -> dict[str, str]:
    """Return loss and accuracy on the tuning set; nothing where no run has one."""
    if not any_validation:
        return {}
    loss, accuracy = record.validation_loss, record.validation_accuracy
    return {
        "Validation loss": "–" if loss is None else f"{loss:.4f}",
        "Validation accuracy": "–" if accuracy is None else f"{accuracy:.2%}",
    }


def _qpu_time(run: RunResult) -> str:
    """Return the QPU time that was charged, or else planned; "–" without a device."""
    planned = sum(record.planned_seconds for record in run.rounds)
    charged = [record.qpu_seconds for record in run.rounds if record.planned_seconds]
    known = [seconds for seconds in charged if seconds is not None]
    if not planned:
        return "–"
    return duration(sum(known)) if len(known) == len(charged) else f"{duration(planned)} planned"


def _test_columns(loss: float, accuracies: Sequence[float], *, any_long: bool) -> dict[str, str]:
    last_ten = accuracies[-10:]
    mean = f"{sum(last_ten) / len(last_ten):.2%}" if len(accuracies) >= _LONG else "–"
    return {
        "Testing loss": f"{loss:.4f}",
        "Testing accuracy": f"{accuracies[-1]:.2%}",
        **({"Mean of last ten": mean} if any_long else {}),
        "Best": f"{max(accuracies):.2%}",
    }
