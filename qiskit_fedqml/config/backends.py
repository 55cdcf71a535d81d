"""The schema of `backends.yaml`: what an entry and the assignment may say."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from qiskit_fedqml.config.assignment import Assignment
from qiskit_fedqml.config.mitigation import Mitigation
from qiskit_fedqml.config.strict import (
    Integer,
    NaturalNumber,
    Number,
    PositiveInteger,
    PositiveNumber,
    Seconds,
    Shots,
    StrictModel,
    nearest,
)
from qiskit_fedqml.errors import listed, shown

Probability = Annotated[Number, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]
"""A backend's name, which also names files."""
Qubit = Annotated[int, Field(strict=True, ge=0, lt=1_000_000)]


class GateRates(StrictModel):
    """A rate after one-qubit gates (SX and X; RZ is virtual) and one after CX, each from 0 to 1."""

    one_qubit: Probability = 0.0
    two_qubit: Probability = 0.0


class ReadoutRates(StrictModel):
    """Probabilities to read 1 where the qubit was 0, and 0 where it was 1."""

    read_1_if_0: Probability = 0.0
    read_0_if_1: Probability = 0.0


class StatedNoise(StrictModel):
    """Noise by stated rates, the same on every qubit; a single readout number is both errors."""

    depolarizing: GateRates = GateRates()
    amplitude_damping: GateRates = GateRates()
    readout: ReadoutRates = ReadoutRates()

    @field_validator("readout", mode="before")
    @classmethod
    def _both_readout_errors(cls, value: Any) -> Any:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return {"read_1_if_0": value, "read_0_if_1": value} if is_number else value


class CalibrationFile(StrictModel):
    """Noise of a saved calibration; a relative path starts at the folder of the backends file."""

    calibration: str


def _kind_of_noise(value: Any) -> str | None:
    if isinstance(value, str):
        return "a fake device's name"
    if isinstance(value, CalibrationFile) or (isinstance(value, dict) and "calibration" in value):
        return "calibration file"
    return "stated rates" if isinstance(value, (dict, StatedNoise)) else None


NoiseEntry = Annotated[
    Annotated[str, Tag("a fake device's name")]
    | Annotated[CalibrationFile, Tag("calibration file")]
    | Annotated[StatedNoise, Tag("stated rates")],
    Discriminator(
        _kind_of_noise,
        custom_error_type="noise",
        custom_error_message="must be a fake device's name, {calibration: FILE}, or stated rates",
    ),
]


class Blocks(StrictModel):
    """How a device is cut into blocks, each of which holds a copy of the circuit.

    ``separation`` is the number of idle qubits between two blocks; blocks below ``least_success`` times the success
    probability of the best one are not used; ``most`` is the most blocks. ``spread`` says what fills them: the points
    of each evaluation (``"samples"``), or a client each (``"clients"``).
    """

    separation: Annotated[Integer, Field(ge=0, le=1)] = 1
    least_success: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.85
    most: Annotated[PositiveInteger, Field(le=1_000_000)] | None = None
    spread: Literal["samples", "clients"] = "samples"


def _blocks(value: Any) -> Any:
    """Read the short forms: ``off`` and ``auto``."""
    if value is False or value == "off":
        return None
    return Blocks() if value == "auto" else value


def _blocks_of_clients(value: Any) -> Any:
    """Read the short forms on a simulator, whose blocks hold a client each."""
    value = _blocks(value)
    if isinstance(value, Blocks) and "spread" not in value.model_fields_set:
        return value.model_copy(update={"spread": "clients"})
    return {"spread": "clients", **value} if isinstance(value, dict) else value


