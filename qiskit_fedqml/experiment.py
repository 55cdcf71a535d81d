"""Experiment files: one strict, frozen description of a whole run."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from qiskit_fedqml.backends.entries import AerEntry, BackendsFile, CalibrationFile, IBMEntry
from qiskit_fedqml.circuits.ansatz import CircuitConfig, PaperAnsatz
from qiskit_fedqml.configuration import (
    Integer,
    NaturalNumber,
    Number,
    PositiveInteger,
    StrictModel,
    nearest,
    parse_yaml,
    read_yaml,
    validate,
)
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.tracking_config import TrackingConfig

Fraction = Annotated[Number, Field(gt=0.0, lt=1.0)]
PositiveNumber = Annotated[Number, Field(gt=0.0)]
Classes = Annotated[tuple[NaturalNumber, ...], Field(min_length=2)]


class Iid(StrictModel):
    """Shuffled and dealt out in equal parts."""

    scheme: Literal["iid"]


class Dirichlet(StrictModel):
    """Label skew: each class shared out by proportions from a Dirichlet distribution of concentration ``alpha``."""

    scheme: Literal["dirichlet"]
    alpha: PositiveNumber


class LabelShards(StrictModel):
    """Label skew: sorted by label, cut into shards, ``shards_per_client`` dealt to each client."""

    scheme: Literal["label_shards"]
    shards_per_client: PositiveInteger


class QuantitySkew(StrictModel):
    """Sizes of the shards from a Dirichlet distribution of concentration ``alpha``."""

    scheme: Literal["quantity_skew"]
    alpha: PositiveNumber


Partition = Annotated[Iid | Dirichlet | LabelShards | QuantitySkew, Field(discriminator="scheme")]


class _Data(StrictModel):
    """What every dataset has: the partition over clients, and a tuning set cut out of the training data (or none)."""

    partition: Partition = Iid(scheme="iid")
    validation_fraction: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0

    @model_validator(mode="after")
    def _classes_differ(self) -> "_Data":
        classes = getattr(self, "classes", None) or ()
        if len(set(classes)) != len(classes):
            raise ValueError(f"classes must differ, but are {list(classes)}")
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
    divisor: PositiveNumber


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
    image_size: PositiveInteger | None = None
    pooling: Literal["flatten", "average"] | None = None
    scaling: Scaling | None = None

    @model_validator(mode="after")
    def _backbone_is_whole(self) -> "FeaturesConfig":
        parts = {key: getattr(self, key) for key in ("backbone", "layer", "weights", "image_size", "pooling")}
        missing = [key for key, value in parts.items() if value is None]
        if missing and len(missing) < len(parts):
            raise ValueError(f"backbone, layer, weights, image_size and pooling come together; missing: {missing}")
        return self


class ModelConfig(StrictModel):
    """The trainable head (Table I's widths are 4096 and 4096) and what follows it.

    ``quantum: trainable`` is the paper's; ``frozen`` leaves the circuit's weights as they start; ``classical`` puts a
    classical layer with as many parameters in the circuit's place.
    """

    hidden: tuple[PositiveInteger, ...] = (4096, 4096)
    dropout: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.5
    quantum: Literal["trainable", "frozen", "classical"] = "trainable"
    circuit: CircuitConfig = PaperAnsatz()
    device: Literal["cpu", "cuda"] = "cpu"

    @model_validator(mode="after")
    def _all_has_an_effect(self) -> "ModelConfig":
        if self.dropout and not self.hidden:
            raise ValueError(f"dropout {self.dropout} has no effect without hidden layers; it must be 0 there")
        if self.quantum == "classical" and getattr(self.circuit, "entanglement", "ring") != "ring":
            raise ValueError("circuit.entanglement has no effect with quantum: classical")
        if self.quantum == "classical" and self.circuit.ansatz == "reuploading":
            raise ValueError(
                "circuit.ansatz: reuploading has no effect with quantum: classical, which takes only the number of "
                "weights from the circuit: paper has as many"
            )
        return self


class FederationConfig(StrictModel):
    """The federation: who trains, how long, and by which optimiser.

    ``learning_rate_decay`` multiplies the learning rate after each round. ``proximal_mu`` is FedProx's μ: clients
    minimise their loss + μ/2 · ‖w − w_global‖² (arXiv:1812.06127). ``client_optimizer_state: keep`` lets a
    client's optimiser go on where its last round ended, as non-federated training does. ``on_client_failure: skip``
    records a client whose backend failed and goes on with the others.
    """

    clients: PositiveInteger
    clients_per_round: PositiveInteger
    rounds: PositiveInteger
    local_epochs: PositiveInteger = 1
    batch_size: PositiveInteger = 32
    optimizer: Literal["sgd", "adam", "rmsprop"] = "adam"
    learning_rate: PositiveNumber = 1e-4
    learning_rate_decay: Annotated[Number, Field(gt=0.0, le=1.0)] = 1.0
    momentum: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.0
    weight_decay: Annotated[Number, Field(ge=0.0)] = 0.0
    proximal_mu: Annotated[Number, Field(ge=0.0)] = 0.0
    client_optimizer_state: Literal["reset", "keep"] = "reset"
    on_client_failure: Literal["stop", "skip"] = "stop"

    @model_validator(mode="after")
    def _fits_together(self) -> "FederationConfig":
        if self.optimizer == "sgd" and not self.momentum and self.client_optimizer_state == "keep":
            raise ValueError("client_optimizer_state: keep has no effect with sgd without momentum, which has no state")
        if self.clients_per_round > self.clients:
            raise ValueError(f"clients_per_round ({self.clients_per_round}) must be at most clients ({self.clients})")
        if self.momentum and self.optimizer == "adam":
            raise ValueError("momentum is for the optimizers sgd and rmsprop; adam has its own")
        return self


class FedAvgMConfig(StrictModel):
    """FedAvgM (arXiv:1909.06335): momentum at the centre; momentum 0 and learning rate 1 is FedAvg."""

    method: Literal["fedavgm"]
    momentum: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.9
    learning_rate: PositiveNumber = 1.0

    @model_validator(mode="after")
    def _is_not_fedavg(self) -> "FedAvgMConfig":
        if not self.momentum and self.learning_rate == 1.0:
            raise ValueError("momentum 0 and learning_rate 1 have no effect: that is FedAvg")
        return self


class FedAdamConfig(StrictModel):
    """FedAdam (arXiv:2003.00295): Adam at the centre; a small ``tau`` adapts more."""

    method: Literal["fedadam"]
    learning_rate: PositiveNumber = 1e-2
    beta_1: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.9
    beta_2: Annotated[Number, Field(ge=0.0, lt=1.0)] = 0.99
    tau: PositiveNumber = 1e-3


ServerOptimizer = Annotated[FedAvgMConfig | FedAdamConfig, Field(discriminator="method")]


class AggregationConfig(StrictModel):
    """How the centre makes one model of the clients'; as it stands, federated averaging.

    ``success_exponent`` is γ: an update counts by its examples times the γ-th power of its machine's estimated success
    probability (Q-RAIL, arXiv:2605.25783). ``angles: circular`` averages the circuit's weights as directions
    (FEDCOMPASS, arXiv:2602.03052). ``server_optimizer`` steps towards the average.
    """

    success_exponent: Annotated[Number, Field(ge=0.0)] = 0.0
    angles: Literal["arithmetic", "circular"] = "arithmetic"
    server_optimizer: ServerOptimizer | None = None


class EvaluationConfig(StrictModel):
    """Further backends on which the aggregate is tested after each round, with their own noise and shots."""

    backends: tuple[str, ...] = ()


_IDEAL = BackendsFile(backends={"ideal": AerEntry(type="aer")})


class Experiment(StrictModel):
    """A whole run. Every key changes the run, or where it is shown, or is refused."""

    seed: Integer = 0
    data: DataConfig
    features: FeaturesConfig = FeaturesConfig()
    model: ModelConfig = ModelConfig()
    federation: FederationConfig
    aggregation: AggregationConfig = AggregationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    backends: BackendsFile = _IDEAL
    tracking: TrackingConfig = TrackingConfig()

    @model_validator(mode="after")
    def _evaluation_backends_exist(self) -> "Experiment":
        for name in self.evaluation.backends:
            if name not in self.backends.backends:
                raise ValueError(
                    f"evaluation.backends names the backend {name!r}{nearest(name, self.backends.backends)}"
                )
        if len(set(self.evaluation.backends)) != len(self.evaluation.backends):
            raise ValueError(f"evaluation.backends must differ, but are {list(self.evaluation.backends)}")
        if self.model.quantum == "classical" and (self.evaluation.backends or self.backends != _IDEAL):
            raise ValueError("backends have no effect with model.quantum: classical, which runs no circuit")
        return self

    @model_validator(mode="after")
    def _aggregation_has_an_effect(self) -> "Experiment":
        if self.aggregation.angles == "circular" and self.model.quantum != "trainable":
            raise ValueError(
                f"aggregation.angles: circular has no effect with model.quantum: {self.model.quantum}, which trains no "
                "angles"
            )
        if self.aggregation.success_exponent and len(self.backends.assignment.machines) == 1:
            raise ValueError("aggregation.success_exponent has no effect where all clients have the same machine")
        return self

    def resolved(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as YAML's values."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        return plain

    def with_calibrations(self, change: Callable[[str, str], str]) -> "Experiment":
        """Return the experiment with other paths of saved calibrations.

        Args:
            change: Gives the new path for a backend's name and its path.
        """
        entries = {
            name: entry.model_copy(update={"noise": CalibrationFile(calibration=change(name, entry.noise.calibration))})
            if isinstance(entry, AerEntry) and isinstance(entry.noise, CalibrationFile)
            else entry
            for name, entry in self.backends.backends.items()
        }
        return self.model_copy(update={"backends": self.backends.model_copy(update={"backends": entries})})

    def with_budgets(self, seconds: Mapping[str | None, float]) -> "Experiment":
        """Return the experiment with other budgets of QPU seconds.

        Args:
            seconds: By backend; None stands for the run.

        Raises:
            ConfigurationError: There is no such device, or the budget is no positive number.
        """
        data = self.resolved()
        for name, value in seconds.items():
            if name is None:
                data["backends"]["budget_seconds"] = value
            elif not isinstance(self.backends.backends.get(name), IBMEntry):
                known = [n for n, entry in self.backends.backends.items() if isinstance(entry, IBMEntry)]
                raise ConfigurationError(f"There is no device {name!r} to have a budget{nearest(name, known)}")
            else:
                data["backends"]["backends"][name]["budget_seconds"] = value
        return validate(Experiment, data, "the run's configuration")


def load_experiment(path: str | Path, overrides: Mapping[str, Any] | None = None) -> Experiment:
    """Read an experiment file.

    Args:
        path: The YAML file. Its key ``backends`` holds a backends file's content, or its path from the folder of the
            experiment file.
        overrides: Values to put in place of the file's, by dotted key, such as ``{"federation.rounds": 3}``. A path
            given for ``backends`` starts at the current folder.

    Raises:
        ConfigurationError: A file cannot be read, or a key or value is wrong.
    """
    path = Path(path)
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise ConfigurationError(f"{path}: must be a mapping of keys to values, but got {type(data).__name__}.")
    data = deepcopy(data)
    overrides = dict(overrides or {})
    folder = path.parent
    if "backends" in overrides:
        data["backends"], folder = overrides.pop("backends"), Path()
    if isinstance(data.get("backends"), (str, Path)):
        backends_path = folder / data["backends"]
        data["backends"], folder = read_yaml(backends_path), backends_path.parent
    for key, value in overrides.items():
        _put(data, key, value)
    # With absolute paths the experiment stands alone, whatever file it came from.
    experiment = validate(Experiment, data, str(path))
    return experiment.with_calibrations(lambda _, calibration: str((folder / calibration).absolute()))


def parse_override(text: str) -> tuple[str, Any]:
    """Split ``KEY=VALUE`` into a dotted key and a YAML value.

    Raises:
        ConfigurationError: There is no ``=``, no key, or the value is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise ConfigurationError(f"--set must be KEY=VALUE, such as federation.rounds=3, but got {text!r}.")
    return key.strip(), parse_yaml(value, f"--set {key}")


def _put(data: dict[str, Any], key: str, value: Any) -> None:
    parts = key.split(".")
    for depth, part in enumerate(parts[:-1]):
        if data.get(part) is None:
            data[part] = {}
        if not isinstance(data[part], dict):
            raise ConfigurationError(f"--set {key}: {'.'.join(parts[: depth + 1])!r} is a value and has no keys.")
        data = data[part]
    data[parts[-1]] = value
