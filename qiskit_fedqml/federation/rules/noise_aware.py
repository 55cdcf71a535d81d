"""Weights by how well a client's machine runs the circuit (in the spirit of Q-RAIL, arXiv:2605.25783)."""

from qiskit_fedqml.federation.messages import ClientUpdate


def noise_aware_weight(update: ClientUpdate, exponent: float, *, uniform: bool = False) -> float:
    """Return an update's weight in the average: its examples times (Π(1−ε_gate) · Π(1−ε_readout)) to the power γ.

    The product is the machine's estimated success probability for the transpiled circuit, over its gates and measured
    qubits. A client without a circuit counts by its examples alone.

    Args:
        update: The client's update.
        exponent: γ, from 0; 0 is FedAvg's weight.
        uniform: Whether each client that has examples counts as if it had one, whatever number it states.
    """
    examples = min(update.num_examples, 1) if uniform else update.num_examples
    if not exponent or update.success_probability is None:
        return examples
    return float(examples * update.success_probability**exponent)
