"""The `data` and `features` sections of an experiment file."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from qiskit_fedqml.config.strict import NaturalNumber, Number, PositiveInteger, PositiveNumber, StrictModel
from qiskit_fedqml.errors import listed

Fraction = Annotated[Number, Field(gt=0.0, lt=1.0)]
Classes = Annotated[tuple[NaturalNumber, ...], Field(min_length=2)]


class Iid(StrictModel):
    """Shuffled and dealt out in equal parts."""

    scheme: Literal["iid"]


class Dirichlet(StrictModel):
    """Label skew: each class shared out by proportions from a Dirichlet distribution of concentration ``alpha``."""

    scheme: Literal["dirichlet"]
    alpha: Annotated[PositiveNumber, Field(le=1e6)]


class LabelShards(StrictModel):
    """Label skew: sorted by label, cut into shards, ``shards_per_client`` dealt to each client."""

    scheme: Literal["label_shards"]
    shards_per_client: Annotated[PositiveInteger, Field(le=10_000_000)]


class QuantitySkew(StrictModel):
    """Sizes of the shards from a Dirichlet distribution of concentration ``alpha``."""

    scheme: Literal["quantity_skew"]
    alpha: Annotated[PositiveNumber, Field(le=1e6)]


Partition = Annotated[Iid | Dirichlet | LabelShards | QuantitySkew, Field(discriminator="scheme")]


class _Data(StrictModel):
    """What every dataset has: the partition over clients, and a tuning set cut out of the training data (or none)."""

    partition: Partition = Iid(scheme="iid")
    validation_fraction: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0

    @model_validator(mode="after")
    def _classes_differ(self) -> "_Data":
        classes = getattr(self, "classes", None) or ()
        if len(set(classes)) != len(classes):
            raise ValueError(f"classes must differ, but are {listed(classes)}")
        return self


class DigitsData(_Data):
    """scikit-learn's digits, ready features."""

    dataset: Literal["digits"]
    classes: Classes = (0, 1, 2, 3)
    test_fraction: Fraction = 0.2


class NpzData(_Data):
    """An NPZ file of ``x_train``, ``y_train``, ``x_test``, ``y_test``; ``classes`` None takes all labels."""

    dataset: Literal["npz"]
    path: str
    classes: Classes | None = None


class Cifar10Data(_Data):
    """CIFAR-10 in the folder ``path``; classes 0 and 1 are planes and cars."""

    dataset: Literal["cifar10"]
    path: str = "data"
    classes: Classes = (0, 1)
    download: bool = False


class ImageFolderData(_Data):
    """A tree of image files, one folder a class, with or without ``train`` and ``test`` above them."""

    dataset: Literal["image_folder"]
    path: str
    test_fraction: Fraction | None = None


DataConfig = Annotated[DigitsData | NpzData | Cifar10Data | ImageFolderData, Field(discriminator="dataset")]


class ConstantScaling(StrictModel):
    """Features divided by a stated number."""

    method: Literal["constant"]
    divisor: Annotated[Number, Field(ge=1e-30, le=1e30)]


class ClientSumsScaling(StrictModel):
    """Features divided by the standard deviation that the clients' sums n, Σx, Σx² give, never from the test data.

    ``per_feature`` gives each feature its own; ``center`` subtracts the mean first.
    """

    method: Literal["client_sums"]
    per_feature: bool = False
    center: bool = False


Scaling = Annotated[ConstantScaling | ClientSumsScaling, Field(discriminator="method")]


class FeaturesConfig(StrictModel):
    """How images become features.

    ``backbone`` is a torchvision model, run up to ``layer``; ``weights`` is a local state-dict file or ``torchvision``;
    ``pooling: average`` takes the mean over the layer's height and width, ``flatten`` all of it. Ready features take
    ``scaling`` only.
    """

    backbone: str | None = None
    layer: str | None = None
    weights: str | None = None
    image_size: Annotated[PositiveInteger, Field(le=2**31 - 1)] | None = None
    pooling: Literal["flatten", "average"] | None = None
    scaling: Scaling | None = None

    @model_validator(mode="after")
    def _backbone_is_whole(self) -> "FeaturesConfig":
        parts = {key: getattr(self, key) for key in ("backbone", "layer", "weights", "image_size", "pooling")}
        missing = [key for key, value in parts.items() if value is None]
        if missing and len(missing) < len(parts):
            raise ValueError(
                f"backbone, layer, weights, image_size and pooling come together; missing: {listed(missing)}"
            )
        return self
