"""The client step that a configuration names."""

from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.federation import FederationConfig
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.federation.steps.dp_sgd import DpSgd
from qiskit_fedqml.federation.steps.fedprox import FedProx
from qiskit_fedqml.federation.steps.minibatch import Minibatch
from qiskit_fedqml.federation.steps.step import ClientStep
from qiskit_fedqml.privacy.packages import import_package


def open_step(config: FederationConfig, privacy: PrivacyConfig | None = None) -> ClientStep:
    """Return the client step of a configuration.

    Args:
        config: The `federation` section.
        privacy: The `privacy` section, or None.

    Raises:
        ConfigurationError: One of the user's own cannot be found or made, or the extra `privacy` is not installed.
    """
    step: ClientStep = Minibatch()
    if privacy is not None and privacy.examples is not None:
        import_package("opacus.grad_sample")  # which takes seconds, and may be missing: now, and not in a client's time
        step = DpSgd(privacy, config.batch_size)
    elif isinstance(config.client_step, PythonReference):
        step = make_part(config.client_step, "federation.client_step", members=("batches", "add_gradients"))
    return FedProx(step, config.proximal_mu) if config.proximal_mu else step
