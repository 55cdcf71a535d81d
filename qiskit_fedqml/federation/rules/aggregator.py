"""The centre's part of a round: weights, averages, and the step from the old global model to the new one."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from qiskit_fedqml.config.aggregation import AggregationConfig, FedAdamConfig, FedAvgMConfig
from qiskit_fedqml.federation.messages import ClientUpdate, State
from qiskit_fedqml.federation.rules.circular import CircularMean
from qiskit_fedqml.federation.rules.fedadam import FedAdam
from qiskit_fedqml.federation.rules.fedavg import FedAvg
from qiskit_fedqml.federation.rules.fedavgm import FedAvgM
from qiskit_fedqml.federation.rules.noise_aware import noise_aware_weight


@dataclass
class Centre:
    """Makes the new global model of the old one and the clients' updates.

    Args:
        config: The `aggregation` section.
        angles: Names of the tensors that are rotation angles.
        optimizer: Steps to the average; None takes the average itself.
    """

    config: AggregationConfig
    angles: frozenset[str]
    optimizer: FedAvgM | FedAdam | None = None

    def aggregate(self, state: State, updates: Iterable[ClientUpdate]) -> tuple[State | None, list[ClientUpdate]]:
        """Aggregate the updates of a round.

        Updates without a state (failed or refused), and those of weight 0, are not averaged.

        Args:
            state: The global model's trained tensors.
            updates: The clients' updates in the order of client ids; each one's tensors are used before the next is
                taken.

        Returns:
            The new global model (None if there was nothing to average), and the updates without their tensors but with
            their shares of the average.
        """
        circular_names = self.angles if self.config.angles == "circular" else frozenset[str]()
        plain = FedAvg()
        circular = CircularMean({name: tensor for name, tensor in state.items() if name in circular_names})
        seen: list[tuple[ClientUpdate, float]] = []
        for update in updates:
            weight = noise_aware_weight(update, self.config.success_exponent) if update.state is not None else 0.0
            seen.append((replace(update, state=None), weight))
            if update.state is not None and weight:
                plain.add({n: t for n, t in update.state.items() if n not in circular_names}, weight)
                circular.add({n: t for n, t in update.state.items() if n in circular_names}, weight)
        total = plain.total_weight
        clients = [replace(update, share=weight / total if total else 0.0) for update, weight in seen]
        if not total:
            return None, clients
        found = plain.average | circular.average
        average = {name: found[name] for name in state}
        return (self.optimizer.step(state, average) if self.optimizer else average), clients


def open_centre(config: AggregationConfig, angles: Iterable[str]) -> Centre:
    """Return the centre that a configuration describes, before the first round.

    Args:
        config: The `aggregation` section.
        angles: Names of the tensors that are rotation angles.
    """
    optimizer: FedAvgM | FedAdam | None = None
    match config.server_optimizer:
        case FedAvgMConfig() as of:
            optimizer = FedAvgM(of.momentum, of.learning_rate)
        case FedAdamConfig() as of:
            optimizer = FedAdam(of.learning_rate, of.beta_1, of.beta_2, of.tau)
    return Centre(config, frozenset(angles), optimizer)
