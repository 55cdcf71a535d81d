"""IBM Quantum devices through qiskit-ibm-runtime, and rehearsals on its fake devices.

This package alone imports the library's service and primitives, when a device is first used.
"""

from collections.abc import Callable

from qiskit_fedqml.backends.entries import IBMEntry
from qiskit_fedqml.backends.ibm.primitive import Primitive
from qiskit_fedqml.backends.ibm.rehearsal import RehearsalMachine
from qiskit_fedqml.backends.ibm.service import ServiceMachine
from qiskit_fedqml.backends.machine import Machine


def open_machine(name: str, entry: IBMEntry, remember: Callable[[str, str], str]) -> Machine:
    """Open the device that an entry names, or the fake device that it rehearses on.

    Args:
        name: The backend's name.
        entry: Its entry.
        remember: Keeps a fact of the run unless one is kept already, and returns what is kept; so a resumed run finds
            the same "least busy" device.

    Raises:
        BackendError: There is no such device or account, or the service is out of reach.
    """
    primitive = Primitive(entry)
    if entry.is_rehearsal:
        return RehearsalMachine(entry, primitive)
    return ServiceMachine(name, entry, primitive, remember)
