"""A tree tensor network as a circuit: two-qubit blocks on pairs, one qubit of each kept.

E. Grant et al., "Hierarchical quantum classifiers", npj Quantum Information 4, 65 (2018), arXiv:1804.03680.
"""

from qiskit.circuit import ParameterVector

from qiskit_fedqml.circuits.halving import (
    WEIGHTS_OF_BLOCK,
    WEIGHTS_OF_READOUT,
    append_block,
    append_readout,
    kept_qubits,
)
from qiskit_fedqml.circuits.paper import encoder
from qiskit_fedqml.circuits.spec import CircuitSpec, z_observables


def tree_circuit(num_qubits: int = 4, num_outputs: int = 2) -> CircuitSpec:
    """Build the paper's tree (TTN): encoder, blocks on pairs that keep one qubit each, and Z of the last ones kept.

    A block on the neighbours (k, d) is RZ, RY on each and a CNOT from d to k; k is kept, and nothing acts on d again,
    which is to discard it. Each block has its own weights. Before they are measured the qubits that are left are turned
    by RZ and RY each. It deviates from the paper, whose simplest blocks have a rotation about one axis for each qubit
    and whose tree has one root: with several outputs halving ends earlier, so that each output has a root of its own.

    Every weight can change an output where ``num_outputs`` is a power of two; otherwise the trees above the qubits that
    are left and not measured are idle, and so are their inputs.

    Args:
        num_qubits: Number of qubits and of inputs, a power of two and at least twice ``num_outputs``.
        num_outputs: Number of measured qubits, the first of those left, and of outputs; at least 1.

    Returns:
        The circuit's description, with ``num_qubits`` inputs (any real values), ``4 * num_qubits - 2 * left`` weights
        in radians, where ``left`` is ``num_outputs`` rounded up to a power of two, and ``num_outputs`` outputs ⟨Z⟩ in
        [−1, 1]. Weights are ordered by level, then pair, then RZ, RY of d, RZ, RY of k; at last RZ, RY of each qubit
        left.

    Raises:
        CircuitError: An argument is out of its range, or there are too many qubits.
    """
    levels = kept_qubits(num_qubits, num_outputs)
    left = levels[-1]
    inputs = ParameterVector("x", num_qubits)
    num_blocks = num_qubits - len(left)
    weights = ParameterVector("w", WEIGHTS_OF_BLOCK * num_blocks + WEIGHTS_OF_READOUT * len(left))
    circuit = encoder(inputs)
    pairs = [pair for level in levels[:-1] for pair in zip(level[::2], level[1::2], strict=True)]
    for block, (kept, discarded) in enumerate(pairs):
        first = WEIGHTS_OF_BLOCK * block
        append_block(circuit, weights[first : first + WEIGHTS_OF_BLOCK], discarded, kept)
    append_readout(circuit, weights[WEIGHTS_OF_BLOCK * num_blocks :], left)
    return CircuitSpec(circuit, tuple(inputs), tuple(weights), z_observables(num_qubits, left[:num_outputs]))
