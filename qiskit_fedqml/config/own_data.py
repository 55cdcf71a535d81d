"""Datasets of the user's own: given from Python, made by a function, in a table, or in the format of Hugging Face."""

from collections import Counter
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qiskit_fedqml.config.extension import PythonName
from qiskit_fedqml.config.partition import OwnData, SharedOutData
from qiskit_fedqml.config.strict import Number
from qiskit_fedqml.errors import listed

Fraction = Annotated[Number, Field(gt=0.0, lt=1.0)]
Text = Annotated[str, Field(min_length=1)]
Columns = Annotated[tuple[Text, ...], Field(max_length=100_000)]


class GivenData(OwnData):
    """Examples that were given from Python, in an NPZ file, of which each result folder keeps its own copy.

    ``path`` None stands for examples that are still to be given, by the argument ``data`` of ``run_federation``.
    """

    dataset: Literal["given"]
    """Examples that were given from Python."""
    path: Text | None = None
    """The NPZ file that keeps them; none where they are still to be given."""


class PythonData(OwnData):
    """A function of the user's own that returns ``(clients, test)``, as the argument ``data`` of ``run_federation``."""

    python: PythonName
    """The function that returns (clients, test), as module:name."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Its arguments by keyword."""

    @property
    def dataset(self) -> str:
        """What reports call it."""
        return self.python


class TableData(SharedOutData):
    """A table in a CSV or Parquet file.

    ``features`` None takes all other numeric columns. ``categories`` become a column of 0 and 1 for each value. Rows
    with missing values are dropped, or get the training data's mean; None refuses them.
    """

    dataset: Literal["table"]
    """A table in a CSV or Parquet file."""
    path: Text
    """The file."""
    label: Text
    """The column of the classes."""
    features: Columns | None = None
    """Columns of numbers; none takes all other numeric columns."""
    categories: Columns = ()
    """Columns of text, each of which becomes a column of 0 and 1 for each value."""
    test_path: Text | None = None
    """The file of the test data."""
    test_fraction: Fraction | None = None
    """Part of each class that becomes test data."""
    missing: Literal["drop", "mean"] | None = None
    """Whether rows with missing values are dropped or get the training data's mean; none refuses them."""

    @model_validator(mode="after")
    def _columns_differ(self) -> "TableData":
        named = Counter([self.label, *(self.features or ()), *self.categories])
        if twice := [name for name, count in named.items() if count > 1]:
            raise ValueError(f"a column is the label, a feature or a category, and once; named twice: {listed(twice)}")
        if self.features == () and not self.categories:
            raise ValueError("features must name a column where there are no categories")
        return self

    @model_validator(mode="after")
    def _has_test_data(self) -> "TableData":
        if (self.test_path is None) == (self.test_fraction is None):
            raise ValueError("one of test_path and test_fraction must say what the test data are")
        return self


class HuggingFaceData(SharedOutData):
    """A dataset of the library ``datasets``: a folder that ``save_to_disk`` made, or a name on the hub.

    ``column`` holds images, or lists of numbers; ``subset`` is one of several configurations of a dataset on the hub.
    ``test`` names the split of the test data, which are cut out of the training data where there is none.
    """

    dataset: Literal["huggingface"]
    """A dataset of the library `datasets`."""
    path: Text
    """A folder that `save_to_disk` made, or a name on the hub."""
    subset: Text | None = None
    """One of several configurations of a dataset on the hub."""
    train: Text = "train"
    """The split of the training data."""
    test: Text | None = None
    """The split of the test data."""
    test_fraction: Fraction | None = None
    """Part of each class that becomes test data, where there is no split for them."""
    column: Text
    """The column of images, or of lists of numbers."""
    label: Text = "label"
    """The column of the classes."""

    @model_validator(mode="after")
    def _has_test_data(self) -> "HuggingFaceData":
        if (self.test is None) == (self.test_fraction is None):
            raise ValueError("one of test and test_fraction must say what the test data are")
        if self.test == self.train:
            raise ValueError(f"train and test must be two splits, but are both {self.test}")
        if self.column == self.label:
            raise ValueError(f"column and label must differ, but are both {self.label}")
        return self
