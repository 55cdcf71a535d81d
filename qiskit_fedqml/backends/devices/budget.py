"""Ceilings of QPU seconds, of a backend, of the run, and of the account; and of a backend's executions."""

from qiskit_fedqml.backends.devices.cost import ROUNDING_SECONDS
from qiskit_fedqml.backends.devices.journal import Journal
from qiskit_fedqml.backends.devices.request import JobRequest, Policy
from qiskit_fedqml.backends.devices.submission import Submission
from qiskit_fedqml.errors import AccountLimitError, BudgetError


class Budget:
    """What a run may spend.

    Args:
        journal: Says what is spent and under way.
        run_seconds: The most QPU seconds of the whole run, or None.
    """

    def __init__(self, journal: Journal, run_seconds: float | None) -> None:
        self._journal, self._run_seconds = journal, run_seconds

    def check(
        self, request: JobRequest, policy: Policy, submission: Submission, remaining_seconds: float | None
    ) -> None:
        """Check a job before it is sent; in one transaction with the writing of its intent.

        Args:
            request: What is to be sent.
            policy: Says what its backend may spend.
            submission: As which it is sent; it is left out of what is spent.
            remaining_seconds: What the account has left, or None where there is no limit.

        Raises:
            BudgetError: The job would pass a budget.
            AccountLimitError: The job would pass what the account has left after all that is under way.
        """
        journal, need = self._journal, request.cost.seconds or 0.0
        self._check_executions(request, policy, submission)
        budgets = [
            (f"the budget of backend {request.backend!r}", policy.budget_seconds, request.backend),
            ("the run's budget", self._run_seconds, None),
        ]
        for what, ceiling, backend in budgets:
            spent = journal.spent_seconds(backend, without=submission.tag)
            if ceiling is not None and spent + need > ceiling + ROUNDING_SECONDS:
                raise BudgetError(
                    f"the next job needs {need:.1f} QPU seconds, but of {what}, {ceiling:g} s, {spent:.1f} s are spent "
                    f"or under way: {spent + need - ceiling:.1f} s are missing. Nothing was sent."
                )
        under_way = journal.uncharged_seconds(submission.account, without=submission.tag)
        if remaining_seconds is not None and under_way + need > remaining_seconds + ROUNDING_SECONDS:
            raise AccountLimitError(
                f"the next job needs {need:.1f} QPU seconds, but the account has {remaining_seconds:.1f} s left, of "
                f"which {under_way:.1f} s are under way: {under_way + need - remaining_seconds:.1f} s are missing. "
                "Nothing was sent."
            )

    def _check_executions(self, request: JobRequest, policy: Policy, submission: Submission) -> None:
        ceiling, need = policy.budget_executions, request.cost.executions
        if ceiling is None:
            return
        spent = self._journal.spent_executions(request.backend, without=submission.tag)
        if spent + need > ceiling:
            raise BudgetError(
                f"the next job needs {need:,} executions, but of the budget of backend {request.backend!r}, "
                f"{ceiling:,}, {spent:,} are spent or under way: {spent + need - ceiling:,} are missing. Nothing was "
                "sent."
            )
