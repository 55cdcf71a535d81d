"""The blocks of a plan's devices as tables."""

from qiskit_fedqml.planning.plan import Plan
from qiskit_fedqml.planning.work import Work, qpu_time, work_of

Row = dict[str, str]


def block_rows(plan: Plan) -> list[Row]:
    """Return a row for each device that is cut into blocks."""
    return [
        {
            "Backend": name,
            "Blocks": f"{blocks.number}",
            "Proven maximal": "yes" if blocks.has_most else "no",
            "Qubits used": f"{blocks.qubits} of {blocks.num_qubits}",
            "Mean success": f"{blocks.mean_success:.1%}",
            "Worst success": f"{blocks.worst_success:.1%}",
            "Spread": blocks.spread,
        }
        for name, facts in plan.devices.items()
        if (blocks := facts.blocks) is not None
    ]


def packing_rows(plan: Plan) -> list[Row]:
    """Return three rows for each device that is cut into blocks: its work, its work without, and the ratio."""
    works, rows = work_of(plan.items), []
    for name, facts in plan.devices.items():
        if facts.blocks is None or facts.blocks.unpacked is None:
            continue
        packed, unpacked = works.get(name, Work()), facts.blocks.unpacked
        rows.append(_row(name, "with blocks", packed))
        rows.append(_row(name, "without blocks and joint jobs", unpacked))
        rows.append(
            {
                "Backend": name,
                "What is sent": "times as much",
                "Jobs": _ratio(unpacked.jobs, packed.jobs),
                "Executions": _ratio(unpacked.executions, packed.executions),
                "QPU time": _ratio(unpacked.qpu_seconds, packed.qpu_seconds),
            }
        )
    return rows


def _row(name: str, what: str, work: Work) -> Row:
    return {
        "Backend": name,
        "What is sent": what,
        "Jobs": f"{work.jobs:,}",
        "Executions": f"{work.executions:,}",
        "QPU time": qpu_time(work),
    }


def _ratio(unpacked: float, packed: float) -> str:
    return f"{unpacked / packed:,.1f}" if packed else "–"
