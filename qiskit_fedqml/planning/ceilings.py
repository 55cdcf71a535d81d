"""What a run may spend: budgets of QPU seconds, and what accounts have left."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from qiskit_fedqml.errors import AccountLimitError, BudgetError

Seconds = Mapping[str, float]
"""QPU seconds by backend."""


@dataclass(frozen=True)
class Ceiling:
    """A limit of QPU seconds.

    Args:
        what: In words, such as ``"the run's budget"``.
        backends: Whose work it limits.
        seconds: The limit.
        spent_seconds: What is spent of it, or under way.
        is_account: Whether it is what an account has left, which no budget of the run can change.
    """

    what: str
    backends: frozenset[str]
    seconds: float
    spent_seconds: float = 0.0
    is_account: bool = False

    def need(self, seconds: Seconds) -> float:
        """Return the part of some work that it limits."""
        return sum(value for name, value in seconds.items() if name in self.backends)

    def is_passed(self, need: float) -> bool:
        """Return whether so many QPU seconds more would pass it."""
        return self.spent_seconds + need > self.seconds

    def described(self, need: float) -> str:
        """Return how much is missing, in words."""
        how = "under way" if self.is_account else "spent"
        spent = f", of which {self.spent_seconds:,.1f} s are {how}" if self.spent_seconds else ""
        missing = self.spent_seconds + need - self.seconds
        return f"{self.what} is {self.seconds:,.1f} s{spent}, {missing:,.1f} s too little"

    def error(self, message: str) -> BudgetError:
        """Return an error of the kind that says whether a budget of the run could change it."""
        return AccountLimitError(message) if self.is_account else BudgetError(message)


@dataclass(frozen=True)
class Fit:
    """How many rounds a run can pay.

    Args:
        rounds: Rounds, from the first one on, that pass no ceiling.
        passed: The ceiling that the next one would pass; None where all fit.
        need: QPU seconds of all rounds on that ceiling's backends; without one, on all.
    """

    rounds: int
    passed: Ceiling | None
    need: float


def fit(ceilings: Iterable[Ceiling], rounds: Iterable[Seconds]) -> Fit:
    """Return how many rounds fit, one after another.

    Args:
        ceilings: The limits.
        rounds: QPU seconds of each round, by backend.
    """
    ceilings, total, num_fitting, passed = tuple(ceilings), dict[str, float](), 0, None
    for seconds in rounds:
        for name, value in seconds.items():
            total[name] = total.get(name, 0.0) + value
        if passed is None:
            passed = next((c for c in ceilings if c.is_passed(c.need(total))), None)
            num_fitting += passed is None
    return Fit(num_fitting, passed, passed.need(total) if passed else sum(total.values()))
