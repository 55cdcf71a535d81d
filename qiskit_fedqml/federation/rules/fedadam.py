"""FedAdam: Adam at the centre (Reddi et al., 2021, arXiv:2003.00295, Algorithm 2)."""

from dataclasses import dataclass, field

import torch

from qiskit_fedqml.federation.messages import State


@dataclass
class FedAdam:
    """m ← β₁ m + (1 − β₁) Δ, v ← β₂ v + (1 − β₂) Δ², w ← w + η m / (√v + τ), with Δ the average less the global model.

    As in the paper there is no correction of the bias of the first steps, and v starts at τ².

    Args:
        learning_rate: η, above 0.
        beta_1: β₁, from 0 and below 1.
        beta_2: β₂, from 0 and below 1.
        tau: τ, above 0: how little the centre adapts.
        first: m by tensor.
        second: v by tensor.
    """

    learning_rate: float
    beta_1: float
    beta_2: float
    tau: float
    first: State = field(default_factory=dict)
    second: State = field(default_factory=dict)

    def step(self, state: State, average: State) -> State:
        """Return the new global model."""
        new: State = {}
        for name, tensor in state.items():
            change = average[name] - tensor
            if name not in self.first:
                self.first[name] = torch.zeros_like(tensor)
                self.second[name] = torch.full_like(tensor, self.tau**2)
            # New tensors, for the last checkpoint may still be being written.
            self.first[name] = self.first[name].lerp(change, 1 - self.beta_1)
            self.second[name] = self.second[name].lerp(change.square_(), 1 - self.beta_2)
            new[name] = tensor.addcdiv(
                self.first[name], self.second[name].sqrt().add_(self.tau), value=self.learning_rate
            )
        return new

    @property
    def state(self) -> dict[str, State]:
        """What the next step needs of the last."""
        return {"first": self.first, "second": self.second}

    def load(self, state: dict[str, State]) -> None:
        """Take up a state."""
        self.first, self.second = state["first"], state["second"]
