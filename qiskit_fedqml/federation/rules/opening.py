"""The rule and the server optimiser that a configuration names."""

from collections.abc import Iterable

from qiskit_fedqml.config.aggregation import AggregationConfig, FedAdamConfig, FedAvgMConfig
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.rules.aggregator import Aggregator, ByTensor
from qiskit_fedqml.federation.rules.circular import CircularMean
from qiskit_fedqml.federation.rules.fedadam import FedAdam
from qiskit_fedqml.federation.rules.fedavg import FedAvg
from qiskit_fedqml.federation.rules.fedavgm import FedAvgM
from qiskit_fedqml.federation.rules.server_optimizer import ServerOptimizer


def open_rule(config: AggregationConfig, angles: Iterable[str]) -> Aggregator:
    """Return the aggregation rule of a configuration.

    Args:
        config: The `aggregation` section.
        angles: Names of the tensors that are rotation angles.

    Raises:
        ConfigurationError: A rule of the user's own cannot be found or made, or weights are asked for that it does not
            take.
    """
    rule: Aggregator = FedAvg()
    if isinstance(config.rule, PythonReference):
        rule = make_part(config.rule, "aggregation.rule", members=("takes_weights", "start", "add", "finish"))
        if not rule.takes_weights and config.success_exponent:
            raise ConfigurationError(
                f"`aggregation.success_exponent` has no effect with the rule {config.rule.python!r}, which takes no "
                "weights."
            )
    if config.angles == "circular":
        return ByTensor(frozenset(angles), CircularMean(), rule)
    return rule


def open_server_optimizer(config: AggregationConfig) -> ServerOptimizer | None:
    """Return the server optimiser of a configuration; None takes the aggregate as it is."""
    match config.server_optimizer:
        case FedAvgMConfig() as of:
            return FedAvgM(of.momentum, of.learning_rate)
        case FedAdamConfig() as of:
            return FedAdam(of.learning_rate, of.beta_1, of.beta_2, of.tau)
    return None
