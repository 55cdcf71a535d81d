"""The entries of machines of the user's own in `backends.yaml`: made by a function, or given from Python."""

from abc import abstractmethod
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from qiskit_fedqml.config.extension import PublicArguments, PythonName
from qiskit_fedqml.config.strict import Shots, StrictModel


class OwnEntry(StrictModel):
    """What entries of machines of the user's own have in common; they have no queue, and are not cut into blocks.

    ``shots`` is the number of shots of each circuit; None leaves it to the machine, and is exact for a noise model.
    """

    type: str
    """What kind of machine it is."""
    shots: Shots | None = None
    """Shots of each circuit; none leaves it to the machine, and is exact for a noise model."""

    @property
    def blocks(self) -> None:
        """None: there are no blocks."""

    @property
    def test_shots(self) -> None:
        """None: tests have the shots of everything else."""

    @property
    @abstractmethod
    def made_of(self) -> str:
        """What it is, in words."""


class PythonEntry(OwnEntry):
    """A machine that the function or class ``python`` (``"package.module:name"``) makes of its ``arguments``.

    It makes a ``BackendV2`` or an ``EstimatorV2`` of Qiskit, a noise model of Aer, or a backend of this package's
    protocol. A machine with a queue is an entry of type ``backend`` instead, whose jobs are kept.
    """

    type: Literal["python"]
    """A machine that a function or class of your own makes."""
    python: PythonName
    """What makes it, as package.module:name."""
    arguments: PublicArguments = Field(default_factory=dict)
    """Its arguments by keyword; never secrets."""

    @property
    def made_of(self) -> str:
        """The function that makes it."""
        return self.python


class ObjectEntry(OwnEntry):
    """A machine that is given from Python as an object, by ``backends={NAME: object}``.

    ``class`` and ``described`` say what was given, and are written down by the run.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    type: Literal["object"]
    """A machine that is given from Python as an object."""
    class_: Annotated[str | None, Field(alias="class")] = None
    """Class of the object that was given."""
    described: dict[str, Any] = Field(default_factory=dict)
    """What the object said of itself."""

    @property
    def made_of(self) -> str:
        """The object's class, where one was given."""
        return f"object of {self.class_}" if self.class_ else "object, not given yet"
