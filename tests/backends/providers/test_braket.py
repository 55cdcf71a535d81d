"""Amazon Braket's local simulators behind qiskit-braket-provider (the extra ``braket``)."""

import numpy as np
import pytest

pytest.importorskip("qiskit_braket_provider", reason="the extra `braket` is not installed")
from tests.backends.providers.rounds import deviations, round_of_digits

pytestmark = pytest.mark.slow
LOCAL = {"factory": "qiskit_braket_provider:BraketLocalBackend", "arguments": {"name": "braket_sv"}}


def estimator(name):
    """Return a local simulator with Braket's own estimator."""
    from qiskit_braket_provider import BraketEstimator, BraketLocalBackend

    backend = BraketLocalBackend(name)
    return backend, BraketEstimator(backend, abelian_grouping=True)


@pytest.mark.parametrize("factory", [LOCAL["factory"], f"{__name__}:estimator"])
def test_values_are_those_of_aer(factory):
    found = deviations(factory, arguments={"name": "braket_sv"})
    assert np.abs(found).max() < 5
    assert 0.3 < found[found != 0].std() < 1.2, "shots act"


def test_round_of_digits(tmp_path):
    record, sent = round_of_digits(tmp_path / "run", LOCAL | {"shots": 256, "gradient": {"spsa": {}}})
    assert {s.device for s in sent} == {"braket_sv"}
    assert {s.planned_seconds for s in sent} == {None}
    assert record.circuits == sum(s.circuits for s in sent) == 3 * record.examples
    assert all(s.job_id for s in sent)
