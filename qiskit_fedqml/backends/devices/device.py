"""A device with a queue as a backend: layouts, points, jobs in parts, and what they cost."""

import itertools
import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.transpiler import Target

from qiskit_fedqml.backends.devices.cost import JobCost, Timing, rep_delay_seconds
from qiskit_fedqml.backends.devices.dispatch import Dispatcher, receipt
from qiskit_fedqml.backends.devices.machine import Machine
from qiskit_fedqml.backends.devices.question import Part, Question
from qiskit_fedqml.backends.devices.request import JobRequest, Policy, TooLongError
from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.backends.figures import figures_of, states_errors, success_probability
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.layout import lay_out
from qiskit_fedqml.backends.program import Evaluation, Program
from qiskit_fedqml.config.backends import DeviceEntry, ProviderEntry, Spsa
from qiskit_fedqml.errors import BackendError, JobError
from qiskit_fedqml.simulation.gaps import Gaps

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)

_LONGEST_JOB_SECONDS = 3 * 3600
"""QPU seconds that the service grants one job."""
_SETTLING_TRIES = 6
_LARGEST_JOB_BYTES = 200_000_000
"""Angles of one job; the service takes inputs of some 300 MB."""


class DeviceBackend:
    """A device of IBM Quantum, a rehearsal of one, or another provider's machine.

    Args:
        name: The backend's name in the registry.
        entry: Its entry.
        machine: The device and its service.
        dispatcher: Sends its jobs.
    """

    def __init__(self, name: str, entry: DeviceEntry, machine: Machine, dispatcher: Dispatcher) -> None:
        self._name, self.entry, self.machine, self.dispatcher = name, entry, machine, dispatcher
        executions = entry.budget_executions if isinstance(entry, ProviderEntry) else None
        self._policy = Policy(entry.waiting, entry.budget_seconds, entry.on_cancellation == "resubmit", executions)
        self._timings: WeakKeyDictionary[Program, Timing] = WeakKeyDictionary()
        self._rep_delay_seconds = rep_delay_seconds(entry, machine.qiskit_backend)
        self._loose_keys = itertools.count()
        self._logged_gaps = ""

    def __getstate__(self) -> dict[str, Any]:
        raise BackendError(
            f"Backend {self.name!r} is a device, whose connection and journal belong to this process, so that it "
            "cannot be pickled; open it again in the other process."
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "DeviceBackend":
        return self  # a copy of what works on a device works on the same one

    @property
    def name(self) -> str:
        """The backend's name."""
        return self._name

    @property
    def simulator(self) -> str:
        """``"ibm"``, ``"rehearsal"`` on a fake device, or ``"provider"``."""
        return self.machine.simulator

    @property
    def shots(self) -> int:
        """Shots of each circuit."""
        return self.entry.shots

    def describe(self) -> dict[str, Any]:
        """Return device, calibration's date, number of qubits and shots; ``gaps`` where it leaves something out."""
        gaps = self._gaps()
        return {
            **({"gaps": str(gaps)} if gaps else {}),
            "type": self.entry.type,
            "device": self.machine.device,
            "calibration_date": self.calibration_date,
            "num_qubits": self.machine.qiskit_backend.num_qubits,
            "shots": self.shots,
        }

    def transpile(self, circuit: QuantumCircuit) -> QuantumCircuit:
        """Return the circuit in the device's gates, in the layout that promises the fewest errors.

        Raises:
            BackendError: The circuit doesn't fit the device.
        """
        return self.candidates(circuit)[0]

    def candidates(self, circuit: QuantumCircuit) -> Sequence[QuantumCircuit]:
        """Return the circuit in several layouts, the one with the highest estimated success probability first.

        Raises:
            BackendError: The circuit doesn't fit the device.
        """
        entry, gaps, target = self.entry, self._gaps(), self._target()
        trials = 1 if entry.initial_layout is not None else entry.layout_trials
        try:
            found = [
                lay_out(
                    circuit,
                    target,
                    gaps,
                    optimization_level=entry.optimization_level,
                    seed=entry.transpiler_seed + trial,
                    initial_layout=entry.initial_layout,
                    backend=self.machine.qiskit_backend,
                )
                for trial in range(trials)
            ]
        except BackendError as error:
            raise BackendError(f"Backend {self.name!r} cannot take the circuit: {error}") from error
        return sorted(found, key=lambda transpiled: -success_probability(transpiled, target))

    def _target(self) -> Target:
        """Return what can be used of the device."""
        calibration = self.machine.calibration()
        has_gaps = calibration is not None and calibration.gaps.left_out()
        return calibration.target if calibration and has_gaps else self.machine.qiskit_backend.target

    def _gaps(self) -> Gaps:
        """Return what cannot be used of the device by its calibration; a change is logged."""
        calibration = self.machine.calibration()
        if calibration is None:
            return Gaps()
        try:
            gaps = calibration.gaps
        except BackendError as error:
            raise BackendError(f"Backend {self.name!r}: {error}") from error
        if gaps.left_out() != self._logged_gaps:
            self._logged_gaps = gaps.left_out()
            logger.warning("Backend %r: the calibration of %s has gaps: %s.", self.name, self.machine.device, gaps)
        return gaps

    def success_probability(self, program: Program) -> float | None:
        """Return the estimated chance that no gate and no readout of a program errs, by the device's calibration.

        None where a provider does not state an error of each gate and readout.
        """
        return success_probability(program.circuit, self._target(), program.measured) if self._knows(program) else None

    def _knows(self, program: Program) -> bool:
        """Return whether the errors of what a program uses are published."""
        has_calibration = self.machine.calibration() is not None
        return has_calibration or states_errors(program.circuit, program.measured, self._target())

    def estimator(self, seed: int | None = None) -> BaseEstimatorV2:
        """Return the estimator by which jobs are made; its draws are the device's own."""
        return self.machine.primitive.estimator(self.machine.qiskit_backend, [])

    @property
    def calibration_date(self) -> str | None:
        """The date of the calibration that was read last; None where a provider states none."""
        calibration = self.machine.calibration()
        return None if calibration is None else calibration.date

    def refresh(self) -> None:
        """Read the calibration again.

        Raises:
            BackendError: The service cannot be asked.
        """
        self._ask(self.machine.refresh)

    def together(self) -> AbstractContextManager[None]:
        """Let the jobs that are sent inside run as one batch or session, if the entry wants one."""
        return self.machine.together()

    def close_round(self, round: int, failed_clients: Collection[int]) -> None:
        """Cancel what clients have left behind that were skipped, and ask for charges that were not known."""
        self.dispatcher.close_round(self.machine, self.name, self._policy, round, failed_clients)
        self.dispatcher.settle(self.machine, self.name)

    def settle(self) -> None:
        """Ask for charges that are not known yet, a few times: the service adds them up after a job has ended."""
        if not self.machine.reports_charges:
            return
        for attempt in range(_SETTLING_TRIES):
            if attempt:
                self.dispatcher.patience.sleep(self.entry.waiting.poll_seconds)
            if self.dispatcher.settle(self.machine, self.name):
                return

    def remaining_seconds(self) -> float | None:
        """Return the QPU seconds that the account has left, or None where there is no limit.

        Raises:
            BackendError: The service cannot be asked.
        """
        return self._ask(self.machine.remaining_seconds)

    def calibration_of(self, program: Program) -> dict[str, Any] | None:
        """Return device, date and the figures of the qubits and couplings that a program uses, as plain values.

        None where a provider does not state an error of each gate and readout.
        """
        if not self._knows(program):
            return None
        figures = figures_of(program.circuit, program.measured, self._target())
        return {"device": self.machine.device, "date": self.calibration_date, **figures}

    def cost(self, program: Program, num_samples: int, *, jacobian: bool) -> list[JobCost]:
        """Return what the jobs of one evaluation are expected to cost."""
        question = self._planned(program, np.zeros((num_samples, len(program.angles))), jacobian=jacobian)
        return self._cost_of(question, Part("", 0, num_samples))

    def payload_bytes(self, program: Program, num_samples: int, *, jacobian: bool) -> int:
        """Return the size of one evaluation as it is sent; of random angles, since it is compressed."""
        angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (num_samples, len(program.angles)))
        pub = self._planned(program, angles, jacobian=jacobian).pub(Part("", 0, num_samples))
        return self.machine.primitive.payload_bytes(pub, self.machine.qiskit_backend)

    def evaluate(
        self,
        program: Program,
        angles: NDArray[np.float64],
        *,
        jacobian: bool,
        seed: int | None = None,
        key: JobKey | None = None,
    ) -> Evaluation:
        """Evaluate as one broadcast PUB in one job, or in several where one would be too long.

        Args:
            program: The program, compiled for this backend.
            angles: Angles in radians, shape (batch, angles).
            jacobian: Whether derivatives are wanted.
            seed: Seed of SPSA's directions.
            key: What it is for; the journal answers a key that was asked before.

        Raises:
            BackendError: The device takes no jobs, or the job was refused, failed, or is out of reach.
            BudgetError: A budget of QPU seconds would be passed.
        """
        program.check_angles(angles)
        key = key or JobKey(0, None, next(self._loose_keys), "loose")
        if seed is None and jacobian and isinstance(self.entry.gradient, Spsa):
            seed = secrets.randbits(63)  # once, so that the directions of the points are those of the derivatives
        question = Question(program, angles, jacobian, seed, key, self.entry.gradient)
        answers = self._answers(question, Part("", 0, len(angles)))
        submissions = [submission for _, _, submission in answers]
        return Evaluation(
            values=np.concatenate([values for values, _, _ in answers]),
            jacobian=np.concatenate([derivatives for _, derivatives, _ in answers]) if jacobian else None,
            circuits=sum(s.circuits for s in submissions),
            executions=sum(s.executions for s in submissions),
            simulator=self.simulator,
            jobs=tuple(receipt(s) for s in submissions),
        )

    def _planned(self, program: Program, angles: NDArray[np.float64], *, jacobian: bool) -> Question:
        return Question(program, angles, jacobian, 0, JobKey(0, None, 0, "plan"), self.entry.gradient)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return self.dispatcher.patience.ask(question, self.entry.waiting.outage_seconds)
        except BackendError as error:
            raise BackendError(f"Backend {self.name!r}: {error}") from error.__cause__

    def _answers(
        self, question: Question, part: Part
    ) -> list[tuple[NDArray[np.float64], NDArray[np.float64], Submission]]:
        """Return values, derivatives and submission of each job of a part."""
        if self._is_split(question, part):
            return [answer for half in part.halves() for answer in self._answers(question, half)]
        (cost,) = self._cost_of(question, part, whole=True)
        request = JobRequest(
            backend=self.name,
            key=question.key,
            part=part.name,
            fingerprint=self._fingerprint(question),
            angles=question.angles[part.start : part.stop],
            details={"shifted": list(question.program.shifted), "calibration": self.calibration_date},
            pub=lambda: question.pub(part),
            cost=cost,
            shape=lambda details: question.shape(part, details["shifted"]),
        )
        try:
            expectations, submission = self.dispatcher.run(self.machine, request, self._policy)
        except TooLongError as error:
            if part.num_samples < 2:
                raise JobError(f"Backend {self.name!r}, {question.key}: one sample is too long: {error}") from error
            return [answer for half in part.halves() for answer in self._answers(question, half)]
        shifted = submission.request["shifted"]  # those of the layout with which the job was sent
        return [(expectations[:, 0], question.derivatives(part, expectations, shifted), submission)]

    def _is_split(self, question: Question, part: Part) -> bool:
        """Return whether a part is to be sent in halves: as it was before, or because it would be too long."""
        if part.num_samples < 2:
            return False
        journal = self.dispatcher.journal
        if journal.latest(self.name, question.key, part.name) is not None:
            return False
        if journal.latest(self.name, question.key, part.halves()[0].name) is not None:
            return True
        (cost,) = self._cost_of(question, part, whole=True)
        return self._exceeds(question, cost)

    def _exceeds(self, question: Question, cost: JobCost) -> bool:
        longest = self.entry.max_execution_seconds or _LONGEST_JOB_SECONDS
        num_bytes = cost.circuits * len(question.program.angles) * 8
        return (cost.seconds or 0.0) > longest or num_bytes > _LARGEST_JOB_BYTES

    def _cost_of(self, question: Question, part: Part, *, whole: bool = False) -> list[JobCost]:
        """Return the cost of each job that a part would be sent in; of one job if ``whole``."""
        program, num_samples = question.program, part.num_samples
        circuits = num_samples * question.num_points(program.shifted) * program.num_groups
        size = circuits, circuits * self.shots
        if not self.machine.primitive.is_plain():
            size = self.machine.primitive.size(question.pub(part), self.machine.qiskit_backend)
        cost = self._timing(program).cost(*size)
        if whole or num_samples < 2 or not self._exceeds(question, cost):
            return [cost]
        return [cost for half in part.halves() for cost in self._cost_of(question, half)]

    def _timing(self, program: Program) -> Timing:
        if program not in self._timings:
            measured: Sequence[int] = program.measured
            if self.machine.primitive.measures_all_qubits:
                left_out = self._gaps().qubits
                measured = [q for q in range(self.machine.qiskit_backend.num_qubits) if q not in left_out]
            length = self.machine.circuit_seconds(program.circuit, measured, self._target())
            self._timings[program] = Timing(length, self._rep_delay_seconds, self.machine.seconds_per_job)
        return self._timings[program]

    def _fingerprint(self, question: Question) -> str:
        """Return a digest of how it is asked, apart from layout and calibration, which may change before a replay."""
        asked = {"device", "factory", "arguments", "shots", "primitive", "resilience_level", "options", "gradient"}
        seed = question.seed if isinstance(self.entry.gradient, Spsa) else None
        outputs = len(question.program.observables)
        settings = f"{self.entry.model_dump_json(include=asked)} {question.jacobian} {seed} {outputs}"
        return sha256(settings.encode()).hexdigest()
