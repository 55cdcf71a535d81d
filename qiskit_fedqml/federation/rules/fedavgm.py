"""FedAvgM: momentum at the centre (Hsu, Qi and Brown, 2019, arXiv:1909.06335, Sec. 4)."""

from dataclasses import dataclass, field

from qiskit_fedqml.federation.messages import State


@dataclass
class FedAvgM:
    """v ← β v + Δ, w ← w + η v, with Δ the clients' average less the global model.

    Args:
        momentum: β, from 0 and below 1.
        learning_rate: η, above 0; 1 with β = 0 is FedAvg.
        velocity: v by tensor; it grows with the first step.
    """

    momentum: float
    learning_rate: float
    velocity: State = field(default_factory=dict)

    def step(self, state: State, average: State) -> State:
        """Return the new global model."""
        for name, tensor in state.items():
            velocity = average[name] - tensor  # a new tensor, for the last checkpoint may still be being written
            if name in self.velocity:
                velocity.add_(self.velocity[name], alpha=self.momentum)
            self.velocity[name] = velocity
        return {name: tensor.add(self.velocity[name], alpha=self.learning_rate) for name, tensor in state.items()}

    @property
    def state(self) -> dict[str, State]:
        """What the next step needs of the last."""
        return {"velocity": self.velocity}

    def load(self, state: dict[str, State]) -> None:
        """Take up a state."""
        self.velocity = state["velocity"]
