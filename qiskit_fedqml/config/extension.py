"""A part of the user's own, named in a configuration."""

from typing import Annotated, Any

from pydantic import Discriminator, Field

from qiskit_fedqml.config.strict import StrictModel

PythonName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", max_length=1000)]
"""A class or function by its module and its name, ``"package.module:name"``."""


class PythonReference(StrictModel):
    """A class or function of an installed module, or of one in the current folder, and its arguments by keyword."""

    python: PythonName
    arguments: dict[str, Any] = Field(default_factory=dict)


def _kind(value: Any) -> str | None:
    if isinstance(value, str):
        return "name"
    return "python" if isinstance(value, (dict, PythonReference)) else None


name_or_python = Discriminator(
    _kind,
    custom_error_type="name_or_python",
    custom_error_message="must be a name, or {python: 'module:name', arguments: {…}}",
)
"""Tells a built-in part, tagged ``"name"``, from a :class:`PythonReference`, tagged ``"python"``."""
