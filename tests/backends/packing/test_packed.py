"""Packed jobs give what unpacked ones give."""

from dataclasses import replace

import numpy as np
import pytest
from qiskit import transpile
from qiskit.quantum_info import DensityMatrix
from qiskit_aer import AerSimulator
from scipy.stats import chi2

from qiskit_fedqml import paper_circuit, quantum_layer
from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.devices.question import Asker, Part, Question
from qiskit_fedqml.backends.ibm.components import ComponentSimulation, components, on_qubits
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.noise import noise_from_rates
from qiskit_fedqml.backends.packing.packed import PackedCircuit
from qiskit_fedqml.backends.program import Asked
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.config.gradient import RandomShifts, RandomShiftsOptions, Spsa, SpsaOptions
from qiskit_fedqml.simulation.estimator import SweepEstimator
from qiskit_fedqml.simulation.exact import ExactProgram

SPEC = paper_circuit(num_layers=1)
ANGLES = GateAngles(SPEC.circuit, [*SPEC.input_params, *SPEC.weight_params])
KEY = JobKey(1, 2, 3, "train")
SAME_EVERYWHERE = noise_from_rates((0.002, 0.01), (0.001, 0.004), (0.01, 0.03), 1.0)


def backend(**entry):
    array = {"ideal": {"type": "aer"}, "m": {"type": "ibm", "device": "FakeMontrealV2", "shots": 64, **entry}}
    return BackendRegistry.from_mapping({"backends": array})["m"]


@pytest.fixture(scope="module")
def device():
    return backend(blocks={"separation": 0, "least_success": 0.5})


@pytest.fixture(scope="module")
def program(device):
    return compile_program(device, ANGLES.circuit, ANGLES.params, SPEC.observables)


@pytest.fixture(scope="module")
def alike(program):
    """The program's copies on blocks of one shape, which have the same gates."""
    gates = program.circuit.count_ops()
    copies = tuple(copy for copy in program.copies if copy.circuit.count_ops() == gates)
    assert len(copies) >= 3
    return replace(copies[0], copies=copies)


def points(num_samples, seed=0):
    return np.random.default_rng(seed).uniform(-3, 3, (num_samples, ANGLES.num_angles))


def exactly(pub, noise_on):
    """Return a packed PUB's exact answer, shape (rows, 1, blocks · outputs)."""
    circuit, observables, bindings = pub
    ((parameters, values),) = bindings.items()
    operators = [o for of in observables for row in of for o in row]
    parts = components(circuit, operators, parameters)
    simulation = ComponentSimulation(parts, {}, len(operators), lambda of: SweepEstimator(noise_on(of)))
    return simulation.run(values[:, 0], 0, None)[:, None]


def test_blocks_are_the_parts_of_the_packed_circuit(program):
    packed = PackedCircuit(program.copies)
    assert len(program.copies) >= 4
    circuit, observables, bindings = packed.pub(np.zeros((2, len(program.copies), ANGLES.num_angles)))
    parts = components(circuit, [o for of in observables for row in of for o in row], next(iter(bindings)))
    assert {part.qubits for part in parts} == {copy.qubits for copy in program.copies}


@pytest.mark.parametrize("gradient", ["parameter_shift", Spsa(spsa=SpsaOptions())])
@pytest.mark.parametrize("sizes", [[1], [5], [3, 1, 4]])
def test_values_and_gradients_equal_unpacked_ones(alike, gradient, sizes):
    """Where all blocks have the same noise, exactly."""
    askers = [Asker(points(size, k), k, tuple(range(len(alike.copies)))) for k, size in enumerate(sizes)]
    question = Question(alike, tuple(askers), True, KEY, gradient, offset=5)
    part = Part("", 0, sum(sizes))
    answer = exactly(question.pub(part, PackedCircuit(alike.copies)), lambda _: SAME_EVERYWHERE)
    assert answer.shape == question.shape(part, question.details)
    values, derivatives = question.answer(part, answer, question.details)
    exact = ExactProgram(alike.circuit, alike.angles, alike.observables, SAME_EVERYWHERE, alike.shifted)
    expected, jacobian = exact.evaluate(question.angles, jacobian=True)
    assert np.abs(values - expected).max() < 1e-12
    if gradient == "parameter_shift":
        assert np.abs(derivatives - jacobian).max() < 1e-12
        return
    alone = Question(replace(alike, copies=()), tuple(askers), True, KEY, gradient)
    on_a_grid = alone.pub(part)[2]
    ((_, grid),) = on_a_grid.items()
    shaped = exact_values(alike, grid)
    assert np.abs(derivatives - alone.answer(part, shaped, alone.details)[1]).max() < 1e-12


