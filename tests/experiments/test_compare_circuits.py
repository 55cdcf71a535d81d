"""The comparison of circuits: its schemes are equal in all but the circuit and the machines."""

import pytest

from qiskit_fedqml import load_experiment
from qiskit_fedqml.model.circuit import circuit_for
from tests.conftest import ROOT


@pytest.mark.parametrize(("num_qubits", "classes"), [(4, (8, 9)), (8, (1, 3, 8, 9))])
def test_schemes_differ_in_circuit_and_machines_alone(script, num_qubits, classes):
    made = {
        name: load_experiment(ROOT / "experiments" / "digits.yaml", overrides)
        for name, overrides in script.schemes(num_qubits, classes).items()
    }
    assert len(made) == 9
    for name, experiment in made.items():
        assert experiment.data == made["paper"].data
        assert experiment.federation == made["paper"].federation
        assert circuit_for(experiment.model, len(classes)).num_inputs == num_qubits
        assert (experiment.backends == made["paper"].backends) == (not name.endswith("noisy array"))
