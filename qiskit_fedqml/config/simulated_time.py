"""Whether a simulated clock, or the real one, fits an array of machines."""

from qiskit_fedqml.config.backends import AerEntry, BackendsFile, StatedNoise
from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.config.scheduling import SchedulingConfig
from qiskit_fedqml.config.strict import nearest
from qiskit_fedqml.errors import listed, shown


def check_scheduling(scheduling: SchedulingConfig, file: BackendsFile, *, is_own: bool) -> None:
    """Refuse a `scheduling` section that would have no effect, or cannot be kept.

    Args:
        scheduling: The section.
        file: The machines.
        is_own: Whether the algorithm is the user's own.

    Raises:
        ValueError: It would not, or cannot.
    """
    if is_own:
        raise ValueError("scheduling has no effect with an algorithm of your own")
    machines = file.assignment.machines
    scheduling.check_machines(machines)
    for name in scheduling.replayed:
        if name not in file.backends:
            raise ValueError(f"scheduling.replay.later names the backend {shown(name)}{nearest(name, file.backends)}")
    queued = sorted(name for name in machines if not isinstance(file.backends[name], AerEntry))
    if queued:
        raise ValueError(f"scheduling simulates the time of simulated machines, but {listed(queued)} has its own")
    later = scheduling.replay.later if scheduling.replay else {}
    for name in sorted({*later, *scheduling.replayed}):
        entry = file.backends[name]
        if not isinstance(entry, AerEntry) or entry.noise is None or isinstance(entry.noise, StatedNoise):
            raise ValueError(f"scheduling.replay needs the noise of calibrations, which {shown(name)} has not")
    moved = sorted({*machines, *scheduling.replayed}) if scheduling.policy != "assigned" else sorted(later)
    if blocked := [name for name in moved if file.backends[name].blocks is not None]:
        raise ValueError(f"blocks of clients stay with their machine, so {listed(blocked)} cannot be scheduled")


def check_real_time(file: BackendsFile) -> None:
    """Refuse an asynchronous federation in real time where no machine has a queue, or one answers clients together.

    Args:
        file: The machines.

    Raises:
        ValueError: That is so.
    """
    entries = {name: file.backends[name] for name in sorted(file.assignment.machines)}
    if not any(isinstance(entry, DeviceEntry) for entry in entries.values()):
        raise ValueError(
            "algorithm: buffered on simulated machines needs a section scheduling, which says how long they take"
        )
    if joint := [name for name, entry in entries.items() if isinstance(entry, DeviceEntry) and entry.is_joint]:
        raise ValueError(
            f"clients of {listed(joint)} step together (joint), but with algorithm: buffered each has its own time"
        )
