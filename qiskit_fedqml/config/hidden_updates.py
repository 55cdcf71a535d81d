"""What secure aggregation asks of the rest of an experiment."""

from typing import TYPE_CHECKING

from qiskit_fedqml.config.devices import DeviceEntry

if TYPE_CHECKING:
    from qiskit_fedqml.config.backends import BackendsFile
    from qiskit_fedqml.config.federation import FederationConfig
    from qiskit_fedqml.config.secure import SecureConfig


def check_secure(secure: "SecureConfig", federation: "FederationConfig", backends: "BackendsFile") -> None:
    """Refuse what does not go together with secure aggregation.

    Raises:
        ValueError: The threshold does not fit the clients of a round, or the server would learn what is to be hidden.
    """
    drawn = federation.clients_per_round
    if not drawn / 2 < secure.threshold <= drawn:
        raise ValueError(
            f"aggregation.secure.threshold must be more than half of federation.clients_per_round ({drawn}), and at "
            f"most as many, but is {secure.threshold}"
        )
    if federation.algorithm != "synchronous":
        raise ValueError("aggregation.secure adds up a round's updates, so federation.algorithm must be synchronous")
    if federation.client_optimizer_state == "keep":
        raise ValueError(
            "federation.client_optimizer_state must be reset with aggregation.secure: what an optimiser keeps comes to "
            "the server, and gives its client's update away"
        )
    entries = {name: backends.backends[name] for name in sorted(backends.assignment.machines)}
    for name, entry in entries.items():
        if isinstance(entry, DeviceEntry) and entry.task == "evaluate":
            raise ValueError(
                f"clients on {name!r} only test the global model, and have no update that aggregation.secure could hide"
            )