def exact_values(program, grid):
    exact = ExactProgram(program.circuit, program.angles, program.observables, SAME_EVERYWHERE)
    flat = exact.evaluate(grid.reshape(-1, grid.shape[-1]), jacobian=False)[0]
    return flat.reshape(*grid.shape[:-1], -1)


def test_halves_have_the_whole_questions_answers(alike):
    askers = (Asker(points(3), 1, (0, 1, 2)), Asker(points(4, 1), 2, (1, 2)))
    gradient = RandomShifts(random_shifts=RandomShiftsOptions(fraction=0.5))
    question, packed = Question(alike, askers, True, KEY, gradient), PackedCircuit(alike.copies)

    def answer(part):
        expectations = exactly(question.pub(part, packed), lambda _: SAME_EVERYWHERE)
        return question.answer(part, expectations, question.details)

    whole, halves = answer(Part("", 0, 7)), [answer(part) for part in Part("", 0, 7).halves()]
    for of_whole, of_halves in zip(whole, zip(*halves, strict=True), strict=True):
        assert np.abs(of_whole - np.concatenate(of_halves)).max() < 1e-12


def test_each_blocks_values_are_those_of_its_own_qubits_density_matrix(device, program):
    """Aer's density matrix with the noise of the block's qubits, and its readout."""
    noise_on, angles = device.machine._noise_on, points(1)
    table = np.repeat(angles[:, None], len(program.copies), axis=1)
    answer = exactly(PackedCircuit(program.copies).pub(table), noise_on).reshape(len(program.copies), -1)
    for values, copy in zip(answer, program.copies, strict=True):
        noise = noise_on(copy.qubits)
        bound = on_qubits(copy.circuit, copy.qubits).assign_parameters(
            {
                angle: value
                for angle, value in zip(copy.angles, angles[0], strict=True)
                if angle in copy.circuit.parameters
            }
        )
        bound.save_density_matrix()
        simulator = AerSimulator(method="density_matrix", noise_model=noise.model)
        state = DensityMatrix(simulator.run(transpile(bound, optimization_level=0)).result().data()["density_matrix"])
        for value, observable in zip(values, copy.observables, strict=True):
            (qubit,) = np.flatnonzero(observable.paulis.z[0])
            place = copy.qubits.index(qubit)
            zero, one = noise.readout[place] @ state.probabilities([place])
            read = zero - one
            assert value == pytest.approx(float(observable.coeffs[0].real) * read, abs=1e-8)


def test_outcomes_of_blocks_follow_their_distributions(program):
    """A chi-square test over blocks of the numbers of outcomes behind many values."""
    shots, rows = 400, 30
    table = np.repeat(np.repeat(points(1)[:, None], len(program.copies), axis=1), rows, axis=0)
    circuit, observables, bindings = PackedCircuit(program.copies).pub(table)
    ((parameters, values),) = bindings.items()
    operators = [o for of in observables for row in of for o in row]
    parts = components(circuit, operators, parameters)

    def run(shots):
        simulation = ComponentSimulation(parts, {}, len(operators), lambda _: SweepEstimator(SAME_EVERYWHERE))
        return simulation.run(values[:, 0], 4, shots)

    sampled, exact = run(shots), run(None)
    ones, share = (1 - sampled) / 2 * shots, (1 - exact) / 2
    assert np.allclose(ones, np.round(ones)), "numbers of whole shots"
    # Outputs of one block are measured together, so that every second one is independent: one output a block.
    first = ((ones - shots * share) ** 2 / (shots * share * (1 - share)))[:, :: len(SPEC.observables)]
    low, high = chi2.ppf([1e-4, 1 - 1e-4], first.size)
    assert low < first.sum() < high
    assert len(np.unique(sampled[:, 0])) > 5, "each row draws on its own"


def test_a_step_through_the_layer_is_one_job(device):
    layer = quantum_layer(SPEC, device)
    network, num_blocks = layer.neural_network, len(layer.neural_network.program.copies)
    inputs = np.random.default_rng(1).uniform(-1, 1, (8, 4))
    weights = np.random.default_rng(2).uniform(-3, 3, network.num_weights)
    values, jacobian = network.evaluate(inputs, weights, jacobian=True)
    unpacked = 8 * (1 + 2 * len(network.program.shifted))
    assert network.usage.jobs == 1
    assert unpacked / num_blocks <= network.usage.circuits <= unpacked / num_blocks + 2
    assert values.shape == (8, 2)
    assert jacobian.shape == (8, 2, 4 + network.num_weights)


