"""A part of the user's own, named in a configuration."""

from typing import Annotated, Any

from pydantic import Discriminator, Field

from qiskit_fedqml.config.alternatives import one_of, tag_of
from qiskit_fedqml.config.strict import StrictModel

PythonName = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$", max_length=1000)]
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
