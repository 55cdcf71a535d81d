"""The paper's circuit in PennyLane, tensorcircuit-ng and MindQuantum, for `benchmark_training_step.py`.

The gate errors of a machine are given to PennyLane as Kraus operators, the same channels after the same transpiled
gates.
"""

from collections.abc import Callable

import numpy as np
import torch
from qiskit.quantum_info import Kraus

from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.model.qnn import BroadcastEstimatorQNN
from qiskit_fedqml.simulation.noise import Noise

Layer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Inputs (batch, 4) and weights (24,) to outputs (batch, 2)."""


def paper_gates(qml, atan, x, w) -> None:
    """Queue the paper's circuit (Fig. 3) for inputs ``x[..., q]``."""
    for q in range(4):
        qml.RY(atan(x[..., q]), wires=q)
        qml.RZ(atan(x[..., q] ** 2), wires=q)
    angle = iter(range(24))
    for _ in range(2):
        for q in range(4):
            qml.CNOT(wires=[q, (q + 1) % 4])
        for q in range(4):
            qml.RZ(w[next(angle)], wires=q)
            qml.RY(w[next(angle)], wires=q)
            qml.RZ(w[next(angle)], wires=q)


def machine_gates(qml, atan, program: Program, order: list[int], noise: Noise) -> Callable:
    """Return what queues a transpiled circuit of gate angles with the machine's gate errors.

    ``order`` tells which of the paper's angles, in the order of its gates, each of the program's angles is.
    """
    circuit, index = program.circuit, dict(zip(program.angles, order, strict=True))
    wire = {q: k for k, q in enumerate(active_qubits(program))}
    steps = []
    for instruction in circuit.data:
        qubits = tuple(circuit.find_bit(q).index for q in instruction.qubits)
        name = instruction.operation.name
        if name == "barrier" or not set(qubits) <= set(wire):
            continue
        angle = None
        if name == "rz":
            expression = instruction.operation.params[0]
            params = list(getattr(expression, "parameters", ()))
            offset = float(expression.bind(dict.fromkeys(params, 0.0)) if params else expression)
            angle = (index[params[0]] if params else None, offset)
        error = noise.error_after(name, qubits)
        kraus = None if error is None else [_big_endian(k) for k in Kraus(error).data]
        steps.append((name, angle, [wire[q] for q in qubits], kraus))

    def queue(x, w) -> None:
        theta = [f(x[..., q]) for q in range(4) for f in (atan, lambda v: atan(v**2))]
        theta += [w[k] for k in range(24)]
        for name, angle, wires, kraus in steps:
            if angle is not None:
                qml.RZ(angle[1] if angle[0] is None else theta[angle[0]] + angle[1], wires=wires)
            else:
                {"sx": qml.SX, "x": qml.PauliX, "cx": qml.CNOT}[name](wires=wires)
            if kraus is not None:
                qml.QubitChannel(kraus, wires=wires)

    return queue


def order_of_angles(network: BroadcastEstimatorQNN) -> list[int]:
    """Return which of the paper's angles, in the order of its gates, each of the network's gate angles is."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=4), rng.normal(size=24)
    paper = np.concatenate([np.stack([np.arctan(x), np.arctan(x**2)], axis=1).ravel(), w])
    values = network.angles.values(np.concatenate([x, w])[None])[0]
    return [int(np.abs(paper - value).argmin()) for value in values]


def active_qubits(program: Program) -> list[int]:
    """Return the qubits that the transpiled circuit's gates act on."""
    circuit = program.circuit
    return sorted({circuit.find_bit(q).index for i in circuit.data if i.operation.name != "barrier" for q in i.qubits})


def measured_wires(program: Program) -> list[int]:
    """Return the wire whose Z each output is."""
    qubits = active_qubits(program)
    return [qubits.index(int(np.flatnonzero(o.paulis.z[0])[0])) for o in program.observables]


def _big_endian(matrix):
    """Write a matrix on two qubits with the first qubit as the first factor, as PennyLane has it."""
    if len(matrix) == 2:
        return matrix
    return matrix.reshape(2, 2, 2, 2).transpose(1, 0, 3, 2).reshape(4, 4)


def pennylane_torch(device: str, diff_method: str) -> Layer:
    """Return the layer on a PennyLane device through torch."""
    import pennylane as qml

    @qml.qnode(qml.device(device, wires=4), interface="torch", diff_method=diff_method)
    def circuit(x, w):
        paper_gates(qml, torch.arctan, x, w)
        return [qml.expval(qml.PauliZ(q)) for q in (0, 1)]

    return lambda x, w: torch.stack(list(circuit(x, w)), dim=-1)


