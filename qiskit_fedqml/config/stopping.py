"""The schema of `federation.stop`: when a run ends before its last round."""

from typing import Annotated, Literal

from pydantic import Field

from qiskit_fedqml.config.strict import Number, PositiveInteger, StrictModel

Metric = Literal["loss", "accuracy"]


class StopConfig(StrictModel):
    """A run ends early once ``patience`` rounds in a row have not been better than the best before them.

    Better is by more than ``min_delta``, in loss (lower) or accuracy (higher, from 0 to 1): on the validation data
    where there are some (``data.validation_fraction``), otherwise on the test data.
    """

    patience: Annotated[PositiveInteger, Field(le=1_000_000)]
    """Rounds in a row without a better one, after which the run ends."""
    min_delta: Annotated[Number, Field(ge=0.0, le=1e6)] = 0.0
    """By how much a round must be better than the best before it."""
    metric: Metric = "loss"
    """By what rounds are compared."""
