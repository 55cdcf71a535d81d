"""Which machine serves a client next."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from qiskit_fedqml.config.scheduling import Best, ExploreThenRefine, Policy

_SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class Candidate:
    """A machine that could serve a client now, as the server sees it.

    Args:
        machine: Its name.
        expected_seconds: How long a task there is expected to take, from its dispatch to its update.
        success_probability: Of the circuit by the calibration in force; 1 without noise.
        age_seconds: Of that calibration; 0 where it has no date.
    """

    machine: str
    expected_seconds: float
    success_probability: float
    age_seconds: float


class SchedulingPolicy(Protocol):
    """Chooses a machine for a task."""

    def choose(self, own: str, server_step: int, candidates: Sequence[Candidate]) -> str:
        """Return the machine that gets a client's task.

        Args:
            own: The machine that the assignment gives the client.
            server_step: The server step that is being collected for, from 1.
            candidates: All machines, of which there is at least one; of equal ones the first is taken.
        """
        ...


@dataclass(frozen=True)
class Assigned:
    """Each client has its own machine."""

    def choose(self, own: str, server_step: int, candidates: Sequence[Candidate]) -> str:
        """Return the client's own machine."""
        return own


@dataclass(frozen=True)
class ExpectedQueue:
    """The machine from which the update is expected first."""

    def choose(self, own: str, server_step: int, candidates: Sequence[Candidate]) -> str:
        """Return the machine of the least expected time."""
        return min(candidates, key=lambda candidate: candidate.expected_seconds).machine


@dataclass(frozen=True)
class BestScore:
    """The machine of the largest P^γ · 2^(−age / half-life) / expected time.

    With γ = 1 and no half-life that is the expected number of runs without an error in a unit of time. EQC
    (arXiv:2111.14940) weighs the gradients of an asynchronous array by P, from each machine's last calibration; here P
    steers who gets the work.

    Args:
        success_exponent: γ, from 0.
        half_life_seconds: The age at which a calibration counts half; None lets it not matter.
    """

    success_exponent: float
    half_life_seconds: float | None

    def choose(self, own: str, server_step: int, candidates: Sequence[Candidate]) -> str:
        """Return the machine of the largest score."""
        return max(candidates, key=self._score).machine

    def _score(self, of: Candidate) -> float:
        freshness = 2.0 ** (-of.age_seconds / self.half_life_seconds) if self.half_life_seconds else 1.0
        return of.success_probability**self.success_exponent * freshness / max(of.expected_seconds, 1e-9)


@dataclass(frozen=True)
class ExploreFirst:
    """The fastest of all machines at first; from a server step on, the fastest of those that err least.

    The idea is Qoncord's (arXiv:2409.12432), which explores on machines of low fidelity with short queues and
    fine-tunes on those of high fidelity; it decides by convergence when to change over, and here the step is given.

    Args:
        refine_from: The first server step on the machines that err least.
        least_success: Success probability of these, as a part of the best one's, from 0 to 1.
    """

    refine_from: int
    least_success: float

    def choose(self, own: str, server_step: int, candidates: Sequence[Candidate]) -> str:
        """Return the machine of the least expected time among those that count in this step."""
        if server_step >= self.refine_from:
            best = max(candidate.success_probability for candidate in candidates)
            candidates = [c for c in candidates if c.success_probability >= self.least_success * best]
        return ExpectedQueue().choose(own, server_step, candidates)


def open_policy(config: Policy) -> SchedulingPolicy:
    """Return the policy of a configuration."""
    if isinstance(config, Best):
        hours = config.best.age_half_life_hours
        return BestScore(config.best.success_exponent, None if hours is None else hours * _SECONDS_PER_HOUR)
    if isinstance(config, ExploreThenRefine):
        return ExploreFirst(config.explore_then_refine.refine_from, config.explore_then_refine.least_success)
    return Assigned() if config == "assigned" else ExpectedQueue()
