"""Dispatches tasks to simulated machines: which one serves a client, and when its update arrives."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.scheduling import SchedulingConfig
from qiskit_fedqml.federation.messages import Flight
from qiskit_fedqml.federation.scheduling.machines import FactsOf, SimulatedMachine
from qiskit_fedqml.federation.scheduling.policies import Candidate, SchedulingPolicy
from qiskit_fedqml.seeds import derive_seed


@dataclass(frozen=True)
class Dispatch:
    """A client that is to get a task.

    Args:
        client_id: The client.
        number: How many tasks were dispatched before; its draws derive from it.
        model_version: Server steps that are done: the version of the model that it gets.
        now_seconds: The time.
    """

    client_id: int
    number: int
    model_version: int
    now_seconds: float


@dataclass(frozen=True)
class Scheduler:
    """The simulated clock's machines, and the policy by which tasks come to them.

    A task waits for the queue time of its machine, which is drawn for it, and for the tasks that were dispatched there
    before. Then it takes job_seconds · batches + execution_seconds · executions.

    Args:
        seed: The run's seed.
        config: The `scheduling` section.
        federation: The `federation` section.
        machines: The machines by name, in the order in which equal ones are preferred.
        assignment: Name of each client's own machine.
        num_examples: Returns how many examples a client has.
        facts: Finds the facts of an entry.
        policy: Chooses machines.
    """

    seed: int
    config: SchedulingConfig
    federation: FederationConfig
    machines: Mapping[str, SimulatedMachine]
    assignment: Sequence[str]
    num_examples: Callable[[int], int]
    facts: FactsOf
    policy: SchedulingPolicy

    def dispatch(self, task: Dispatch, flights: Sequence[Flight]) -> Flight:
        """Send a task to a machine.

        Args:
            task: What is sent.
            flights: Tasks that are on their way.

        Raises:
            BackendError: A machine cannot be opened, or the circuit does not fit it.
        """
        machine = self.machines[self._chosen(task, flights)]
        seed = derive_seed(self.seed, f"queue time of {machine.name}", task.number)
        ready = task.now_seconds + machine.queue.drawn_seconds(task.now_seconds, seed)
        started = max([ready, *(flight.arrives_seconds for flight in flights if flight.machine == machine.name)])
        backend = machine.entry_at(started)
        return Flight(
            client_id=task.client_id,
            machine=machine.name,
            backend=backend,
            model_version=task.model_version,
            dispatched_seconds=task.now_seconds,
            started_seconds=started,
            arrives_seconds=started + self._work_seconds(task.client_id, backend),
        )

    def _chosen(self, task: Dispatch, flights: Sequence[Flight]) -> str:
        own = self.assignment[task.client_id]
        if self.config.policy == "assigned":  # no other machine needs to be opened
            return own
        candidates = [self._candidate(task, machine, flights) for machine in self.machines.values()]
        return self.policy.choose(own, task.model_version + 1, candidates)

    def _candidate(self, task: Dispatch, machine: SimulatedMachine, flights: Sequence[Flight]) -> Candidate:
        """Return a machine as the server sees it now: it knows of its own tasks there, but not when they will end."""
        entry = machine.entry_at(task.now_seconds)
        success = self.facts(entry).success_probability
        before = sum(flight.machine == machine.name for flight in flights)
        each = machine.queue.expected_seconds(task.now_seconds) + self._work_seconds(task.client_id, entry)
        return Candidate(
            machine=machine.name,
            expected_seconds=(before + 1) * each,
            success_probability=1.0 if success is None else success,
            age_seconds=machine.age_seconds_at(task.now_seconds),
        )

    def _work_seconds(self, client_id: int, backend: str) -> float:
        """Return how long a machine works for a client."""
        examples, config = self.num_examples(client_id), self.federation
        executions = config.local_epochs * examples * self.facts(backend).executions_per_example
        jobs = config.local_epochs * ceil(examples / config.batch_size)
        return jobs * self.config.job_seconds + executions * self.config.execution_seconds
