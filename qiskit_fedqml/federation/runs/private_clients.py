"""What an algorithm is given where each client is protected."""

from dataclasses import replace

from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.rules.dp_fedavg import DPFedAvg
from qiskit_fedqml.federation.sampling import PoissonSampler


def with_private_clients(setting: Setting, privacy: PrivacyConfig | None) -> Setting:
    """Return a setting in which each client is drawn by itself, every update counts the same, and noise is added.

    Args:
        setting: The setting.
        privacy: The `privacy` section; one that does not protect clients changes nothing.
    """
    if privacy is None or not privacy.protects_clients:
        return setting
    config = setting.config
    rate = config.clients_per_round / config.clients
    return replace(
        setting,
        weight_of=lambda update: 1.0,
        rule=DPFedAvg(privacy, config.clients_per_round, setting.seed),
        sampler=PoissonSampler(privacy, setting.seed, config.clients, rate),
    )
