"""The machines of a simulated clock: their queues, and how much they worked."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from qiskit_fedqml.report.bars import simulated_bars
from qiskit_fedqml.report.clock import has_clock
from qiskit_fedqml.report.staleness import is_stale, staleness_column
from qiskit_fedqml.report.work import Bar
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration

Row = dict[str, str]


def queue_rows(runs: Mapping[str, RunResult]) -> list[Row]:
    """Return a row for each machine of each run whose time is simulated."""
    rows, any_stale = [], any(map(is_stale, runs.values()))
    for name, run in runs.items():
        work = simulated_bars(run) if has_clock(run) else []
        for machine in sorted({bar.lane for bar in work}):
            of_machine = [bar for bar in work if bar.lane == machine]
            stale = staleness_column(bar.staleness for bar in of_machine) if any_stale else {}
            rows.append({"Run": name, "Machine": machine, **_times(run, of_machine), **stale})
    return rows


def _times(run: RunResult, work: Sequence[Bar]) -> Row:
    waits, seconds = [bar.waited_seconds for bar in work], sum(bar.seconds for bar in work)
    return {
        "Tasks": f"{len(work):,}",
        "Mean wait": duration(fmean(waits)),
        "Longest wait": duration(max(waits)),
        "Work": duration(seconds),
        "Busy": f"{seconds / (run.rounds[-1].clock_seconds or 1.0):.1%}",
    }
