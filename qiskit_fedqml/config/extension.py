"""A part of the user's own, named in a configuration."""

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field

from qiskit_fedqml.config.alternatives import one_of, tag_of
from qiskit_fedqml.config.strict import StrictModel
from qiskit_fedqml.errors import shown

PythonName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w]*$", max_length=1000)]
"""A class or function by its module and its name, ``"package.module:name"``."""


class PythonReference(StrictModel):
    """A class or function of an installed module, or of one in the current folder, and its arguments by keyword."""

    python: PythonName
    """A class or function, as package.module:name."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Passed to it by keyword."""


def name_or_python(*names: str) -> Discriminator:
    """Tell built-in parts, tagged ``NAME``, from a :class:`PythonReference`, tagged ``PYTHON``."""
    expected = f"must be {', '.join(names)} or {{python: 'module:name', arguments: {{…}}}}"
    return one_of(expected, {"python": PythonReference}, names)


PYTHON = tag_of("python")
"""The tag of a :class:`PythonReference`."""


_SECRET = re.compile(r"token|secret|password|credential|api_?key", re.IGNORECASE)
"""Names of arguments that may carry a secret."""


def _without_secrets(value: dict[str, Any]) -> dict[str, Any]:
    for key in _keys_in(value):
        if _SECRET.search(key):
            raise ValueError(
                f"must not hold {shown(key)}, since they are written into result folders; let the factory read "
                "secrets from the environment or from the provider's saved account"
            )
    return value


def _keys_in(value: Any) -> Iterator[str]:
    """Yield all keys of nested mappings and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield str(key)
            yield from _keys_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _keys_in(inner)


PublicArguments = Annotated[dict[str, Any], AfterValidator(_without_secrets)]
"""Arguments of a function that makes a machine; no secret is among them, since they are written into result folders."""
