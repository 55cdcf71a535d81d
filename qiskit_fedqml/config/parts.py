"""Parts of the user's own: found by their names in a configuration."""

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.errors import ConfigurationError


def find_part(reference: PythonReference, key: str) -> Callable[..., Any]:
    """Return the class or function that a configuration names; modules of the current folder are found too.

    Args:
        reference: Its name.
        key: The configuration's key, for errors.

    Raises:
        ConfigurationError: The module cannot be imported, or has nothing of this name that can be called.
    """
    module, _, name = reference.python.partition(":")
    here = str(Path.cwd())
    sys.path.append(here)  # as for a script; after all that is installed
    try:
        part = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"`{key}`: {reference.python!r} cannot be imported: {error}.") from error
    finally:
        sys.path.remove(here)
    if not callable(part):
        raise ConfigurationError(f"`{key}`: {reference.python!r} must be a class or a function, but is {part!r}.")
    found: Callable[..., Any] = part
    return found


def make_part(reference: PythonReference, key: str, *arguments: Any) -> Any:
    """Call what a configuration names, with its arguments after the given ones.

    Raises:
        ConfigurationError: It cannot be found, or does not take these arguments.
    """
    part = find_part(reference, key)
    try:
        return part(*arguments, **reference.arguments)
    except TypeError as error:
        raise ConfigurationError(f"`{key}`: {reference.python!r} does not take these arguments: {error}.") from error
