"""Whether data fit into this computer's memory: asked before they are allocated."""

from qiskit_fedqml.errors import DataError
from qiskit_fedqml.tables import gibibytes


def check_memory(needed: int, what: str) -> None:
    """Check that the computer, or its container, has so much memory, in use or not.

    Args:
        needed: Bytes.
        what: Subject of the message, in the plural.

    Raises:
        DataError: There is less.
    """
    from qiskit_fedqml.simulation.memory import memory_bytes  # late: it brings Qiskit, which data can do without

    if needed > memory_bytes():
        raise DataError(
            f"{what} need at least {gibibytes(needed)} of memory, but this computer has {gibibytes(memory_bytes())}."
        )