def test_clients_share_what_their_job_costs(device, program):
    asked = [Asked(points(2), 1, 0), Asked(points(3, 1), 2, 4)]
    first, second = device.evaluate_jointly(program, asked, jacobian=True, key=JobKey(1, None, 0, "train", (0, 4)))
    (job,) = [s for s in device.dispatcher.journal.all() if s.key.clients == (0, 4)]
    assert first.circuits + second.circuits == job.circuits
    assert first.executions + second.executions == job.executions
    assert first.jobs[0].job_id == second.jobs[0].job_id == job.job_id
    assert first.jobs[0].planned_seconds + second.jobs[0].planned_seconds == pytest.approx(job.planned_seconds)
    assert (first.values.shape, second.values.shape) == ((2, 2), (3, 2))


def test_clients_with_blocks_of_their_own():
    device = backend(blocks={"separation": 0, "least_success": 0.5, "spread": "clients"})
    device.give_blocks_to([3, 5, 8])
    program = compile_program(device, ANGLES.circuit, ANGLES.params, SPEC.observables)
    num_blocks = len(program.copies)
    of = {client: set(device.calibration_of(program, client)["blocks"]) for client in (3, 5, 8)}
    assert sum(map(len, of.values())) == num_blocks == len(set.union(*of.values()))
    assert device.success_probability(program, 3) > device.success_probability(program, 8)
    assert len(device.calibration_of(program)["blocks"]) == num_blocks
    device.give_blocks_to(range(2 * num_blocks))
    assert device.calibration_of(program, 0)["blocks"] == device.calibration_of(program, num_blocks)["blocks"]
    assert all(len(device.calibration_of(program, client)["blocks"]) == 1 for client in range(2 * num_blocks))


def test_one_block_is_what_it_was_without():
    angles = points(2)
    for blocks in ({"most": 1}, None):
        device = backend(**({"blocks": blocks} if blocks else {}))
        program = compile_program(device, ANGLES.circuit, ANGLES.params, SPEC.observables)
        assert not program.copies
        found = device.evaluate(program, angles, jacobian=True, seed=1, key=KEY)
        if blocks:
            with_one = found
    assert np.array_equal(with_one.values, found.values)
    assert np.array_equal(with_one.jacobian, found.jacobian)


def test_a_simulated_chip_gives_each_client_its_block():
    array = {"ideal": {"type": "aer"}, "m": {"type": "aer", "noise": "FakeMontrealV2", "blocks": "auto"}}
    machine = BackendRegistry.from_mapping({"backends": array})["m"]
    machine.give_blocks_to([0, 1, 2])
    program = compile_program(machine, ANGLES.circuit, ANGLES.params, SPEC.observables)
    found = {
        client: machine.evaluate(program, points(2), jacobian=True, key=JobKey(1, client, 0, "train"))
        for client in (0, 1, 2, None)
    }
    assert all(evaluation.simulator == "sweep" for evaluation in found.values())
    assert np.array_equal(found[0].values, found[None].values), "the best block is the server's"
    assert not np.allclose(found[0].values, found[1].values, atol=1e-6)
    for client in (0, 1, 2):
        copy = program.copies[client]
        alone = ExactProgram(copy.circuit, copy.angles, copy.observables, machine.noise, copy.shifted)
        values, jacobian = alone.evaluate(points(2), jacobian=True)
        assert np.abs(found[client].values - values).max() < 1e-12
        assert np.abs(found[client].jacobian - jacobian).max() < 1e-12
        assert list(machine.calibration_of(program, client)["blocks"]) == ["-".join(map(str, copy.qubits))]


def test_blocks_are_mitigated_each_on_its_own():
    pytest.importorskip("qiskit_ibm_runtime.executor_estimator")
    angles, key = points(3), JobKey(1, None, 0, "test on m")
    exact = ExactProgram(ANGLES.circuit, ANGLES.params, SPEC.observables, None).evaluate(angles, jacobian=False)[0]
    blocks = {"separation": 0, "least_success": 0.5, "most": 2}
    errors = {}
    for name, mitigation in (("none", None), ("readout", {"readout": True})):
        device = backend(blocks=blocks, shots=2048, **({"mitigation": mitigation} if mitigation else {}))
        program = compile_program(device, ANGLES.circuit, ANGLES.params, SPEC.observables)
        assert len(program.copies) == 2
        found = device.evaluate(program, angles, jacobian=False, key=key)
        (slope,) = np.linalg.lstsq(exact.reshape(-1, 1), found.values.ravel(), rcond=None)[0]
        errors[name] = abs(1 - slope)
    assert errors["readout"] < errors["none"]
