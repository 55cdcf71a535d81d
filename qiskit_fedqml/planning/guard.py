"""What keeps a run from work that its budgets, or its accounts, cannot pay: the whole of it, and each round.

A round that began and could not end would be paid for nothing, so it is not begun. What it will take is worked out as a
plan does, times what earlier jobs were charged in proportion to their plan.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.array.used import used_backends
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.devices.finder import SHORT_SECONDS
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import BackendError, BudgetError
from qiskit_fedqml.federation.messages import by_step
from qiskit_fedqml.federation.past_attempts import PastAttempts
from qiskit_fedqml.federation.server_state import ServerState
from qiskit_fedqml.planning.ceilings import Ceiling, Fit, fit
from qiskit_fedqml.planning.compiled import compiled
from qiskit_fedqml.planning.limits import ceilings_of
from qiskit_fedqml.planning.rounds import RoundCosts, Sizes, drawn_clients
from qiskit_fedqml.planning.work import Work, work_of

if TYPE_CHECKING:
    from qiskit_fedqml.federation.runs.assembly import Federation

logger = logging.getLogger(__name__)

_COVERED = ("intended", "sent", "done")
"""States of submissions that a replay of their round does not send again."""


@dataclass
class BudgetGuard:
    """Checks a run, and then each of its rounds, before anything of it is sent.

    Args:
        experiment: The configuration.
        registry: The machines, of which those with a queue are open.
        spec: The circuit.
        sizes: How many examples are evaluated.
    """

    experiment: Experiment
    registry: BackendRegistry
    spec: CircuitSpec
    sizes: Sizes
    _programs: dict[str, tuple[str | None, Program]] = field(default_factory=dict, init=False)
    _costs: RoundCosts | None = field(default=None, init=False)
    _checked: int = field(default=0, init=False)

    @property
    def _journal(self) -> Journal:
        return self.registry.dispatcher.journal

    def check_run(self, first: int, clients: Mapping[int, Sequence[tuple[int, str]]], *, allow_partial: bool) -> None:
        """Check the rounds that are missing.

        Args:
            first: The first of them.
            clients: The clients of the first one, as :meth:`shortage` takes them.
            allow_partial: Whether it suffices that one of them fits.

        Raises:
            BudgetError: They do not fit; it says how many do.
            BackendError: A service does not say what its account has left.
        """
        num_rounds = self.experiment.federation.rounds
        if first > num_rounds:
            return
        ceilings = self._ceilings(DeviceBackend.remaining_seconds)
        if not ceilings:
            return
        self._compile()
        assignment, _ = used_backends(self.experiment, self.registry)
        submissions = self._journal.all()
        later = drawn_clients(self.experiment, assignment, first + 1)
        rounds = (self._missing(round, some, submissions) for round, some in later)
        found = fit(ceilings, (self._missing_of_step(first, clients, submissions), *rounds))
        if found.passed is None or (allow_partial and found.rounds):
            self._checked = first
            return
        raise found.passed.error(_said_of_run(found, found.passed, first, num_rounds))

    def shortage(self, round: int, clients: Mapping[int, Sequence[tuple[int, str]]]) -> BudgetError | None:
        """Return why a round cannot be paid to its end; None where it can.

        Args:
            round: The round, from 1; its first jobs may have been sent before an interruption.
            clients: Its clients, each with the name of its backend, by the round in which they got their tasks: in
                asynchronous federations there are some of earlier rounds, whose jobs may have been sent.
        """
        was_checked, self._checked = round == self._checked, 0  # with the run, but not if it is attempted once more
        if self._costs is None or was_checked:  # without costs there is no limit
            return None
        self._compile(refresh=True)
        missing = self._missing_of_step(round, clients, self._journal.all())
        found = fit(self._ceilings(_remaining_if_known), [missing])
        if found.passed is None:
            return None
        done = "no round is" if round == 1 else "1 round is" if round == 2 else f"{round - 1} rounds are"
        return found.passed.error(
            f"Round {round} of {self.experiment.federation.rounds} needs {found.passed.needed(found.need)}, but "
            f"{found.passed.described(found.need)}. It was not begun; {done} done."
        )

    def _ceilings(self, remaining: Callable[[DeviceBackend], float | None]) -> tuple[Ceiling, ...]:
        return ceilings_of(self._backends(), self.experiment.backends.budget_seconds, remaining)

    def _backends(self) -> dict[str, DeviceBackend]:
        _, names = used_backends(self.experiment, self.registry)
        return {name: backend for name in names if isinstance(backend := self.registry[name], DeviceBackend)}

    def _compile(self, *, refresh: bool = False) -> None:
        """Compile the circuit for each device, again where the calibration has changed.

        What goes wrong is left to the clients, who say where, and may be skipped.
        """
        for name, backend in self._backends().items():
            if refresh:
                patience = backend.dispatcher.patience
                patience.ask_once(partial(patience.ask, backend.machine.refresh, SHORT_SECONDS), None)
            if self._programs.get(name, ("",))[0] == backend.calibration_date:
                continue
            try:
                program = compiled(backend, self.spec, self.experiment.model.derivatives)
                self._programs[name] = backend.calibration_date, program
            except BackendError as error:
                logger.info("Backend %r is left out of the plan: %s", name, error)
                continue
            self._costs = None
        if self._costs is None:
            devices = {n: (b, self._programs[n][1]) for n, b in self._backends().items() if n in self._programs}
            self._costs = RoundCosts(devices, self.experiment.federation, self.sizes)

    def _missing_of_step(
        self, round: int, clients: Mapping[int, Sequence[tuple[int, str]]], submissions: Sequence[Submission]
    ) -> Mapping[str, Work]:
        """Return what a server step still takes by backend, tasks of earlier steps that are on their way included."""
        total: dict[str, Work] = {}
        for of, some in {round: (), **clients}.items():  # a round without clients is tested too
            is_tested = of == round
            own = _without_others(submissions, of, some, is_tested=is_tested)
            for name, work in self._missing(of, some, own, is_tested=is_tested).items():
                total[name] = total.get(name, Work()) + work
        return total

    def _missing(
        self,
        round: int,
        clients: Sequence[tuple[int, str]],
        submissions: Sequence[Submission],
        *,
        is_tested: bool = True,
    ) -> Mapping[str, Work]:
        """Return the executions and QPU seconds by backend that a round still takes, with its tests or without."""
        assert self._costs is not None
        found = {}
        items = [item for item in self._costs.items(round, clients) if is_tested or item.client is not None]
        for name, need in work_of(items).items():
            covered = _covered(submissions, name, round)
            found[name] = Work(
                executions=max(0, need.executions - sum(s.executions for s in covered)),
                qpu_seconds=max(0.0, need.qpu_seconds - _planned(covered)) * _overrun(submissions, name),
            )
        return found


def _remaining_if_known(backend: DeviceBackend) -> float | None:
    """Return what a device's account has left; None also where the service gives no answer."""
    patience = backend.dispatcher.patience
    return patience.ask_once(partial(patience.ask, backend.machine.remaining_seconds, SHORT_SECONDS), None)


