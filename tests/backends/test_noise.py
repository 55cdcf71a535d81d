import logging
import math

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp, SuperOp, average_gate_fidelity

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.array.check import check_backend
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.noise import noise_from_calibration, noise_from_rates, noise_of_qubits
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.errors import BackendError
from tests.backends.calibrations import READOUT, Change


def noise_of(change, factor=1.0):
    return noise_from_calibration(change.calibration, "mine", factor)


def infidelity(error):
    return 1 - average_gate_fidelity(SuperOp(error))


@pytest.mark.parametrize("simulator", ["sweep", "aer"])
def test_a_machine_with_gaps_is_simulated_without_them(simulator):
    backend = AerBackend("b", noise_of(Change().break_(0).drop_gate(("cx", 3, 4))), simulator=simulator)
    layer = quantum_layer(paper_circuit(), backend)
    assert sorted(layer.neural_network.program.circuit.layout.final_index_layout()) == [1, 2, 3, 4]
    assert 0.5 < layer.neural_network.success_probability() < 0.8
    assert check_backend(backend).passed
    assert backend.describe()["gaps"] == "left out: qubit 0 (not operational), cx on 3-4 (no published error)"


def test_some_qubits_have_the_noise_that_they_have_on_the_whole_machine():
    whole, some = noise_of(Change()), noise_of_qubits(Change().calibration, "mine", [4, 3])
    assert set(some.readout) == {0, 1}
    assert ("cx", (1, 0)) in some.gate_errors
    for (name, on), error in some.gate_errors.items():
        assert SuperOp(error) == SuperOp(whole.gate_errors[name, tuple(4 - place for place in on)])
    for place, matrix in some.readout.items():
        np.testing.assert_array_equal(matrix, whole.readout[4 - place])


def test_complete_calibrations_say_nothing(caplog):
    backend = AerBackend("b", noise_of(Change()))
    assert "gaps" not in backend.describe()
    assert not caplog.records


def test_gaps_are_told_once(caplog):
    with caplog.at_level(logging.WARNING):
        backend = AerBackend("b", noise_of(Change().break_(0)))
        quantum_layer(paper_circuit(), backend)
    (record,) = caplog.records
    assert record.getMessage() == "The calibration of mine has gaps: left out: qubit 0 (not operational)."


def test_a_calibration_that_leaves_nothing():
    change = Change()
    for qubit in range(5):
        change.drop(qubit, *READOUT)
    with pytest.raises(BackendError, match="leaves no qubit that can be used: qubits 0, 1, 2, 3, 4"):
        noise_of(change)


@pytest.mark.parametrize("simulator", ["sweep", "aer"])
def test_what_is_left_out_is_never_simulated_without_error(simulator):
    noise = noise_of(Change().drop(0, *READOUT).drop_gate(("cx", 3, 4)))
    estimator = AerBackend("b", noise, simulator=simulator).estimator()
    circuit = QuantumCircuit(5)
    circuit.x(1)
    with pytest.raises(BackendError, match="Qubit 0 of mine cannot be read: no published readout error"):
        estimator.run([(circuit, "IIIIZ")]).result()
    circuit.cx(3, 4)
    with pytest.raises(BackendError, match=r"cannot be used on mine: cx on 3-4 is left out \(no published error\)"):
        estimator.run([(circuit, "ZIIII")]).result()


@pytest.mark.parametrize(
    ("missing", "words"), [(("T1", "T2"), "T1 and T2"), (("T1",), "T1"), (("T2",), "T2"), ((), "")]
)
@pytest.mark.parametrize("as_null", [False, True])
def test_without_relaxation_the_published_errors_stay(missing, words, as_null):
    change = Change()
    for name in missing:
        if as_null:
            change.set(1, name, value=None)
        else:
            change.drop(1, name)
    noise = noise_of(change)
    assert str(noise.gaps) == (f"no published {words} of qubit 1, so no relaxation by them" if words else "")
    for gate in (("sx", 1), ("x", 1), ("cx", 1, 2)):
        published = change.calibration.figures.gates[gate[0], gate[1:]]["gate_error"]["value"]
        assert infidelity(noise.error_after(gate[0], gate[1:])) == pytest.approx(published, rel=1e-6)
    # Without T1 nothing decays: X and its error are symmetric.
    error = SuperOp(noise.error_after("x", (1,))).data
    decays = abs(error[0, 0] - error[3, 3]) > 1e-9
    assert decays == ("T1" not in missing)


def test_a_gate_without_length_has_its_published_error():
    noise = noise_of(Change().drop(("cx", 0, 1), "gate_length"))
    published = Change().calibration.target["cx"][0, 1].error
    assert infidelity(noise.error_after("cx", (0, 1))) == pytest.approx(published, rel=1e-6)


def test_t2_above_twice_t1_is_twice_t1():
    t1 = 1e6 * Change().calibration.target.qubit_properties[0].t1
    above, at = (noise_of(Change().set(0, "T2", value=factor * t1)) for factor in (3.0, 2.0))
    np.testing.assert_array_equal(SuperOp(above.error_after("sx", (0,))).data, SuperOp(at.error_after("sx", (0,))).data)


def test_delays_relax_and_are_refused():
    circuit = QuantumCircuit(1)
    circuit.x(0)
    circuit.delay(1000, 0)
    noisy = AerBackend("b", noise_of(Change()))
    with pytest.raises(
        BackendError, match="'b' cannot take the circuit: The circuit has delays, in which qubits of mine"
    ):
        noisy.transpile(circuit)
    for simulator in ("sweep", "aer"):
        with pytest.raises(BackendError, match="has delays"):
            AerBackend("b", noisy.noise, simulator=simulator).estimator().run([(circuit, "Z")]).result()
    for noise in (None, noise_from_rates((0.1, 0), (0, 0), (0, 0))):
        backend = AerBackend("b", noise)
        program = compile_program(backend, circuit, [], [SparsePauliOp("Z")])
        assert backend.evaluate(program, np.zeros((1, 0)), jacobian=False).values < -0.8


@pytest.mark.parametrize("rate", [-0.1, 1.1, math.nan])
def test_rates_that_are_no_probabilities(rate):
    for k in range(6):
        rates = [rate if k == j else 0.0 for j in range(6)]
        with pytest.raises(BackendError, match="An error rate must be a number from 0 to 1"):
            noise_from_rates(tuple(rates[:2]), tuple(rates[2:4]), tuple(rates[4:]))


@pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
def test_factors_that_are_none(factor):
    with pytest.raises(BackendError, match="Argument `factor` must be a number above 0"):
        noise_from_rates((0.1, 0), (0, 0), (0, 0), factor)
    with pytest.raises(BackendError, match="Argument `factor` must be a number above 0"):
        noise_of(Change(), factor)
