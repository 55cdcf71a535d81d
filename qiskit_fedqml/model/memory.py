"""Whether a model fits into this computer's memory, by arithmetic and before anything is allocated."""

from collections.abc import Sequence
from itertools import pairwise

from qiskit_fedqml.errors import ConfigurationError, listed
from qiskit_fedqml.simulation.memory import memory_bytes

_BYTES = 8
"""Of a parameter and its gradient, float32 each: the least that training takes."""


def check_head_fits(widths: Sequence[int]) -> None:
    """Refuse a head that cannot be trained here.

    Args:
        widths: Features, hidden units of each layer, and qubits.

    Raises:
        ConfigurationError: Its parameters and their gradients take more memory than this computer has.
    """
    parameters = sum((width + 1) * following for width, following in pairwise(widths))
    available = memory_bytes()
    if _BYTES * parameters > available:
        raise ConfigurationError(
            f"`model.hidden` of {listed(widths[1:-1])} units for {widths[0]:,} features has {parameters:,} parameters: "
            f"{_BYTES * parameters / 2**30:,.1f} GiB with their gradients, but this computer has "
            f"{available / 2**30:,.1f} GiB."
        )
