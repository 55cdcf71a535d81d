"""The array of machines: what each one is, and its share of the work."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.backends import AerEntry, BackendEntry, CalibrationFile, StatedNoise
from qiskit_fedqml.config.devices import IBMEntry, ProviderEntry
from qiskit_fedqml.config.own_machines import OwnEntry
from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.report.calibrations import Calibration, compiled
from qiskit_fedqml.report.shares import shares_by
from qiskit_fedqml.results.records import ClientRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration

Row = dict[str, str]


@dataclass(frozen=True)
class StatedRates:
    """The error rates of a machine whose noise is stated by rates, times its factor.

    Args:
        title: The machine, with the run's name where runs differ in it.
        machine: The machine.
        rows: A row for each rate.
    """

    title: str
    machine: str
    rows: list[Row]


def machine_rows(name: str, run: RunResult, calibrations: Mapping[str, Calibration]) -> list[Row]:
    """Return a row for each machine of a run.

    Args:
        name: The run's name.
        run: The run.
        calibrations: The run's, by machine.
    """
    if not run.experiment.model.has_circuit:
        return []
    registry = BackendRegistry(run.experiment.backends, Path())
    assigned = registry.assign(run.experiment.federation.clients)
    work = [client for record in run.rounds for client in record.clients]
    total = sum(client.seconds for client in work)
    shares = shares_by(run, lambda client: client.backend)
    rows = []
    for machine, entry in run.experiment.backends.backends.items():
        done = [client for client in work if client.backend == machine]
        calibration = calibrations.get(machine)
        rows.append(
            {
                "Run": name,
                "Machine": machine,
                "Made of": _made_of(entry, calibration),
                "Calibrated": calibration.date[:10] if calibration and calibration.date else "–",
                "Shots": _shots(entry),
                "Success": _success(run, registry, machine, done, calibration),
                "Clients": str(assigned.count(machine)),
                **_work(done, total, run.experiment.federation.local_epochs),
                "Share of average": shares.get(machine, "–"),
            }
        )
    return rows


def _shots(entry: BackendEntry) -> str:
    tests = f" (tests: {entry.test_shots:,})" if entry.test_shots is not None else ""
    if entry.shots is None and isinstance(entry, OwnEntry):
        return "its own"
    return "exact" if entry.shots is None else f"{entry.shots:,}{tests}"


def rate_tables(runs: Mapping[str, RunResult]) -> list[StatedRates]:
    """Return the rates of each machine whose noise is stated by rates; differing ones by run."""
    tables: dict[str, StatedRates] = {}
    for name, run in runs.items():
        if not run.experiment.model.has_circuit:
            continue
        for machine, entry in run.experiment.backends.backends.items():
            if isinstance(entry, AerEntry) and isinstance(entry.noise, StatedNoise):
                rows = _rates(entry.noise, entry.noise_factor)
                is_new = machine in tables and tables[machine].rows != rows
                title = f"{machine} ({name})" if is_new else machine
                tables[title] = StatedRates(title, machine, rows)
    return list(tables.values())


def _rates(noise: StatedNoise, factor: float) -> list[Row]:
    named = {
        "Depolarising, one qubit": noise.depolarizing.one_qubit,
        "Depolarising, two qubits": noise.depolarizing.two_qubit,
        "Amplitude damping, one qubit": noise.amplitude_damping.one_qubit,
        "Amplitude damping, two qubits": noise.amplitude_damping.two_qubit,
        "Reads 1 for 0": noise.readout.read_1_if_0,
        "Reads 0 for 1": noise.readout.read_0_if_1,
    }
    return [{"Error": name, "Rate": f"{rate * factor:.3%}"} for name, rate in named.items()]


def _made_of(entry: BackendEntry, calibration: Calibration | None) -> str:
    if isinstance(entry, IBMEntry):
        device = calibration.device if calibration else entry.device
        found = device if isinstance(device, str) else "least busy device"
        return f"{'rehearsal of' if entry.is_rehearsal else 'IBM Quantum,'} {found}"
    if isinstance(entry, ProviderEntry | OwnEntry):
        return entry.made_of
    if entry.noise is None:
        return "simulated, no noise"
    times = "" if entry.noise_factor == 1.0 else f", error rates × {entry.noise_factor:g}"
    if isinstance(entry.noise, str):
        return f"simulated, {entry.noise}{times}"
    if isinstance(entry.noise, CalibrationFile):
        return f"simulated, {calibration.device if calibration else f'saved calibration{times}'}"
    return f"simulated, stated rates{times}"


def _success(
    run: RunResult,
    registry: BackendRegistry,
    machine: str,
    done: list[ClientRecord],
    calibration: Calibration | None,
) -> str:
    """Return the success probability that clients recorded last, or else what it would have been for one."""
    recorded = [client.success_probability for client in done if client.success_probability is not None]
    if recorded:
        return f"{recorded[-1]:.1%}"
    if isinstance(registry.file.backends[machine], OwnEntry):
        return "–"
    if registry.is_queued(machine):
        estimate = calibration.figures.get("success_probability") if calibration else None
        return "–" if estimate is None else f"{estimate:.1%}"
    try:
        backend = registry[machine]
        assert isinstance(backend, AerBackend)
        return f"{backend.success_probability(compiled(run, backend)):.1%}"
    except FedQMLError:  # the report shows what there is
        return "–"


def _work(done: list[ClientRecord], total_seconds: float, local_epochs: int) -> Row:
    trained = [client for client in done if client.status in (Status.OK, Status.REFUSED)]
    seconds = sum(client.seconds for client in done)
    return {
        "Trainings": f"{len(trained):,}",
        "Examples": f"{sum(client.examples for client in trained) * local_epochs:,}",
        "Time": duration(seconds) if done else "–",
        "Share of time": f"{seconds / total_seconds:.1%}" if done and total_seconds else "–",
    }
