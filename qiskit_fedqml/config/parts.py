"""Parts of the user's own: found by their names in a configuration."""

import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError, listed, shown


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
        is_gone = isinstance(error, ModuleNotFoundError) and error.name == module.partition(".")[0]
        where = f" It is looked for among what is installed, and in the current folder ({here})." if is_gone else ""
        raise ConfigurationError(f"`{key}`: {reference.python!r} cannot be imported: {error}.{where}") from error
    finally:
        sys.path.remove(here)
    if not callable(part):
        raise ConfigurationError(f"`{key}`: {reference.python!r} must be a class or a function, but is {part!r}.")
    found: Callable[..., Any] = part
    return found


def make_part(reference: PythonReference, key: str, *arguments: Any, members: Iterable[str] = ()) -> Any:
    """Call what a configuration names, with its arguments after the given ones.

    Args:
        reference: Its name and its arguments.
        key: The configuration's key, for errors.
        arguments: Come first.
        members: What the part must have, by their names.

    Raises:
        ConfigurationError: It cannot be found, does not take these arguments, or lacks a member.
    """
    part = find_part(reference, key)
    try:
        made = part(*arguments, **reference.arguments)
    except TypeError as error:
        raise ConfigurationError(f"`{key}`: {reference.python!r} does not take these arguments: {error}.") from error
    if missing := [name for name in members if not hasattr(made, name)]:
        raise ConfigurationError(f"`{key}`: what {reference.python!r} makes has no {listed(missing)}.")
    return made


def reference_to(part: object, argument: str) -> PythonReference:
    """Return the name by which a class or function is found again, in this process and in others.

    Args:
        part: A class or a function at the top of a module, or a :func:`functools.partial` of one, whose keyword
            arguments are plain values.
        argument: What errors call it.

    Raises:
        ConfigurationError: It has no such name, or its arguments are not plain values.
    """
    if isinstance(part, PythonReference):
        return part
    keywords: dict[str, Any] = {}
    if isinstance(part, partial):
        if part.args:
            raise ConfigurationError(
                f"Argument `{argument}` must have its arguments by keyword, but has {listed(part.args)} in their place."
            )
        given: partial[Any] = part
        part, keywords = given.func, given.keywords
    module, name = getattr(part, "__module__", None), getattr(part, "__qualname__", None)
    found = getattr(sys.modules.get(str(module)), str(name), None)
    if not callable(part) or found is not part:
        raise ConfigurationError(
            f"Argument `{argument}` must be a class or a function at the top of a module, by whose name it is found "
            f"again when the run is resumed, but is {shown(part)}."
        )
    try:
        plain = json.loads(json.dumps(keywords, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"Argument `{argument}`: the arguments of {name} must be plain values, which are kept with the result, but "
            f"are {shown(keywords)}."
        ) from error
    return validate(PythonReference, {"python": f"{module}:{name}", "arguments": plain}, f"argument `{argument}`")
