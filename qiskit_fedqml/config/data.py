"""The `data` and `features` sections of an experiment file."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from qiskit_fedqml.config.alternatives import tag_of
from qiskit_fedqml.config.extension import PYTHON
from qiskit_fedqml.config.own_data import Fraction, GivenData, HuggingFaceData, PythonData, TableData
from qiskit_fedqml.config.partition import SharedOutData
from qiskit_fedqml.config.strict import NaturalNumber, Number, PositiveInteger, StrictModel
from qiskit_fedqml.errors import listed

Classes = Annotated[tuple[NaturalNumber, ...], Field(min_length=2)]


class DigitsData(SharedOutData):
    """scikit-learn's digits, ready features."""

    dataset: Literal["digits"]
    classes: Classes = (0, 1, 2, 3)
    test_fraction: Fraction = 0.2


class NpzData(SharedOutData):
    """An NPZ file of ``x_train``, ``y_train``, ``x_test``, ``y_test``; ``classes`` None takes all labels."""

    dataset: Literal["npz"]
    path: str
    classes: Classes | None = None


class Cifar10Data(SharedOutData):
    """CIFAR-10 in the folder ``path``; classes 0 and 1 are planes and cars."""

    dataset: Literal["cifar10"]
    path: str = "data"
    classes: Classes = (0, 1)
    download: bool = False


class ImageFolderData(SharedOutData):
    """A tree of image files, one folder a class, with or without ``train`` and ``test`` above them."""

    dataset: Literal["image_folder"]
    path: str
    test_fraction: Fraction | None = None


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
