"""The schema of an experiment's section `checkpoints`: how often a run's state is kept, and how many of them."""

from typing import Annotated

from pydantic import Field

from qiskit_fedqml.config.strict import PositiveInteger, StrictModel


class CheckpointsConfig(StrictModel):
    """How a run in a result folder can be resumed; nothing here changes its result.

    ``every`` is the number of server steps from one checkpoint to the next: a run that is killed repeats at most so
    many, to the same bits. With devices it is 1. ``keep`` is how many checkpoints there are at a time: if the last one
    turns out to be damaged, the one before it is taken.
    """

    keep: Annotated[PositiveInteger, Field(le=1_000)] = 2
    """How many checkpoints there are at a time."""
    every: Annotated[PositiveInteger, Field(le=1_000_000)] = 1
    """Server steps from one checkpoint to the next, which a killed run repeats at most."""
