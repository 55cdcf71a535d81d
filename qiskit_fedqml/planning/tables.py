"""A plan as tables and sentences."""

from collections.abc import Iterable, Sequence

from qiskit_fedqml.backends.devices.cost import MOST_JOBS_PER_MINUTE
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import listed
from qiskit_fedqml.planning.plan import Plan
from qiskit_fedqml.planning.proposals import Proposal, few_steps
from qiskit_fedqml.planning.work import Item, Work, without_durations
from qiskit_fedqml.tables import duration

Row = dict[str, str]

_MOST_ROWS = 20
OPEN_PLAN_SECONDS = 600.0
"""QPU seconds that IBM's Open Plan gives in 28 days, free of charge."""


def tables(plan: Plan) -> list[tuple[str, list[Row]]]:
    """Return the tables that have rows, with their titles."""
    found = [
        ("By backend", backend_rows(plan)),
        ("By client", client_rows(plan)),
        ("By round", round_rows(plan)),
        ("What would cost less", saving_rows(plan)),
    ]
    return [(title, rows) for title, rows in found if rows]


def backend_rows(plan: Plan) -> list[Row]:
    """Return a row for each backend, and one for all."""
    rows = []
    for name, facts in plan.devices.items():
        of_backend = [item for item in plan.items if item.backend == name]
        work = sum((item.work for item in of_backend), Work())
        clients = {item.client for item in of_backend if item.client is not None}
        rows.append({"Backend": name, "Device": facts.device, "Clients": str(len(clients)), **_columns(work)})
    clients = {item.client for item in plan.items if item.client is not None}
    rows.append({"Backend": "all", "Device": "", "Clients": str(len(clients)), **_columns(plan.total())})
    return rows


def client_rows(plan: Plan) -> list[Row]:
    """Return a row for each client on a device, and for the server's tests: all its rounds together."""
    by_key: dict[tuple[bool, int, str], list[Item]] = {}
    for item in plan.items:
        by_key.setdefault((item.client is None, item.client or 0, item.backend), []).append(item)
    rows = []
    for (is_server, client, backend), chosen in sorted(by_key.items(), key=lambda pair: pair[0]):
        who = "server" if is_server else str(client)
        work = sum((item.work for item in chosen), Work())
        rows.append(
            {"Client": who, "Backend": backend, "Rounds": str(len({item.round for item in chosen})), **_columns(work)}
        )
    return _shortened(rows, "Client")


def round_rows(plan: Plan) -> list[Row]:
    """Return a row for each round."""
    rows = []
    for round, of_round in plan.by_round():
        clients = listed(item.client for item in of_round if item.client is not None)
        work = sum((item.work for item in of_round), Work())
        rows.append({"Round": str(round), "Clients": clients, **_columns(work)})
    return _shortened(rows, "Round")


def saving_rows(plan: Plan) -> list[Row]:
    """Return a row for each change that would cost less."""
    total = plan.total().qpu_seconds
    return [
        {"Change": s.change, "QPU time saved": duration(s.seconds), "Share": f"{s.seconds / total:.0%}"}
        for s in plan.savings
    ]


def proposal_rows(proposals: Sequence[Proposal], experiment: Experiment) -> list[Row]:
    """Return a row for each proposal."""
    return [
        {
            "#": str(number),
            "Changes": "; ".join(change.words for change in proposal.changes) or "none",
            "Rounds": f"{proposal.rounds} of {proposal.num_rounds}",
            "Optimiser steps": f"{proposal.steps}{' (too few)' if few_steps(experiment, proposal.steps) else ''}",
            "Jobs": f"{proposal.work.jobs:,}",
            "Executions": f"{proposal.work.executions:,}",
            "QPU time": _qpu_time(proposal.work),
        }
        for number, proposal in enumerate(proposals, start=1)
    ]


