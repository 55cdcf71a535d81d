"""Qiskit's simulators and noise models as machines that are simulated here: by the sweeps, with the run's seeds."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit.providers import BackendV2
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SuperOp
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, QuantumError

from qiskit_fedqml.backends.calibration import calibration_of
from qiskit_fedqml.backends.noise import noise_from_calibration
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.noise import Noise, noise_from_model

_SHOTS = 1024
"""Aer's, where its options say no number."""
_DIGITS = 9
"""Of a channel's entries that count in a digest."""
_METHODS = {"automatic", "statevector", "density_matrix"}
"""Aer's methods that give what any exact simulation gives."""
_OWN_OPTIONS = {"shots", "noise_model", "method", "seed_simulator"}
"""Options of Aer that this package has in another way; the seed is always the run's."""


@dataclass(frozen=True)
class SimulatedMachine:
    """What a machine is simulated with.

    Args:
        noise: Its noise, or None for an ideal machine.
        shots: Shots of each circuit; None is exact.
    """

    noise: Noise | None
    shots: int | None


def simulated_machine(thing: NoiseModel | BackendV2, shots: int | None) -> SimulatedMachine | None:
    """Return what simulates the same machine as an object of Qiskit; None where nothing here does.

    Args:
        thing: A noise model of Aer, an ``AerSimulator`` whose options are Aer's own but for noise, shots and seed, a
            fake device, a ``GenericBackendV2``, or another ``BackendV2``.
        shots: Shots of each circuit; None takes the object's, and is exact for a noise model.

    Raises:
        BackendError: A noise model holds what cannot be simulated here.
    """
    if isinstance(thing, NoiseModel):
        return SimulatedMachine(noise_from_model(thing), shots)
    try:
        if is_fake_device(thing):
            noise: Noise | None = noise_from_calibration(calibration_of(thing), type(thing).__name__)
        elif isinstance(thing, GenericBackendV2):
            noise = _noise_of(thing, NoiseModel.from_backend(thing))
        elif isinstance(thing, AerSimulator) and _has_aers_options(thing):
            noise = _noise_of(thing, thing.options.noise_model)
        else:
            return None
    except BackendError:  # its noise is more than can be simulated here; the object does it by itself
        return None
    return SimulatedMachine(noise, shots or int(getattr(thing.options, "shots", None) or _SHOTS))


def is_fake_device(thing: object) -> bool:
    """Return whether an object is one of qiskit-ibm-runtime's fake devices."""
    return any(base.__module__.startswith("qiskit_ibm_runtime.fake_provider.") for base in type(thing).__mro__)


def is_ibms_device(thing: object) -> bool:
    """Return whether an object is a device of IBM Quantum, and no fake one."""
    is_of_runtime = any(base.__module__.startswith("qiskit_ibm_runtime.") for base in type(thing).__mro__)
    return is_of_runtime and not is_fake_device(thing)


def noise_digest(noise: Noise) -> str:
    """Return a digest of a machine's gate errors and readout errors, short enough to be read.

    It is that of the channels: Aer gives each error a random name.
    """
    digest = sha256()
    gates: dict[tuple[str, tuple[int, ...]], QuantumError] = {
        **noise.gate_errors,
        **{(name, ()): error for name, error in noise.default_errors.items()},
    }
    for key, error in sorted(gates.items()):
        _add(digest, key, SuperOp(error).data)
    for qubit, matrix in sorted({**noise.readout, -1: noise.default_readout}.items()):
        _add(digest, qubit, matrix)
    return digest.hexdigest()[:16]


def _add(digest: Any, key: object, values: NDArray[Any]) -> None:
    rounded = np.round(np.asarray(values, dtype=complex), _DIGITS) + 0.0  # no negative zeros
    digest.update(repr(key).encode() + rounded.tobytes())


def _noise_of(backend: BackendV2, model: NoiseModel | None) -> Noise | None:
    target: Target = backend.target
    is_coupled = target.build_coupling_map() is not None
    if model is None or model.is_ideal():
        return Noise(str(backend.name), None, target) if is_coupled else None
    return noise_from_model(model, str(backend.name), target if is_coupled else None)


def _has_aers_options(simulator: AerSimulator) -> bool:
    options, default = _options(simulator), _options(AerSimulator())
    is_exact = options["method"] in _METHODS
    return is_exact and all(options[key] == default.get(key) for key in options.keys() - _OWN_OPTIONS)


def _options(simulator: AerSimulator) -> dict[str, Any]:
    return dict(simulator.options.items())
