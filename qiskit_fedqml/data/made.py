"""Datasets that a function of the user's own makes."""

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.own_data import PythonData
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.data.collecting import collect
from qiskit_fedqml.data.datasets import Dataset
from qiskit_fedqml.data.messages import reason
from qiskit_fedqml.errors import DataError, FedQMLError


def made(config: PythonData) -> Dataset:
    """Call the function, and read what it returns.

    Args:
        config: Names the function, which returns ``(clients, test)``.

    Raises:
        ConfigurationError: It cannot be found, or does not take its arguments.
        DataError: It fails, or does not return data.
    """
    try:
        data = make_part(PythonReference(python=config.python, arguments=config.arguments), "data")
    except FedQMLError:
        raise
    except Exception as error:  # of the user's own code
        raise DataError(f"`data`: {config.python!r} raised {type(error).__name__}: {reason(error)}.") from error
    try:
        return collect(data).dataset()
    except DataError as error:
        raise DataError(f"`data` of {config.python!r}: {error}") from error
