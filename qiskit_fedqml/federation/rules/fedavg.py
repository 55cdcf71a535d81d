"""Federated averaging (McMahan et al., 2017, arXiv:1602.05629, Algorithm 1), streamed.

Tensors are averaged as plain real numbers, angles too unless they are given to
:class:`~qiskit_fedqml.federation.rules.circular.CircularMean`.
"""

from dataclasses import dataclass, field

from qiskit_fedqml.federation.messages import ClientUpdate, State


@dataclass
class FedAvg:
    """A running weighted mean, one state in memory.

    Args:
        average: The mean so far.
        total_weight: The sum of the weights so far.
    """

    average: State = field(default_factory=dict)
    total_weight: float = 0
    takes_weights: bool = True

    def start(self, model: State) -> None:
        """Forget the last server step."""
        self.average, self.total_weight = {}, 0

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Take a client's update into the mean.

        Args:
            update: The update; its state is not None.
            weight: Above 0; by FedAvg its number of examples.
        """
        assert update.state is not None
        self.take(update.state, weight)

    def take(self, state: State, weight: float) -> None:
        """Take a state into the mean.

        Args:
            state: The state.
            weight: Above 0.
        """
        self.total_weight += weight
        for name, tensor in state.items():
            if name in self.average:  # a running mean, so that equal updates average to themselves, to the bit
                self.average[name].lerp_(tensor, weight / self.total_weight)
            else:
                self.average[name] = tensor.clone()

    def finish(self) -> State:
        """Return the mean."""
        return self.average
