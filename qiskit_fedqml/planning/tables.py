"""A plan as tables."""

from collections.abc import Sequence

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import listed
from qiskit_fedqml.planning.block_tables import block_rows, packing_rows
from qiskit_fedqml.planning.plan import Plan
from qiskit_fedqml.planning.proposals import Proposal, few_steps
from qiskit_fedqml.planning.work import Item, Work, qpu_time
from qiskit_fedqml.tables import duration

Row = dict[str, str]

MOST_ROWS = 8
"""Of clients and of rounds, unless more is asked for."""


def tables(plan: Plan, most_rows: int | None = MOST_ROWS) -> list[tuple[str, list[Row]]]:
    """Return the tables that have rows, with their titles.

    Args:
        plan: The plan.
        most_rows: Of how many clients and rounds there are rows; None for all.
    """
    found = [
        ("By backend", backend_rows(plan)),
        ("By client", _shortened(client_rows(plan), "Client", most_rows)),
        ("By round", _shortened(round_rows(plan), "Round", most_rows)),
        ("Blocks", block_rows(plan)),
        ("What blocks save", packing_rows(plan)),
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
    return rows


def round_rows(plan: Plan) -> list[Row]:
    """Return a row for each round."""
    rows = []
    for round, of_round in plan.by_round():
        clients = listed(item.client for item in of_round if item.client is not None)
        work = sum((item.work for item in of_round), Work())
        rows.append({"Round": str(round), "Clients": clients, **_columns(work)})
    return rows


def saving_rows(plan: Plan) -> list[Row]:
    """Return a row for each change that would cost less; the share is of executions where no QPU time is known."""
    total = plan.total()
    rows = []
    for saving in plan.savings:
        share = saving.seconds / total.qpu_seconds if total.qpu_seconds else saving.executions / total.executions
        rows.append(
            {
                "Change": saving.change,
                "QPU time saved": duration(saving.seconds) if total.qpu_seconds else "–",
                "Executions saved": f"{saving.executions:,}",
                "Share": f"{share:.0%}",
            }
        )
    return rows


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
            "QPU time": qpu_time(proposal.work),
        }
        for number, proposal in enumerate(proposals, start=1)
    ]


def _columns(work: Work) -> Row:
    return {
        "Jobs": f"{work.jobs:,}",
        "Circuits": f"{work.circuits:,}",
        "Executions": f"{work.executions:,}",
        "QPU time": qpu_time(work),
        "Upload": "–" if work.jobs and not work.payload_bytes else f"{work.payload_bytes / 1e6:,.1f} MB",
    }


def _shortened(rows: Sequence[Row], first: str, most: int | None) -> list[Row]:
    """Return the rows, or the first of them and how many more there are."""
    if most is None or len(rows) <= most:
        return list(rows)
    rest = dict.fromkeys(rows[0], "") | {first: f"… {len(rows) - most} more (-v)"}
    return [*rows[:most], rest]
