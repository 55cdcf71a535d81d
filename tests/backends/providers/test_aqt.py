"""AQT's offline simulators: qiskit-aqt-provider takes at most qiskit 2.4.1, so it has an environment of its own."""

import numpy as np
import pytest
from qiskit.circuit import QuantumCircuit

pytest.importorskip("qiskit_aqt_provider", reason="qiskit-aqt-provider is not installed")
from qiskit_aqt_provider import AQTProvider

from qiskit_fedqml.errors import JobError
from qiskit_fedqml.simulation.noise import noise_from_model
from tests.backends.providers.conftest import Customer
from tests.backends.providers.rounds import Paper, deviations, round_of_digits

pytestmark = pytest.mark.slow
HERE = __name__


def offline(*, noisy):
    """Return one of AQT's offline simulators."""
    return AQTProvider().offline.noisy() if noisy else AQTProvider().offline.ideal()


def remembering():
    """Return the ideal one, which keeps the circuits that it runs."""
    machine, machine.seen = offline(noisy=False), []
    run = machine.run

    def kept(circuits, **options):
        machine.seen.extend(circuits)
        return run(circuits, **options)

    machine.run = kept
    return machine


@pytest.mark.parametrize("noisy", [False, True])
def test_values_are_those_of_aer(noisy):
    noise = None
    if noisy:
        machine = offline(noisy=True)
        noise = noise_from_model(machine.simulator.options.noise_model, target=machine.target)
    found = deviations(f"{HERE}:offline", noise, shots=400, arguments={"noisy": noisy})
    assert np.abs(found).max() < 5
    assert 0.3 < found[found != 0].std() < 1.2, "shots act"


def test_bound_circuits_are_what_the_cloud_takes():
    """AQT's cloud refuses angles out of range, which only circuits with bound parameters can be seen to have."""
    from qiskit_aqt_provider._transformers import circuits_to_aqt_job

    customer = Customer(f"{HERE}:remembering")
    customer.ask()
    seen = customer.vendor.seen
    assert len(circuits_to_aqt_job(seen, 64).payload.circuits) == len(seen) > 20
    bound = customer.network.program.circuit.assign_parameters(
        dict.fromkeys(customer.network.program.circuit.parameters, -2.5)
    )
    measured = QuantumCircuit(bound.num_qubits, 2).compose(bound)
    measured.measure([0, 1], [0, 1])
    with pytest.raises(ValueError, match="less than or equal|greater than or equal"):
        circuits_to_aqt_job([measured], 64)


def test_job_of_more_than_fifty_circuits_is_several_of_aqts():
    paper = Paper(f"{HERE}:offline", arguments={"noisy": False})
    paper.ask()
    (submission,) = paper.submissions
    assert submission.circuits == 106
    assert submission.job_id.endswith(" and 2 more")


def test_too_many_shots_are_refused_by_name():
    with pytest.raises(JobError, match=r"cannot run a job \(ValueError: Shots must be in the range \[1, 2000\]\)"):
        Customer(f"{HERE}:offline", arguments={"noisy": False}, shots=4096).ask()


def test_round_of_digits(tmp_path):
    entry = {"factory": f"{HERE}:offline", "arguments": {"noisy": True}, "shots": 100, "gradient": {"spsa": {}}}
    record, sent = round_of_digits(tmp_path / "run", entry | {"waiting": {"poll_seconds": 0.05}})
    assert {s.device for s in sent} == {"offline_simulator_noise"}
    assert {c.success_probability for c in record.clients} == {None}, "its target states no errors"
