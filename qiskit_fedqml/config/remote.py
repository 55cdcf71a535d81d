"""What an experiment may ask of clients that are elsewhere."""

from qiskit_fedqml.config.buffered import Buffered
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ConfigurationError


def check_remote(experiment: Experiment) -> None:
    """Refuse an experiment that clients elsewhere cannot run.

    Raises:
        ConfigurationError: It states how time or computers here are used.
    """
    config = experiment.federation
    if isinstance(config.algorithm, Buffered):
        raise ConfigurationError("Clients elsewhere take part in synchronous rounds, not in `algorithm: buffered`.")
    for key, asked in (
        ("scheduling", experiment.scheduling is not None),
        ("federation.lockstep", config.lockstep != 1),
    ):
        if asked:
            raise ConfigurationError(f"`{key}` has no effect on clients elsewhere; leave it out.")
