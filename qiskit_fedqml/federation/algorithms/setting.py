"""What the algorithm of a configuration is given: rule, weights, and who is drawn how."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.config.privacy import PrivacyConfig
from qiskit_fedqml.federation.algorithms.algorithm import Setting
from qiskit_fedqml.federation.messages import ClientUpdate, State
from qiskit_fedqml.federation.rules.dp_fedavg import DPFedAvg
from qiskit_fedqml.federation.rules.noise_aware import noise_aware_weight
from qiskit_fedqml.federation.rules.opening import open_rule, open_server_optimizer
from qiskit_fedqml.federation.sampling import PoissonSampler


def make_setting(
    experiment: Experiment, assignment: tuple[str, ...], trains: Callable[[str], bool], model: State
) -> Setting:
    """Return what the algorithm is given.

    Args:
        experiment: The configuration.
        assignment: The name of each client's backend.
        trains: Whether clients with a backend train, and not only test.
        model: The trained tensors with which the run begins.

    Raises:
        ConfigurationError: A rule of the user's own cannot be found or made.
    """
    has_circuit = experiment.model.has_circuit
    angles = [name for name in model if has_circuit and name.startswith("quantum.")]
    setting = Setting(
        seed=experiment.seed,
        config=experiment.federation,
        backends=assignment,
        trains=trains,
        weight_of=weights_of(experiment),
        rule=open_rule(experiment.aggregation, angles),
        server_optimizer=open_server_optimizer(experiment.aggregation),
        norm_ratio=experiment.aggregation.norm_ratio,
    )
    return with_private_clients(setting, experiment.privacy)


def weights_of(experiment: Experiment) -> Callable[[ClientUpdate], float]:
    """Return what gives an update's weight; where privacy is asked for, none says how many examples its client has."""
    config = experiment.aggregation
    weight = partial(noise_aware_weight, exponent=config.success_exponent, uniform=config.is_uniform)
    if experiment.privacy is None:
        return weight
    return lambda update: weight(replace(update, num_examples=1))


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
