"""What runs cost: time, memory, circuits, bytes, and jobs on devices."""

from collections.abc import Mapping, Sequence

from qiskit_fedqml.backends.devices.cost import price as price_of
from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.config.backends import BackendEntry
from qiskit_fedqml.config.devices import DeviceEntry, ProviderEntry
from qiskit_fedqml.report.clock import clock_column, has_clock
from qiskit_fedqml.report.naming import steps_word
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration, gibibytes

Row = dict[str, str]


def cost_rows(runs: Mapping[str, RunResult]) -> list[Row]:
    """Return a row for each run: all its rounds together.

    Args:
        runs: Runs with at least one round, by name.
    """
    any_clock, steps = any(map(has_clock, runs.values())), steps_word(runs, "s").capitalize()
    return [
        {
            "Run": name,
            steps: str(len(run.rounds)),
            **(clock_column(run.rounds[-1].clock_seconds) if any_clock else {}),
            "Time": duration(sum(record.seconds for record in run.rounds)),
            "of it tests": duration(sum(record.evaluation_seconds for record in run.rounds)),
            "Peak memory": gibibytes(max(record.peak_memory_bytes or 0 for record in run.rounds)),
            "Examples": f"{sum(record.examples for record in run.rounds):,}",
            "Clients' circuits": f"{sum(record.circuits for record in run.rounds):,}",
            "Clients' executions": f"{sum(record.executions for record in run.rounds):,}",
            "Clients sent": _bytes(sum(record.bytes_up for record in run.rounds)),
            "Clients received": _bytes(sum(record.bytes_down for record in run.rounds)),
        }
        for name, run in runs.items()
    ]


def device_rows(name: str, run: RunResult, submissions: Sequence[Submission]) -> list[Row]:
    """Return a row for each device that a run sent jobs to: QPU time planned and reported, and money.

    Args:
        name: The run's name.
        run: The run.
        submissions: Its journal.
    """
    rows = []
    accepted = [s for s in submissions if s.job_id is not None]
    for backend in dict.fromkeys(s.backend for s in accepted):
        sent = [s for s in accepted if s.backend == backend]
        reported = [s.reported_seconds for s in sent if s.reported_seconds is not None]
        entry = run.experiment.backends.backends.get(backend)
        rows.append(
            {
                "Run": name,
                "Machine": backend,
                "Device": ", ".join(dict.fromkeys(s.device for s in sent)),
                "Jobs": f"{len(sent):,}",
                "Circuits": f"{sum(s.circuits for s in sent):,}",
                "Executions": f"{sum(s.executions for s in sent):,}",
                "QPU time planned": _planned(sent),
                "QPU time reported": _reported(reported, len(sent)),
                "Price": _price(entry, sent),
            }
        )
    return rows


def _reported(seconds: Sequence[float], num_jobs: int) -> str:
    """Return the QPU time that the service reported, and of how many jobs where it did not of all."""
    if not seconds:
        return "–"
    of_jobs = "" if len(seconds) == num_jobs else f" of {len(seconds):,} of {num_jobs:,} jobs"
    return f"{duration(sum(seconds))}{of_jobs}"


def _planned(sent: Sequence[Submission]) -> str:
    """Return the QPU time that was planned; a dash where the device states no durations."""
    known = [s.planned_seconds for s in sent if s.planned_seconds is not None]
    return duration(sum(known)) if known else "–"


def _price(entry: BackendEntry | None, sent: Sequence[Submission]) -> str:
    """Return what jobs cost: as reported where the service did so, else as planned."""
    if not isinstance(entry, DeviceEntry):
        return "–"
    prices = [price_of(entry, s.circuits, s.executions, s.charged_seconds) for s in sent]
    known = [one for one in prices if one is not None]
    if not known:
        return "–"
    price = f"US$ {sum(known):,.2f}"
    if isinstance(entry, ProviderEntry):
        return f"{price} by its prices"
    if all(s.account is None for s in sent):
        return f"{price} if sent"
    is_known = all(s.reported_seconds is not None and not s.has_uncertain_duplicates for s in sent)
    return price if is_known else f"{price}, in part planned"


def _bytes(count: float) -> str:
    if not count:
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B"
