"""The `data` and `features` sections of an experiment file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from qiskit_fedqml.config.alternatives import tag_of
from qiskit_fedqml.config.extension import PYTHON
from qiskit_fedqml.config.own_data import Fraction, GivenData, HuggingFaceData, PythonData, TableData
from qiskit_fedqml.config.partition import SharedOutData
from qiskit_fedqml.config.strict import UNIQUE, Flag, NaturalNumber, Number, PositiveInteger, StrictModel
from qiskit_fedqml.errors import listed

Classes = Annotated[tuple[NaturalNumber, ...], Field(min_length=2), UNIQUE]


class DigitsData(SharedOutData):
    """scikit-learn's digits, ready features."""

    dataset: Literal["digits"]
    """scikit-learn's 8×8 digits; nothing to download."""
    classes: Classes = (0, 1, 2, 3)
    """Which digits."""
    test_fraction: Fraction = 0.2
    """Part of each class that becomes test data."""


class NpzData(SharedOutData):
    """An NPZ file of ``x_train``, ``y_train``, ``x_test``, ``y_test``; ``classes`` None takes all labels."""

    dataset: Literal["npz"]
    """An NPZ file of x_train, y_train, x_test and y_test."""
    path: str
    """The file, looked for in $FEDQML_DATA and then in the current folder."""
    classes: Classes | None = None
    """Which labels; none takes all."""


class Cifar10Data(SharedOutData):
    """CIFAR-10 in the folder ``path``; classes 0 and 1 are planes and cars."""

    dataset: Literal["cifar10"]
    """CIFAR-10's binary version."""
    path: str = "data"
    """Its folder, looked for in $FEDQML_DATA and then in the current folder."""
    classes: Classes = (0, 1)
    """Which classes; 0 and 1 are planes and cars."""
    download: Flag = False
    """Whether it may be downloaded if it is not there."""


class ImageFolderData(SharedOutData):
    """A tree of image files, one folder a class, with or without ``train`` and ``test`` above them."""

    dataset: Literal["image_folder"]
    """A tree of image files, one folder for each class."""
    path: str
    """Its folder, looked for in $FEDQML_DATA and then in the current folder."""
    test_fraction: Fraction | None = None
    """Part of each class that becomes test data; none where there are folders train and test."""


def _kind(section: Any) -> str:
    is_python = isinstance(section, PythonData) or (isinstance(section, Mapping) and "python" in section)
    return PYTHON if is_python else tag_of("dataset")


Named = Annotated[
    DigitsData | NpzData | Cifar10Data | ImageFolderData | TableData | HuggingFaceData | GivenData,
    Field(discriminator="dataset"),
]
DataConfig = Annotated[
    Annotated[Named, Tag(tag_of("dataset"))] | Annotated[PythonData, Tag(PYTHON)], Discriminator(_kind)
]


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
    per_feature: Flag = False
    """Whether each feature has its own."""
    center: Flag = False
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
    """Up to which of its layers it is run; needed with a backbone."""
    weights: str | None = None
    """`torchvision` for the library's own, or a state-dict file, here or in $FEDQML_DATA; needed with a backbone."""
    image_size: Annotated[PositiveInteger, Field(le=2**31 - 1)] | None = None
    """Height and width to which images are resized; needed with a backbone."""
    pooling: Literal["flatten", "average"] | None = None
    """`average` takes the mean over the layer's height and width, `flatten` all of it; needed with a backbone."""
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
