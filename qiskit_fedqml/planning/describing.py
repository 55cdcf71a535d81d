"""The facts of open devices."""

from collections.abc import Iterable

from qiskit_fedqml.backends.devices.cost import MOST_JOBS_PER_MINUTE, price
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.config.devices import IBMEntry, ProviderEntry
from qiskit_fedqml.planning.ceilings import Ceiling
from qiskit_fedqml.planning.facts import BlockFacts, DeviceFacts
from qiskit_fedqml.planning.work import Work


def facts_of(
    backend: DeviceBackend, program: Program, ceilings: Iterable[Ceiling], unpacked: Work | None = None
) -> DeviceFacts:
    """Return the facts of an open device.

    Args:
        backend: The device.
        program: The circuit, as it runs there.
        ceilings: What may be spent.
        unpacked: What would be sent without blocks, where there are any and that is known.
    """
    entry = backend.entry
    options = entry.options.keys() if isinstance(entry, IBMEntry) else set()
    asked = options & {"resilience", "twirling"}
    mitigates = isinstance(entry, IBMEntry) and bool(entry.mitigation or entry.resilience_level or asked)
    left = [c.most for c in ceilings if c.is_account and backend.name in c.backends]
    return DeviceFacts(
        device=backend.machine.device,
        account=backend.machine.account,
        angles=len(program.angles),
        outputs=len(program.observables),
        has_price=price(entry, 0, 0, None) is not None,
        budget_seconds=entry.budget_seconds,
        budget_executions=entry.budget_executions if isinstance(entry, ProviderEntry) else None,
        remaining_seconds=min(left, default=None),
        is_lower_bound=mitigates and backend.machine.primitive.is_plain(),
        is_session=isinstance(entry, IBMEntry) and entry.mode == "session",
        jobs_per_minute=MOST_JOBS_PER_MINUTE if isinstance(entry, IBMEntry) else None,
        blocks=_blocks(backend, program, unpacked),
    )


def _blocks(backend: DeviceBackend, program: Program, unpacked: Work | None) -> BlockFacts | None:
    config = backend.entry.blocks
    if config is None:
        return None
    copies = program.copies or (program,)
    success = [p for copy in copies if (p := backend.success_probability(copy)) is not None]
    return BlockFacts(
        number=len(copies),
        qubits=len({qubit for copy in copies for qubit in copy.qubits}),
        num_qubits=backend.machine.qiskit_backend.num_qubits,
        mean_success=sum(success) / len(success),
        worst_success=min(success),
        has_most=program.has_most_copies,
        spread=config.spread,
        unpacked=unpacked,
    )
