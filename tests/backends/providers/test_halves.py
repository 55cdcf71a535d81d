"""The two halves of ``BackendEstimatorV2`` give to the bit what it gives as a whole."""

import json
import math

import numpy as np
import pytest
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BackendEstimatorV2
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.quantum_info import SparsePauliOp

from qiskit_fedqml.backends.devices.machine import WrongAnswerError
from qiskit_fedqml.backends.providers.halves import Reading, counts_of, precision_of, send
from tests.backends.providers.shop import last


def pub(num_qubits):
    """Return a PUB with several terms and bases, on qubits in the middle of a machine."""
    a, b = Parameter("a"), Parameter("b")
    circuit = QuantumCircuit(num_qubits)
    circuit.sx(2)
    circuit.rz(a, 2)
    circuit.sx(2)
    circuit.cx(2, 1)
    circuit.rz(b, 1)
    circuit.sx(1)
    observables = [[("ZI", 0.5), ("IX", 2.0), ("II", 0.25)], [("IZ", 1.0)], [("YX", -1.0)]]
    rows = [
        [[SparsePauliOp.from_list([("I" * (num_qubits - 3) + label + "I", c) for label, c in terms])]]
        for terms in observables
    ]
    return circuit, rows, {(a, b): np.random.default_rng(0).uniform(-3, 3, (3, 2, 2))}


@pytest.mark.parametrize("most", [None, 4])
def test_halves_are_the_whole(most):
    class Machine(GenericBackendV2):
        max_circuits = most

    machine, jobs = Machine(5, seed=1), []
    send(pub(5), machine, 50, 7, jobs.append)
    assert len(jobs) == (1 if most is None else 3 * 2 * 2 / 4), "two bases"
    reading = Reading.from_json(json.loads(json.dumps(vars(Reading.of(pub(5), 50)))))
    read = reading.expectations([counts for job in jobs for counts in counts_of(job.result())])
    whole = BackendEstimatorV2(backend=machine, options={"seed_simulator": 7})
    assert np.array_equal(read, whole.run([pub(5)], precision=precision_of(50)).result()[0].data.evs)
    with pytest.raises(WrongAnswerError, match="hold 1 circuits, not 12"):
        reading.expectations([{"0": 50}])


@pytest.mark.parametrize("shots", [1, 2, 3, 512, 1000, 4096, 99_999_999, 100_000_000])
def test_precision_gives_exactly_so_many_shots(shots):
    assert math.ceil(1.0 / precision_of(shots) ** 2) == shots


def test_last_stage_of_a_providers_transpiler_gets_bound_circuits():
    machine = last()
    send(pub(3), machine, 10, 1, lambda _: None)
    assert not any(circuit.parameters for circuit in machine.seen)
    assert all("delay" in circuit.count_ops() for circuit in machine.seen), "as that stage schedules them"
