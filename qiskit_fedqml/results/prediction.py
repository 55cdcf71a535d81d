"""A trained model that classifies what is new: image files, and ready features."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.base import Backend
from qiskit_fedqml.backends.job import JobKey, Usage
from qiskit_fedqml.config.data import FeaturesConfig
from qiskit_fedqml.data.examples import Examples
from qiskit_fedqml.data.unlabelled import NewExamples, Progress, check_width, new_features, new_images
from qiskit_fedqml.errors import DataError, ResultError
from qiskit_fedqml.model.classifier import HybridClassifier
from qiskit_fedqml.model.prediction import TEST_BATCH, highest_probability, predict
from qiskit_fedqml.results.evaluation import load_model
from qiskit_fedqml.results.provenance import check_weights
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.seeds import derive_seed

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """The classes of new examples.

    Args:
        names: A name for each example: its file, for one of several in a file with its number in brackets.
        classes: Names of the classes.
        logits: The model's outputs, shape (examples, classes).
        unreadable: Why an example is left out, by its name.
        backend: The backend's name.
        machine: What the backend says of itself; empty without a circuit.
        usage: Circuits, executions, and the jobs that a device ran.
        highest_probability: The most that a probability can be, since logits are a circuit's expectations; 1 without a
            circuit. Mitigated expectations can pass their bounds.
    """

    names: tuple[str, ...]
    classes: tuple[str, ...]
    logits: NDArray[np.float64]
    unreadable: Mapping[str, str] = field(default_factory=dict)
    backend: str = ""
    machine: Mapping[str, Any] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    highest_probability: float = 1.0

    def __len__(self) -> int:
        return len(self.names)

    @property
    def labels(self) -> tuple[str, ...]:
        """The class of each example, the one of the largest logit."""
        return tuple(self.classes[int(index)] for index in self.logits.argmax(axis=1))

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The softmax of the logits, shape (examples, classes); each row adds up to 1."""
        return torch.softmax(torch.from_numpy(self.logits), dim=1).numpy()

    def as_json(self) -> dict[str, Any]:
        """Return all of it as JSON's values."""
        examples = [
            {
                "example": name,
                "predicted": label,
                "probabilities": dict(zip(self.classes, map(float, row), strict=True)),
            }
            for name, label, row in zip(self.names, self.labels, self.probabilities, strict=True)
        ]
        return {
            "backend": self.backend,
            "machine": dict(self.machine),
            **asdict(self.usage),
            "classes": list(self.classes),
            "highest_probability": self.highest_probability,
            "predictions": examples,
            "unreadable": [{"example": name, "reason": reason} for name, reason in self.unreadable.items()],
        }


