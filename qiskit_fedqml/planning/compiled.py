"""The circuit of an experiment as its devices run it."""

from dataclasses import replace

from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.circuit import Wanted

Devices = dict[str, tuple[DeviceBackend, Program]]
"""Devices by name, with the circuit as each runs it."""


def compiled(backend: DeviceBackend, spec: CircuitSpec, of: Wanted) -> Program:
    """Return the circuit as a device runs it in training.

    Args:
        backend: The device.
        spec: The circuit.
        of: Of which parameters training takes derivatives.

    Raises:
        BackendError: The circuit doesn't fit the device.
    """
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    inputs = angles.driven_by(spec.input_params)
    program = compile_program(backend, angles.circuit, angles.params, spec.observables)
    program = replace(program, driven_by_inputs=inputs)
    return program if of == "all" else program.shifting(angles.driven_by(spec.parameters_of(of)))
