"""The packages of the extra `privacy`, imported when they are first used."""

from importlib import import_module
from typing import Any

from qiskit_fedqml.errors import ConfigurationError


def import_package(name: str) -> Any:
    """Import a module of the extra.

    Raises:
        ConfigurationError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigurationError(
            f"`privacy` needs an extra that is not installed: pip install 'qiskit-fedqml[privacy]' ({error})."
        ) from error
