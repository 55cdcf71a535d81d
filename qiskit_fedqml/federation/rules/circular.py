"""The circular mean of rotation angles, atan2(Σ w sin θ, Σ w cos θ) (as in FEDCOMPASS, arXiv:2602.03052)."""

from dataclasses import dataclass, field

import torch

from qiskit_fedqml.federation.messages import ClientUpdate, State


@dataclass
class CircularMean:
    """The weighted circular mean of clients' angles, one state in memory.

    Angles are taken as differences to the global model's, atan2(Σ w sin(θ − θ_global), Σ w cos(θ − θ_global)), and the
    result is θ_global plus that: the same direction as the formula's, up to a whole turn, but without its jumps from π
    to −π, so that the average lies within half a turn of the global angle. Where the directions cancel, the global
    angle stays. An expectation value has the period 2π in each rotation angle, so nothing is lost where a weight enters
    a gate as it is, as in all circuits that a configuration can name.

    Args:
        reference: The global model's angles, in radians.
        sines: Σ w sin(θ − θ_global), float64.
        cosines: Σ w cos(θ − θ_global), float64.
    """

    reference: State = field(default_factory=dict)
    sines: State = field(default_factory=dict)
    cosines: State = field(default_factory=dict)
    takes_weights: bool = True

    def start(self, model: State) -> None:
        """Take the global model's angles, in radians, as the reference."""
        self.reference, self.sines, self.cosines = model, {}, {}

    def add(self, update: ClientUpdate, weight: float) -> None:
        """Take a client's angles into the mean.

        Args:
            update: The update; its state holds angles in radians, by the names of the reference.
            weight: Above 0.
        """
        assert update.state is not None
        for name, angles in update.state.items():
            difference = angles.double() - self.reference[name].double()
            for sums, of in ((self.sines, torch.sin), (self.cosines, torch.cos)):
                sums[name] = sums.get(name, torch.zeros_like(difference)) + weight * of(difference)

    def finish(self) -> State:
        """Return the mean, in radians and the reference's dtype."""
        return {
            name: (reference.double() + torch.atan2(self.sines[name], self.cosines[name])).to(reference.dtype)
            for name, reference in self.reference.items()
        }
