"""What a plan means, in sentences."""

from collections.abc import Iterable
from math import ceil

from qiskit_fedqml.backends.devices.cost import MOST_JOBS_PER_MINUTE
from qiskit_fedqml.errors import listed
from qiskit_fedqml.planning.plan import Plan
from qiskit_fedqml.planning.work import Item, qpu_time, without_durations
from qiskit_fedqml.tables import duration

OPEN_PLAN_SECONDS = 600.0
"""QPU seconds that IBM's Open Plan gives an account in 28 days, free of charge."""

_CENTS_BELOW = 100.0


def answer(plan: Plan, fit: str = "--fit SECONDS") -> list[str]:
    """Return what the plan comes to: how much is sent, whether budgets and the Open Plan carry it, and what helps.

    Args:
        plan: The plan.
        fit: The command that proposes settings that fit.
    """
    total = plan.total()
    if not total.jobs:
        return ["No client on a device is drawn in any round, so that nothing will be sent."]
    jobs = "1 job" if total.jobs == 1 else f"{total.jobs:,} jobs"
    lines = [f"{jobs} with {total.executions:,} executions; QPU time: {qpu_time(total)}.", *_of_the_open_plan(plan)]
    return [*lines, *plan.lacking(), *_what_fits(plan, fit)]


def sentences(plan: Plan, queue_seconds: float) -> list[str]:
    """Return what else the plan means: time, money, and what it does not know."""
    total, price = plan.total(), plan.price()
    array, one = plan.array_seconds(queue_seconds), plan.one_machine_seconds(queue_seconds)
    waiting = f", each job waiting {duration(queue_seconds)} in its queue" if queue_seconds else ", queues left out"
    if not total.jobs:
        return []
    lines = []
    if plan.is_buffered:
        lines.append(
            "Which clients get tasks depends on who comes back first: here, tasks end in the order of their start."
        )
    if array and len(plan.devices) > 1:
        lines.append(
            f"On its array of machines the run takes {duration(array)}, on one machine {duration(one)}: "
            f"{one / array:.2f} times as long (QPU time{waiting})."
        )
    lines += unknown_times(plan.items)
    if plan.submission_seconds() > array:
        jobs = max(work.jobs for work in plan.accounts().values())
        lines.append(
            f"The service takes {MOST_JOBS_PER_MINUTE} jobs a minute from one account, so that {jobs} jobs take "
            f"at least {duration(plan.submission_seconds())}."
        )
    if price is not None:
        free = [name for name, facts in plan.devices.items() if not facts.has_price]
        without = f", without {', '.join(free)}, which state none" if free else ""
        lines.append(f"At the prices of the backends file: US$ {_money(price)}{without}.")
    if stock := plan.stock_circuits():
        trained = plan.total(lambda item: item.trains).circuits
        lines.append(f"Training runs {trained:,} circuits; the stock EstimatorQNN would run {stock:,} for the same.")
    for name, facts in plan.devices.items():
        if facts.is_lower_bound:
            lines.append(f"{name}: EstimatorV2 mitigates on the server, which adds executions that are not known here.")
        if facts.is_session:
            lines.append(f"{name}: a session is charged by the clock, until it is closed; here its jobs count.")
    return [*lines, *_of_joint_jobs(plan)]


def _money(price: float) -> str:
    """Return a price with cents where they matter: it is estimated."""
    return f"{price:,.2f}" if price < _CENTS_BELOW else f"{price:,.0f}"


def _of_joint_jobs(plan: Plan) -> list[str]:
    """Return with which client a job of several is counted; nothing where there is none."""
    if all(item.work.jobs or not item.work.executions for item in plan.items):
        return []
    return ["A job that several clients share counts with the first of them."]


def _of_the_open_plan(plan: Plan) -> list[str]:
    """Return how much of IBM's Open Plan the work takes from each account; nothing where there is none of IBM's."""
    accounts, lines = plan.accounts(), []
    for names, work in accounts.items():
        if plan.devices[names[0]].account is None:
            takes = f"on {'a real device' if len(names) == 1 else 'real devices of one account'} the run would take"
        else:
            takes = (
                "the run takes" if len(accounts) == 1 else f"from the account of {' and '.join(names)} the run takes"
            )
        share = work.qpu_seconds / OPEN_PLAN_SECONDS
        of_that = f"{share:.0%} of that" if share <= 1 else f"{_times(share)} that, so that it does not fit"
        lines.append(f"The Open Plan gives {OPEN_PLAN_SECONDS:g} s of QPU time in 28 days: {takes} {of_that}.")
    return lines


def _times(share: float) -> str:
    """Return how many times as much as all something is; a little more never reads as all."""
    return f"{ceil(100 * share)}% of" if share < 2 else f"{share:,.1f} times"


def unknown_times(items: Iterable[Item]) -> list[str]:
    """Return a sentence that names devices whose QPU time is not known, and counts as none; or nothing."""
    unknown = without_durations(items)
    return (
        [f"Devices that state no durations, so that their QPU time is not known: {listed(unknown)}."] if unknown else []
    )


def _what_fits(plan: Plan, fit: str) -> list[str]:
    """Return how many rounds fit, where not all do, and what proposes settings that fit."""
    if plan.lacking():
        return [f"{plan.fit().rounds} of {plan.num_rounds} rounds fit; `{fit}` proposes settings that fit."]
    if any(work.qpu_seconds > OPEN_PLAN_SECONDS for work in plan.accounts().values()):
        return [f"`{fit}` proposes settings that fit."]
    return []
