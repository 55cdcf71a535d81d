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


class _Data(StrictModel):
    """What every dataset has: the partition over clients, and a tuning set cut out of the training data (or none)."""

    partition: Partition = Iid(scheme="iid")
    """How the training data are divided among the clients."""
    validation_fraction: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    """Part of the training data that no client gets, on which the server tests each round's model."""

    @model_validator(mode="after")
    def _classes_differ(self) -> "_Data":
        classes = getattr(self, "classes", None) or ()
        if len(set(classes)) != len(classes):
            raise ValueError(f"classes must differ, but are {listed(classes)}")
        return self


class DigitsData(_Data):
    """scikit-learn's digits, ready features."""

    dataset: Literal["digits"]
    """scikit-learn's 8×8 digits; nothing to download."""
    classes: Classes = (0, 1, 2, 3)
    """Which digits."""
    test_fraction: Fraction = 0.2
    """Part of each class that becomes test data."""


class NpzData(_Data):
    """An NPZ file of ``x_train``, ``y_train``, ``x_test``, ``y_test``; ``classes`` None takes all labels."""

    dataset: Literal["npz"]
    """An NPZ file of x_train, y_train, x_test and y_test."""
    path: str
    """The file, looked for in $FEDQML_DATA and then in the current folder."""
    classes: Classes | None = None
    """Which labels; none takes all."""


class Cifar10Data(_Data):
    """CIFAR-10 in the folder ``path``; classes 0 and 1 are planes and cars."""

    dataset: Literal["cifar10"]
    """CIFAR-10's binary version."""
    path: str = "data"
    """Its folder, looked for in $FEDQML_DATA and then in the current folder."""
    classes: Classes = (0, 1)
    """Which classes; 0 and 1 are planes and cars."""
    download: bool = False
    """Whether it may be downloaded if it is not there."""


class ImageFolderData(_Data):
    """A tree of image files, one folder a class, with or without ``train`` and ``test`` above them."""

    dataset: Literal["image_folder"]
    """A tree of image files, one folder for each class."""
    path: str
    """Its folder, looked for in $FEDQML_DATA and then in the current folder."""
    test_fraction: Fraction | None = None
    """Part of each class that becomes test data; none where there are folders train and test."""


DataConfig = Annotated[DigitsData | NpzData | Cifar10Data | ImageFolderData, Field(discriminator="dataset")]


class ConstantScaling(StrictModel):
    """Features divided by a stated number."""

    method: Literal["constant"]
    """Features divided by a stated number."""
    divisor: Annotated[Number, Field(ge=1e-30, le=1e30)]
    """That number."""


class ClientSumsScaling(StrictModel):
    """Features divided by the standard deviation that the clients' sums n, Σx, Σx² give, never from the test data.

    ``per_feature`` gives each feature its own; ``center`` subtracts the mean first.
    """

    method: Literal["client_sums"]
    """Features divided by the standard deviation that the clients' sums give."""
    per_feature: bool = False
    """Whether each feature has its own."""
    center: bool = False
    """Whether the mean is subtracted first."""


Scaling = Annotated[ConstantScaling | ClientSumsScaling, Field(discriminator="method")]


class FeaturesConfig(StrictModel):
    """How images become features.

    ``backbone`` is a torchvision model, run up to ``layer``; ``weights`` is a local state-dict file or ``torchvision``;
    ``pooling: average`` takes the mean over the layer's height and width, ``flatten`` all of it. Ready features take
    ``scaling`` only.
    """

    backbone: str | None = None
    """A torchvision image classifier, never trained; none for data that are features already."""
    layer: str | None = None
    """Up to which of its layers it is run."""
    weights: str | None = None
    """`torchvision` for the library's own, or a local state-dict file."""
    image_size: Annotated[PositiveInteger, Field(le=2**31 - 1)] | None = None
    """Height and width to which images are resized."""
    pooling: Literal["flatten", "average"] | None = None
    """`average` takes the mean over the layer's height and width, `flatten` all of it."""
    scaling: Scaling | None = None
    """What is done to features before the head; none leaves them as they are."""

    @model_validator(mode="after")
    def _backbone_is_whole(self) -> "FeaturesConfig":
        parts = {key: getattr(self, key) for key in ("backbone", "layer", "weights", "image_size", "pooling")}
        missing = [key for key, value in parts.items() if value is None]
        if missing and len(missing) < len(parts):
            raise ValueError(
                f"backbone, layer, weights, image_size and pooling come together; missing: {listed(missing)}"
            )
        return self