def pennylane_torch_noisy(program: Program, order: list[int], noise: Noise) -> Layer:
    """Return the layer on ``default.mixed`` with a machine's gates and channels through torch."""
    import pennylane as qml

    gates = machine_gates(qml, torch.arctan, program, order, noise)

    @qml.qnode(
        qml.device("default.mixed", wires=len(active_qubits(program))), interface="torch", diff_method="backprop"
    )
    def circuit(x, w):
        gates(x, w)
        return [qml.expval(qml.PauliZ(q)) for q in measured_wires(program)]

    return lambda x, w: torch.stack(list(circuit(x, w)), dim=-1)


def _jacobian(function: Callable) -> Callable:
    """Return a compiled function from inputs (batch, 4) and weights (24,) to values and Jacobian, as NumPy arrays."""
    import jax
    import jax.numpy as jnp

    def one(x, w):
        value, pull = jax.vjp(function, x, w)
        rows = jax.vmap(pull)(jnp.eye(2, dtype=value.dtype))
        return value, jnp.concatenate(rows, axis=1)

    compiled = jax.jit(jax.vmap(one, in_axes=(0, None)))

    def evaluate(inputs, weights):
        value, jacobian = compiled(inputs, weights)
        return np.asarray(value), np.asarray(jacobian)

    return evaluate


def pennylane_jax() -> Callable:
    """Return values and Jacobian on ``default.qubit``, compiled with JAX."""
    import jax.numpy as jnp
    import pennylane as qml

    @qml.qnode(qml.device("default.qubit", wires=4), interface="jax", diff_method="backprop")
    def circuit(x, w):
        paper_gates(qml, jnp.arctan, x, w)
        return [qml.expval(qml.PauliZ(q)) for q in (0, 1)]

    return _jacobian(lambda x, w: jnp.stack(circuit(x, w)))


def pennylane_jax_noisy(program: Program, order: list[int], noise: Noise) -> Callable:
    """Return values and Jacobian on ``default.mixed`` with a machine's gates and channels, compiled with JAX."""
    import jax.numpy as jnp
    import pennylane as qml

    gates = machine_gates(qml, jnp.arctan, program, order, noise)

    @qml.qnode(qml.device("default.mixed", wires=len(active_qubits(program))), interface="jax", diff_method="backprop")
    def circuit(x, w):
        gates(x, w)
        return [qml.expval(qml.PauliZ(q)) for q in measured_wires(program)]

    return _jacobian(lambda x, w: jnp.stack(circuit(x, w)))


def tensorcircuit_jax() -> Callable:
    """Return values and Jacobian by tensorcircuit-ng, compiled with JAX."""
    import jax.numpy as jnp
    import tensorcircuit as tc

    tc.set_backend("jax")

    def function(x, w):
        circuit = tc.Circuit(4)
        for q in range(4):
            circuit.ry(q, theta=jnp.arctan(x[q]))
            circuit.rz(q, theta=jnp.arctan(x[q] ** 2))
        angle = iter(range(24))
        for _ in range(2):
            for q in range(4):
                circuit.cnot(q, (q + 1) % 4)
            for q in range(4):
                circuit.rz(q, theta=w[next(angle)])
                circuit.ry(q, theta=w[next(angle)])
                circuit.rz(q, theta=w[next(angle)])
        return jnp.stack([jnp.real(circuit.expectation_ps(z=[q])) for q in (0, 1)])

    return _jacobian(function)


def mindquantum_adjoint() -> Callable:
    """Return values and Jacobian by MindQuantum's adjoint method; the chain rule through the encoding is NumPy's."""
    import mindquantum as mq
    from mindquantum.core.circuit import Circuit
    from mindquantum.core.gates import RY, RZ, X
    from mindquantum.core.operators import Hamiltonian, QubitOperator
    from mindquantum.simulator import Simulator

    encoder, ansatz = Circuit(), Circuit()
    for q in range(4):
        encoder += RY(f"a{q}").on(q)
        encoder += RZ(f"b{q}").on(q)
    angle = iter(range(24))
    for _ in range(2):
        for q in range(4):
            ansatz += X.on((q + 1) % 4, q)
        for q in range(4):
            for gate in (RZ, RY, RZ):
                ansatz += gate(f"w{next(angle)}").on(q)
    simulator = Simulator("mqvector", 4, dtype=mq.complex128)
    observables = [Hamiltonian(QubitOperator(f"Z{q}")).astype(mq.complex128) for q in (0, 1)]
    circuit = encoder.as_encoder() + ansatz.as_ansatz()
    compute = simulator.get_expectation_with_grad(observables, circuit, parallel_worker=1)

    def evaluate(inputs, weights):
        angles = np.stack([np.arctan(inputs), np.arctan(inputs**2)], axis=2)
        slopes = np.stack([1 / (inputs**2 + 1), 2 * inputs / (inputs**4 + 1)], axis=2)
        values, of_angles, of_weights = (part.real for part in compute(angles.reshape(len(inputs), 8), weights))
        of_inputs = (of_angles.reshape(*values.shape, 4, 2) * slopes[:, None]).sum(axis=3)
        return values, np.concatenate([of_inputs, of_weights], axis=2)

    return evaluate
