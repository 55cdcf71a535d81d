"""What single changes of an experiment's settings would save."""

from typing import TYPE_CHECKING

from qiskit_fedqml.errors import BackendError, ConfigurationError
from qiskit_fedqml.planning.changes import changed
from qiskit_fedqml.planning.kinds import single_changes
from qiskit_fedqml.planning.plan import Saving
from qiskit_fedqml.planning.work import Work

if TYPE_CHECKING:
    from qiskit_fedqml.planning.planner import Planner


def savings(planner: "Planner", before: Work) -> list[Saving]:
    """Return changes that would cost less, each planned by itself, the largest saving first.

    Args:
        planner: The experiment, with its devices open.
        before: What it sends as it is.
    """
    found = []
    for change in single_changes(planner.experiment, planner.changeable()):
        try:
            items = planner.items(changed(planner.experiment, [change]))
        except (ConfigurationError, BackendError):  # it does not go with the other settings, or on a device
            continue
        after = sum((item.work for item in items), Work())
        saved = before.qpu_seconds - after.qpu_seconds, before.executions - after.executions
        found.append(Saving(change.words, *saved))
    worthwhile = (saving for saving in found if saving.seconds > 1e-6 or saving.executions > 0)
    return sorted(worthwhile, key=lambda saving: (-saving.seconds, -saving.executions))
