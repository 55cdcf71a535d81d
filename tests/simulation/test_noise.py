import logging

import numpy as np
import pytest
from qiskit.circuit import Delay, QuantumCircuit
from qiskit.circuit.library import XGate
from qiskit.quantum_info import DensityMatrix, SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import LocalNoisePass, NoiseModel, QuantumError, RelaxationNoisePass, depolarizing_error
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from qiskit_fedqml import noise_from_model, paper_circuit, quantum_layer
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.errors import BackendError
from qiskit_fedqml.simulation.noise import Noise

DEVICE = FakeManilaV2()
MODEL = NoiseModel.from_backend(DEVICE)


def test_the_model_of_a_device_is_taken():
    noise = noise_from_model(MODEL, "manila", DEVICE.target)
    assert MODEL._custom_noise_passes, "Aer adds relaxation in delays"
    assert noise.error_after("cx", (0, 1)) is MODEL._local_quantum_errors["cx"][0, 1]
    of_readout = MODEL._local_readout_errors[(3,)].probabilities
    np.testing.assert_array_equal(noise.confusion(3), np.asarray(of_readout).T)
    assert noise.confusion(3)[1, 0] > 0.01


@pytest.mark.parametrize("simulator", ["sweep", "aer"])
def test_the_model_of_a_device_acts_as_aer_itself_has_it(simulator):
    backend = AerBackend("b", noise_from_model(MODEL, "manila", DEVICE.target), simulator=simulator)
    circuit = QuantumCircuit(2)
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    program = compile_program(backend, circuit, [], [SparsePauliOp("IZ"), SparsePauliOp("ZI")])
    values = backend.evaluate(program, np.zeros((1, 0)), jacobian=False).values[0]

    alone = program.circuit.copy()
    alone.save_density_matrix()
    state = AerSimulator(method="density_matrix", noise_model=MODEL).run(alone).result().data()["density_matrix"]
    qubits = program.circuit.layout.final_index_layout()
    for value, qubit in zip(values, qubits, strict=True):
        readout = np.asarray(MODEL._local_readout_errors[(qubit,)].probabilities)
        read = DensityMatrix(state).probabilities([qubit]) @ readout
        assert value == pytest.approx(read[0] - read[1], abs=1e-8)


def test_delays_are_refused_where_they_relax():
    circuit = QuantumCircuit(1)
    circuit.delay(160, 0)
    with pytest.raises(BackendError, match="has delays, in which qubits of manila relax"):
        AerBackend("b", noise_from_model(MODEL, "manila", DEVICE.target)).transpile(circuit)
    without = NoiseModel.from_backend(DEVICE, thermal_relaxation=False)
    AerBackend("b", noise_from_model(without, "manila", DEVICE.target)).transpile(circuit)


def test_a_model_of_couplings_needs_a_target(caplog):
    with caplog.at_level(logging.WARNING):
        noise_from_model(MODEL, "manila", DEVICE.target)
        assert not caplog.records
        noise_from_model(MODEL, "manila")
    (record,) = caplog.records
    assert "manila has errors of cx on some qubits alone" in record.getMessage()
    everywhere = NoiseModel()
    everywhere.add_all_qubit_quantum_error(depolarizing_error(0.1, 2), "cx")
    everywhere.add_quantum_error(depolarizing_error(0.2, 1), "x", [0])
    noise_from_model(everywhere)
    assert len(caplog.records) == 1


class _Own(RelaxationNoisePass):
    def run(self, dag):
        return dag


@pytest.mark.parametrize(
    "noise_pass",
    [
        RelaxationNoisePass([1e-4], [1e-4]),
        LocalNoisePass(lambda *_: None, op_types=[Delay, XGate]),
        LocalNoisePass(lambda *_: None, op_types=XGate),
        _Own([1e-4], [1e-4], op_types=Delay),
        object(),
    ],
)
def test_passes_that_change_more_than_delays_are_refused(noise_pass):
    model = NoiseModel()
    model._custom_noise_passes.append(noise_pass)
    with pytest.raises(BackendError, match=rf"changes circuits \({type(noise_pass).__name__}\)"):
        noise_from_model(model)


@pytest.mark.parametrize("model", [None, "FakeManilaV2", DEVICE])
def test_models_that_are_none(model):
    with pytest.raises(BackendError, match="must be Aer's NoiseModel"):
        noise_from_model(model)


def test_success_probability_is_a_probability():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    exact = QuantumError([(XGate(), 0.0), (QuantumCircuit(1), 1.0)])
    assert Noise("made up", None, None, default_errors={"x": exact}).success_probability(circuit, []) == 1.0
    layer = quantum_layer(paper_circuit(), AerBackend("b", noise_from_model(MODEL, "manila", DEVICE.target)))
    assert 0.5 < layer.neural_network.success_probability() < 1
