"""Arithmetic of states, in float64."""

from qiskit_fedqml.federation.messages import State


def squared_norm(state: State) -> float:
    """Return the sum of the squares of all of a state's numbers, in float64."""
    return sum(float(tensor.double().square().sum()) for tensor in state.values())


def difference(state: State, other: State) -> State:
    """Return a state less another one, in float64."""
    return {name: tensor.double() - other[name].double() for name, tensor in state.items()}
