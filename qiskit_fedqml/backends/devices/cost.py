"""What a job costs on a device, before it is sent.

IBM charges about two seconds a job and, for each execution, the circuit's length and the repetition delay between two
executions: usage ≈ 2 s + (repetition delay + circuit length) · executions (IBM Quantum documentation, "Estimate job run
time"). An execution is one shot of one bound circuit in one measurement basis. Other providers charge for executions
and tasks; their QPU seconds are known only where a device states how long its gates take.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import Target

from qiskit_fedqml.config.devices import DeviceEntry, IBMEntry, ProviderEntry
from qiskit_fedqml.errors import BackendError

SECONDS_PER_JOB = 2.0
"""QPU seconds of a job in addition to its executions."""
DEFAULT_REP_DELAY_SECONDS = 250e-6
"""Repetition delay of a device that does not state its own; that of Heron processors."""
ROUNDING_SECONDS = 1e-6
"""QPU seconds by which no limit is passed: the same jobs, added up in another order, may differ by less."""
MOST_JOBS_PER_MINUTE = 5
"""Jobs a minute that the service accepts from one account (IBM Quantum REST API, "Run a job")."""

_WITHOUT_DURATION = frozenset({"delay", "barrier", "reset"})


@dataclass(frozen=True)
class JobCost:
    """What a job is expected to cost.

    Args:
        circuits: Bound circuits, once for each measurement basis, randomisations included.
        executions: Their shots.
        seconds: QPU seconds; None where the device states no durations.
    """

    circuits: int
    executions: int
    seconds: float | None


@dataclass(frozen=True)
class Timing:
    """How long one execution takes on a device.

    Args:
        circuit_seconds: From the first gate to the end of the measurement; None where the device states no durations.
        rep_delay_seconds: Between two executions.
        seconds_per_job: In addition to a job's executions.
    """

    circuit_seconds: float | None
    rep_delay_seconds: float
    seconds_per_job: float = SECONDS_PER_JOB

    def cost(self, circuits: int, executions: int) -> JobCost:
        """Return the cost of one job."""
        if self.circuit_seconds is None:
            return JobCost(circuits, executions, None)
        each = self.circuit_seconds + self.rep_delay_seconds
        return JobCost(circuits, executions, self.seconds_per_job + each * executions)


def price(entry: DeviceEntry, circuits: int, executions: int, seconds: float | None) -> float | None:
    """Return what one job costs in US$, or None if its entry states no price.

    Args:
        entry: The backend's entry.
        circuits: Bound circuits of the job.
        executions: Their shots.
        seconds: QPU seconds; None counts as none.
    """
    prices = [] if entry.price_per_minute is None else [entry.price_per_minute / 60 * (seconds or 0.0)]
    if isinstance(entry, ProviderEntry) and entry.price_per_shot is not None:
        prices.append(entry.price_per_shot * executions)
    if isinstance(entry, ProviderEntry) and entry.price_per_task is not None:
        prices.append(entry.price_per_task * math.ceil(circuits / entry.circuits_per_task))
    return sum(prices) if prices else None


def rep_delay_seconds(entry: DeviceEntry, device: Any) -> float:
    """Return the time between two executions on a device: what the entry asks for, or the device's own.

    Raises:
        BackendError: What is asked for is not in the device's range, or the device lets nobody choose.
    """
    if isinstance(entry, ProviderEntry):
        return entry.rep_delay_seconds
    assert isinstance(entry, IBMEntry)
    configuration = device.configuration()
    asked, key = entry.rep_delay_seconds, "rep_delay_seconds"
    if asked is None:
        asked, key = entry.execution_options.get("rep_delay"), "options.execution.rep_delay"
    if asked is None:
        own = getattr(configuration, "default_rep_delay", None)
        return DEFAULT_REP_DELAY_SECONDS if own is None else float(own)
    if getattr(configuration, "dynamic_reprate_enabled", None) is False:
        raise BackendError(f"{key} cannot be used on {device.name}, which does not let the repetition delay be chosen.")
    least, most = getattr(configuration, "rep_delay_range", None) or (0.0, float("inf"))
    if not least <= asked <= most:
        raise BackendError(f"{key} must be from {least:g} to {most:g} s on {device.name}, but is {asked:g} s.")
    return float(asked)


def circuit_seconds(circuit: QuantumCircuit, measured: Iterable[int], target: Target) -> float:
    """Return the length of a transpiled circuit with its measurement, in seconds.

    Args:
        circuit: The circuit in the device's gates.
        measured: The qubits that are measured at its end.
        target: The device, with its gates' durations.

    Raises:
        BackendError: The device states no duration of one of the gates.
    """
    qubits = list(measured)
    timed = QuantumCircuit(circuit.num_qubits, len(qubits))
    timed.compose(circuit, inplace=True)
    timed.barrier()
    timed.measure(qubits, range(len(qubits)))
    try:
        return float(timed.estimate_duration(target, unit="s"))
    except QiskitError as error:
        raise BackendError(f"The circuit's length cannot be estimated: {error.message}") from error


def unstated_durations(target: Target) -> list[str]:
    """Return of what a target states no duration, so that QPU seconds may not be known."""
    return [name for name in target.operation_names if _lacks_duration(target, name)]


def _lacks_duration(target: Target, name: str) -> bool:
    if name in _WITHOUT_DURATION or isinstance(target.operation_from_name(name), type):  # a type: control flow
        return False
    properties = target[name].values()
    return not properties or any(p is None or p.duration is None for p in properties)
