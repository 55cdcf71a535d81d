"""What several clients ask of one simulated machine, computed together."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from qiskit_fedqml.backends.program import Asked, Evaluation, Program
from qiskit_fedqml.simulation.exact import ExactProgram
from qiskit_fedqml.simulation.sampled import SampledProgram

if TYPE_CHECKING:
    from qiskit_fedqml.backends.simulated.choice import Simulation


def evaluate_together(
    programs: Sequence[Program],
    asked: Sequence[Asked],
    shots: int | None,
    simulation: Callable[[Program], "Simulation"],
    alone: Callable[..., Evaluation],
    *,
    jacobian: bool,
) -> list[Evaluation]:
    """Return what each of several clients gets, in one call of the sweeps for those with the same program.

    Args:
        programs: Each client's program.
        asked: Where each client wants it evaluated; its shots are drawn by its own seed, as they are alone.
        shots: Shots of each circuit; None is exact.
        simulation: How a program is simulated.
        alone: Evaluates a program for one client; takes program, angles, seed, shots and ``jacobian``.
        jacobian: Whether derivatives are wanted.
    """
    found: dict[int, Evaluation] = {}
    for program in dict.fromkeys(programs):
        places = [place for place, own in enumerate(programs) if own is program]
        some = [asked[place] for place in places]
        simulated = simulation(program).program
        if isinstance(simulated, ExactProgram | SampledProgram):
            parts = _swept(simulated, program, some, shots, jacobian=jacobian)
        else:
            parts = [alone(program, of.angles, of.seed, shots, jacobian=jacobian) for of in some]
        found |= zip(places, parts, strict=True)
    return [found[place] for place in range(len(asked))]


def _swept(
    simulated: ExactProgram | SampledProgram,
    program: Program,
    asked: Sequence[Asked],
    shots: int | None,
    *,
    jacobian: bool,
) -> list[Evaluation]:
    angles = [of.angles for of in asked]
    if isinstance(simulated, ExactProgram):
        values, derivatives = simulated.evaluate(np.concatenate(angles), jacobian=jacobian)
    else:
        rngs = [np.random.default_rng(of.seed) for of in asked]
        values, derivatives = simulated.estimate_each(angles, shots or 0, rngs, jacobian=jacobian)
    stops = np.cumsum([len(of) for of in angles])
    evaluations = []
    for stop, of in zip(stops, angles, strict=True):
        part = slice(stop - len(of), stop)
        own = None if derivatives is None else derivatives[part]
        evaluations.append(program.evaluation(values[part], own, shots=shots, simulator="sweep"))
    return evaluations
