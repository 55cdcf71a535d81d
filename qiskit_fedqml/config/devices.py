"""The entries of devices in `backends.yaml`: IBM Quantum's, rehearsals of them, and other providers'."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Tag, field_validator, model_validator

from qiskit_fedqml.config.alternatives import NAME, one_of, tag_of
from qiskit_fedqml.config.blocks import Blocks, blocks_or_off
from qiskit_fedqml.config.extension import PublicArguments, PythonName
from qiskit_fedqml.config.gradient import Gradient
from qiskit_fedqml.config.mitigation import Mitigation
from qiskit_fedqml.config.strict import (
    Flag,
    Integer,
    NaturalNumber,
    Number,
    PositiveInteger,
    PositiveNumber,
    Seconds,
    Shots,
    StrictModel,
)

Qubit = Annotated[int, Field(strict=True, ge=0, lt=1_000_000)]
Price = Annotated[PositiveNumber, Field(le=1e9)]
"""In US$."""


class Conditions(StrictModel):
    """What the least busy device must have; ``processor`` is a family such as ``"Heron"``."""

    min_qubits: Annotated[PositiveInteger, Field(le=1_000_000)] = 4
    """Fewest qubits of the device."""
    processor: str | None = None
    """A family such as Heron; none takes any."""


class LeastBusy(StrictModel):
    """The device with the fewest waiting jobs, of at least ``min_qubits`` qubits; a run keeps the one that it found."""

    least_busy: Conditions
    """The device with the fewest waiting jobs, under these conditions."""


class Waiting(StrictModel):
    """How long to wait for what, in seconds.

    ``poll_seconds`` lie between two questions about a job; ``request_seconds`` is the longest that one request to the
    service may take; ``outage_seconds`` the longest that it may give no usable answer; ``queue_seconds`` the longest
    that a job may wait (None: for ever) before the run stops, to be resumed, or, with ``on_client_failure: skip``,
    before the client is left out and its job cancelled.
    """

    poll_seconds: Seconds = 5.0
    """Between two questions about a job."""
    request_seconds: Seconds = 120.0
    """The longest that one request to the service may take."""
    outage_seconds: Seconds = 900.0
    """The longest that the service may give no usable answer."""
    queue_seconds: Seconds | None = None
    """The longest that a job may wait for its turn; none waits for ever."""


_OWN_OPTIONS = {
    "default_shots": "shots",
    "default_precision": "shots",
    "resilience_level": "resilience_level",
    "max_execution_time": "max_execution_seconds",
    "environment": None,
    "simulator": None,
}
"""Options of the primitive that are keys of the entry, or the package's own business."""


class DeviceEntry(StrictModel):
    """What entries of machines with a queue have in common.

    ``test_shots`` are the shots of evaluations that train nothing; None takes ``shots``. ``task: evaluate`` lets the
    clients of this device test the global model on their data, and train nothing. ``joint`` lets the clients of a round
    train in lockstep, each step of all of them in one job.
    """

    type: str
    """What kind of machine it is."""
    shots: Shots = 1024
    """Shots of each circuit."""
    test_shots: Shots | None = None
    """Shots of evaluations that train nothing; none takes `shots`."""
    optimization_level: Annotated[Integer, Field(ge=0, le=3)] = 3
    """The transpiler's effort."""
    initial_layout: Annotated[tuple[Qubit, ...], Field(max_length=1000)] | None = None
    """The qubits to use; none lets layouts be tried."""
    layout_trials: Annotated[PositiveInteger, Field(le=1000)] = 4
    """How many layouts are tried."""
    transpiler_seed: NaturalNumber = 0
    """The same seed finds the same layouts."""
    gradient: Gradient = "parameter_shift"
    """How derivatives are made: parameter_shift, `{random_shifts: …}` or `{spsa: …}`."""
    blocks: Annotated[Blocks | None, BeforeValidator(blocks_or_off)] = None
    """Runs copies of the circuit side by side: off, auto or a mapping."""
    joint: Flag | None = None
    """Whether each step of all clients of a round is one job; none: if there are blocks."""
    task: Literal["train", "evaluate"] = "train"
    """Whether its clients train, or only test the global model on their data."""
    max_execution_seconds: Annotated[PositiveInteger, Field(le=100_000_000)] | None = None
    """The most QPU seconds of one job; longer evaluations are split."""
    budget_seconds: Seconds | None = None
    """The most QPU seconds of this backend in a run."""
    price_per_minute: Price | None = None
    """US$ a minute of QPU time, for `fedqml plan`."""
    on_cancellation: Literal["stop", "resubmit"] = "stop"
    """What becomes of the run if somebody cancels a job."""
    waiting: Waiting = Waiting()
    """How long to wait for what."""

    @model_validator(mode="after")
    def _layout_is_tried_or_given(self) -> "DeviceEntry":
        # Not model_fields_set: what a result folder has is the whole entry, with every default.
        if self.initial_layout is not None and self.layout_trials != type(self).model_fields["layout_trials"].default:
            raise ValueError("layout_trials has no effect with an initial_layout")
        if self.initial_layout is not None and self.blocks is not None:
            raise ValueError("initial_layout has no effect with blocks, each of which has a layout of its own")
        return self

    @property
    def is_joint(self) -> bool:
        """Whether the clients of a round take each step in one job: unless said otherwise, where there are blocks."""
        return self.blocks is not None if self.joint is None else self.joint

    def shots_of(self, *, is_test: bool) -> int:
        """Return the shots of each circuit of an evaluation; ``is_test`` says that it trains nothing."""
        return (self.test_shots or self.shots) if is_test else self.shots


