"""The ceilings of a run, read from its entries, its journal, and its accounts."""

from collections.abc import Callable, Mapping

from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.config.devices import ProviderEntry
from qiskit_fedqml.planning.ceilings import Ceiling


def ceilings_of(
    backends: Mapping[str, DeviceBackend],
    run_seconds: float | None,
    remaining: Callable[[DeviceBackend], float | None],
) -> tuple[Ceiling, ...]:
    """Return all limits of the devices of a run, with what its journal says to be spent.

    Args:
        backends: The devices by name.
        run_seconds: The run's budget, or None.
        remaining: Says what a device's account has left; None where there is no limit, or nobody knows.

    Raises:
        BackendError: What ``remaining`` raises.
    """
    found = []
    journals = [backend.dispatcher.journal for backend in backends.values()]
    if run_seconds is not None and journals:
        found.append(Ceiling("the run's budget", frozenset(backends), run_seconds, journals[0].spent_seconds()))
    for name, backend in backends.items():
        if (budget := backend.entry.budget_seconds) is not None:
            spent = backend.dispatcher.journal.spent_seconds(name)
            found.append(Ceiling(f"the budget of {name}", frozenset({name}), budget, spent))
        executions = backend.entry.budget_executions if isinstance(backend.entry, ProviderEntry) else None
        if executions is not None:
            sent = backend.dispatcher.journal.spent_executions(name)
            found.append(Ceiling(f"the budget of {name}", frozenset({name}), executions, sent, of="executions"))
    accounts: dict[str, dict[str, DeviceBackend]] = {}
    for name, backend in backends.items():
        if (account := backend.machine.account) is not None:
            accounts.setdefault(account, {})[name] = backend
    for account, members in accounts.items():
        left = next((s for backend in members.values() if (s := remaining(backend)) is not None), None)
        if left is not None:
            what = f"what the account of {', '.join(sorted(members))} has left"
            under_way = journals[0].uncharged_seconds(account)
            found.append(Ceiling(what, frozenset(members), left, under_way, is_account=True))
    return tuple(found)
