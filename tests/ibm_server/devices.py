"""Fake devices: their calibration, their state, and a queue that runs one job at a time."""

import copy
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Condition, Lock, Thread

from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import fake_provider
from qiskit_ibm_runtime.utils.backend_decoder import properties_from_server_data

from tests.ibm_server.schedule import check_supported, circuit_seconds

SUBMISSION_SECONDS = 2.0
"""QPU time that every job costs in addition to its executions."""

POLL_SECONDS = 0.02


class Device:
    """One device. `online`, `operational`, `status`, `queue_length` and `run_seconds` may be set at any time.

    A device that is offline, not operational, held, or whose status is not "active" accepts jobs and lets them wait.

    Attributes:
        online: Whether the list of devices shows it as online.
        operational: The `state` in the device's status.
        status: The status text: "active", or "internal" while it is paused.
        run_seconds: Real time that every job takes in addition.
    """

    def __init__(self, name: str, fake: str, run: Callable, may_run: Callable[[], bool]):
        self.name = name
        self.fake = getattr(fake_provider, fake)()
        self.online, self.operational, self.status = True, True, "active"
        self.run_seconds = 0.0
        self._run, self._may_run = run, may_run
        self._properties = self._first_properties = self.fake._load_json(self.fake.props_filename)
        self._simulator: AerSimulator | None = None
        self._of_qubits: dict[tuple[int, ...], AerSimulator] = {}
        self._queue: deque = deque()
        self._queue_length: int | None = None
        self._held = self._stopped = False
        self._changed = Condition()
        self._calibrating = Lock()
        self._worker: Thread | None = None

    @property
    def queue_length(self) -> int:
        """The number of waiting jobs, or the number that was set in its place (None takes it back)."""
        if self._queue_length is not None:
            return self._queue_length
        return sum(not job.final for job in list(self._queue))

    @queue_length.setter
    def queue_length(self, value: int | None) -> None:
        self._queue_length = value

    @property
    def simulator(self) -> AerSimulator:
        """The simulator with this calibration's noise, kept because a large device's noise takes seconds to build."""
        if self._simulator is None:
            self._simulator = _Simulator.from_backend(self.fake)
        return self._simulator

    def simulator_of(self, qubits: list[int]) -> AerSimulator:
        """Return the simulator of some qubits alone, which have the numbers of their places."""
        if (key := tuple(qubits)) not in self._of_qubits:
            self._of_qubits[key] = _Simulator.from_backend(_Some(self.fake.target, qubits))
        return self._of_qubits[key]

    def hold(self) -> None:
        """Let accepted jobs wait in the queue."""
        self._held = True

    def release(self) -> None:
        """Run waiting jobs again."""
        self._held = False

    def recalibrate(self, date: datetime | None = None, factor: float = 1.5) -> datetime:
        """Give the device a new calibration: gate errors times the factor, T1 and T2 divided by it.

        Jobs run with the new noise from then on.

        Args:
            date: The calibration's date, now if None.
            factor: Above 1 the device gets worse.

        Returns:
            The date that clients are told.
        """
        date = date or datetime.now(UTC).replace(microsecond=0)
        properties = copy.deepcopy(self._properties)
        properties["last_update_date"] = date.isoformat()
        for gate in properties["gates"]:
            for parameter in gate["parameters"]:
                # An error of 1 marks a broken gate: it stays broken, and no other one becomes so.
                if parameter["name"] == "gate_error" and parameter["value"] < 1:
                    parameter["value"] = min(parameter["value"] * factor, 0.5)
        for qubit in properties["qubits"]:
            for parameter in qubit:
                if parameter["name"] in {"T1", "T2"}:
                    parameter["value"] /= factor
        self._calibrate(properties)
        return date

    def publish(self, edit: Callable[[dict], None]) -> None:
        """Publish another calibration, which says what a test makes of it; the device itself works as before."""
        properties = copy.deepcopy(self._properties)
        edit(properties)
        with self._calibrating:
            self._properties = properties

    def restore(self) -> None:
        """Give the device its first calibration and state again, and no queue but its jobs."""
        self.online, self.operational, self.status, self.run_seconds = True, True, "active", 0.0
        self.queue_length = None
        self.release()
        if self._properties is not self._first_properties:
            self._calibrate(self._first_properties)

    def configuration_answer(self) -> dict:
        """Return the body of GET /backends/{name}/configuration."""
        return {**self.fake._load_json(self.fake.conf_filename), "backend_name": self.name}

    def properties_answer(self) -> dict:
        """Return the body of GET /backends/{name}/properties."""
        return {**self._properties, "backend_name": self.name}

    def status_answer(self) -> dict:
        """Return the body of GET /backends/{name}/status."""
        state = self.online and self.operational
        version = self.fake.backend_version
        return {"state": state, "status": self.status, "length_queue": self.queue_length, "backend_version": version}

    def list_entry(self) -> dict:
        """Return the device's entry in the list of devices."""
        status = "offline" if not self.online else "online" if self.status == "active" else "paused"
        entry = {"name": self.name, "status": {"name": status, "reason": self.status}, "qubits": self.fake.num_qubits}
        return {**entry, "queue_length": self.queue_length}

    def quantum_seconds(self, program) -> float:
        """Return the QPU time of a program, from a schedule of every circuit that it holds."""
        delay = program.rep_delay_seconds
        if delay is None:
            delay = getattr(self.fake.configuration(), "default_rep_delay", 250e-6)
        lengths = (
            (delay + circuit_seconds(circuit, self.fake.target, measured)) * executions
            for circuit, measured, executions in program.parts()
        )
        return SUBMISSION_SECONDS + sum(lengths)

    def simulate(self, program) -> str:
        """Return the results of a program, or raise what is wrong with it."""
        for circuit, _, _ in program.parts():
            check_supported(circuit, self.fake.target)
        with self._calibrating:
            return program.run(self)

    def _calibrate(self, properties: dict) -> None:
        decoded = copy.deepcopy(properties)
        properties_from_server_data(decoded)
        with self._calibrating:
            self._properties = properties
            self.fake._props_dict = decoded
            self.fake._target = self.fake.sim = self._simulator = None
            self._of_qubits = {}

    def submit(self, job) -> None:
        """Put a job at the end of the queue."""
        with self._changed:
            self._queue.append(job)
            if self._worker is None:
                self._worker = Thread(target=self._work, name=self.name, daemon=True)
                self._worker.start()
            self._changed.notify_all()

    def stop(self) -> None:
        """Start no further job, and wait for the running one."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        if self._worker is not None:
            self._worker.join(60)  # a simulation that outlives the interpreter may crash it

    def _ready(self) -> bool:
        working = self.online and self.operational and self.status == "active"
        return working and not self._held and self._may_run()

    def _work(self) -> None:
        while True:
            with self._changed:
                # Attributes change without notice, so a queue that waits is looked at again and again.
                while not self._stopped and not (self._queue and self._ready()):
                    self._changed.wait(POLL_SECONDS if self._queue else None)
                if self._stopped:
                    return
                job = self._queue.popleft()
            self._run(job, self)


class _Some(BackendV2):
    """A device's qubits without the others."""

    def __init__(self, target: Target, qubits: list[int]):
        super().__init__(name="some")
        place = {qubit: number for number, qubit in enumerate(qubits)}
        self._target = Target(num_qubits=len(qubits), qubit_properties=[target.qubit_properties[q] for q in qubits])
        for name in target.operation_names:
            if None in (target[name] or {None: None}):
                continue
            some = {tuple(place[q] for q in on): of for on, of in target[name].items() if place.keys() >= set(on)}
            if some:
                self._target.add_instruction(target.operation_from_name(name), some, name=name)

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options()

    def run(self, *_, **__):
        raise NotImplementedError


class _Simulator(AerSimulator):
    """A simulator that is not copied for every program: copying a large device's noise takes long."""

    def __deepcopy__(self, memo):
        return self
