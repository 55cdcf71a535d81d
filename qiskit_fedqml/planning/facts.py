"""What a plan says of its devices: names, budgets and limits, and the blocks that they are cut into."""

from dataclasses import dataclass
from typing import Literal

from qiskit_fedqml.planning.work import Work


@dataclass(frozen=True)
class BlockFacts:
    """The blocks of a device.

    Args:
        number: How many there are.
        qubits: Qubits that they use.
        num_qubits: Qubits of the device.
        mean_success: The mean of their success probabilities, from 0 to 1.
        worst_success: The success probability of the worst one.
        has_most: Whether it is proven that no more good blocks fit on the device.
        spread: What fills them.
        unpacked: What would be sent without them: one copy of the circuit, and a job for each client and step. None
            where the circuit cannot run so.
    """

    number: int
    qubits: int
    num_qubits: int
    mean_success: float
    worst_success: float
    has_most: bool
    spread: Literal["samples", "clients"]
    unpacked: Work | None


@dataclass(frozen=True)
class DeviceFacts:
    """What the plan needs to know of a backend.

    Args:
        device: The device's name.
        account: The instance that is charged, or None.
        angles: Angles of all parameterised gates.
        outputs: Observables.
        has_price: Whether its entry states a price.
        budget_seconds: The most QPU seconds of the backend, or None.
        budget_executions: The most executions of the backend, or None.
        remaining_seconds: What the account has left, or None where there is no account or no limit.
        is_lower_bound: Whether the service will add executions that are not known beforehand.
        is_session: Whether the service charges by the clock.
        jobs_per_minute: So many jobs IBM's service takes from one account; None on other providers' machines.
        blocks: Its blocks, or None.
    """

    device: str
    account: str | None
    angles: int
    outputs: int
    has_price: bool
    budget_seconds: float | None
    budget_executions: int | None
    remaining_seconds: float | None
    is_lower_bound: bool
    is_session: bool
    jobs_per_minute: int | None
    blocks: BlockFacts | None = None
