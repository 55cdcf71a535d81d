"""The rule and the server optimiser that a configuration names."""

from collections.abc import Callable, Iterable

from qiskit_fedqml.config.aggregation import AggregationConfig, FedAdamConfig, FedAvgMConfig
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.config.rules import BulyanRule, KrumRule, LimitedRule, MultiKrumRule, NamedRule, TrimmedMeanRule
from qiskit_fedqml.errors import ConfigurationError
from qiskit_fedqml.federation.rules.aggregator import Aggregator, ByTensor
from qiskit_fedqml.federation.rules.bulyan import Bulyan
from qiskit_fedqml.federation.rules.circular import CircularMean
from qiskit_fedqml.federation.rules.coordinate_median import CoordinateMedian
from qiskit_fedqml.federation.rules.fedadam import FedAdam
from qiskit_fedqml.federation.rules.fedavg import FedAvg
from qiskit_fedqml.federation.rules.fedavgm import FedAvgM
from qiskit_fedqml.federation.rules.foolsgold import FoolsGold
from qiskit_fedqml.federation.rules.geometric_median import GeometricMedian
from qiskit_fedqml.federation.rules.krum import Krum
from qiskit_fedqml.federation.rules.multi_krum import MultiKrum
from qiskit_fedqml.federation.rules.norm_bounding import NormBounding
from qiskit_fedqml.federation.rules.server_optimizer import ServerOptimizer
from qiskit_fedqml.federation.rules.trimmed_mean import TrimmedMean

_NAMED: dict[NamedRule, Callable[[], Aggregator]] = {
    "fedavg": FedAvg,
    "coordinate_median": CoordinateMedian,
    "geometric_median": GeometricMedian,
    "foolsgold": FoolsGold,
}


def open_rule(config: AggregationConfig, angles: Iterable[str]) -> Aggregator:
    """Return the aggregation rule of a configuration.

    Args:
        config: The `aggregation` section.
        angles: Names of the tensors that are rotation angles.

    Raises:
        ConfigurationError: A rule of the user's own cannot be found or made, or weights are asked for that it does not
            take.
    """
    rule = _own(config, config.rule) if isinstance(config.rule, PythonReference) else _built_in(config.rule)
    if config.angles == "circular":
        rule = ByTensor(frozenset(angles), CircularMean(), rule)
    return NormBounding(rule, config.norm_bound) if config.norm_bound else rule


def _built_in(rule: NamedRule | LimitedRule) -> Aggregator:
    if isinstance(rule, str):
        return _NAMED[rule]()
    match rule:
        case TrimmedMeanRule(trimmed_mean=options):
            return TrimmedMean(options.fraction)
        case KrumRule(krum=options):
            return Krum(options.byzantine)
        case MultiKrumRule(multi_krum=options):
            return MultiKrum(options.byzantine, options.keep)
        case BulyanRule(bulyan=options):
            return Bulyan(options.byzantine)


def _own(config: AggregationConfig, reference: PythonReference) -> Aggregator:
    rule: Aggregator = make_part(reference, "aggregation.rule", members=("takes_weights", "start", "add", "finish"))
    for key, asked in (("success_exponent", config.success_exponent), ("weights: uniform", config.is_uniform)):
        if asked and not rule.takes_weights:
            raise ConfigurationError(
                f"`aggregation.{key}` has no effect with the rule {reference.python!r}, which takes no weights."
            )
    return rule


def open_server_optimizer(config: AggregationConfig) -> ServerOptimizer | None:
    """Return the server optimiser of a configuration; None takes the aggregate as it is."""
    match config.server_optimizer:
        case FedAvgMConfig() as of:
            return FedAvgM(of.momentum, of.learning_rate)
        case FedAdamConfig() as of:
            return FedAdam(of.learning_rate, of.beta_1, of.beta_2, of.tau)
    return None
