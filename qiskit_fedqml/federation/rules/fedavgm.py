"""FedAvgM: momentum at the server (Hsu, Qi and Brown, 2019, arXiv:1909.06335, Sec. 4)."""

from dataclasses import dataclass

from qiskit_fedqml.federation.messages import State, States


@dataclass(frozen=True)
class FedAvgM:
    """v ← β v + Δ, w ← w + η v, with Δ the aggregate less the global model.

    Args:
        momentum: β, from 0 and below 1.
        learning_rate: η, above 0; 1 with β = 0 is FedAvg.
    """

    momentum: float
    learning_rate: float

    def step(self, model: State, aggregate: State, memory: States) -> tuple[State, States]:
        """Return the new global model, and the velocity v; before the first step it is 0."""
        before = memory.get("velocity")
        velocity = {name: aggregate[name] - tensor for name, tensor in model.items()}
        if before is not None:
            for name, tensor in velocity.items():
                tensor.add_(before[name], alpha=self.momentum)
        new = {name: tensor.add(velocity[name], alpha=self.learning_rate) for name, tensor in model.items()}
        return new, {"velocity": velocity}
