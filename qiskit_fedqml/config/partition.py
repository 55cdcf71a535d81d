"""How training data are divided among the clients."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qiskit_fedqml.config.strict import NaturalNumber, Number, PositiveInteger, PositiveNumber, StrictModel
from qiskit_fedqml.errors import listed


class Iid(StrictModel):
    """Shuffled and dealt out in equal parts."""

    scheme: Literal["iid"]
    """Shuffled and dealt out in equal parts."""


class Dirichlet(StrictModel):
    """Label skew: each class shared out by proportions from a Dirichlet distribution of concentration ``alpha``."""

    scheme: Literal["dirichlet"]
    """Label skew: each class shared out by proportions from a Dirichlet distribution."""
    alpha: Annotated[PositiveNumber, Field(le=1e6)]
    """Its concentration; the smaller, the more unequal."""


class LabelShards(StrictModel):
    """Label skew: sorted by label, cut into shards, ``shards_per_client`` dealt to each client."""

    scheme: Literal["label_shards"]
    """Label skew: sorted by label and cut into shards."""
    shards_per_client: Annotated[PositiveInteger, Field(le=10_000_000)]
    """How many shards each client is dealt."""


class QuantitySkew(StrictModel):
    """Sizes of the shards from a Dirichlet distribution of concentration ``alpha``."""

    scheme: Literal["quantity_skew"]
    """Sizes of the shards from a Dirichlet distribution."""
    alpha: Annotated[PositiveNumber, Field(le=1e6)]
    """Its concentration; the smaller, the more unequal."""


Partition = Annotated[Iid | Dirichlet | LabelShards | QuantitySkew, Field(discriminator="scheme")]


class DividedData(StrictModel):
    """What every dataset has.

    ``validation_fraction`` of the training data is cut out as a tuning set. Clients with fewer than ``min_examples``
    are named in a warning; ``redraw`` is how many times the partition may be drawn again until there are none.
    """

    validation_fraction: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of the training data that no client gets, on which the server tests each round's model."""
    min_examples: PositiveInteger = 1
    """Clients with fewer examples are named in a warning; with `redraw`, there must be none."""
    redraw: Annotated[NaturalNumber, Field(le=10_000)] = 0
    """How many times the partition may be drawn again until every client has `min_examples`."""

    @model_validator(mode="after")
    def _classes_differ(self) -> "DividedData":
        classes = getattr(self, "classes", None) or ()
        if len(set(classes)) != len(classes):
            raise ValueError(f"classes must differ, but are {listed(classes)}")
        return self

    @model_validator(mode="after")
    def _redraw_has_an_effect(self) -> "DividedData":
        if self.redraw and self.min_examples == 1:
            raise ValueError("redraw has no effect with min_examples: 1, which every partition keeps")
        if self.redraw and isinstance(getattr(self, "partition", None), Iid | None):
            raise ValueError("redraw has no effect with partition: {scheme: iid}, which always gives parts of one size")
        return self


class SharedOutData(DividedData):
    """A dataset that is shared out to the clients."""

    partition: Partition = Iid(scheme="iid")
    """How the training data are divided among the clients."""


class OwnData(DividedData):
    """A dataset of the user's own, which may say itself what each client has.

    ``partition`` None shares out what it does not divide itself as ``iid`` does.
    """

    partition: Partition | None = None
    """How training data that come undivided are divided among the clients; none is iid."""
