"""IBM Quantum devices through qiskit-ibm-runtime, and rehearsals on its fake devices.

This package alone imports the library's service and primitives, when a device is first used.
"""

from qiskit_fedqml.backends.devices.machine import Machine, Memory
from qiskit_fedqml.backends.ibm.rehearsal import RehearsalMachine
from qiskit_fedqml.backends.ibm.service import ServiceMachine
from qiskit_fedqml.config.devices import IBMEntry


def open_machine(name: str, entry: IBMEntry, memory: Memory) -> Machine:
    """Open the device that an entry names, or the fake device that it rehearses on.

    Args:
        name: The backend's name.
        entry: Its entry.
        memory: Facts of the run, so that a resumed one finds the same "least busy" device.

    Raises:
        BackendError: There is no such device or account, an option is refused, or the service is out of reach.
    """
    return RehearsalMachine(entry) if entry.is_rehearsal else ServiceMachine(name, entry, memory)
