"""The circuits of runs: as designed, and as transpiled for each simulated machine."""

import logging
from collections.abc import Mapping
from pathlib import Path

from qiskit_fedqml.backends.array.chips import chip_of
from qiskit_fedqml.backends.array.registry import BackendRegistry, find_calibration
from qiskit_fedqml.backends.calibration import Calibration
from qiskit_fedqml.backends.chip import Chip
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.config.backends import AerEntry, StatedNoise
from qiskit_fedqml.errors import FedQMLError
from qiskit_fedqml.model.circuit import circuit_for
from qiskit_fedqml.report.calibrations import compiled
from qiskit_fedqml.report.used_circuits import Compiled, Designed
from qiskit_fedqml.results.result import RunResult

logger = logging.getLogger(__name__)

_WITHOUT_CIRCUIT = ("classical", "none")


def designed_circuits(runs: Mapping[str, RunResult]) -> list[Designed]:
    """Return each circuit once, with the runs that trained it; what cannot be made here is left out with a warning."""
    names: dict[str, list[str]] = {}
    for name, run in runs.items():
        if run.experiment.model.quantum not in _WITHOUT_CIRCUIT:
            names.setdefault(_circuit_key(run), []).append(name)
    found = []
    for of in names.values():
        run = runs[of[0]]
        try:
            found.append(Designed(circuit_for(run.experiment.model, len(run.run["classes"])), tuple(of)))
        except FedQMLError as error:  # the report shows what there is
            logger.warning("%s: its circuit is not drawn: %s", of[0], error)
    return found


def compiled_circuits(runs: Mapping[str, RunResult]) -> list[Compiled]:
    """Return each circuit on each simulated machine once, transpiled as the runs did it: with the same seed.

    Machines on which no client worked, and devices, whose own transpiled circuits are not kept, are left out.
    """
    names: dict[tuple[str, str, str], list[str]] = {}
    for name, run in runs.items():
        if run.experiment.model.quantum not in _WITHOUT_CIRCUIT:
            used = {client.backend for record in run.rounds for client in record.clients}
            for machine, entry in run.experiment.backends.backends.items():
                if machine in used and isinstance(entry, AerEntry):
                    names.setdefault((machine, entry.model_dump_json(), _circuit_key(run)), []).append(name)
    found = []
    for (machine, _, _), of in names.items():
        run = runs[of[0]]
        try:
            registry = BackendRegistry(run.experiment.backends, Path())
            backend = registry[machine]
            assert isinstance(backend, AerBackend)
            found.append(Compiled(machine, compiled(run, backend), tuple(of), *_calibrated(registry, machine)))
        except FedQMLError as error:  # the report shows what there is
            logger.warning("%s, machine %s: its circuit is not drawn: %s", of[0], machine, error)
    return found


def _calibrated(registry: BackendRegistry, machine: str) -> tuple[Calibration | None, Chip | None]:
    """Return the calibration and the chip of a machine that has the noise of a device, and no map of its blocks."""
    entry = registry.file.backends[machine]
    if not isinstance(entry, AerEntry) or entry.noise is None or isinstance(entry.noise, StatedNoise) or entry.blocks:
        return None, None
    return find_calibration(machine, registry).scaled(entry.noise_factor), chip_of(registry, machine)


def _circuit_key(run: RunResult) -> str:
    """Return a text that two runs share only if their circuits are the same."""
    circuit = run.experiment.model.circuit.model_dump_json()
    return f"{circuit} {len(run.run['classes'])} {run.run.get('circuit')}"
