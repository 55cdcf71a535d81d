"""What is known of the qubits on which a run's circuit ran, machine by machine."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qiskit_fedqml.backends.array.registry import BackendRegistry, find_calibration
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.figures import figures_of
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.config.backends import AerEntry
from qiskit_fedqml.config.own_machines import OwnEntry
from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.results.result import RunResult

Row = dict[str, str]
Figures = Mapping[str, Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Calibration:
    """The calibration of a machine, as the circuit met it.

    Args:
        machine: The backend's name.
        device: The device.
        date: When it was calibrated, as IBM writes it; empty where another provider does not say it.
        figures: Of the qubits and couplings used, as ``backends.figures`` gives them.
        runs: Names of the runs that it belongs to.
        num_dates: How many calibrations the run met; this is the last one.
    """

    machine: str
    device: str
    date: str
    figures: Figures
    runs: tuple[str, ...]
    num_dates: int = 1

    def qubit_rows(self) -> list[Row]:
        """Return a row for each qubit used."""
        return [
            {
                "Qubit": qubit,
                "T1": _microseconds(values.get("t1_seconds")),
                "T2": _microseconds(values.get("t2_seconds")),
                "SX error": _error(values.get("sx_error")),
                "Readout error": _error(values["readout_error"]) if "readout_error" in values else "not read",
            }
            for qubit, values in self.figures.get("qubits", {}).items()
        ]

    def block_rows(self) -> list[Row]:
        """Return a row for each block used, the best one first."""
        blocks: Mapping[str, float] = self.figures.get("blocks", {})
        best_first = sorted(blocks.items(), key=lambda pair: -pair[1])
        return [{"Block": qubits.replace("-", ", "), "Success probability": f"{p:.1%}"} for qubits, p in best_first]

    def coupling_rows(self) -> list[Row]:
        """Return a row for each coupling used; one for both directions where their errors are the same."""
        errors = self.figures.get("couplings", {})
        rows = []
        for pair, error in errors.items():
            back = "-".join(reversed(pair.split("-")))
            is_same = back in errors and errors[back] == error
            if not (is_same and int(pair.split("-")[0]) > int(back.split("-")[0])):
                rows.append({"Coupling": pair.replace("-", "–" if is_same else "→"), "Two-qubit error": _error(error)})
        return rows


def calibrations(name: str, run: RunResult) -> dict[str, Calibration]:
    """Return the calibrations that a run recorded, and of simulated machines those that they were made of.

    A simulated machine's qubits are found as the run found them, by transpiling its circuit with the same seed.

    Args:
        name: The run's name.
        run: The run.
    """
    found = {}
    for machine in {machine: None for record in run.rounds for machine in record.devices}:
        met = [record.devices[machine] for record in run.rounds if machine in record.devices]
        dates = {figures["date"] for figures in met}
        found[machine] = Calibration(machine, met[-1]["device"], met[-1]["date"] or "", met[-1], (name,), len(dates))
    if run.experiment.model.has_circuit:
        registry = BackendRegistry(run.experiment.backends, Path())
        for machine in registry:
            is_own = isinstance(registry.file.backends[machine], OwnEntry)
            if machine not in found and not is_own and not registry.is_queued(machine):
                try:
                    simulated = _simulated(name, run, registry, machine)
                except FedQMLError as error:  # the report shows what there is
                    logger.warning("%s, machine %s: its calibration is left out: %s", name, machine, error)
                    continue
                found |= {machine: simulated} if simulated else {}
    return found


def merged(of_runs: Mapping[str, Mapping[str, Calibration]]) -> list[Calibration]:
    """Return each calibration once, with all runs that share it.

    Args:
        of_runs: Calibrations by machine, by run.
    """
    found: list[Calibration] = []
    for calibration in (c for of_run in of_runs.values() for c in of_run.values()):
        for place, other in enumerate(found):
            if _label(other) == _label(calibration):
                found[place] = Calibration(**{**vars(other), "runs": (*other.runs, *calibration.runs)})
                break
        else:
            found.append(calibration)
    return found


def compiled(run: RunResult, backend: AerBackend) -> Program:
    """Return a run's circuit as the run compiled it for a simulated machine: with the same seed.

    Raises:
        BackendError: The circuit doesn't fit the machine.
    """
    spec = circuit_for(run.experiment.model, len(run.run["classes"]))
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    return compile_program(backend, angles.circuit, angles.params, spec.observables)


def _label(calibration: Calibration) -> tuple[str, str, Figures]:
    return calibration.machine, calibration.device, calibration.figures


def _simulated(name: str, run: RunResult, registry: BackendRegistry, machine: str) -> Calibration | None:
    backend = registry[machine]
    if not isinstance(backend, AerBackend) or backend.noise is None or backend.noise.target is None:
        return None
    program = compiled(run, backend)
    entry = registry.file.backends[machine]
    factor = entry.noise_factor if isinstance(entry, AerEntry) else 1.0
    rates = find_calibration(machine, registry).scaled(factor)  # as they acted
    figures = figures_of(program.circuit, program.measured, rates.target)
    return Calibration(machine, backend.noise.source, str(backend.noise.date), figures, (name,))


def _microseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1e6 * seconds:.0f} µs"


def _error(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:.3%}"