class IBMEntry(DeviceEntry):
    """An IBM Quantum device, or (``device: FakeFez``) one of qiskit-ibm-runtime's fake devices, as a rehearsal.

    ``account`` names a saved account; without it the default one is taken, or the environment's. ``primitive`` is
    qiskit-ibm-runtime's ``executor_estimator.Estimator`` (``"executor"``) or its ``EstimatorV2`` (``"estimator"``);
    ``"auto"`` takes the first where it is installed. ``options`` are the primitive's own. ``rep_delay_seconds`` is the
    pause between two executions; None takes the device's own. ``mitigation`` says in the package's words what is
    mitigated, ``resilience_level`` or ``options.resilience`` in the primitive's.
    """

    type: Literal["ibm"]
    """An IBM Quantum device, or its rehearsal on this computer."""
    device: Annotated[
        Annotated[str, Field(min_length=1), Tag(NAME)] | Annotated[LeastBusy, Tag(tag_of("least_busy"))],
        one_of("must be a device's name or {least_busy: {min_qubits: N}}", {"least_busy": LeastBusy}, names=None),
    ]
    """A device's name, `{least_busy: …}`, or a fake device such as FakeFez."""
    account: str | None = None
    """Name of a saved account; none takes the default one, or the environment's."""
    instance: str | None = None
    """The instance's CRN or name."""
    channel: Literal["ibm_quantum_platform", "ibm_cloud"] | None = None
    """The service's channel."""
    mode: Literal["job", "batch", "session"] = "batch"
    """Whether the jobs of a round are sent alone, in a batch or in a session."""
    primitive: Literal["auto", "executor", "estimator"] = "auto"
    """Which of qiskit-ibm-runtime's estimators runs the circuits."""
    rep_delay_seconds: Annotated[Number, Field(ge=0.0, le=1e8)] | None = None
    """Pause between two executions; none takes the device's own."""
    resilience_level: Annotated[Integer, Field(ge=0, le=2)] = 0
    """The primitive's own mitigation."""
    mitigation: Mitigation | None = None
    """What is mitigated, in the package's words."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the primitive, passed on as they are."""

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
        if self.rep_delay_seconds is not None and "rep_delay" in self.execution_options:
            raise ValueError("rep_delay_seconds and options.execution.rep_delay say the same; keep rep_delay_seconds")
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
    def execution_options(self) -> dict[str, Any]:
        """What ``options`` say of the execution; empty where that is nothing, or nothing that the estimator takes."""
        execution = self.options.get("execution")
        return execution if isinstance(execution, dict) else {}

    @property
    def is_rehearsal(self) -> bool:
        """Whether the device is one of qiskit-ibm-runtime's fake devices, run on this computer."""
        return isinstance(self.device, str) and self.device.startswith("Fake")


class ProviderEntry(DeviceEntry):
    """Any other provider's ``BackendV2``, which ``factory`` (``"package.module:name"``) returns.

    ``arguments`` are passed to the factory by keyword; secrets are not among them, since the entry is written into
    result folders. ``on_lost_job`` says what becomes of a job that may have been accepted, but cannot be found again.
    A task, which ``price_per_task`` is for, holds at most ``circuits_per_task`` circuits.
    """

    type: Literal["backend"]
    """Any other provider's BackendV2."""
    factory: PythonName
    """What returns it, as package.module:name."""
    arguments: PublicArguments = Field(default_factory=dict)
    """Passed to the factory by keyword; never secrets."""
    rep_delay_seconds: Annotated[Number, Field(ge=0.0, le=1e4)] = 0.0
    """Pause between two executions."""
    budget_executions: Annotated[PositiveInteger, Field(le=10**15)] | None = None
    """The most executions of this backend in a run."""
    price_per_shot: Price | None = None
    """US$ for a shot, for `fedqml plan`."""
    price_per_task: Price | None = None
    """US$ for a task, for `fedqml plan`."""
    circuits_per_task: Annotated[PositiveInteger, Field(le=10**9)] = 1
    """The most circuits of a task."""
    on_lost_job: Literal["stop", "resubmit"] = "stop"
    """What becomes of the run if nobody knows what became of a job."""

    @property
    def made_of(self) -> str:
        """The function that opens it."""
        return self.factory

    @model_validator(mode="after")
    def _tasks_have_a_price(self) -> "ProviderEntry":
        if self.price_per_task is None and self.circuits_per_task != 1:
            raise ValueError("circuits_per_task has no effect without a price_per_task")
        return self