class Classifier:
    """A trained model with what its run knew of classes and features, from :func:`load_classifier`.

    Args:
        model: The model, in evaluation mode.
        classes: Names of the classes.
        features: How the run's images became features.
        num_features: Number of features of an example.
        backend: Evaluates the circuit; only its name and description are used.
        seed: Seed of the shots.
        feature_range: The smallest and the largest feature of the run's test data; None where that is not known.
    """

    def __init__(
        self,
        model: HybridClassifier,
        classes: Sequence[str],
        features: FeaturesConfig,
        num_features: int,
        backend: Backend,
        seed: int,
        feature_range: tuple[float, float] | None = None,
    ) -> None:
        self.model, self.classes, self.features = model, tuple(classes), features
        self.num_features, self._backend, self._seed = num_features, backend, seed
        self._range = feature_range if features.backbone is None else None

    def predict_images(self, paths: str | Path | Iterable[str | Path], progress: Progress | None = None) -> Predictions:
        """Classify image files, with the backbone and the scaling of the run.

        Images are read as those of the training data. What cannot be read is left out, with its reason
        (:attr:`Predictions.unreadable`).

        Args:
            paths: Files; folders of images, with those below them; and NPZ files with images ``x``.
            progress: Called with how far the backbone is: what is done, images done, images in all.

        Raises:
            DataError: The model was not trained on images, the backbone's weights are not to be had, or none of the
                images can be read.
            BackendError: The backend failed.
        """
        if self.features.backbone is None:
            raise DataError("This model was trained on ready features, so it cannot classify images.")
        return self._predict(new_images(_as_paths(paths), self.features, progress))

    def predict_files(self, paths: str | Path | Iterable[str | Path], progress: Progress | None = None) -> Predictions:
        """Classify files of whatever the model was trained on: images, or NPZ and CSV files of ready features.

        Args:
            paths: As :meth:`predict_images`; for a model of ready features, NPZ files with an array ``x`` and CSV files
                with a column for each feature, with or without a line of names.
            progress: As :meth:`predict_images`.

        Raises:
            DataError: None of the files can be read, or as :meth:`predict_images`.
            BackendError: The backend failed.
        """
        if self.features.backbone is not None:
            return self.predict_images(paths, progress)
        return self._predict(new_features(_as_paths(paths), self.num_features))

    def predict_features(self, features: ArrayLike) -> Predictions:
        """Classify examples whose features are known, as they are before scaling.

        Args:
            features: Finite numbers of shape (examples, features).

        Raises:
            DataError: They are of another shape, or not finite.
            BackendError: The backend failed.
        """
        try:
            array = np.asarray(features, dtype=np.float32)
        except (TypeError, ValueError) as error:
            raise DataError(f"Argument `features` must be an array of numbers: {error}.") from error
        if array.ndim != 2 or not len(array):
            raise DataError(f"Argument `features` must be of shape (examples, features), but is {array.shape}.")
        check_width(array, self.num_features, "Argument `features`")
        if not np.isfinite(array).all():
            raise DataError("Argument `features` must be finite, but has NaN or infinite values.")
        return self._predict(NewExamples(tuple(map(str, range(len(array)))), iter([([*range(len(array))], array)])))

    def _predict(self, new: NewExamples) -> Predictions:
        network, before = self.model.network, Usage()
        if network is not None:
            before = network.usage.copy()
            network.reseed(self._seed, JobKey(0, None, 0, "prediction"))
        positions: list[int] = []
        logits: list[NDArray[np.float64]] = []
        for at, features in _gathered(new.batches):
            self._warn_of_other_range(features)
            positions += at
            logits.append(predict(self.model, Examples(features, np.zeros(len(features), dtype=np.int64))))
        if not logits:
            raise DataError(_none_read(new.unreadable))
        return Predictions(
            names=tuple(new.names[position] for position in positions),
            classes=self.classes,
            logits=np.concatenate(logits),
            unreadable=dict(new.unreadable),
            backend=self._backend.name,
            machine={} if network is None else self._backend.describe(),
            usage=Usage() if network is None else network.usage - before,
            highest_probability=1.0 if network is None else highest_probability(network.observables),
        )

    def _warn_of_other_range(self, features: NDArray[np.float32]) -> None:
        """Warn of features that were scaled otherwise than those of the run, such as pixels up to 255 and up to 1."""
        if self._range is None:
            return
        lowest, highest, (low, high) = float(features.min()), float(features.max()), self._range
        if lowest < low - (high - low) or highest > high + (high - low):
            logger.warning(
                "The features lie between %g and %g, those of the run's test data between %g and %g: were they scaled "
                "in another way?",
                *(lowest, highest, low, high),
            )


def load_classifier(folder: str | Path, backend: Backend | None = None) -> Classifier:
    """Load the trained model of a finished run, to classify what is new.

    Args:
        folder: The result folder.
        backend: Evaluates its circuit; the server's backend of the run by default.

    Raises:
        ResultError: The folder is no finished result, its model runs no circuit for another backend to run, or the
            weights of its backbone are others now, or no longer there.
        BackendError: The run's server backend cannot be opened.
    """
    result = RunResult.load(folder)
    assignment, features = result.experiment.backends.assignment, result.experiment.features
    chosen = backend or BackendRegistry(result.experiment.backends, Path()).server
    model = load_model(folder, chosen)
    if model.network is None and chosen.name != assignment.server:
        raise ResultError(f"{folder}: this model runs no circuit, so it cannot be used on {chosen.name!r}.")
    check_weights(result.run, result.experiment, Path(folder))
    seed = derive_seed(result.experiment.seed, f"shots of the prediction on {chosen.name}")
    known = result.run.get("feature_range")
    width, between = int(result.run["num_features"]), (known[0], known[1]) if known else None
    return Classifier(model, result.run["classes"], features, width, chosen, seed, between)


def _as_paths(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Return each path once."""
    several = [paths] if isinstance(paths, str | Path) else paths
    return list(dict.fromkeys(Path(path) for path in several))


def _gathered(
    batches: Iterator[tuple[list[int], NDArray[np.float32]]],
) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
    """Give batches in such sizes that the circuit is evaluated for many examples together."""
    positions, held = list[int](), list[NDArray[np.float32]]()
    for at, features in batches:
        positions += at
        held.append(features)
        if len(positions) >= TEST_BATCH:
            yield positions, np.concatenate(held)
            positions, held = [], []
    if positions:
        yield positions, np.concatenate(held)


def _none_read(unreadable: Mapping[str, str]) -> str:
    if not unreadable:
        return "There is nothing to classify: no file was given."
    first, more = next(iter(unreadable.values())), len(unreadable) - 1
    return f"Nothing can be classified: {first}" + (f" So it is with {more} more." if more else "")
