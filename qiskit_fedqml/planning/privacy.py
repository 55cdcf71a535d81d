"""What an experiment will spend of its privacy, round by round, and the noise with which it would spend less."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.planning.rounds import drawn_clients
from qiskit_fedqml.privacy.accountant import noise_for
from qiskit_fedqml.privacy.spending import PrivacyBudget, Spending


@dataclass(frozen=True)
class PrivacyPlan:
    """What rounds will spend.

    Args:
        budget: Counts it.
        steps: How often noise has protected, after each round, whoever is protected least.
        tasks: The tasks that the busiest client has had after each round; empty where each client is protected.
        is_guess: Whether clients are drawn as tasks end, so that a run may give its busiest one a few more or less.
    """

    budget: PrivacyBudget
    steps: Sequence[int]
    tasks: Sequence[int]
    is_guess: bool

    @classmethod
    def of(cls, experiment: Experiment) -> "PrivacyPlan":
        """Draw the clients of all rounds, as a run will; nothing is trained.

        Raises:
            ConfigurationError: The experiment has no `privacy` section.
        """
        if (config := experiment.privacy) is None:
            raise ConfigurationError("The experiment has no section `privacy`, so it protects nobody.")
        federation = experiment.federation
        budget = PrivacyBudget(config, federation)
        if config.protects_clients:
            return cls(budget, range(1, federation.rounds + 1), (), is_guess=False)
        counts, most = Counter[int](), [0]
        for _, clients in drawn_clients(experiment, ("",) * federation.clients):
            counts.update(client for client, _ in clients)
            most.append(max([most[-1], *(counts[client] for client, _ in clients)]))
        steps = [budget.steps(Spending(tasks={0: tasks})) for tasks in most[1:]]
        return cls(budget, steps, most[1:], isinstance(federation.algorithm, Buffered))

    @property
    def config(self) -> PrivacyConfig:
        """The `privacy` section."""
        return self.budget.config

    @property
    def rounds(self) -> int:
        """The number of rounds."""
        return len(self.steps)

    def epsilon(self, round: int) -> float:
        """Return the ε that is spent after a round, from 1.

        Raises:
            ConfigurationError: The package dp-accounting is not installed.
        """
        return self.budget.accountant.epsilon(self.steps[round - 1])

    @property
    def last_round(self) -> int:
        """The last round that ``privacy.epsilon`` allows; 0 where it allows none."""
        if self.config.epsilon is None:
            return self.rounds
        return bisect_right(range(1, self.rounds + 1), self.config.epsilon, key=self.epsilon)

    def noise_for(self, epsilon: float) -> float:
        """Return the noise multiplier, of four digits, with which all rounds spend at most so much.

        Raises:
            ConfigurationError: None does, or dp-accounting is not installed.
        """
        return noise_for(epsilon, self.config.delta, self.budget.accountant.sampling_rate, self.steps[-1])
