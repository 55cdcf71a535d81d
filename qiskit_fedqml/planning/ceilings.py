"""What a run may spend: budgets of QPU seconds or executions, and what accounts have left."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from qiskit_fedqml.backends.devices.cost import ROUNDING_SECONDS
from qiskit_fedqml.errors import AccountLimitError, BudgetError
from qiskit_fedqml.planning.work import Work


@dataclass(frozen=True)
class Ceiling:
    """A limit of QPU seconds, or of executions.

    Args:
        what: In words, such as ``"the run's budget"``.
        backends: Whose work it limits.
        most: The limit.
        spent: What is spent of it, or under way.
        is_account: Whether it is what an account has left, which no budget of the run can change.
        of: What it limits.
    """

    what: str
    backends: frozenset[str]
    most: float
    spent: float = 0.0
    is_account: bool = False
    of: Literal["seconds", "executions"] = "seconds"

    def need(self, work: Mapping[str, Work]) -> float:
        """Return how much some work, by backend, takes of what it limits."""
        limited = [one for name, one in work.items() if name in self.backends]
        return sum(one.qpu_seconds if self.of == "seconds" else one.executions for one in limited)

    def is_passed(self, need: float) -> bool:
        """Return whether so much more would pass it."""
        rounding = ROUNDING_SECONDS if self.of == "seconds" else 0
        return self.spent + need > self.most + rounding

    def described(self, need: float) -> str:
        """Return how much is missing, in words."""
        how = "under way" if self.is_account else "spent"
        spent = f", of which {self._amount(self.spent)} are {how}" if self.spent else ""
        missing = self._amount(max(0.1, self.spent + need - self.most))  # never "0.0 s"
        return f"{self.what} is {self._amount(self.most)}{spent}, {missing} too little"

    def needed(self, need: float) -> str:
        """Return a need with its unit."""
        return f"{need:,.1f} QPU seconds" if self.of == "seconds" else self._amount(need)

    def error(self, message: str) -> BudgetError:
        """Return an error of the kind that says whether a budget of the run could change it."""
        return AccountLimitError(message) if self.is_account else BudgetError(message)

    def _amount(self, value: float) -> str:
        if self.of == "seconds":
            return f"{value:,.1f} s"
        return "1 execution" if value == 1 else f"{value:,.0f} executions"


@dataclass(frozen=True)
class Fit:
    """How many rounds a run can pay.

    Args:
        rounds: Rounds, from the first one on, that pass no ceiling.
        passed: The ceiling that the next one would pass; None where all fit.
        need: What all rounds take of that ceiling; without one, the QPU seconds of all.
    """

    rounds: int
    passed: Ceiling | None
    need: float


def fit(ceilings: Iterable[Ceiling], rounds: Iterable[Mapping[str, Work]]) -> Fit:
    """Return how many rounds fit, one after another.

    Args:
        ceilings: The limits.
        rounds: The work of each round, by backend.
    """
    ceilings, total, num_fitting, passed = tuple(ceilings), dict[str, Work](), 0, None
    for of_round in rounds:
        for name, work in of_round.items():
            total[name] = total.get(name, Work()) + work
        if passed is None:
            passed = next((c for c in ceilings if c.is_passed(c.need(total))), None)
            num_fitting += passed is None
    need = passed.need(total) if passed else sum(work.qpu_seconds for work in total.values())
    return Fit(num_fitting, passed, need)
