"""Zero-noise extrapolation on a simulated machine: the same evaluation at several noise factors, and their sum."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from qiskit_fedqml.backends.program import Evaluation, Program
from qiskit_fedqml.backends.zne import extrapolated, folded
from qiskit_fedqml.config.mitigation import Zne
from qiskit_fedqml.seeds import derive_seed


def folded_programs(program: Program, zne: Zne) -> tuple[Program, ...]:
    """Return a program without derivatives at each noise factor.

    Raises:
        BackendError: A gate cannot be folded, or there is none to fold.
    """
    return tuple(replace(program, circuit=folded(program.circuit, factor), shifted=()) for factor in zne.factors)


def evaluate_extrapolated(
    programs: tuple[Program, ...], zne: Zne, seed: int | None, evaluate: Callable[[Program, int | None], Evaluation]
) -> Evaluation:
    """Evaluate at each noise factor, with shots of its own, and extrapolate; circuits and executions are all that ran.

    Args:
        programs: The program at each factor.
        zne: The factors, and how they are extrapolated.
        seed: Seed of the shots; None takes one from the system.
        evaluate: Evaluates a program with a seed.
    """
    seeds = [None if seed is None else derive_seed(seed, "noise factor", step=factor) for factor in zne.factors]
    runs = [evaluate(program, own) for program, own in zip(programs, seeds, strict=True)]
    # An observable's identity does not fade with noise.
    constants = np.array([o.coeffs[~(o.paulis.x | o.paulis.z).any(axis=1)].sum().real for o in programs[0].observables])
    return replace(
        runs[0],
        values=extrapolated(np.stack([run.values for run in runs]), zne.factors, zne.extrapolator, constants),
        circuits=sum(run.circuits for run in runs),
        executions=sum(run.executions for run in runs),
    )
