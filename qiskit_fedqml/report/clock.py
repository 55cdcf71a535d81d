"""The simulated time of runs."""

from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration


def has_clock(run: RunResult) -> bool:
    """Return whether a run's time is simulated."""
    return run.rounds[-1].clock_seconds is not None


def clock_column(seconds: float | None) -> dict[str, str]:
    """Return the column of a table in which a simulated time is."""
    return {"Simulated time": "–" if seconds is None else duration(seconds)}
