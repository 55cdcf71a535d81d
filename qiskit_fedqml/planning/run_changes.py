"""Changes of the federation, and of who works on devices."""

from itertools import pairwise
from math import ceil, log2
from typing import Any

from qiskit_fedqml.config.backends import AerEntry
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.planning.changes import Change, Key, Machines

_SHARES = (2, 5, 10, 20, 50, 100)
"""Of the clients on devices, one in so many stays there."""


def batch_size(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return changes to larger batches, which make fewer jobs."""
    larger = [(doublings, experiment.federation.batch_size * 2**doublings) for doublings in (1, 2, 3)]
    return [
        Change(f"federation.batch_size: {size} (fewer jobs)", _federation("batch_size", size), 2.0 * doublings)
        for doublings, size in larger
    ]


def local_epochs(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the change to one epoch a round."""
    epochs = experiment.federation.local_epochs
    change = Change("federation.local_epochs: 1", _federation("local_epochs", 1), 2 * log2(epochs))
    return [change] if epochs > 1 else []


def clients_on_devices(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return changes that leave the first of the clients on their devices, and simulate the others."""
    on_devices = [client for client, name in enumerate(machines.assignment) if name in machines.devices]
    simulator, found = _simulator(experiment), []
    if simulator is None:
        return []
    counts = dict.fromkeys(ceil(len(on_devices) / share) for share in _SHARES)
    for count in (count for count in counts if count < len(on_devices)):
        simulated = set(on_devices[count:])
        names = [simulator if client in simulated else name for client, name in enumerate(machines.assignment)]
        settings: dict[Key, Any] = {
            ("backends", "assignment", "clients"): _ranges(names, simulator),
            ("backends", "assignment", "default"): simulator,
        }
        words = f"{count} of {len(on_devices)} clients on devices (the others on {simulator})"
        found.append(Change(words, settings, 1.5 * log2(len(on_devices) / count)))
    return found


def tests(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the change that tests the aggregate on no device."""
    server, others = experiment.backends.assignment.server, experiment.evaluation.backends
    settings: dict[Key, Any] = {}
    if any(name in machines.devices for name in others):
        settings["evaluation", "backends"] = [name for name in others if name not in machines.devices]
    if server in machines.devices and (simulator := _simulator(experiment)) is not None:
        settings["backends", "assignment", "server"] = simulator
    return [Change("no tests of the server on devices", settings, 1.0)] if settings else []


def _simulator(experiment: Experiment) -> str | None:
    """Return the simulator that serves in a device's place: the server's, or else the first; None without one."""
    entries = experiment.backends.backends
    names = [experiment.backends.assignment.server, *entries]
    return next((name for name in names if isinstance(entries[name], AerEntry)), None)


def _ranges(names: list[str], default: str) -> dict[str, str]:
    """Return the clients that do not have the default backend, as keys of ``assignment.clients``."""
    starts = [c for c in range(len(names)) if c == 0 or names[c] != names[c - 1]]
    ends = [*starts, len(names)]
    return {
        str(first) if last == first + 1 else f"{first}-{last - 1}": names[first]
        for first, last in pairwise(ends)
        if names[first] != default
    }


def _federation(key: str, value: Any) -> dict[Key, Any]:
    return {("federation", key): value}