def sentences(plan: Plan, queue_seconds: float) -> list[str]:
    """Return what the plan means: time, money, and what is lacking."""
    total, price = plan.total(), plan.price()
    array, one = plan.array_seconds(queue_seconds), plan.one_machine_seconds(queue_seconds)
    waiting = f", each job waiting {duration(queue_seconds)} in its queue" if queue_seconds else ", queues left out"
    if not total.jobs:
        return ["No client on a device is drawn in any round, so that nothing will be sent."]
    lines = []
    if array:
        lines.append(
            f"On its array of machines the run takes {duration(array)}, on one machine {duration(one)}: "
            f"{one / array:.2f} times as long (QPU time{waiting})."
        )
    lines += unknown_times(plan.items)
    if plan.submission_seconds() > array:
        jobs = sum(item.work.jobs for item in plan.items if plan.devices[item.backend].jobs_per_minute)
        lines.append(
            f"The service takes {MOST_JOBS_PER_MINUTE} jobs a minute from one account, so that {jobs} jobs take "
            f"at least {duration(plan.submission_seconds())}."
        )
    if price is not None:
        free = [name for name, facts in plan.devices.items() if not facts.has_price]
        without = f", without {', '.join(free)}, which state none" if free else ""
        lines.append(f"At the prices of the backends file: US$ {price:,.2f}{without}.")
    if stock := plan.stock_circuits():
        trained = plan.total(lambda item: item.trains).circuits
        lines.append(f"Training runs {trained:,} circuits; the stock EstimatorQNN would run {stock:,} for the same.")
    for name, facts in plan.devices.items():
        if facts.is_lower_bound:
            lines.append(f"{name}: EstimatorV2 mitigates on the server, which adds executions that are not known here.")
        if facts.is_session:
            lines.append(f"{name}: a session is charged by the clock, until it is closed; here its jobs count.")
    return [*lines, *_of_the_open_plan(plan), *plan.lacking(), *_what_fits(plan)]


def _of_the_open_plan(plan: Plan) -> list[str]:
    """Return how much of IBM's Open Plan the work on IBM's devices takes; nothing where there is none."""
    work = plan.total(lambda item: plan.devices[item.backend].jobs_per_minute is not None)
    if not work.jobs:
        return []
    share = work.qpu_seconds / OPEN_PLAN_SECONDS
    return [
        f"The Open Plan gives {OPEN_PLAN_SECONDS:g} s of QPU time in 28 days: the run takes "
        f"{f'{share:.0%} of that' if share <= 1 else f'{share:,.1f} times that, so that it does not fit'}."
    ]


def unknown_times(items: Iterable[Item]) -> list[str]:
    """Return a sentence that names devices whose QPU time is not known, and counts as none; or nothing."""
    unknown = without_durations(items)
    return (
        [f"Devices that state no durations, so that their QPU time is not known: {listed(unknown)}."] if unknown else []
    )


def _what_fits(plan: Plan) -> list[str]:
    """Return how many rounds fit, where not all do."""
    if not plan.lacking():
        return []
    return [f"{plan.fit().rounds} of {plan.num_rounds} rounds fit; --fit SECONDS proposes settings that fit."]


def _qpu_time(work: Work) -> str:
    return "–" if work.jobs and not work.qpu_seconds else duration(work.qpu_seconds)


def _columns(work: Work) -> Row:
    return {
        "Jobs": f"{work.jobs:,}",
        "Circuits": f"{work.circuits:,}",
        "Executions": f"{work.executions:,}",
        "QPU time": _qpu_time(work),
        "Upload": "–" if work.jobs and not work.payload_bytes else f"{work.payload_bytes / 1e6:,.1f} MB",
    }


def _shortened(rows: Sequence[Row], first: str) -> list[Row]:
    """Return the rows, or so many that they fit on a screen, and how many more there are."""
    if len(rows) <= _MOST_ROWS:
        return list(rows)
    rest = dict.fromkeys(rows[0], "") | {first: f"… {len(rows) - _MOST_ROWS} more"}
    return [*rows[:_MOST_ROWS], rest]
