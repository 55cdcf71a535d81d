"""The array of machines: what each one is, and its share of the work."""

from collections.abc import Mapping
from pathlib import Path

from qiskit_fedqml.backends.entries import AerEntry, BackendEntry, CalibrationFile, IBMEntry, StatedNoise
from qiskit_fedqml.backends.registry import BackendRegistry
from qiskit_fedqml.records import ClientRecord
from qiskit_fedqml.report.calibrations import Calibration
from qiskit_fedqml.results import RunResult
from qiskit_fedqml.tables import duration

Row = dict[str, str]


def machine_rows(name: str, run: RunResult, calibrations: Mapping[str, Calibration]) -> list[Row]:
    """Return a row for each machine of a run.

    Args:
        name: The run's name.
        run: The run.
        calibrations: The run's, by machine.
    """
    if run.experiment.model.quantum == "classical":
        return []
    registry = BackendRegistry(run.experiment.backends, Path())
    assigned = registry.assign(run.experiment.federation.clients)
    work = [client for record in run.rounds for client in record.clients]
    total = sum(client.seconds for client in work)
    rows = []
    for machine, entry in run.experiment.backends.backends.items():
        done = [client for client in work if client.backend == machine]
        calibration = calibrations.get(machine)
        rows.append(
            {
                "Run": name,
                "Machine": machine,
                "Made of": _made_of(entry, calibration),
                "Calibrated": calibration.date[:10] if calibration else "–",
                "Shots": "exact" if entry.shots is None else f"{entry.shots:,}",
                "Success": _success(done, calibration),
                "Clients": str(assigned.count(machine)),
                **_share(done, total, run.experiment.federation.local_epochs),
            }
        )
    return rows


def rate_tables(runs: Mapping[str, RunResult]) -> dict[str, list[Row]]:
    """Return the rates of each machine whose noise is stated by rates, times its factor; differing ones by run."""
    tables: dict[str, list[Row]] = {}
    for name, run in runs.items():
        for machine, entry in run.experiment.backends.backends.items():
            if isinstance(entry, AerEntry) and isinstance(entry.noise, StatedNoise):
                rows = _rates(entry.noise, entry.noise_factor)
                tables[machine if tables.get(machine, rows) == rows else f"{machine} ({name})"] = rows
    return tables


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
    if entry.noise is None:
        return "simulated, no noise"
    times = "" if entry.noise_factor == 1.0 else f", error rates × {entry.noise_factor:g}"
    if isinstance(entry.noise, str):
        return f"simulated, {entry.noise}{times}"
    if isinstance(entry.noise, CalibrationFile):
        return f"simulated, {calibration.device if calibration else 'saved calibration'}{times}"
    return f"simulated, stated rates{times}"


def _success(done: list[ClientRecord], calibration: Calibration | None) -> str:
    """Return the success probability that clients recorded last, or else what the calibration says."""
    recorded = [client.success_probability for client in done if client.success_probability is not None]
    if calibration is not None:
        recorded = recorded or [calibration.figures["success_probability"]]
    return f"{recorded[-1]:.1%}" if recorded else "–"


def _share(done: list[ClientRecord], total_seconds: float, local_epochs: int) -> Row:
    trained = [client for client in done if not client.status.startswith("failed") and client.status != "tested"]
    seconds = sum(client.seconds for client in done)
    return {
        "Trainings": f"{len(trained):,}",
        "Examples": f"{sum(client.examples for client in trained) * local_epochs:,}",
        "Time": duration(seconds) if done else "–",
        "Share": f"{seconds / total_seconds:.1%}" if done and total_seconds else "–",
    }
