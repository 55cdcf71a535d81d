"""The paper's table of runs."""

from collections.abc import Sequence

from qiskit_fedqml.report.cells import NOTHING, loss_cell, mean_of, percent_cell
from qiskit_fedqml.report.clock import clock_column, has_clock
from qiskit_fedqml.report.epsilon import is_private, privacy_column
from qiskit_fedqml.report.groups import Runs, seeds_of
from qiskit_fedqml.report.metrics import ShownMetric, metric_columns, shown_metrics
from qiskit_fedqml.report.naming import machine_name
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.study.outcomes import last_rounds_in_words, num_last_rounds
from qiskit_fedqml.tables import duration, gibibytes

_LONG = 8
"""Fewest rounds of a run of which a mean of the last rounds is given: of fewer it would be that of one round."""

Seeds = Sequence[RunResult]
"""A run, or runs that differ in the seed."""


def table_rows(runs: Runs) -> list[dict[str, str]]:
    """Return the paper's table (Tables II and III): losses and accuracy of each scheme after its last round.

    Args:
        runs: Runs with at least one round, or several seeds of each, by the name of their scheme.

    Returns:
        A row for each scheme and, where a run was tested on further backends, for each of these: losses and accuracy of
        the last round, and the best accuracy; where a run has 8 rounds, its mean accuracy over the last ones (single
        rounds swing); the metrics that runs were asked for; where runs had a tuning set, loss and accuracy there; where
        privacy is counted, the ε of all rounds; where time is simulated, how much of it the run took; where devices
        were used, the QPU time that was charged, or else planned. Of several seeds, figures are means with 95%
        intervals, or with the range of two; times are means, and memory and ε are the most of any.
    """
    schemes = seeds_of(runs)
    every = [run for of in schemes.values() for run in of]
    any_validation, any_clock = has_validation(runs), any(map(has_clock, every))
    long = [len(run.rounds) for run in every if len(run.rounds) >= _LONG]
    settled = f"Mean of {last_rounds_in_words(long)}" if long else ""
    any_device = any(record.planned_seconds for run in every for record in run.rounds)
    any_private = any(map(is_private, every))
    any_seeds, metrics = len(every) > len(schemes), shown_metrics(every)
    rows = []
    for name, of in schemes.items():
        last = [run.final for run in of]
        rows.append(
            {
                "Scheme": name,
                **({"Seeds": str(len(of))} if any_seeds else {}),
                "Tested on": machine_name(of[0], of[0].experiment.backends.assignment.server),
                "Training loss": loss_cell([record.train_loss for record in last]),
                **_test_columns(
                    [record.test_loss for record in last],
                    [[record.test_accuracy for record in run.rounds] for run in of],
                    settled=settled,
                ),
                **metric_columns(metrics, of, last),
                **validation_columns(last, any_validation=any_validation),
                **(privacy_column(of, [run.rounds[-1] for run in of]) if any_private else {}),
                **(clock_column(mean_clock(last)) if any_clock else {}),
                "Rounds took": duration(mean_of([sum(record.seconds for record in run.rounds) for run in of])),
                "Memory": gibibytes(max(record.peak_memory_bytes or 0 for run in of for record in run.rounds)),
                **({"QPU time": _qpu_time(of)} if any_device else {}),
            }
        )
        further = _further_rows(name, of, metrics, settled=settled)
        rows += [dict.fromkeys(rows[-1], "") | row for row in further]
    return rows


def _further_rows(name: str, of: Seeds, metrics: Sequence[ShownMetric], *, settled: str) -> list[dict[str, str]]:
    """Return a row for each further backend on which a scheme was tested."""
    return [
        {
            "Scheme": name,
            "Tested on": backend,
            **_test_columns(
                [run.final.evaluations[backend]["test_loss"] for run in of],
                [[record.evaluations[backend]["test_accuracy"] for record in run.rounds] for run in of],
                settled=settled,
            ),
            **metric_columns(metrics, of, [run.final for run in of], backend),
        }
        for backend in of[0].final.evaluations
    ]


def has_validation(runs: Runs) -> bool:
    """Return whether a run was tested on a tuning set."""
    every = [run for of in seeds_of(runs).values() for run in of]
    return any(record.validation_loss is not None for run in every for record in run.rounds)


def validation_columns(records: Sequence[RoundRecord], *, any_validation: bool) -> dict[str, str]:
    """Return loss and accuracy on the tuning set, of a round of each seed; nothing where no run has one."""
    if not any_validation:
        return {}
    return {
        "Validation loss": loss_cell([record.validation_loss for record in records]),
        "Validation accuracy": percent_cell([record.validation_accuracy for record in records]),
    }


def mean_clock(records: Sequence[RoundRecord]) -> float | None:
    """Return the mean simulated time of rounds; None where it is not simulated."""
    known = [record.clock_seconds for record in records if record.clock_seconds is not None]
    return mean_of(known) if known else None


def _qpu_time(of: Seeds) -> str:
    """Return the QPU time that was charged, or else planned, of a run; "–" without a device."""
    planned = sum(record.planned_seconds for run in of for record in run.rounds)
    charged = [record.qpu_seconds for run in of for record in run.rounds if record.planned_seconds]
    known = [seconds for seconds in charged if seconds is not None]
    if not planned:
        return NOTHING
    return duration(sum(known) / len(of)) if len(known) == len(charged) else f"{duration(planned / len(of))} planned"


def _test_columns(losses: Sequence[float], accuracies: Sequence[Sequence[float]], *, settled: str) -> dict[str, str]:
    is_long = all(len(of_run) >= _LONG for of_run in accuracies)
    return {
        "Testing loss": loss_cell(losses),
        "Testing accuracy": percent_cell([of_run[-1] for of_run in accuracies]),
        **(
            {
                settled: percent_cell([mean_of(a[-num_last_rounds(len(a)) :]) for a in accuracies])
                if is_long
                else NOTHING
            }
            if settled
            else {}
        ),
        "Best": percent_cell([max(of_run) for of_run in accuracies]),
    }
