"""How far runs are, which curves are drawn against: in server steps, in examples processed, or in time."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import accumulate

from matplotlib.axes import Axes

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.errors import listed
from qiskit_fedqml.report.clock import has_clock
from qiskit_fedqml.report.drawing import count_rounds
from qiskit_fedqml.report.naming import steps_word
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import time_unit


class Progress(StrEnum):
    """What is counted."""

    STEPS = "server steps"
    EXAMPLES = "examples processed"
    SIMULATED_TIME = "simulated time"
    REAL_TIME = "time"

    def of(self, run: RunResult) -> list[float]:
        """Return how far a run was after each of its rounds, times in seconds; nothing where it has no such time.

        The time of a run is either simulated or real.
        """
        match self:
            case Progress.STEPS:
                return [record.round for record in run.rounds]
            case Progress.EXAMPLES:
                return list(accumulate(float(record.examples) for record in run.rounds))
            case Progress.SIMULATED_TIME:
                return [record.clock_seconds for record in run.rounds if record.clock_seconds is not None]
            case Progress.REAL_TIME:
                return [] if has_clock(run) else list(accumulate(record.seconds for record in run.rounds))

    def words(self, runs: Mapping[str, RunResult]) -> str:
        """Return what is counted of runs, as in ``"Testing loss by round"``."""
        return steps_word(runs) if self is Progress.STEPS else str(self)

    @property
    def is_time(self) -> bool:
        """Whether it is a time, in seconds."""
        return self in (Progress.SIMULATED_TIME, Progress.REAL_TIME)

    def note(self, runs: Mapping[str, RunResult]) -> str:
        """Return in words which runs don't have it; nothing where all have."""
        missing = [name for name, run in runs.items() if not self.of(run)]
        other = "Without simulated time" if self is Progress.SIMULATED_TIME else "In simulated time"
        return f"{other}, so not shown: {listed(missing, 3)}." if missing else ""

    def label(self, axis: Axes, runs: Mapping[str, RunResult]) -> float:
        """Label a horizontal axis on which runs are to be drawn; return its unit, of which times are in seconds."""
        if self is Progress.STEPS:
            count_rounds(axis, steps_word(runs).capitalize())
            return 1.0
        if self is Progress.EXAMPLES:
            axis.set_xlabel("Examples processed")
            axis.xaxis.set_major_formatter("{x:,.0f}")
            return 1.0
        unit, scale = time_unit(max(max(self.of(run), default=0.0) for run in runs.values()))
        what = "Simulated time" if self is Progress.SIMULATED_TIME else "Time since the start"
        axis.set_xlabel(f"{what} ({unit})")
        return scale


def times_of(runs: Mapping[str, RunResult]) -> list[Progress]:
    """Return the times that curves of runs are worth to be drawn against.

    That is simulated time, where a run has it, and real time where the server of one did not wait for all clients.
    """
    timed, real = [run for run in runs.values() if has_clock(run)], [run for run in runs.values() if not has_clock(run)]
    is_buffered = any(isinstance(run.experiment.federation.algorithm, Buffered) for run in real)
    return [*([Progress.SIMULATED_TIME] if timed else []), *([Progress.REAL_TIME] if is_buffered else [])]