def _without_others(
    submissions: Sequence[Submission], round: int, clients: Sequence[tuple[int, str]], *, is_tested: bool
) -> list[Submission]:
    """Leave out the jobs of a round that cover nothing of what these clients need, and perhaps the server's tests.

    Such are those of an earlier attempt at the round, and of asynchronous federations those that have come back.
    """
    these = {client for client, _ in clients}

    def covers(submission: Submission) -> bool:
        key = submission.key
        asking = key.clients or (() if key.client is None else (key.client,))
        return these.issuperset(asking) if asking else is_tested

    return [s for s in submissions if s.key.server_step != round or covers(s)]


def _covered(submissions: Sequence[Submission], backend: str, round: int) -> list[Submission]:
    """Return a round's jobs that are not sent again."""
    of_round = (s for s in submissions if s.backend == backend and s.key.server_step == round)
    return [s for s in of_round if s.state in _COVERED]


def _planned(submissions: Iterable[Submission]) -> float:
    """Return the QPU seconds that were planned for jobs; of devices without durations none are known."""
    return sum(s.planned_seconds or 0.0 for s in submissions)


def _overrun(submissions: Sequence[Submission], backend: str) -> float:
    """Return what a backend's jobs were charged in proportion to their plan; 1 where that is less, or not known."""
    known = [s for s in submissions if s.backend == backend and s.state == "done" and s.reported_seconds is not None]
    planned = _planned(known)
    return max(1.0, sum(s.reported_seconds or 0.0 for s in known) / planned) if planned else 1.0


def _said_of_run(found: Fit, passed: Ceiling, first: int, num_rounds: int) -> str:
    left = num_rounds - first + 1
    rounds = "one round" if left == 1 else f"{left} rounds"
    which = f"The run's {rounds}" if first == 1 else f"The {rounds} left"
    need = f"need{'s' if left == 1 else ''} {passed.needed(found.need)}"
    fit = "fits" if found.rounds == 1 else "fit"
    fitting = f"{found.rounds} of them {fit}" if found.rounds else "none fits"
    partly = ", or allow a part of it (--allow-partial)" if found.rounds else ""
    return (
        f"{which} {need}, but {passed.described(found.need)}: {fitting}. Nothing was sent; plan "
        f"fewer rounds, give it a larger budget, take what `fedqml plan --fit` proposes{partly}."
    )


def budget_guard(federation: "Federation", server: ServerState, *, allow_partial: bool) -> BudgetGuard:
    """Return what says of each round of a run whether it can be paid, after it has checked all that are missing.

    Raises:
        BudgetError: They do not fit; nothing was sent.
    """
    experiment, data = federation.experiment, federation.data
    sizes = Sizes.of(experiment, data.shards.sizes.tolist(), len(data.test), len(data.validation))
    guard = BudgetGuard(experiment, federation.registry, federation.evaluator.blueprint.circuit, sizes)
    try:
        past = PastAttempts(federation.registry.dispatcher.journal).of(server.step + 1)
        tasks = federation.algorithm.next_tasks(replace(server, attempt=len(past) + 1))
        guard.check_run(server.step + 1, by_step(tasks), allow_partial=allow_partial)
    except BaseException:
        federation.registry.dispatcher.journal.close()
        raise
    return guard
