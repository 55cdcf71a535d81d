"""What simulates a program: the sweeps where they can express it, else Aer."""

import logging
from dataclasses import dataclass
from typing import Literal

from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.exact import ExactProgram
from qiskit_fedqml.simulation.lowering import UnsupportedError
from qiskit_fedqml.simulation.noise import Noise
from qiskit_fedqml.simulation.sampled import PointwiseProgram, SampledProgram

SimulatorChoice = Literal["auto", "sweep", "aer"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Simulation:
    """How a program is simulated.

    Args:
        simulator: ``"sweep"`` or ``"aer"``.
        reason: Why, or by what method, in words.
        program: What the sweeps evaluate; None for Aer.
    """

    simulator: Literal["sweep", "aer"]
    reason: str
    program: ExactProgram | SampledProgram | PointwiseProgram | None = None


def chosen_simulation(
    name: str,
    choice: SimulatorChoice,
    program: Program,
    noise: Noise | None,
    *,
    is_exact: bool,
    mitigates_readout: bool,
) -> Simulation:
    """Return how a program is simulated, compiled.

    Args:
        name: The backend's name, for messages.
        choice: What is asked for.
        program: The program.
        noise: Its noise, or None.
        is_exact: Whether expectation values are exact, not by shots.
        mitigates_readout: Whether readout error is taken out.

    Raises:
        BackendError: A channel is not physical, or the sweeps cannot express it and the choice is ``"sweep"``.
    """
    if choice == "aer":
        return Simulation("aer", "asked for")
    arguments = program.circuit, program.angles, program.observables, noise, program.shifted
    try:
        if is_exact:
            exact = ExactProgram(*arguments, mitigates_readout=mitigates_readout)
            return Simulation("sweep", f"two sweeps of {exact.method}", exact)
        try:
            sampled = SampledProgram(*arguments, mitigates_readout=mitigates_readout)
        except UnsupportedError as error:
            pointwise = PointwiseProgram(*arguments, mitigates_readout=mitigates_readout)
            return Simulation("sweep", f"{pointwise.method} for each shift, because {error}", pointwise)
        return Simulation("sweep", f"two sweeps of {sampled.method}, for shots", sampled)
    except UnsupportedError as error:
        if choice == "sweep":
            raise BackendError(f"Backend {name!r} must simulate by sweeps, but {error}.") from error
        logger.warning("Backend %r: Aer simulates every shifted circuit, because %s.", name, error)
        return Simulation("aer", str(error))
