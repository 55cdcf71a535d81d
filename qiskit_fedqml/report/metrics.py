"""What `evaluation.metrics` asked for, as tables and curves show it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qiskit_fedqml.config.evaluation import METRICS, Metric, label_of, name_of
from qiskit_fedqml.report.cells import metric_cell
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.results.result import RunResult


@dataclass(frozen=True)
class ShownMetric:
    """A metric of some runs.

    Args:
        key: What distinguishes it from others: a built-in name, or a function with its arguments.
        name: Its name in records.
        heading: What tables and figures call it.
    """

    key: str
    name: str
    heading: str

    @property
    def limits(self) -> tuple[float, float]:
        """What its values can be."""
        return (0.0, 1.0) if self.key in METRICS else (float("-inf"), float("inf"))

    def is_in(self, run: RunResult) -> bool:
        """Return whether a run was asked for it; another function of the same name is another metric."""
        return any(_key(metric) == self.key for metric in run.experiment.evaluation.metrics)

    def value(self, record: RoundRecord, backend: str | None = None) -> float | None:
        """Return its value after a round of a run that has it, on a further backend or on the server's.

        Args:
            record: The round.
            backend: The further backend, or None.

        Returns:
            The value; None where it is undefined.
        """
        return (record.metrics if backend is None else record.evaluations[backend]).get(self.name)


def shown_metrics(runs: Iterable[RunResult]) -> list[ShownMetric]:
    """Return the metrics that some runs were asked for, in the order in which their configurations name them."""
    names = {_key(metric): name_of(metric) for run in runs for metric in run.experiment.evaluation.shown_metrics}
    headings = [f"Testing {label_of(name)}" for name in names.values()]
    return [
        ShownMetric(key, name, heading if headings.count(heading) == 1 else f"Testing {key}")
        for (key, name), heading in zip(names.items(), headings, strict=True)
    ]


def metric_columns(
    metrics: Sequence[ShownMetric], of: Sequence[RunResult], records: Sequence[RoundRecord], backend: str | None = None
) -> dict[str, str]:
    """Return metrics as columns of a table.

    Args:
        metrics: The columns.
        of: A run, or runs that differ in the seed.
        records: A round of each.
        backend: A further backend on which they were tested, or None for the server's.

    Returns:
        A cell for each; "–" where the runs do not have it, or where it is undefined.
    """
    return {
        metric.heading: metric_cell(
            [metric.value(record, backend) for record in records] if metric.is_in(of[0]) else []
        )
        for metric in metrics
    }


def _key(metric: Metric) -> str:
    if isinstance(metric, str):
        return metric
    arguments = ", ".join(f"{name}={value!r}" for name, value in metric.arguments.items())
    return f"{metric.python}({arguments})" if arguments else metric.python
