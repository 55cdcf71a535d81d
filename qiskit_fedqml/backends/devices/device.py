"""A device with a queue as a backend: layouts, points, jobs in parts, and what they cost."""

import itertools
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from copy import copy
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2

from qiskit_fedqml.backends.devices.cost import JobCost
from qiskit_fedqml.backends.devices.dispatch import Dispatcher
from qiskit_fedqml.backends.devices.estimates import Estimates
from qiskit_fedqml.backends.devices.fingerprint import fingerprint
from qiskit_fedqml.backends.devices.joint import Answered, shared_out
from qiskit_fedqml.backends.devices.layouts import DeviceLayouts
from qiskit_fedqml.backends.devices.machine import Machine
from qiskit_fedqml.backends.devices.question import Asker, Part, Question
from qiskit_fedqml.backends.devices.request import JobRequest, Policy, TooLongError
from qiskit_fedqml.backends.figures import figures_of, success_probability
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.packing.blocks import BlockLayout
from qiskit_fedqml.backends.packing.sharing import BlockShares
from qiskit_fedqml.backends.program import Asked, Evaluation, Program
from qiskit_fedqml.config.devices import DeviceEntry, ProviderEntry
from qiskit_fedqml.config.gradient import RandomShifts, Spsa
from qiskit_fedqml.errors import BackendError, JobError

Answer = TypeVar("Answer")

