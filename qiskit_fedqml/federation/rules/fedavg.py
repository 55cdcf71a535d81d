"""Federated averaging (McMahan et al., 2017, arXiv:1602.05629, Algorithm 1), streamed.

Tensors are averaged as plain real numbers, angles too unless they are given to
:class:`~qiskit_fedqml.federation.rules.circular.CircularMean`.
"""

from dataclasses import dataclass, field

from qiskit_fedqml.federation.messages import State


@dataclass
class FedAvg:
    """A running weighted mean, one update in memory at a time.

    Args:
        average: The mean so far.
        total_weight: The sum of the weights so far.
    """

    average: State = field(default_factory=dict)
    total_weight: float = 0

    def add(self, state: State, weight: float) -> None:
        """Add a client's tensors; they are copied.

        Args:
            state: The client's trained tensors.
            weight: Above 0; by FedAvg its number of examples.
        """
        self.total_weight += weight
        for name, tensor in state.items():
            if name in self.average:  # a running mean, so that equal updates average to themselves, to the bit
                self.average[name].lerp_(tensor, weight / self.total_weight)
            else:
                self.average[name] = tensor.clone()
