"""What an experiment may ask of clients that are elsewhere, and of those that are here."""

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.circuit import QpyCircuit
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.gossip import Gossip
from qiskit_fedqml.errors import ConfigurationError, listed


def check_remote(experiment: Experiment) -> None:
    """Refuse an experiment that clients elsewhere cannot run.

    Raises:
        ConfigurationError: It states how time or computers here are used, or names a file that lies here.
    """
    config = experiment.federation
    if isinstance(config.algorithm, Buffered | Gossip):
        name = "buffered" if isinstance(config.algorithm, Buffered) else "gossip"
        raise ConfigurationError(f"Clients elsewhere take part in synchronous rounds, not in `algorithm: {name}`.")
    if isinstance(experiment.model.circuit, QpyCircuit):
        raise ConfigurationError(
            "`model.circuit.qpy` is a file of this computer, which clients elsewhere do not have; name a function that "
            "makes the circuit and is installed at every node (`model.circuit.python`)."
        )
    if objects := experiment.clients_objects:
        raise ConfigurationError(
            f"{listed(objects)} would be an object of Python, which clients elsewhere are not given; name a function "
            "that makes it at the node (`type: python`)."
        )
    if experiment.ledger:
        raise ConfigurationError("`ledger` cannot be kept of clients elsewhere, which do not sign their updates yet.")
    for key, asked in (
        ("scheduling", experiment.scheduling is not None),
        ("federation.lockstep", config.lockstep != 1),
    ):
        if asked:
            raise ConfigurationError(f"`{key}` has no effect on clients elsewhere; leave it out.")


def check_here(experiment: Experiment) -> None:
    """Refuse an experiment that only clients elsewhere can run.

    Raises:
        ConfigurationError: It wants updates hidden from the process that makes them.
    """
    if experiment.aggregation.secure is not None:
        raise ConfigurationError(
            "`aggregation.secure` hides updates from a server that is another computer than the clients' "
            "(`fedqml deploy`); here, one process sees all of them anyway. Leave it out."
        )
