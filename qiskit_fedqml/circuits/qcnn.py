"""A quantum convolutional network: convolution with shared weights, then pooling that halves the qubits.

I. Cong, S. Choi and M. D. Lukin, "Quantum convolutional neural networks", Nature Physics 15, 1273 (2019),
arXiv:1810.03787.
"""

from collections.abc import Sequence

from qiskit.circuit import ParameterVector

from qiskit_fedqml.circuits.halving import (
    WEIGHTS_OF_BLOCK,
    WEIGHTS_OF_READOUT,
    append_block,
    append_readout,
    kept_qubits,
)
from qiskit_fedqml.circuits.paper import append_cnots, encoder
from qiskit_fedqml.circuits.spec import CircuitSpec, z_observables


def qcnn_circuit(num_qubits: int = 4, num_outputs: int = 2) -> CircuitSpec:
    """Build the paper's network (Fig. 1b): encoder, layers of convolution and pooling, a last layer, and Z.

    A layer applies one block, RZ, RY on each of two qubits and a CNOT, to all neighbours on the ring of its qubits
    (first to (0, 1), (2, 3), …, then to (1, 2), (3, 4), …), with the same four weights everywhere. Then it pools: of
    each pair (k, d) it keeps k, by a block of four more weights that all pairs share, whose CNOT goes from d to k.
    Layers follow until halving once more would leave fewer qubits than outputs. The fully connected layer at last is a
    ring of CNOTs on the qubits left, then RZ and RY on each, with weights of their own.

    Pooling measures nothing: the measurement of d, on whose outcome the paper makes a rotation of k depend, is deferred
    to the end, where no one reads it. Nothing but that CNOT's control acts on d once it has been turned to its basis,
    so the outputs are those of measuring it there and flipping k on outcome 1, between two rotations of k. It deviates
    from the paper in its blocks, which are not general unitaries, and in the convolution's closed ring.

    Every weight can change an output where ``num_outputs`` is a power of two; otherwise the last RZ, RY of the qubits
    that are left and not measured are idle.

    Args:
        num_qubits: Number of qubits and of inputs, a power of two and at least twice ``num_outputs``.
        num_outputs: Number of measured qubits, the first of those left, and of outputs; at least 1.

    Returns:
        The circuit's description, with ``num_qubits`` inputs (any real values), ``8 * layers + 2 * left`` weights in
        radians, where ``left`` is ``num_outputs`` rounded up to a power of two and ``layers`` is
        log2(``num_qubits`` / ``left``), and ``num_outputs`` outputs ⟨Z⟩ in [−1, 1]. Weights are ordered by layer: RZ,
        RY of the convolution's control, of its target, of pooling's d, of its k; at last RZ, RY of each qubit left.

    Raises:
        CircuitError: An argument is out of its range, or there are too many qubits.
    """
    levels = kept_qubits(num_qubits, num_outputs)
    left = levels[-1]
    inputs = ParameterVector("x", num_qubits)
    num_shared = 2 * WEIGHTS_OF_BLOCK * (len(levels) - 1)
    weights = ParameterVector("w", num_shared + WEIGHTS_OF_READOUT * len(left))
    circuit = encoder(inputs)
    for layer, qubits in enumerate(levels[:-1]):
        first = 2 * WEIGHTS_OF_BLOCK * layer
        for control, target in _neighbours(qubits):
            append_block(circuit, weights[first : first + WEIGHTS_OF_BLOCK], control, target)
        for kept, discarded in zip(qubits[::2], qubits[1::2], strict=True):
            append_block(circuit, weights[first + WEIGHTS_OF_BLOCK : first + 2 * WEIGHTS_OF_BLOCK], discarded, kept)
    append_cnots(circuit, left)
    append_readout(circuit, weights[num_shared:], left)
    return CircuitSpec(circuit, tuple(inputs), tuple(weights), z_observables(num_qubits, left[:num_outputs]))


def _neighbours(qubits: Sequence[int]) -> list[tuple[int, int]]:
    """Return the pairs of neighbours on the ring of an even number of qubits; two qubits are one pair."""
    even = list(zip(qubits[::2], qubits[1::2], strict=True))
    odd = list(zip(qubits[1::2], [*qubits[2::2], qubits[0]], strict=True))
    return even if len(qubits) == 2 else even + odd
