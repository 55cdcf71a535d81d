"""How a device is cut into blocks."""

from typing import Annotated, Any, Literal

from pydantic import Field

from qiskit_fedqml.config.strict import Integer, Number, PositiveInteger, StrictModel


class Blocks(StrictModel):
    """How a device is cut into blocks, each of which holds a copy of the circuit.

    ``separation`` is the number of idle qubits between two blocks; blocks below ``least_success`` times the success
    probability of the best one are not used; ``most`` is the most blocks. ``spread`` says what fills them: the points
    of each evaluation (``"samples"``), or a client each (``"clients"``).
    """

    separation: Annotated[Integer, Field(ge=0, le=1)] = 1
    """Idle qubits between two blocks."""
    least_success: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.85
    """Blocks below so many times the best one's success probability are not used."""
    most: Annotated[PositiveInteger, Field(le=1_000_000)] | None = None
    """The most blocks; none takes as many as fit."""
    spread: Literal["samples", "clients"] = "samples"
    """What fills the blocks: the points of each evaluation, or a client each."""


def blocks_or_off(value: Any) -> Any:
    """Read the short forms: ``off`` and ``auto``."""
    if value is False or value == "off":
        return None
    if value is not None and value != "auto" and not isinstance(value, (dict, Blocks)):
        raise ValueError("must be off, auto or a mapping such as {separation: 1}")
    return Blocks() if value == "auto" else value


def blocks_of_clients(value: Any) -> Any:
    """Read the short forms on a simulator, whose blocks hold a client each."""
    value = blocks_or_off(value)
    if isinstance(value, Blocks) and "spread" not in value.model_fields_set:
        return value.model_copy(update={"spread": "clients"})
    return {"spread": "clients", **value} if isinstance(value, dict) else value
