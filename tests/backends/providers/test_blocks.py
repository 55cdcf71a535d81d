"""Blocks and joint jobs on a provider's machine: the same values, one job a step, and no blocks without errors."""

import numpy as np
import pytest

from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.figures import unstated_errors
from qiskit_fedqml.backends.job import JobKey
from qiskit_fedqml.backends.program import Asked
from qiskit_fedqml.errors import BackendError
from tests.backends.providers.conftest import Customer

SHOTS = 1024


@pytest.fixture(scope="module")
def bought():
    """A machine of ten qubits in a line, with as many blocks of two qubits as fit."""
    return Customer("on_a_line", shots=SHOTS, blocks="auto")


def test_a_joint_step_is_one_job_with_the_values_of_one_copy(bought):
    program, spec = bought.network.program, bought.spec
    num_blocks = len(program.copies)
    assert 2 <= num_blocks <= 3
    assert bought.backend.is_joint
    angles = bought.network.angles.values(np.hstack([bought.inputs, np.tile(bought.weights, (2, 1))]))
    asked = [Asked(angles, 1, 0), Asked(angles[:1], 2, 1)]
    key = JobKey(1, None, 0, "train", (0, 1))
    planned = bought.backend.cost(program, [(0, 2), (1, 1)], jacobian=True)
    two, one = bought.backend.evaluate_jointly(program, asked, jacobian=True, key=key)
    (submission,) = bought.submissions
    assert [(cost.circuits, cost.seconds) for cost in planned] == [(submission.circuits, submission.planned_seconds)]
    points = 3 * (1 + 2 * len(program.shifted))
    assert submission.circuits < points / num_blocks + 3
    assert two.circuits + one.circuits == submission.circuits
    assert sum(e.jobs[0].planned_seconds for e in (two, one)) == pytest.approx(submission.planned_seconds)

    whole = Customer("on_a_line", shots=SHOTS)
    expected = whole.backend.evaluate(
        compile_program(whole.backend, whole.network.angles.circuit, whole.network.angles.params, spec.observables),
        angles,
        jacobian=True,
    )
    for got, of in ((two, slice(0, 2)), (one, slice(0, 1))):
        assert np.abs(got.values - expected.values[of]).max() < 8 / np.sqrt(SHOTS)
        assert np.abs(got.jacobian - expected.jacobian[of]).max() < 8 / np.sqrt(SHOTS)


def test_success_probability_is_the_mean_of_the_blocks(bought):
    program = bought.network.program
    figures = bought.backend.calibration_of(program)
    assert len(figures["blocks"]) == len(program.copies)
    assert figures["date"] is None
    assert bought.backend.success_probability(program) == pytest.approx(np.mean(list(figures["blocks"].values())))
    assert 0.9 < bought.backend.success_probability(program) < 1


def test_blocks_need_published_errors():
    with pytest.raises(
        BackendError, match=r"'mine' cannot have blocks, .* states none of .*cx, measure\. Leave `blocks` out"
    ):
        Customer("Silent", blocks="auto")
    assert not unstated_errors(Customer("on_a_line").vendor.target)


@pytest.mark.filterwarnings("ignore:Qiskit backend .* has no QubitProperties")
def test_joint_jobs_of_a_machine_that_states_nothing():
    bought = Customer("Silent", joint=True)
    program = bought.network.program
    angles = np.zeros((1, len(program.angles)))
    key = JobKey(1, None, 0, "train", (0, 1))
    both = bought.backend.evaluate_jointly(program, [Asked(angles, 1, 0), Asked(angles, 2, 1)], jacobian=True, key=key)
    (submission,) = bought.submissions
    assert [e.jobs[0].planned_seconds for e in both] == [None, None]
    assert sum(e.circuits for e in both) == submission.circuits
    assert bought.backend.success_probability(program) is None


def test_blocks_are_not_for_a_given_layout():
    with pytest.raises(ValueError, match="initial_layout has no effect with blocks"):
        Customer("Silent", blocks="auto", layout_trials=4, initial_layout=[0, 1])