class AerEntry(StrictModel):
    """A machine simulated on this computer.

    ``noise`` is None for an ideal machine; ``shots`` is None for exact expectation values. ``simulator`` is ``"sweep"``
    (values and derivatives in two sweeps), ``"aer"`` (every shifted circuit by Aer) or ``"auto"`` (the sweeps where
    they apply, else Aer). ``noise_factor`` multiplies every error rate of the noise: 2 is a machine twice as noisy.
    ``mitigation`` is None for values as the machine gives them. ``blocks`` gives each client a block of the device's
    qubits of its own. ``test_shots`` are the shots of evaluations that train nothing; None takes ``shots``.
    """

    type: Literal["aer"]
    noise: NoiseEntry | None = None
    noise_factor: Annotated[PositiveNumber, Field(le=1e6)] = 1.0
    shots: Shots | None = None
    test_shots: Shots | None = None
    optimization_level: Annotated[Integer, Field(ge=0, le=3)] = 3
    transpiler_seed: NaturalNumber = 0
    simulator: Literal["auto", "sweep", "aer"] = "auto"
    mitigation: Mitigation | None = None
    blocks: Annotated[Blocks | None, BeforeValidator(_blocks_of_clients)] = None

    @model_validator(mode="after")
    def _all_has_an_effect(self) -> "AerEntry":
        if self.noise is None and self.noise_factor != 1.0:
            raise ValueError("noise_factor has no effect without noise")
        if self.shots is None and self.test_shots is not None:
            raise ValueError("test_shots has no effect without shots, where all expectation values are exact")
        if self.blocks is not None and not isinstance(self.noise, (str, CalibrationFile)):
            raise ValueError("blocks need the noise of a fake device or of a calibration, which has couplings")
        if self.blocks is not None and self.blocks.spread != "clients":
            raise ValueError("blocks of a simulator hold a client each: their spread must be clients")
        return self

    @model_validator(mode="after")
    def _mitigation_has_noise(self) -> "AerEntry":
        if self.mitigation is None:
            return self
        if self.noise is None:
            raise ValueError("mitigation has no effect without noise")
        if isinstance(self.noise, StatedNoise):
            if self.mitigation.readout and self.noise.readout == ReadoutRates():
                raise ValueError("mitigation.readout has no effect without readout error")
            if self.mitigation.zne and not self.noise.depolarizing.two_qubit + self.noise.amplitude_damping.two_qubit:
                raise ValueError("mitigation.zne has no effect without errors of two-qubit gates")
        return self


class Conditions(StrictModel):
    """What the least busy device must have; ``processor`` is a family such as ``"Heron"``."""

    min_qubits: Annotated[PositiveInteger, Field(le=1_000_000)] = 4
    processor: str | None = None


class LeastBusy(StrictModel):
    """The device with the fewest waiting jobs, of at least ``min_qubits`` qubits; a run keeps the one that it found."""

    least_busy: Conditions


class SpsaOptions(StrictModel):
    """``perturbation`` is how far each angle goes up or down at random, in radians."""

    perturbation: Annotated[PositiveNumber, Field(le=10.0)] = 0.2


class Spsa(StrictModel):
    """SPSA in place of parameter shifts: two evaluations a sample, however many weights there are."""

    spsa: SpsaOptions


class RandomShiftsOptions(StrictModel):
    """``fraction`` is the part of a batch's samples in which each weight's angle is shifted."""

    fraction: Annotated[Number, Field(gt=0.0, le=1.0)]


class RandomShifts(StrictModel):
    """Parameter shifts of a random part of the (sample, angle) pairs; those of inputs are shifted in all samples."""

    random_shifts: RandomShiftsOptions


class Waiting(StrictModel):
    """How long to wait for what, in seconds.

    ``poll_seconds`` lie between two questions about a job; ``request_seconds`` is the longest that one request to the
    service may take; ``outage_seconds`` the longest that it may give no usable answer; ``queue_seconds`` the longest
    that a job may wait (None: for ever) before the run stops, to be resumed, or, with ``on_client_failure: skip``,
    before the client is left out and its job cancelled.
    """

    poll_seconds: Seconds = 5.0
    request_seconds: Seconds = 120.0
    outage_seconds: Seconds = 900.0
    queue_seconds: Seconds | None = None


