"""What a SuperNode knows of itself."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from qiskit_fedqml.config.backends import Name
from qiskit_fedqml.config.strict import NaturalNumber, PositiveInteger, StrictModel
from qiskit_fedqml.config.validation import validate


class NodeConfig(StrictModel):
    """What a SuperNode's ``--node-config`` says.

    Args:
        client: The client that the node is, from 0.
        data: An NPZ file of the node's own examples, ``x`` and ``y``.
        backends: A backends file.
        backend: Name of the node's backend in it.
        folder: Where the journals of devices are kept.
        weights: A state-dict file of the backbone; without it, the path that the server's experiment names.
        device: torch's device for the head.
        secure_threshold: The least threshold of secure aggregation in which the node takes part; it shows no update to
            the server then. Without it, the server says whether updates are hidden.
    """

    client: NaturalNumber
    data: Annotated[str, Field(min_length=1)]
    backends: Annotated[str, Field(min_length=1)]
    backend: Name
    folder: str = "."
    weights: str | None = None
    device: Literal["cpu", "cuda"] = "cpu"
    secure_threshold: Annotated[PositiveInteger, Field(ge=2)] | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "NodeConfig":
        """Take the values of ``--node-config``.

        Raises:
            ConfigurationError: One is missing, unknown or wrong.
        """
        return validate(cls, values, "--node-config")
