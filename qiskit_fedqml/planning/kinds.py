"""The kinds of change that would cost less: each is one function, listed in :data:`KINDS`.

A plan tries the mildest change of each kind alone; ``fedqml plan --fit`` tries all of them together.
"""

from collections.abc import Callable

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.planning import entry_changes, run_changes
from qiskit_fedqml.planning.changes import Change, Machines

Kind = Callable[[Experiment, Machines], list[Change]]
KINDS: tuple[Kind, ...] = (
    entry_changes.blocks,
    entry_changes.joint_jobs,
    entry_changes.shots,
    entry_changes.random_shifts,
    entry_changes.spsa,
    entry_changes.task,
    run_changes.batch_size,
    run_changes.local_epochs,
    run_changes.clients_on_devices,
    run_changes.tests,
)
"""The kinds of change that are tried. Each gives changes from the mildest on; none where it would change nothing."""


def single_changes(experiment: Experiment, machines: Machines) -> list[Change]:
    """Return the mildest change of each kind."""
    return [found[0] for kind in KINDS if (found := kind(experiment, machines))]
