"""The array at a glance: each machine in words, with what its calibration leaves out, and whether its noise acts."""

import logging

from qiskit_fedqml.backends.array.check import BackendCheck, check_backend
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.base import Backend, compile_program
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.paper import paper_circuit
from qiskit_fedqml.config.backends import AerEntry, BackendEntry
from qiskit_fedqml.config.devices import IBMEntry, ProviderEntry
from qiskit_fedqml.config.own_machines import ObjectEntry, OwnEntry, PythonEntry
from qiskit_fedqml.errors import BackendError

logger = logging.getLogger(__name__)


def summary(registry: BackendRegistry, name: str) -> dict[str, str]:
    """Describe a backend in words, for a table; a device is not opened for it.

    What simulates it, and why, is that of the paper's circuit.
    """
    entry = registry.file.backends[name]
    if isinstance(entry, IBMEntry):
        return {
            "Type": entry.type,
            "Noise": entry.device if isinstance(entry.device, str) else "least busy device",
            "Qubits": "" if isinstance(entry.device, str) else f"from {entry.device.least_busy.min_qubits}",
            "Shots": _shots(entry),
            "Simulator": "rehearsal" if entry.is_rehearsal else "none",
            "How or why": f"{entry.mode} mode{_mitigated(entry)}; `fedqml plan` says what a run costs",
        }
    if isinstance(entry, ProviderEntry):
        return {
            "Type": entry.type,
            "Noise": entry.factory,
            "Qubits": "",
            "Shots": _shots(entry),
            "Simulator": "none",
            "How or why": "`fedqml plan` says what a run costs",
        }
    if isinstance(entry, ObjectEntry):
        how = "given from Python, by `backends={NAME: object}`"
        return _own_row(
            entry, entry.described.get("num_qubits"), "" if entry.shots is None else str(entry.shots), "", how
        )
    backend = registry[name]
    if isinstance(entry, PythonEntry) and not isinstance(backend, AerBackend):
        facts, shots = backend.describe(), "its own" if backend.shots is None else str(backend.shots)
        return _own_row(entry, facts.get("num_qubits"), shots, backend.simulator, str(facts.get("name", "")))
    facts = backend.describe()
    date = f" ({facts['calibration_date'][:10]})" if facts["calibration_date"] else ""
    simulator, reason = _simulation_of_paper_circuit(backend)
    gaps = f"; {facts['gaps']}" if "gaps" in facts and facts["gaps"] not in reason else ""
    return {
        "Type": entry.type,
        "Noise": f"{facts['noise']}{date}" if facts["noise"] else "none",
        "Qubits": str(facts["num_qubits"] or "any"),
        "Shots": str(backend.shots or "exact") if isinstance(entry, PythonEntry) else _shots(entry),
        "Simulator": simulator,
        "How or why": f"{reason}{_mitigated(entry)}{gaps}",
    }


def check(registry: BackendRegistry) -> list[BackendCheck]:
    """Prove on a small circuit that each simulated backend differs from ideal as its rates say."""
    checks = []
    for name, entry in registry.file.backends.items():
        if isinstance(entry, AerEntry | PythonEntry) and isinstance(backend := registry[name], AerBackend):
            checks.append(check_backend(backend))
        elif isinstance(entry, OwnEntry):
            logger.warning("Backend %r is not checked: only noise that this package simulates can be.", name)
    return checks


def _own_row(entry: OwnEntry, num_qubits: int | None, shots: str, simulator: str, how: str) -> dict[str, str]:
    return {
        "Type": entry.type,
        "Noise": entry.made_of,
        "Qubits": "" if num_qubits is None else str(num_qubits),
        "Shots": shots,
        "Simulator": simulator,
        "How or why": how,
    }


def _mitigated(entry: BackendEntry) -> str:
    return f"; {entry.mitigation}" if isinstance(entry, AerEntry | IBMEntry) and entry.mitigation else ""


def _shots(entry: BackendEntry) -> str:
    tests = f" (tests: {entry.test_shots})" if entry.test_shots is not None else ""
    return f"{entry.shots or 'exact'}{tests}"


def _simulation_of_paper_circuit(backend: Backend) -> tuple[str, str]:
    assert isinstance(backend, AerBackend)
    spec = paper_circuit()
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    try:
        program = compile_program(backend, angles.circuit, angles.params, spec.observables)
        simulation = backend.simulation(program)
    except BackendError as error:
        return "none", str(error)
    return simulation.simulator, simulation.reason
