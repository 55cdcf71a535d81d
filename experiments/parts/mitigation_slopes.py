"""Values of the paper's circuit at random angles on one device, by each way to mitigate, against ideal values."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml import BackendRegistry, paper_circuit
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.program import Evaluation
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.seeds import derive_seed, numpy_generator

METHODS: dict[str, dict[str, Any] | None] = {
    "none": None,
    "readout": {"readout": True},
    "linear": {"zne": {"extrapolator": "linear"}},
    "exponential": {"zne": {"extrapolator": "exponential"}},
    "readout, linear": {"readout": True, "zne": {"extrapolator": "linear"}},
    "readout, exponential": {"readout": True, "zne": {"extrapolator": "exponential"}},
}
"""The key `mitigation` of each method."""


@dataclass(frozen=True)
class Slope:
    """What a method does to a device's values.

    Args:
        device: The device.
        method: The method.
        ideal: Values without noise, shape (samples, outputs).
        exact: Its values without shots.
        sampled: Its values with shots.
        cost: Executions, in those of the same values without mitigation.
    """

    device: str
    method: str
    ideal: NDArray[np.float64]
    exact: NDArray[np.float64]
    sampled: NDArray[np.float64]
    cost: float

    @property
    def slope(self) -> float:
        """Slope of the exact values against the ideal ones, by least squares with an intercept for each output."""
        centred = self.ideal - self.ideal.mean(axis=0)
        return float((self.exact * centred).sum() / (centred**2).sum())

    @property
    def error(self) -> float:
        """Root mean square distance of the exact values from the ideal ones."""
        return float(np.sqrt(((self.exact - self.ideal) ** 2).mean()))

    @property
    def error_with_shots(self) -> float:
        """Root mean square distance of values with shots from the ideal ones."""
        return float(np.sqrt(((self.sampled - self.ideal) ** 2).mean()))

    def line(self) -> dict[str, str]:
        """Return it as a line of a table."""
        return {
            "device": self.device,
            "method": self.method,
            "slope": f"{self.slope:.5f}",
            "error": f"{self.error:.5f}",
            "error_with_shots": f"{self.error_with_shots:.5f}",
            "executions": f"{self.cost:g}",
        }


def measure(device: str, *, samples: int, shots: int) -> list[Slope]:
    """Evaluate every method on a fake device.

    Args:
        device: Its name.
        samples: How many draws of all angles, uniform from −π to π.
        shots: Shots of each circuit.

    Raises:
        BackendError: There is no such fake device.
    """
    ideal = _values(samples, {"type": "aer"}).values
    found, plain = [], 0
    for method, mitigation in METHODS.items():
        entry = {"type": "aer", "noise": device, "mitigation": mitigation}
        exact, sampled = _values(samples, entry), _values(samples, {**entry, "shots": shots})
        plain = plain or sampled.executions
        found.append(Slope(device, method, ideal, exact.values, sampled.values, sampled.executions / plain))
    return found


def _values(samples: int, entry: dict[str, Any]) -> Evaluation:
    backend = BackendRegistry.from_mapping({"backends": {"ideal": {"type": "aer"}, "machine": entry}})["machine"]
    spec = paper_circuit()
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    program = compile_program(backend, angles.circuit, angles.params, spec.observables)
    rng = numpy_generator(derive_seed(0, "angles"))
    points = rng.uniform(-np.pi, np.pi, (samples, len(angles.params)))
    return backend.evaluate(program, points, jacobian=False, seed=derive_seed(0, "shots"))
