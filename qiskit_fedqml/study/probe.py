"""The linear probe: logistic regression on the frozen features, what they give without any head or circuit."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.text_files import parse_json, read_text
from qiskit_fedqml.data.loading import cut_validation
from qiskit_fedqml.data.preparation import prepare_data
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import make_folder, write_text
from qiskit_fedqml.model.prediction import loss_and_accuracy
from qiskit_fedqml.results.provenance import peak_memory_bytes

_PENALTIES = tuple(10.0**k for k in range(-5, 1))
_HELD_OUT = 0.1


@dataclass(frozen=True)
class LinearProbe:
    """A linear probe's test.

    Args:
        accuracy: On the test data, from 0 to 1.
        loss: Mean cross-entropy there.
        inverse_penalty: scikit-learn's C, of 1e-5 to 1 that with the lowest loss on a tenth of the training data held
            out.
        num_train: Training examples, all clients' together.
        seconds: Time that it took.
        peak_memory_bytes: Most memory that the process has held so far; None where the system doesn't say.
    """

    accuracy: float
    loss: float
    inverse_penalty: float
    num_train: int
    seconds: float
    peak_memory_bytes: int | None

    @classmethod
    def of(cls, experiment: Experiment, kept: Path | None = None) -> "LinearProbe":
        """Train and test a probe on an experiment's features, standardised, and its split; not federated.

        Args:
            experiment: Its data, features and seed are used.
            kept: A JSON file from which a probe is read if it is there and of the same data and features, and else
                written.

        Raises:
            DataError: Data, weights or features are missing or do not fit together.
            ResultError: The file cannot be read, or cannot be written.
        """
        asked = experiment.model_dump(mode="json", include={"seed", "data", "features"})
        if kept is not None and kept.exists():
            found = parse_json(read_text(kept, ResultError), str(kept), ResultError)
            if isinstance(found, dict) and found.get("of") == asked:
                return cls(**found["probe"])
        probe = _train(experiment)
        if kept is not None:
            make_folder(kept.parent)
            write_text(kept, json.dumps({"probe": asdict(probe), "of": asked}) + "\n")
        return probe


def _train(experiment: Experiment) -> LinearProbe:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    started = time.perf_counter()
    data = prepare_data(experiment)
    rows = np.sort(np.concatenate(data.shards))
    scaler = StandardScaler().fit(data.train.features[rows])

    def features(of: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = scaler.transform(of)
        return scaled

    inputs, labels = features(data.train.features[rows]), data.train.labels[rows]
    fitted, held_out = cut_validation(len(rows), _HELD_OUT, experiment.seed)

    def trained(penalty: float, of: NDArray[np.intp]) -> LogisticRegression:
        return LogisticRegression(C=penalty, max_iter=300).fit(inputs[of], labels[of])

    losses = [_test(trained(penalty, fitted), inputs[held_out], labels[held_out])[0] for penalty in _PENALTIES]
    best = _PENALTIES[int(np.argmin(losses))]
    loss, accuracy = _test(
        trained(best, np.arange(len(rows))), features(np.asarray(data.test.features)), data.test.labels
    )
    return LinearProbe(
        accuracy=accuracy,
        loss=loss,
        inverse_penalty=best,
        num_train=len(rows),
        seconds=time.perf_counter() - started,
        peak_memory_bytes=peak_memory_bytes(),
    )


def _test(model: Any, inputs: NDArray[np.float32], labels: NDArray[np.int64]) -> tuple[float, float]:
    odds = model.decision_function(inputs)
    # With two classes scikit-learn gives the log odds of the second alone.
    logits = np.stack([np.zeros(len(odds)), odds], axis=1) if odds.ndim == 1 else odds
    return loss_and_accuracy(logits.astype(float), np.searchsorted(model.classes_, labels))
