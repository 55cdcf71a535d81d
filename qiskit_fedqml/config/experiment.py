"""Experiment files: one strict, frozen description of a whole run."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import model_validator

from qiskit_fedqml.config.aggregation import AggregationConfig
from qiskit_fedqml.config.backends import AerEntry, BackendsFile, CalibrationFile
from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.checkpoints import CheckpointsConfig
from qiskit_fedqml.config.circuit import QpyCircuit
from qiskit_fedqml.config.data import DataConfig, FeaturesConfig
from qiskit_fedqml.config.devices import DeviceEntry, ProviderEntry
from qiskit_fedqml.config.evaluation import EvaluationConfig
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.config.hidden_updates import check_secure
from qiskit_fedqml.config.ledger import Ledger, check_ledger
from qiskit_fedqml.config.model import ModelConfig
from qiskit_fedqml.config.own_data import GivenData
from qiskit_fedqml.config.own_machines import ObjectEntry
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.config.private_runs import check_privacy
from qiskit_fedqml.config.scheduling import SchedulingConfig
from qiskit_fedqml.config.showing import experiment_as_html, experiment_in_words
from qiskit_fedqml.config.simulated_time import check_real_time, check_scheduling
from qiskit_fedqml.config.sources import Key, Sources
from qiskit_fedqml.config.strict import Integer, StrictModel, nearest
from qiskit_fedqml.config.tracking import TrackingConfig
from qiskit_fedqml.config.validation import validate
from qiskit_fedqml.errors import ConfigurationError, listed, shown

_IDEAL = BackendsFile(backends={"ideal": AerEntry(type="aer")})


class Experiment(StrictModel):
    """A whole run. Every key changes the run, or where it is shown, or is refused."""

    seed: Integer = 0
    """From which all draws derive: the same seed gives the same run, to the bit."""
    data: DataConfig
    """The dataset, and how it is divided among the clients."""
    features: FeaturesConfig = FeaturesConfig()
    """How images become features."""
    model: ModelConfig = ModelConfig()
    """The trainable head, and the circuit that follows it."""
    federation: FederationConfig
    """Who trains, how long, and by which optimiser."""
    aggregation: AggregationConfig = AggregationConfig()
    """How the server makes one model of the clients'."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """On what the aggregate is tested besides the server's backend."""
    backends: BackendsFile = _IDEAL
    """The machines and who has which: a backends file's content, or its path."""
    tracking: TrackingConfig = TrackingConfig()
    """Where curves are shown while it runs."""
    checkpoints: CheckpointsConfig = CheckpointsConfig()
    """How often the run's state is kept."""
    scheduling: SchedulingConfig | None = None
    """A simulated clock for simulated machines."""
    ledger: Ledger = False
    """Whether a signed chain proves what was aggregated: with the clients' updates, or with their digests alone."""
    privacy: PrivacyConfig | None = None
    """Differential privacy, for each example or for each client; none protects nobody."""

    def __repr__(self) -> str:
        return experiment_in_words(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return experiment_as_html(self)

    @model_validator(mode="after")
    def _evaluation_backends_exist(self) -> "Experiment":
        for name in self.evaluation.backends:
            if name not in self.backends.backends:
                raise ValueError(
                    f"evaluation.backends names the backend {shown(name)}{nearest(name, self.backends.backends)}"
                )
        if len(set(self.evaluation.backends)) != len(self.evaluation.backends):
            raise ValueError(f"evaluation.backends must differ, but are {listed(self.evaluation.backends)}")
        if not self.model.has_circuit and (self.evaluation.backends or self.backends != _IDEAL):
            raise ValueError(f"backends have no effect with model.quantum: {self.model.quantum}, which runs no circuit")
        return self

    @model_validator(mode="after")
    def _nodes_have_no_server(self) -> "Experiment":
        if isinstance(self.federation.algorithm, Gossip):
            is_scheduled = self.scheduling is not None
            self.federation.algorithm.check_alone(self.aggregation, self.backends, is_scheduled=is_scheduled)
        return self

    @model_validator(mode="after")
    def _aggregation_has_an_effect(self) -> "Experiment":
        if self.aggregation.angles == "circular" and self.model.quantum != "trainable":
            raise ValueError(
                f"aggregation.angles: circular has no effect with model.quantum: {self.model.quantum}, which trains no "
                "angles"
            )
        for key, asked in (
            ("success_exponent", self.aggregation.success_exponent > 0),
            ("angles: circular", self.aggregation.angles == "circular"),
            ("weights: uniform", self.aggregation.is_uniform),
            ("norm_ratio", self.aggregation.norm_ratio is not None),
        ):
            if asked and self.federation.clients_per_round == 1:
                raise ValueError(f"aggregation.{key} has no effect with clients_per_round: 1, which averages nothing")
            if asked and isinstance(of := self.federation.algorithm, Buffered) and of.buffered.buffer == 1:
                raise ValueError(f"aggregation.{key} has no effect with a buffer of 1, which averages nothing")
        machines = self.backends.assignment.machines
        has_blocks = any(
            (blocks := self.backends.backends[name].blocks) is not None and blocks.spread == "clients"
            for name in machines
        )
        if self.aggregation.success_exponent and len(machines) == 1 and not has_blocks:
            raise ValueError("aggregation.success_exponent has no effect where all clients have the same machine")
        return self

    @model_validator(mode="after")
    def _secure_aggregation_fits(self) -> "Experiment":
        if self.aggregation.secure is not None:
            check_secure(self.aggregation.secure, self.federation, self.backends)
        return self

    @model_validator(mode="after")
    def _rule_has_enough_updates(self) -> "Experiment":
        of, rule = self.federation.algorithm, self.aggregation
        is_buffered = isinstance(of, Buffered)
        num_updates = of.buffered.buffer if isinstance(of, Buffered) else self.federation.clients_per_round
        if num_updates < rule.least_updates:
            key = "federation.algorithm.buffered.buffer" if is_buffered else "federation.clients_per_round"
            raise ValueError(
                f"aggregation.rule {rule.rule_name} needs at least {rule.least_updates} updates with these options, "
                f"but {key} is {num_updates}"
            )
        return self

    @model_validator(mode="after")
    def _time_limit_has_an_effect(self) -> "Experiment":
        machines = [self.backends.backends[name] for name in self.backends.assignment.machines]
        if self.federation.client_seconds and all(isinstance(entry, DeviceEntry) for entry in machines):
            raise ValueError(
                "federation.client_seconds has no effect where all clients train on devices, whose limits are `waiting`"
            )
        return self

    @model_validator(mode="after")
    def _steps_on_devices_are_kept(self) -> "Experiment":
        used = [*(name for _, name in self.backends.assignment.names()), *self.evaluation.backends]
        devices = [name for name in used if isinstance(self.backends.backends.get(name), DeviceEntry)]
        if devices and self.checkpoints.every != 1:
            raise ValueError(
                f"checkpoints.every must be 1 with devices, such as {shown(devices[0])}, but is "
                f"{self.checkpoints.every}: a server step there is not repeated"
            )
        return self

    @model_validator(mode="after")
    def _there_are_simulators(self) -> "Experiment":
        machines = [self.backends.backends[name] for name in self.backends.assignment.machines]
        for key, value in (("lockstep", self.federation.lockstep), ("workers", self.federation.workers)):
            if value not in (1, "auto") and all(isinstance(entry, DeviceEntry) for entry in machines):
                raise ValueError(f"federation.{key} has no effect without clients on a simulated backend")
        return self

    @model_validator(mode="after")
    def _model_can_be_stacked(self) -> "Experiment":
        if self.model.is_own and self.federation.lockstep not in (1, "auto"):
            part = "loss" if isinstance(self.model.loss, PythonReference) else "head"
            raise ValueError(
                f"federation.lockstep has no effect with a {part} of your own, which one client's model goes through "
                "at a time"
            )
        return self

    @model_validator(mode="after")
    def _objects_stay_in_this_process(self) -> "Experiment":
        if self.federation.workers not in (1, "auto") and (objects := self.clients_objects):
            raise ValueError(
                f"federation.workers must be 1 with {listed(objects)}, an object of Python that other processes do not "
                "have; a function that makes it can be named (type: python)"
            )
        return self

    @model_validator(mode="after")
    def _ledger_can_be_verified(self) -> "Experiment":
        if self.ledger:
            check_ledger(self.ledger, self.federation.algorithm, self.aggregation.rule, self.model.device)
        return self

    @model_validator(mode="after")
    def _can_be_scheduled(self) -> "Experiment":
        if self.scheduling is not None:
            is_own = isinstance(self.federation.algorithm, PythonReference)
            if not self.model.has_circuit:
                raise ValueError(
                    f"scheduling has no effect with model.quantum: {self.model.quantum}, which runs no circuit"
                )
            check_scheduling(self.scheduling, self.backends, is_own=is_own)
        elif isinstance(self.federation.algorithm, Buffered):
            check_real_time(self.backends)
            if self.federation.algorithm.buffered.buffer == self.federation.clients_per_round:
                raise ValueError(
                    "a buffer of clients_per_round waits on devices for each client that is at work: that is the "
                    "algorithm synchronous"
                )
            for key, number in (("workers", self.federation.workers), ("lockstep", self.federation.lockstep)):
                if number not in (1, "auto"):
                    raise ValueError(
                        f"federation.{key} has no effect with algorithm: buffered on devices, where one client of a "
                        "simulator trains after another"
                    )
        return self

    @model_validator(mode="after")
    def _can_be_private(self) -> "Experiment":
        if self.privacy is not None:
            check_privacy(self, self.privacy)
        return self

    @property
    def expected_examples(self) -> int | None:
        """How many examples a client is expected to use in a local epoch with `privacy.examples`; None without.

        Simulated times and plans go by it, so that they say nothing of how many a client has.
        """
        options = self.privacy.examples if self.privacy is not None else None
        return None if options is None else options.steps_per_epoch * self.federation.batch_size

    @property
    def clients_objects(self) -> list[str]:
        """The backends that clients may have and that are objects, which no other process has."""
        machines = sorted(self.backends.assignment.machines)
        return [name for name in machines if isinstance(self.backends.backends[name], ObjectEntry)]

    def resolved(self) -> dict[str, Any]:
        """Return the whole configuration, defaults included, as YAML's values."""
        plain: dict[str, Any] = self.model_dump(mode="json")
        return plain

    def with_files(self, change: Callable[[str, str], str]) -> "Experiment":
        """Return the experiment with other paths of the files that it needs again when it is resumed.

        Args:
            change: Gives the new path for a file's name in a result folder (``calibrations/NAME.json`` of a backend,
                ``circuit.qpy``, ``data.npz``) and its path.
        """
        entries = {
            name: entry.model_copy(
                update={
                    "noise": CalibrationFile(calibration=change(f"calibrations/{name}.json", entry.noise.calibration))
                }
            )
            if isinstance(entry, AerEntry) and isinstance(entry.noise, CalibrationFile)
            else entry
            for name, entry in self.backends.backends.items()
        }
        changed: dict[str, Any] = {"backends": self.backends.model_copy(update={"backends": entries})}
        if isinstance(circuit := self.model.circuit, QpyCircuit):
            moved = circuit.model_copy(update={"qpy": change("circuit.qpy", circuit.qpy)})
            changed["model"] = self.model.model_copy(update={"circuit": moved})
        if isinstance(data := self.data, GivenData) and data.path is not None:
            changed["data"] = data.model_copy(update={"path": change("data.npz", data.path)})
        return self.model_copy(update=changed)

    def without_initial(self) -> "Experiment":
        """Return the experiment of a run that has begun, whose model is no longer that of ``model.initial``."""
        return self.model_copy(update={"model": self.model.model_copy(update={"initial": None})})

    def with_rounds(self, rounds: int, *, ended_early: bool = False) -> "Experiment":
        """Return the experiment with another number of rounds.

        Args:
            rounds: The number.
            ended_early: Whether the run was ended by ``federation.stop``, which is taken away then, as it is where it
                has no effect with so many rounds.

        Raises:
            ConfigurationError: It is no number from 1.
        """
        changes: dict[Key, tuple[str, Any]] = {("federation", "rounds"): ("`rounds`", rounds)}
        stop = self.federation.stop
        if stop is not None and (ended_early or stop.patience >= rounds - 1):
            changes["federation", "stop"] = ("`stop`", None)
        return self.changed(changes)

    def with_workers(self, workers: int | str) -> "Experiment":
        """Return the experiment with another number of processes, or ``"auto"``; it has the same result.

        Raises:
            ConfigurationError: It is neither.
        """
        return self.changed({("federation", "workers"): ("`workers`", workers)})

    def with_budgets(self, seconds: Mapping[str | None, float]) -> "Experiment":
        """Return the experiment with other budgets of QPU seconds.

        Args:
            seconds: By backend; None is the whole run. A backend that has a budget of executions gets one of these.

        Raises:
            ConfigurationError: There is no such device, or the budget is no positive number.
        """
        devices = {name: e for name, e in self.backends.backends.items() if isinstance(e, DeviceEntry)}
        if seconds and not devices:
            raise ConfigurationError("The run has no devices, so there is nothing that could have a budget.")
        changes: dict[Key, tuple[str, Any]] = {}
        for name, value in seconds.items():
            if name is None:
                changes["backends", "budget_seconds"] = ("The run's new budget", value)
                continue
            if name not in devices:
                raise ConfigurationError(f"There is no device {shown(name)} to have a budget{nearest(name, devices)}")
            entry, words = devices[name], f"The new budget of {shown(name)}"
            if isinstance(entry, ProviderEntry) and entry.budget_executions and not entry.budget_seconds:
                whole = int(value) if float(value).is_integer() else value
                changes["backends", "backends", name, "budget_executions"] = (words, whole)
            else:
                changes["backends", "backends", name, "budget_seconds"] = (words, value)
        return self.changed(changes)

    def changed(self, changes: Mapping[Key, tuple[str, Any]]) -> "Experiment":
        """Return the experiment with other values.

        Args:
            changes: The values by their keys, each after what errors call it.

        Raises:
            ConfigurationError: A value does not fit.
        """
        data = self.resolved()
        for key, (_, value) in changes.items():
            section = data
            for part in key[:-1]:
                section = section[part]
            section[key[-1]] = value
        names = {key: name for key, (name, _) in changes.items()}
        return validate(Experiment, data, Sources("the run's configuration", options=names))
