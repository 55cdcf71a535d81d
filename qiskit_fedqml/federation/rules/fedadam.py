"""FedAdam: Adam at the server (Reddi et al., 2021, arXiv:2003.00295, Algorithm 2)."""

from dataclasses import dataclass

import torch

from qiskit_fedqml.federation.messages import State, States


@dataclass(frozen=True)
class FedAdam:
    """m ← β₁ m + (1 − β₁) Δ, v ← β₂ v + (1 − β₂) Δ², w ← w + η m / (√v + τ).

    Δ is the aggregate less the global model. As in the paper there is no correction of the bias of the first steps, and
    v starts at τ².

    Args:
        learning_rate: η, above 0.
        beta_1: β₁, from 0 and below 1.
        beta_2: β₂, from 0 and below 1.
        tau: τ, above 0: how little the server adapts.
    """

    learning_rate: float
    beta_1: float
    beta_2: float
    tau: float

    def step(self, model: State, aggregate: State, memory: States) -> tuple[State, States]:
        """Return the new global model, and the moments m (``"first"``) and v (``"second"``)."""
        new, first, second = {}, dict(memory.get("first", {})), dict(memory.get("second", {}))
        for name, tensor in model.items():
            change = aggregate[name] - tensor
            if name not in first:
                first[name] = torch.zeros_like(tensor)
                second[name] = torch.full_like(tensor, self.tau**2)
            first[name] = first[name].lerp(change, 1 - self.beta_1)
            second[name] = second[name].lerp(change.square_(), 1 - self.beta_2)
            new[name] = tensor.addcdiv(first[name], second[name].sqrt().add_(self.tau), value=self.learning_rate)
        return new, {"first": first, "second": second}
