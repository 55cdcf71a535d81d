"""The client step that a configuration names."""

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.federation.steps.fedprox import FedProx
from qiskit_fedqml.federation.steps.minibatch import Minibatch
from qiskit_fedqml.federation.steps.step import ClientStep


def open_step(config: FederationConfig) -> ClientStep:
    """Return the client step of a configuration.

    Raises:
        ConfigurationError: One of the user's own cannot be found or made.
    """
    step: ClientStep = Minibatch()
    if isinstance(config.client_step, PythonReference):
        step = make_part(config.client_step, "federation.client_step", members=("batches", "add_gradients"))
    return FedProx(step, config.proximal_mu) if config.proximal_mu else step