def _kind_of_device(value: Any) -> str | None:
    if isinstance(value, str) and value:
        return "name"
    return "least busy device" if isinstance(value, (dict, LeastBusy)) else None


def _kind_of_gradient(value: Any) -> str | None:
    if value == "parameter_shift":
        return "name"
    if isinstance(value, RandomShifts) or (isinstance(value, dict) and "random_shifts" in value):
        return "random shifts"
    return "SPSA" if isinstance(value, (dict, Spsa)) else None


Gradient = Annotated[
    Annotated[Literal["parameter_shift"], Tag("name")]
    | Annotated[Spsa, Tag("SPSA")]
    | Annotated[RandomShifts, Tag("random shifts")],
    Discriminator(
        _kind_of_gradient,
        custom_error_type="gradient",
        custom_error_message="must be parameter_shift, {random_shifts: {fraction: F}} or {spsa: {perturbation: RAD}}",
    ),
]


_OWN_OPTIONS = {
    "default_shots": "shots",
    "default_precision": "shots",
    "resilience_level": "resilience_level",
    "max_execution_time": "max_execution_seconds",
    "environment": None,
    "simulator": None,
}
"""Options of the primitive that are keys of the entry, or the package's own business."""


class IBMEntry(StrictModel):
    """An IBM Quantum device, or (``device: FakeTorino``) one of qiskit-ibm-runtime's fake devices, as a rehearsal.

    ``account`` names a saved account; without it the default one is taken, or the environment's. ``primitive`` is
    qiskit-ibm-runtime's ``executor_estimator.Estimator`` (``"executor"``) or its ``EstimatorV2`` (``"estimator"``);
    ``"auto"`` takes the first where it is installed. ``options`` are the primitive's own. ``test_shots`` are the shots
    of evaluations that train nothing; None takes ``shots``. ``rep_delay_seconds`` is the pause between two executions;
    None takes the device's own. ``mitigation`` says in the package's words what is mitigated, ``resilience_level`` or
    ``options.resilience`` in the primitive's. ``task: evaluate`` lets the clients of this device test the global model
    on their data, and train nothing. ``joint`` lets the clients of a round train in lockstep, each step of all of them
    in one job.
    """

    type: Literal["ibm"]
    device: Annotated[
        Annotated[str, Tag("name")] | Annotated[LeastBusy, Tag("least busy device")],
        Discriminator(
            _kind_of_device,
            custom_error_type="device",
            custom_error_message="must be a device's name or {least_busy: {min_qubits: N}}",
        ),
    ]
    account: str | None = None
    instance: str | None = None
    channel: Literal["ibm_quantum_platform", "ibm_cloud"] | None = None
    mode: Literal["job", "batch", "session"] = "batch"
    shots: Shots = 1024
    test_shots: Shots | None = None
    primitive: Literal["auto", "executor", "estimator"] = "auto"
    rep_delay_seconds: Annotated[Number, Field(ge=0.0, le=1e8)] | None = None
    resilience_level: Annotated[Integer, Field(ge=0, le=2)] = 0
    mitigation: Mitigation | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    optimization_level: Annotated[Integer, Field(ge=0, le=3)] = 3
    initial_layout: Annotated[tuple[Qubit, ...], Field(max_length=1000)] | None = None
    layout_trials: Annotated[PositiveInteger, Field(le=1000)] = 4
    transpiler_seed: NaturalNumber = 0
    gradient: Gradient = "parameter_shift"
    blocks: Annotated[Blocks | None, BeforeValidator(_blocks)] = None
    joint: bool | None = None
    task: Literal["train", "evaluate"] = "train"
    max_execution_seconds: Annotated[PositiveInteger, Field(le=100_000_000)] | None = None
    budget_seconds: Seconds | None = None
    price_per_minute: Annotated[PositiveNumber, Field(le=1e9)] | None = None
    on_cancellation: Literal["stop", "resubmit"] = "stop"
    waiting: Waiting = Waiting()

    @field_validator("options")
    @classmethod
    def _options_are_the_primitives_own(cls, value: dict[str, Any]) -> dict[str, Any]:
        for key in value:
            if key in _OWN_OPTIONS:
                own = _OWN_OPTIONS[key]
                where = f"the entry's key {own!r} says it" if own else "it is set by the package"
                raise ValueError(f"must not hold {key!r}: {where}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "IBMEntry":
        if self.is_rehearsal:
            useless = [k for k in ("account", "instance", "channel") if getattr(self, k) is not None]
            if useless:
                raise ValueError(f"a fake device such as {self.device!r} has no use for {', '.join(useless)}")
        if self.mode == "session" and self.budget_seconds is not None:
            raise ValueError("budget_seconds cannot be kept in mode: session, which is charged by the clock; use batch")
        if self.initial_layout is not None and self.blocks is not None:
            raise ValueError("initial_layout has no effect with blocks, each of which has a layout of its own")
        if self.rep_delay_seconds is not None and "rep_delay" in self.execution_options:
            raise ValueError("rep_delay_seconds and options.execution.rep_delay say the same; keep rep_delay_seconds")
        if self.initial_layout is not None and "layout_trials" in self.model_fields_set:
            raise ValueError("layout_trials has no effect with an initial_layout")
        return self

    @model_validator(mode="after")
    def _mitigates_in_one_way(self) -> "IBMEntry":
        if self.mitigation is None:
            return self
        twirling = self.options.get("twirling", {})
        if not isinstance(twirling, dict):
            raise ValueError("options.twirling must be a mapping of keys to values")
        if self.resilience_level or "resilience" in self.options:
            other = "resilience_level" if self.resilience_level else "options.resilience"
            raise ValueError(f"mitigation and {other} both say what is mitigated; leave one of them out")
        if self.mitigation.readout and twirling.get("enable_measure") is False:
            raise ValueError("mitigation.readout twirls measurements, and options.twirling.enable_measure forbids it")
        if self.is_rehearsal and self.primitive == "estimator":
            raise ValueError("mitigation cannot be rehearsed with primitive: estimator, which mitigates on the server")
        return self

    @property
    def is_joint(self) -> bool:
        """Whether the clients of a round take each step in one job: unless said otherwise, where there are blocks."""
        return self.blocks is not None if self.joint is None else self.joint

    @property
    def execution_options(self) -> dict[str, Any]:
        """What ``options`` say of the execution; empty where that is nothing, or nothing that the estimator takes."""
        execution = self.options.get("execution")
        return execution if isinstance(execution, dict) else {}

    @property
    def is_rehearsal(self) -> bool:
        """Whether the device is one of qiskit-ibm-runtime's fake devices, run on this computer."""
        return isinstance(self.device, str) and self.device.startswith("Fake")


BackendEntry = Annotated[AerEntry | IBMEntry, Field(discriminator="type")]


class BackendsFile(StrictModel):
    """The whole of `backends.yaml`; ``budget_seconds`` of QPU time are the most that a run may take on all devices."""

    backends: Annotated[dict[Name, BackendEntry], Field(min_length=1, max_length=1000)]
    assignment: Assignment = Assignment()
    budget_seconds: Seconds | None = None

    @model_validator(mode="after")
    def _names_exist(self) -> "BackendsFile":
        for key, name in self.assignment.names():
            if name not in self.backends:
                raise ValueError(f"assignment.{key} names the backend {shown(name)}{nearest(name, self.backends)}")
        if self.budget_seconds is not None and not any(isinstance(e, IBMEntry) for e in self.backends.values()):
            raise ValueError("budget_seconds has no effect without a backend of type ibm")
        sessions = [n for n, e in self.backends.items() if isinstance(e, IBMEntry) and e.mode == "session"]
        if self.budget_seconds is not None and sessions:
            raise ValueError(
                f"budget_seconds cannot be kept with mode: session (of {listed(sessions)}), which is charged by the "
                "clock; use batch"
            )
        return self
