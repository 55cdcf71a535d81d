"""Circuits in the gates of a simulated machine, and on its qubits."""

from typing import Any

from qiskit.circuit import QuantumCircuit
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator

from qiskit_fedqml.backends.layout import lay_out
from qiskit_fedqml.backends.simulated.aer_estimator import simulation_method
from qiskit_fedqml.simulation.lowering import native_names
from qiskit_fedqml.simulation.noise import Noise


def transpiled(circuit: QuantumCircuit, noise: Noise | None, level: int, seed: int) -> QuantumCircuit:
    """Return a circuit in the gates of a machine with some noise, or of an ideal one.

    Args:
        circuit: The circuit.
        noise: The machine's noise, or None.
        level: The transpiler's effort, 0 to 3.
        seed: The transpiler's seed.

    Raises:
        QiskitError: The circuit doesn't fit the machine.
        BackendError: As above.
    """
    if noise is None and _needs_no_transpiling(circuit):
        return circuit
    if noise is not None and noise.target is not None:
        return lay_out(circuit, noise.target, noise.gaps, optimization_level=level, seed=seed)
    options: dict[str, Any] = {"optimization_level": level, "seed_transpiler": seed}
    if noise is None:
        options["backend"] = AerSimulator(method=simulation_method(circuit, None))
    else:
        options["basis_gates"] = list(noise.basis)
    return generate_preset_pass_manager(**options).run(circuit)


def _needs_no_transpiling(circuit: QuantumCircuit) -> bool:
    """Return whether an ideal machine, which couples all qubits, has each of a circuit's gates."""
    native = native_names()
    return circuit.layout is None and all(
        gate.is_standard_gate() and len(gate.qubits) <= 2 and gate.name in native for gate in circuit.data
    )