_SETTLING_TRIES = 6


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
        self._loose_keys = itertools.count()
        self._layouts = DeviceLayouts(name, entry, machine)
        self._estimates = Estimates(entry, machine, self._layouts)
        self._shares = BlockShares(entry.blocks)

    def __getstate__(self) -> dict[str, Any]:
        raise BackendError(
            f"Backend {self.name!r} is a device, whose connection and journal belong to this process, so that it "
            "cannot be pickled; open it again in the other process."
        )

    def __deepcopy__(self, memo: dict[int, Any]) -> "DeviceBackend":
        return self  # a copy of what works on a device works on the same one

    def with_entry(self, entry: DeviceEntry) -> "DeviceBackend":
        """Return the open device under another entry of the same type; nothing is opened for it, or logged again.

        Raises:
            BackendError: The calibration cannot be used.
        """
        self._layouts.gaps()  # read, and logged, before the copy is made
        machine = copy(self.machine)
        machine.primitive = self.machine.primitive.with_entry(entry)
        other = DeviceBackend(self.name, entry, machine, self.dispatcher)
        other._layouts.logged_gaps = self._layouts.logged_gaps
        return other

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

    @property
    def is_joint(self) -> bool:
        """Whether the clients of a round are to take each step together, in one job."""
        return self.entry.is_joint

    def describe(self) -> dict[str, Any]:
        """Return device, calibration's date, number of qubits and shots; ``gaps`` where it leaves something out."""
        gaps = self._layouts.gaps()
        return {
            **({"gaps": str(gaps)} if gaps else {}),
            "type": self.entry.type,
            "device": self.machine.device,
            "calibration_date": self.calibration_date,
            "num_qubits": self.machine.qiskit_backend.num_qubits,
            "shots": self.shots,
            **({"test_shots": self.entry.test_shots} if self.entry.test_shots is not None else {}),
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
        return self._layouts.candidates(circuit)

    def block_layout(self, circuit: QuantumCircuit, measured: Sequence[int]) -> BlockLayout | None:
        """Return the blocks of a circuit by the calibration that was read last; None where blocks are off.

        Args:
            circuit: The circuit.
            measured: Its qubits that are measured at its end.

        Raises:
            BackendError: The circuit doesn't fit the device.
        """
        return self._layouts.blocks(circuit, measured)

    def give_blocks_to(self, clients: Sequence[int]) -> None:
        """Let each of these clients have blocks of its own for the whole run, where the entry spreads clients."""
        self._shares.clients = tuple(clients)

    def success_probability(self, program: Program, client: int | None = None) -> float | None:
        """Return the estimated chance that no gate and no readout of a program errs, by the device's calibration.

        Of a program with copies it is the mean over the blocks that a client (None: the server) has. None where a
        provider does not state an error of each gate and readout.
        """
        if not self._layouts.knows_errors(program):
            return None
        if program.copies:
            return self._shares.success_probability(program, client, self._layouts.target())
        return success_probability(program.circuit, self._layouts.target(), program.measured)

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

    def calibration_of(self, program: Program, client: int | None = None) -> dict[str, Any] | None:
        """Return device, date and the figures of what a client uses, as plain values: its blocks, or qubits.

        None where a provider does not state an error of each gate and readout.
        """
        if not self._layouts.knows_errors(program):
            return None
        if program.copies:
            figures = self._shares.figures(program, client, self._layouts.target(), self._layouts.gaps())
        else:
            figures = figures_of(program.circuit, program.measured, self._layouts.target())
        return {"device": self.machine.device, "date": self.calibration_date, **figures}

    def cost(self, program: Program, asked: Sequence[tuple[int | None, int]], *, jacobian: bool) -> list[JobCost]:
        """Return what the jobs of one evaluation are expected to cost.

        Args:
            program: The program.
            asked: The clients that ask together (None is the server), each with its number of samples.
            jacobian: Whether derivatives are wanted.
        """
        samples = [(client, np.zeros((size, len(program.angles)))) for client, size in asked]
        return self._estimates.costs(self._planned(program, samples, jacobian=jacobian), self._whole(asked))

    def payload_bytes(self, program: Program, asked: Sequence[tuple[int | None, int]], *, jacobian: bool) -> int:
        """Return the size of one evaluation as it is sent; of random angles, since it is compressed."""
        rng = np.random.default_rng(0)
        samples = [(client, rng.uniform(-np.pi, np.pi, (size, len(program.angles)))) for client, size in asked]
        return self._estimates.payload_bytes(self._planned(program, samples, jacobian=jacobian), self._whole(asked))

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
            seed: Seed of random directions or shifts.
            key: What it is for; the journal answers a key that was asked before.

        Raises:
            BackendError: The device takes no jobs, or the job was refused, failed, or is out of reach.
            BudgetError: A budget of QPU seconds would be passed.
        """
        asked = Asked(angles, seed, None if key is None else key.client)
        return self.evaluate_jointly(program, [asked], jacobian=jacobian, key=key)[0]

    def evaluate_jointly(
        self, program: Program, asked: Sequence[Asked], *, jacobian: bool, key: JobKey | None = None
    ) -> list[Evaluation]:
        """Evaluate what several clients ask in one job, or in several where one would be too long.

        Args:
            program: The program, compiled for this backend.
            asked: What each of them asks.
            jacobian: Whether derivatives are wanted.
            key: What it is for.

        Returns:
            An evaluation for each; circuits, executions and QPU seconds are shared out by the number of samples.

        Raises:
            BackendError: As :meth:`evaluate`.
            BudgetError: As :meth:`evaluate`.
        """
        for of in asked:
            program.check_angles(of.angles)
        key = key or JobKey(0, None, next(self._loose_keys), "loose")
        question = self._question(program, asked, key, jacobian=jacobian)
        answers = self._answers(question, Part("", 0, len(question.angles)))
        values = np.concatenate([values for values, _, _ in answers])
        derivatives = np.concatenate([derivatives for _, derivatives, _ in answers]) if jacobian else None
        return shared_out([len(of.angles) for of in asked], values, derivatives, answers, self.simulator)

    def _planned(
        self, program: Program, samples: Sequence[tuple[int | None, NDArray[np.float64]]], *, jacobian: bool
    ) -> Question:
        key = JobKey(0, None, 0, "train" if jacobian else "test")
        return self._question(program, [Asked(angles, 0, client) for client, angles in samples], key, jacobian=jacobian)

    @staticmethod
    def _whole(asked: Sequence[tuple[int | None, int]]) -> Part:
        return Part("", 0, sum(size for _, size in asked))

    def _question(self, program: Program, asked: Sequence[Asked], key: JobKey, *, jacobian: bool) -> Question:
        is_drawn = jacobian and isinstance(self.entry.gradient, (Spsa, RandomShifts))
        askers = tuple(
            Asker(
                of.angles,
                # Drawn once, so that the directions of the points are those of the derivatives.
                secrets.randbits(63) if of.seed is None and is_drawn else of.seed,
                self._shares.blocks_of(program, of.client),
            )
            for of in asked
        )
        offset = int.from_bytes(sha256(str(key.at(0)).encode()).digest()[:4]) + key.step
        return Question(program, askers, jacobian, key, self.entry.gradient, offset)

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return self.dispatcher.patience.ask(question, self.entry.waiting.outage_seconds)
        except BackendError as error:
            raise BackendError(f"Backend {self.name!r}: {error}") from error.__cause__

    def _answers(self, question: Question, part: Part) -> list[Answered]:
        """Return values, derivatives and submission of each job of a part."""
        if self._is_split(question, part):
            return [answer for half in part.halves() for answer in self._answers(question, half)]
        request = JobRequest(
            backend=self.name,
            key=question.key,
            part=part.name,
            fingerprint=fingerprint(self.entry, question),
            angles=question.angles[part.start : part.stop],
            details={**question.details, "calibration": self.calibration_date},
            pub=lambda: question.pub(part, self._estimates.packed_circuit(question.program)),
            shots=self.entry.shots_of(is_test=question.key.is_test),
            cost=self._estimates.cost(question, part),
            shape=lambda details: question.shape(part, details),
        )
        try:
            expectations, submission = self.dispatcher.run(self.machine, request, self._policy)
        except TooLongError as error:
            if part.num_samples < 2:
                raise JobError(f"Backend {self.name!r}, {question.key}: one sample is too long: {error}") from error
            return [answer for half in part.halves() for answer in self._answers(question, half)]
        values, derivatives = question.answer(part, expectations, submission.request)  # as the job was sent
        return [(values, derivatives, submission)]

    def _is_split(self, question: Question, part: Part) -> bool:
        """Return whether a part is to be sent in halves: as it was before, or because it would be too long."""
        if part.num_samples < 2:
            return False
        journal = self.dispatcher.journal
        if journal.latest(self.name, question.key, part.name) is not None:
            return False
        if journal.latest(self.name, question.key, part.halves()[0].name) is not None:
            return True
        return self._estimates.exceeds(question, self._estimates.cost(question, part))
